// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// R42: CVE-2022-23471, CVE-2025-64329: each exec, each size of a terminal and each terminal that is let go of left
// something in the manager.
func TestG4ExecsLeaveNothingInTheManager(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	// The collector closes files that were forgotten: it has no part in this.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(256 << 20))
	w := newWorld(t)
	c := w.mustStart("busy", CreateOptions{Detach: true}, "sleep", "100000")
	execs(t, c) // some things are made once
	base := heldNow(t)
	for range sdtest.Loops(t, 30, 10000) {
		execs(t, c)
	}
	end := heldNow(t)
	for deadline := time.Now().Add(20 * time.Second); end.more(base) && time.Now().Before(deadline); end = heldNow(t) {
		time.Sleep(50 * time.Millisecond)
	}
	if end.more(base) {
		stacks := make([]byte, 1<<16)
		t.Errorf("%+v, at the beginning %+v:\n%s", end, base, stacks[:runtime.Stack(stacks, true)])
	}
}

// execs are one that ends, one whose terminal is resized and let go of, and one that fails.
func execs(t *testing.T, c *Container) {
	t.Helper()
	p, err := c.Exec(t.Context(), &specs.Process{Args: []string{"true"}}, ExecOptions{})
	endsWith(t, p, err, 0)
	// Not a reader: the kernel wakes it with EIO before it sends the signal.
	p, err = c.Exec(t.Context(), &specs.Process{Args: []string{"sleep", "100000"}}, ExecOptions{Terminal: true})
	if err == nil {
		letGo(t, p.Terminal)
	}
	endsWith(t, p, err, 128+int(unix.SIGHUP))
	if _, err := c.Exec(t.Context(), &specs.Process{Args: []string{"nosuch"}}, ExecOptions{Terminal: true}); !errors.Is(err, ErrNotFound) {
		t.Fatal(err)
	}
}

func endsWith(t *testing.T, p *Process, err error, code int) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if e, err := p.Wait(t.Context()); err != nil || e.Code != code {
		t.Fatalf("%+v, %v; want code %d", e, err, code)
	}
}

func letGo(t *testing.T, terminal *os.File) {
	t.Helper()
	for i := range uint(10) {
		if err := setSize(terminal, &specs.Box{Height: 20 + i, Width: 80}); err != nil {
			t.Fatal(err)
		}
	}
	if err := terminal.Close(); err != nil {
		t.Fatal(err)
	}
}

// held is what grows where something leaks.
type held struct{ goroutines, descriptors, children int }

func (h held) more(base held) bool {
	return h.goroutines > base.goroutines || h.descriptors > base.descriptors || h.children > base.children
}

func heldNow(t *testing.T) held {
	t.Helper()
	return held{runtime.NumGoroutine(), openFiles(t), childrenNow(t)}
}

// childrenNow counts zombies, too.
func childrenNow(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range list {
		var pid, parent int
		var name, state string
		b, _ := os.ReadFile("/proc/" + e.Name() + "/stat") // some are no processes, or have ended
		if _, err := fmt.Sscanf(string(b), "%d %s %s %d", &pid, &name, &state, &parent); err == nil && parent == os.Getpid() {
			n++
		}
	}
	return n
}
