// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/scope"
)

// A strangeCgroup is a running container whose cgroup somebody with the right to do so has changed.
type strangeCgroup struct {
	c    *Container
	s    State
	dir  string   // of its cgroup
	pid  *os.File // its process
	more *os.File // a process that somebody has put there
}

func (x *strangeCgroup) write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(x.dir, file), []byte(text), 0); err != nil {
		t.Fatal(err)
	}
}

// leaf is a cgroup below with a process of the host's in it.
func (x *strangeCgroup) leaf(t *testing.T) {
	t.Helper()
	if err := os.Mkdir(filepath.Join(x.dir, "leaf"), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
	var err error
	if x.more, err = kernel.Pidfd(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	x.write(t, "leaf/cgroup.procs", strconv.Itoa(cmd.Process.Pid))
}

// emptied has its process elsewhere, so that systemd ends the unit and removes the cgroup.
func (x *strangeCgroup) emptied(t *testing.T) {
	t.Helper()
	other := filepath.Join(scope.Mount(), "elsewhere-"+x.c.ID())
	if err := os.Mkdir(other, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(other); err != nil {
			t.Error(err)
		}
	})
	conn, err := scope.Dial(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := os.WriteFile(filepath.Join(other, "cgroup.procs"), []byte(strconv.Itoa(x.s.Pid)), 0); err != nil {
		t.Fatal(err)
	}
	if err := conn.Stop(soon(t), x.s.Unit); err != nil && !errors.Is(err, scope.ErrNoSuchUnit) {
		t.Fatal(err)
	}
	if _, err := os.Stat(x.dir); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("%s is still there: %v", x.dir, err)
	}
}

var strangeCgroups = map[string]func(x *strangeCgroup, t *testing.T){
	"emptied":        (*strangeCgroup).emptied,
	"populated leaf": (*strangeCgroup).leaf,
	"frozen leaf": func(x *strangeCgroup, t *testing.T) {
		x.leaf(t)
		x.write(t, "leaf/cgroup.freeze", "1")
	},
	"frozen by hand": func(x *strangeCgroup, t *testing.T) { x.write(t, "cgroup.freeze", "1") },
	"threaded": func(x *strangeCgroup, t *testing.T) {
		if err := os.Mkdir(filepath.Join(x.dir, "leaf"), 0o755); err != nil {
			t.Fatal(err)
		}
		x.write(t, "leaf/cgroup.type", "threaded")
		x.write(t, "leaf/cgroup.threads", strconv.Itoa(x.s.Pid))
	},
}

// R24: whatever has become of a container's cgroup, it is listed, its processes too, and
// stop and rm -f end all there is of it.
func TestR24StrangeCgroups(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	ends := map[string]func(x *strangeCgroup, c *Container) error{
		"stop": func(x *strangeCgroup, c *Container) error {
			return errors.Join(c.Stop(soon(t), 0), x.ended(t), c.Destroy(soon(t), false))
		},
		"rm -f": func(_ *strangeCgroup, c *Container) error { return c.Destroy(soon(t), true) },
		"killed": func(_ *strangeCgroup, c *Container) error {
			if err := c.Signal(soon(t), unix.SIGKILL, false); err != nil {
				return err
			}
			_, err := c.Wait(soon(t))
			return errors.Join(err, c.Destroy(soon(t), false))
		},
		"paused, rm -f": func(_ *strangeCgroup, c *Container) error {
			if err := c.Pause(soon(t)); err != nil && !errors.Is(err, ErrPaused) && !errors.Is(err, ErrNotRunning) {
				t.Errorf("pause: %v", err)
			}
			return c.Destroy(soon(t), true)
		},
		"resumed, stop": func(x *strangeCgroup, c *Container) error {
			if err := c.Resume(soon(t)); err != nil && !errors.Is(err, ErrNotPaused) && !errors.Is(err, ErrNotRunning) {
				t.Errorf("resume: %v", err)
			}
			return errors.Join(c.Stop(soon(t), 0), x.ended(t), c.Destroy(soon(t), false))
		},
	}
	for name, change := range strangeCgroups {
		for verb, end := range ends {
			t.Run(name+": "+verb, func(t *testing.T) {
				id := "strange-" + strings.NewReplacer(" ", "", ",", "").Replace(name+verb)
				c, pid := w.sleeper(id)
				defer pid.Close()
				s, err := c.State()
				if err != nil {
					t.Fatal(err)
				}
				x := &strangeCgroup{c: c, s: s, dir: filepath.Join(scope.Mount(), s.Cgroup), pid: pid}
				change(x, t)
				x.listed(t, name != "emptied")
				want := Running
				if name == "frozen by hand" {
					want = Paused
				}
				x.becomes(t, want)
				if err := errors.Join(end(x, c), x.ended(t)); err != nil {
					t.Errorf("%v", err)
				}
				w.nothingLeft(id)
				x.more.Close()
			})
		}
	}
}

// becomes waits for the state, which the kernel reaches in its own time after a write to cgroup.freeze.
func (x *strangeCgroup) becomes(t *testing.T, want Status) {
	t.Helper()
	for end := soon(t); ; {
		s, err := x.c.State()
		if err == nil && s.Status == want {
			return
		}
		select {
		case <-end.Done():
			t.Errorf("%s, %v; want %s", s.Status, err, want)
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// ended waits for the end of all that was in the container.
func (x *strangeCgroup) ended(t *testing.T) (err error) {
	for _, p := range []*os.File{x.pid, x.more} {
		if p == nil {
			continue
		}
		if e := kernel.WaitReadable(soon(t), p); e != nil {
			err = fmt.Errorf("a process lives: %w", e)
		}
	}
	return err
}

// listed: the container is there, with its process; where no cgroup has that, it is told.
func (x *strangeCgroup) listed(t *testing.T, inCgroup bool) {
	t.Helper()
	list, err := x.c.rt.List()
	if err != nil || !slices.ContainsFunc(list, func(c *Container) bool { return c.ID() == x.c.ID() }) {
		t.Errorf("list: %v, %v", list, err)
	}
	now, err := x.c.State()
	if err != nil || now.Pid != x.s.Pid {
		t.Errorf("state: %+v, %v", now, err)
	}
	pids, err := x.c.Processes()
	if !inCgroup && err != nil && strings.Contains(err.Error(), "moved process "+strconv.Itoa(x.s.Pid)) {
		return
	}
	if !inCgroup || err != nil || !slices.Contains(pids, x.s.Pid) {
		t.Errorf("top, %s: %v, %v; want %d too", now.Status, pids, err, x.s.Pid)
	}
}
