// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import "context"

// Remove is [Container.Destroy] by name. With force it also removes a container
// whose record cannot be read, which [Runtime.Load] refuses. Errors: ErrNotExist, ErrRunning.
func (r *Runtime) Remove(ctx context.Context, id string, force bool) error {
	if err := checkID(id); err != nil {
		return err
	}
	c := &Container{rt: r, id: id}
	return c.Destroy(ctx, force)
}
