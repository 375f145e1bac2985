// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/scope"
)

// R25: an administrator has moved processes of a container into the cgroup of another. rm -f ends them, as they are of its
// pid namespace, and nobody else who is there.
func TestRemoveAfterProcessesWereMoved(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	other, err := w.mustStart("other", CreateOptions{Detach: true}, "/bin/sleep", "100000").State()
	if err != nil {
		t.Fatal(err)
	}
	for what, moved := range map[string]func(pids []int) []int{
		"a child": func(pids []int) []int { return pids[1:] },
		"all":     func(pids []int) []int { return pids },
	} {
		r, out := pipe(t)
		c := w.mustStart("moved", CreateOptions{Detach: true, Stdout: out}, "/bin/sh", "-c", "sleep 100000 & echo ready; wait")
		out.Close()
		until(t, r, "ready\n")
		pids, err := c.Processes()
		if err != nil || len(pids) != 2 {
			t.Fatal(pids, err)
		}
		var ends []*os.File
		for _, pid := range pids {
			f, err := kernel.Pidfd(pid)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			ends = append(ends, f)
		}
		for _, pid := range moved(pids) {
			if err := kernel.WriteFile(filepath.Join(scope.Mount(), other.Cgroup, "cgroup.procs"), strconv.AppendInt(nil, int64(pid), 10)); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Destroy(soon(t), true); err != nil {
			t.Errorf("%s moved: rm -f: %v", what, err)
		}
		for i, f := range ends {
			if err := kernel.WaitReadable(soon(t), f); err != nil {
				t.Errorf("%s moved: process %d of the container lives: %v", what, i, err)
			}
		}
		if kernel.Ending(other.Pid) {
			t.Fatalf("%s moved: the other container was ended, too", what)
		}
	}
	if err := w.Remove(soon(t), "other", true); err != nil {
		t.Error(err)
	}
	w.nothingLeft("moved")
}
