// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"errors"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// stranger is a process that has nothing to do with any container.
func stranger(t *testing.T) procID {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
	})
	p, err := identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// put writes a record that says that a container runs.
func (r *Runtime) put(t *testing.T, st record) {
	t.Helper()
	if err := os.Mkdir(r.path(st.ID), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := makeExit(r.path(st.ID, exitFile)); err != nil {
		t.Fatal(err)
	}
	st.Version, st.Unit, st.Command = recordVersion, "sdc-"+st.ID+".scope", []string{"x"}
	c := &Container{rt: r, id: st.ID, st: &st}
	if err := c.write(); err != nil {
		t.Fatal(err)
	}
}

// TestNamePassedOn: a verb that has looked at a container and waits for the lock may find another one of the name. What it
// was asked for is gone then, and the other one none of its business.
func TestNamePassedOn(t *testing.T) {
	for name, verb := range map[string]func(t *testing.T, c *Container, passOn func()) error{
		"rm -f": func(t *testing.T, c *Container, passOn func()) error {
			pin := c.killUnlocked(t.Context())
			if pin == nil {
				t.Fatal("nothing was killed")
			}
			defer pin.Close()
			passOn()
			_, err := c.destroyLocked(t.Context(), &removal{force: true, pin: pin})
			return err
		},
		"stop": func(t *testing.T, c *Container, passOn func()) error {
			if err := c.read(); err != nil {
				t.Fatal(err)
			}
			passOn()
			return c.lockedStill(t.Context(), func() error { return c.killInit(t.Context()) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := &Runtime{Dir: t.TempDir()}
			first, second := stranger(t), stranger(t)
			r.put(t, record{ID: "web", BootID: thisBoot(t), Phase: Running, Init: first, Creator: first})
			err := verb(t, &Container{rt: r, id: "web"}, func() {
				if err := os.RemoveAll(r.path("web")); err != nil {
					t.Fatal(err)
				}
				r.put(t, record{ID: "web", BootID: thisBoot(t), Phase: Running, Init: second, Creator: second})
			})
			if !errors.Is(err, ErrNotExist) {
				t.Errorf("got %v, want %v", err, ErrNotExist)
			}
			if _, err := r.Load("web"); err != nil || !second.alive() {
				t.Errorf("the other container: alive is %v, %v", second.alive(), err)
			}
		})
	}
}

// A verb that has read a container may find another one in its place that is being created, and has no Spec yet.
func TestNoSpecYet(t *testing.T) {
	r := &Runtime{Dir: t.TempDir()}
	first, second := stranger(t), stranger(t)
	r.put(t, record{ID: "web", BootID: thisBoot(t), Phase: Running, Init: first, Creator: first})
	c, err := r.Load("web")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Spec(); !errors.Is(err, ErrDamaged) {
		t.Errorf("none of one that runs: %v, want ErrDamaged", err)
	}
	if err := os.RemoveAll(r.path("web")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.stopSettings(); !errors.Is(err, ErrNotExist) {
		t.Errorf("it was removed: %v, want ErrNotExist", err)
	}
	r.put(t, record{ID: "web", BootID: thisBoot(t), Phase: Creating, Creator: second})
	if _, _, err := c.stopSettings(); !errors.Is(err, ErrNotExist) {
		t.Errorf("another one is created: %v, want ErrNotExist", err)
	}
	other, err := r.Load("web")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Spec(); !errors.Is(err, ErrNotRunning) || errors.Is(err, ErrDamaged) {
		t.Errorf("one that is being created: %v, want ErrNotRunning", err)
	}
	dead := second
	dead.Start++
	for id, st := range map[string]record{
		"now":    {BootID: thisBoot(t), Creator: second},
		"killed": {BootID: thisBoot(t), Creator: dead},
		"before": {BootID: "another", Creator: second},
	} {
		st.ID, st.Phase = id, Creating
		r.put(t, st)
		c, err := r.Load(id)
		if err != nil {
			t.Fatal(err)
		}
		want := map[bool]string{true: "it is being created", false: "its creation was cut short"}[id == "now"]
		if _, err := c.Spec(); !errors.Is(err, ErrNotRunning) || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: %v, want that %s", id, err, want)
		}
	}
}

// R26, R27: what has a container's PIDs today is another process: because it began at another
// time, or because the machine was booted since. It is neither shown nor killed.
func TestOtherProcessOfThatPID(t *testing.T) {
	r := &Runtime{Dir: t.TempDir()}
	alive := stranger(t)
	later := alive
	later.Start++
	boot := thisBoot(t)
	for name, st := range map[string]record{
		"recycled":  {BootID: boot, Phase: Running, Init: later, Keeper: later, Creator: later},
		"creating":  {BootID: boot, Phase: Creating, Creator: later},
		"rebooted":  {BootID: "another", Phase: Running, Init: alive, Keeper: alive, Creator: alive},
		"rebooted2": {BootID: "another", Phase: Creating, Creator: alive, Init: alive},
	} {
		for _, end := range []string{"rm", "rm -f", "run"} {
			st.ID = name
			r.put(t, st)
			all := verbs(soon(t), r, name)
			c, err := r.Load(name)
			if err != nil {
				t.Fatal(err)
			}
			if s, err := c.State(); err != nil || s.Status != Stopped || s.Pid != 0 || s.KeeperPid != 0 || !s.ExitUnknown {
				t.Errorf("%s: %+v, %v; want stopped", name, s, err)
			}
			if err := all["stop"](); err != nil {
				t.Errorf("%s: stop: %v", name, err)
			}
			if err := all["kill"](); !errors.Is(err, ErrNotRunning) {
				t.Errorf("%s: kill: %v", name, err)
			}
			if err := all["wait"](); !errors.Is(err, ErrExitUnknown) {
				t.Errorf("%s: wait: %v", name, err)
			}
			if end == "rm -f" {
				err = r.Remove(soon(t), name, true)
			} else {
				err = all[end]()
			}
			if err != nil {
				t.Errorf("%s: %s: %v", name, end, err)
			}
			if left := r.names(t); len(left) > 0 {
				t.Fatalf("%s: %s: left: %q", name, end, left)
			}
		}
	}
	if !alive.alive() {
		t.Error("the other process was killed")
	}
}

// R28: nothing is decided by times of day: the clock may have been set back or forth.
func TestClockDoesNotMatter(t *testing.T) {
	r := &Runtime{Dir: t.TempDir()}
	alive := stranger(t)
	for _, at := range []time.Time{{}, time.Unix(1, 0), time.Now().AddDate(1000, 0, 0)} {
		r.put(t, record{ID: "c", BootID: thisBoot(t), Phase: Running, Init: alive, Keeper: alive, Created: at, Started: at})
		all := verbs(soon(t), r, "c")
		c, err := r.Load("c")
		if err != nil {
			t.Fatal(err)
		}
		if s, err := c.State(); err != nil || s.Status != Running {
			t.Errorf("%v: %+v, %v; want running", at, s, err)
		}
		if err := all["run"](); !errors.Is(err, ErrExist) {
			t.Errorf("%v: run: %v", at, err)
		}
		if err := all["rm"](); !errors.Is(err, ErrRunning) {
			t.Errorf("%v: rm: %v", at, err)
		}
		if err := r.discard(r.path("c")); err != nil {
			t.Fatal(err)
		}
	}
}

// R29: of many starts of one name at the same moment one succeeds, and the others leave nothing.
func TestManyOfOneName(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	n := 100 / sdtest.Stride(4)
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() { _, errs[i] = w.start("one", CreateOptions{Detach: true}, "/bin/sleep", "1000") })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, ErrExist) || !strings.Contains(err.Error(), "choose another name"):
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d of %d starts of one name succeeded", won, n)
	}
	// Of the losers there is neither a record nor a claim nor a process.
	claims, err := os.ReadDir(w.path(usernsDir))
	if left := w.names(t); err != nil || len(left) != 1+len(claims) || len(claims) != 1 {
		t.Errorf("left: %q, %v; want the winner and its claim", left, err)
	}
	c, err := w.Load("one")
	if err != nil {
		t.Fatal(err)
	}
	if pids, err := c.Processes(); err != nil || len(pids) != 1 {
		t.Errorf("processes: %v, %v", pids, err)
	}
	if err := c.Destroy(soon(t), true); err != nil {
		t.Error(err)
	}
	w.nothingLeft("one")
}

// fill takes what room there is in a directory.
func fill(t *testing.T, dir string) (file string) {
	t.Helper()
	file = dir + "/.ballast"
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	return file
}

// R17, R18: in a run directory that is full, or that cannot be written to, nothing is done by
// half and nothing gets lost.
func TestRunDirectoryTakesNothing(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	for what, c := range map[string]struct {
		flags uintptr
		want  error
		todo  string
	}{"full": {0, unix.ENOSPC, "make room"}, "read-only": {unix.MS_RDONLY, unix.EROFS, "writable"}} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			if err := os.Mkdir(w.Dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := unix.Mount("run", w.Dir, "tmpfs", 0, "size=512k,mode=700"); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := unix.Unmount(w.Dir, unix.MNT_DETACH); err != nil {
					t.Error(err)
				}
			})
			old := w.mustStart("old", CreateOptions{Detach: true}, "/bin/sh", "-c", "trap 'exit 3' TERM; while :; do sleep 1; done")
			spec, err := old.Spec()
			if err != nil {
				t.Fatal(err)
			}
			before := w.names(t)
			ballast := ""
			if c.flags == 0 {
				ballast = fill(t, w.Dir)
				before = w.names(t)
			} else {
				// A mount of its own: the keeper writes to the other one.
				if err := unix.Mount(w.Dir, w.Dir, "", unix.MS_BIND, ""); err != nil {
					t.Fatal(err)
				}
				if err := unix.Mount("", w.Dir, "", unix.MS_REMOUNT|unix.MS_BIND|c.flags, ""); err != nil {
					t.Fatal(err)
				}
			}
			refused := func(what string, err error) {
				t.Helper()
				if !errors.Is(err, c.want) || strings.Count(err.Error(), c.todo) != 1 || strings.Contains(err.Error(), "\n") {
					t.Errorf("%s: %v; want one line with what to do", what, err)
				}
			}
			_, err = w.start("new", CreateOptions{Detach: true}, "/bin/true")
			refused("run", err)
			if left := w.names(t); strings.Join(left, " ") != strings.Join(before, " ") {
				t.Errorf("after run: %q; before: %q", left, before)
			}
			limit := int64(77)
			refused("update", old.Update(soon(t), &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}}, nil))
			out, err := exec.Command("systemctl", "show", "-P", "TasksMax", "sdc-old.scope").Output()
			if err != nil || strings.TrimSpace(string(out)) == "77" {
				t.Errorf("after an update that failed: TasksMax=%s, %v", out, err)
			}
			if again, err := old.Spec(); err != nil || !reflect.DeepEqual(again, spec) {
				t.Errorf("after an update that failed: %v, %v", again, err)
			}
			if list, err := w.List(); err != nil || len(list) != 1 {
				t.Errorf("list: %v, %v", list, err)
			}
			if err := old.Stop(soon(t), -1); err != nil {
				t.Errorf("stop: %v", err)
			}
			if e, err := old.Wait(soon(t)); err != nil || e.Code != 3 {
				t.Errorf("how it ended: %+v, %v; want code 3", e, err)
			}
			if c.flags == 0 { // to remove takes no room
				if err := old.Destroy(soon(t), false); err != nil {
					t.Errorf("rm: %v", err)
				}
				if err := os.Remove(ballast); err != nil {
					t.Error(err)
				}
				return
			}
			refused("rm", old.Destroy(soon(t), false))
			if err := unix.Unmount(w.Dir, unix.MNT_DETACH); err != nil {
				t.Fatal(err)
			}
			if err := old.Destroy(soon(t), false); err != nil {
				t.Errorf("rm: %v", err)
			}
			w.nothingLeft("old")
		})
	}
}

func thisBoot(t *testing.T) string {
	t.Helper()
	id, err := kernel.BootID()
	if err != nil {
		t.Fatal(err)
	}
	return id
}
