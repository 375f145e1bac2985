// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"context"
	"errors"
	"fmt"
)

// KeepersUnit holds the keepers of all detached containers.
const KeepersUnit = "sdcontainer-keepers.scope"

// keeperTries bounds the race with a scope that ends with its last keeper just
// when the next one comes.
const keeperTries = 5

// StartKeeper puts a keeper into the keepers' scope, which it makes if there is none.
// It is not the container's scope: there it would be stopped together with what it watches.
func (c *Conn) StartKeeper(ctx context.Context, pid uint32) error {
	var err error
	for range keeperTries {
		// Attaching is the usual case, and fails without a trace.
		err = c.Attach(ctx, KeepersUnit, "", pid)
		if err == nil || !gone(err) {
			return err
		}
		var job *Job
		if job, err = c.Start(ctx, keepers(), pid); err != nil {
			return err
		}
		if err = job.Wait(ctx); err == nil || !errors.Is(err, ErrUnitExists) {
			return err
		}
	}
	return fmt.Errorf("keeper %d: %w", pid, err)
}

// gone tells that there is no such scope, or not any more.
func gone(err error) bool {
	var reply *CallError
	return errors.Is(err, ErrNoSuchUnit) || errors.Is(err, ErrInvalid) ||
		errors.As(err, &reply) && reply.Name == "org.freedesktop.DBus.Error.Failed"
}

func keepers() Unit {
	p := &planner{unit: Unit{Name: KeepersUnit, Slice: DefaultSlice}}
	p.set("keepers", "Description", "Keepers of detached containers")
	p.set("keepers", "Slice", DefaultSlice)
	p.set("keepers", "Delegate", true) // attaching needs it
	p.set("keepers", "CollectMode", "inactive-or-failed")
	return p.unit
}
