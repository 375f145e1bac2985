// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"sync"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// However many prepare at the same moment, one preparation is kept, and the next Create
// frees it, even one that fails at once.
func TestPreparedIsFreed(t *testing.T) {
	sdtest.Require(t, sdtest.Root)
	r := &Runtime{Dir: t.TempDir()}
	refused := func() {
		if c, err := r.Create(t.Context(), "no/name", &specs.Spec{}, CreateOptions{Service: true}); err == nil {
			t.Fatal("created", c.ID())
		}
	}
	refused() // what stays open, as the runtime's poller, is open now
	before := openFiles(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(r.PrepareExec)
	}
	wg.Wait()
	p := r.ahead.Load()
	h, err := p.helper.wait()
	if err != nil {
		t.Fatal(err)
	}
	helper, err := identify(h.Pid)
	if err != nil {
		t.Fatal(err)
	}
	refused()
	if now := openFiles(t); now != before || helper.alive() {
		t.Errorf("%d descriptors are open, want %d; the helper lives: %v", now, before, helper.alive())
	}
	r.PrepareExec()
	r.Close()
	r.Close() // of nothing
	if now := openFiles(t); now != before {
		t.Errorf("given up: %d descriptors are open, want %d", now, before)
	}
}
