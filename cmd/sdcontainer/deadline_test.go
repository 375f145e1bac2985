// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// A verb for which a deadline passes ends with 124, one that fails otherwise with another status. Here somebody
// holds the container's lock; ps needs none.
func TestDeadlinePasses(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	flags := arena(t)
	var locks []*os.File
	for _, name := range []string{"held", "unwanted"} { // the second is killed before its lock is waited for
		flags[4] = "--name=" + name // instead of --rm
		if out, err := exec.Command("sdcontainer", append(flags, "-d", "--", "sleep", "1000")...).CombinedOutput(); err != nil {
			t.Fatalf("run: %v: %s", err, out)
		}
		lock, err := os.OpenFile(filepath.Join(flags[1], name, "lock"), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { lock.Close() })
		if err := kernel.TryFlock(lock, unix.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		locks = append(locks, lock)
	}
	verb := func(want int, args ...string) {
		cmd := exec.Command("sdcontainer", append(flags[:2:2], args...)...)
		out, _ := cmd.CombinedOutput() // what it ended with is looked at
		if code := cmd.ProcessState.ExitCode(); code != want {
			t.Errorf("%s: exit %d, want %d: %s", strings.Join(args, " "), code, want, out)
		}
	}
	verb(0, "ps")
	verb(125, "exec", "nobody", "true")
	verb(1, "pause", "nobody")
	var all sync.WaitGroup
	for _, args := range [][]string{{"pause", "held"}, {"exec", "held", "true"}, {"rm", "-f", "unwanted"}} {
		all.Go(func() { verb(124, args...) })
	}
	all.Wait()
	for _, lock := range locks {
		lock.Close()
	}
	verb(0, "rm", "-fa")
}
