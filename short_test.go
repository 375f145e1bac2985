// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// R34: short lives side by side. Each exit code is the right one, of a container's own process as of one executed
// in another container at the same time, and no process and no record is left of any.
func TestR34ShortLives(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	host := w.mustStart("host", CreateOptions{Detach: true}, "/bin/sleep", "100000")
	before := children(t)
	n := sdtest.Loops(t, 8, 1000)
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			for j := range n {
				if err := shortLives(w, host, fmt.Sprintf("short-%d", i), (i*31+j)%100); err != nil {
					t.Errorf("%d of short-%d: %v", j, i, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if left := children(t); left != before {
		t.Errorf("children: %q, before %q", left, before)
	}
	if pids, err := host.Processes(); err != nil || len(pids) != 1 {
		t.Errorf("processes in the container of the execs: %v, %v", pids, err)
	}
	if list, err := w.List(); err != nil || len(list) != 1 {
		t.Errorf("containers left: %v, %v", list, err)
	}
}

// shortLives are a container and an exec that both end with code.
func shortLives(w *world, host *Container, id string, code int) error {
	args := []string{"/bin/sh", "-c", "exit " + strconv.Itoa(code)}
	spec, err := testSpec(id, w.root, args)
	if err != nil {
		return err
	}
	ctx := w.t.Context()
	c, err := w.Create(ctx, id, spec, CreateOptions{})
	if err != nil {
		return err
	}
	defer func() { _ = c.Destroy(context.Background(), true) }() // of one that failed
	if err := c.Start(ctx); err != nil {
		return err
	}
	p, err := host.Exec(ctx, &specs.Process{Args: args}, ExecOptions{})
	if err != nil {
		return err
	}
	for what, wait := range map[string]func() (Exit, error){
		"container": func() (Exit, error) { return c.Wait(ctx) }, "exec": func() (Exit, error) { return p.Wait(ctx) },
	} {
		if e, err := wait(); err != nil || e.Code != code {
			return fmt.Errorf("%s: %+v, %v; want code %d", what, e, err, code)
		}
	}
	return c.Destroy(ctx, false)
}
