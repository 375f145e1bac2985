// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// Without descriptors nobody can look at a process: it is not taken for one that has ended.
func TestWhoCannotBeLookedAtIsAlive(t *testing.T) {
	self, err := identify(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	other := self
	other.Start++
	var alive, makes bool
	var openErr error
	withoutDescriptors(t, func() {
		alive, makes = self.alive(), makerLives(newPrefix+"id."+"1073741823.x")
		_, openErr = self.open()
	})
	if !alive || !makes || !errors.Is(openErr, unix.EMFILE) {
		t.Errorf("alive %v, makes a record %v, opened: %v; want true, true, EMFILE", alive, makes, openErr)
	}
	if !self.alive() || other.alive() || (procID{1 << 30, 1}).alive() {
		t.Error("with descriptors, only this process is alive")
	}
}

// What is left of a container is looked at before anything is said or removed: without descriptors nothing is.
func TestCleanupWithoutDescriptors(t *testing.T) {
	self, err := identify(os.Getpid())
	parent, parentErr := identify(os.Getppid())
	boot, bootErr := kernel.BootID()
	if err := errors.Join(err, parentErr, bootErr); err != nil {
		t.Fatal(err)
	}
	for name, st := range map[string]record{
		"the init":   {Init: self},
		"its keeper": {Keeper: parent},
		"its end":    {Keeper: self},
	} {
		t.Run(name, func(t *testing.T) {
			st.Phase, st.BootID, st.Remove = Running, boot, true
			c := &Container{rt: &Runtime{Dir: t.TempDir()}, id: "web", st: &st}
			if err := os.Mkdir(c.path(), 0o700); err != nil {
				t.Fatal(err)
			}
			var status Status
			var cleanup error
			withoutDescriptors(t, func() {
				status, _ = c.look()
				cleanup = c.cleanup(t.Context())
			})
			if !errors.Is(cleanup, unix.EMFILE) || st.Logged {
				t.Errorf("%v, logged: %v; want EMFILE", cleanup, st.Logged)
			}
			if want := map[bool]Status{true: Running, false: Stopped}[st.Init.Pid > 0]; status != want {
				t.Errorf("%s, want %s", status, want)
			}
			if left, err := os.ReadDir(c.path()); err != nil {
				t.Errorf("its record: %v, %v", left, err)
			}
		})
	}
}

// withoutDescriptors does something while this process can open nothing.
func withoutDescriptors(t *testing.T, do func()) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := limit
	none.Cur = 0
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	do()
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
}

// R21: a record is removed without descriptors: a start that had none left leaves nothing.
func TestR21RecordIsRemovedWithoutDescriptors(t *testing.T) {
	r := &Runtime{Dir: t.TempDir()}
	dir := r.path("web")
	err := os.Mkdir(dir, 0o700)
	for _, name := range []string{stateFile, configFile, exitFile, turnFile, lockFile} {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
	if err != nil {
		t.Fatal(err)
	}
	withoutDescriptors(t, func() { err = r.discard(dir) })
	if left, readErr := os.ReadDir(r.Dir); err != nil || readErr != nil || len(left) > 0 {
		t.Errorf("%v, %v: %v is left", err, readErr, left)
	}
}

// What cannot be looked at is not taken for another file.
func TestIsAt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if at, err := isAt(f, path); !at || err != nil {
		t.Errorf("itself: %v, %v", at, err)
	}
	if at, err := isAt(f, path+"2"); at || err != nil {
		t.Errorf("no file: %v, %v", at, err)
	}
	f.Close()
	if at, err := isAt(f, path); at || err == nil {
		t.Errorf("one that is closed: %v, %v", at, err)
	}
}

// A claim that cannot be read is not said to be released.
func TestReleaseSaysWhatItCannot(t *testing.T) {
	r := &Runtime{Dir: t.TempDir()}
	if err := r.release("5", "id"); err != nil {
		t.Errorf("no claim: %v", err)
	}
	if err := os.WriteFile(r.path(usernsDir), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.release("5", "id"); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("no directory of claims: %v, want ENOTDIR", err)
	}
}

// R26: the PIDs of a container whose keeper was killed are really given away again, to processes of somebody else.
func TestR26RecycledPIDs(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	for _, end := range []string{"rm -f", "stop, rm"} {
		c := w.mustStart("web", CreateOptions{Detach: true}, "/bin/sleep", "1000")
		var theirs []*exec.Cmd
		for _, p := range []procID{c.st.Keeper, c.st.Init} {
			if err := p.signal(unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		for _, p := range []procID{c.st.Keeper, c.st.Init} {
			theirs = append(theirs, recycled(t, p))
		}
		if s, err := c.State(); err != nil || s.Status != Stopped || s.Pid != 0 || s.KeeperPid != 0 || !s.ExitUnknown {
			t.Errorf("%+v, %v; want stopped", s, err)
		}
		if err := c.Signal(soon(t), unix.SIGKILL, true); !errors.Is(err, ErrNotRunning) {
			t.Errorf("kill --all: %v, want ErrNotRunning", err)
		}
		if end == "stop, rm" {
			if err := c.Stop(soon(t), time.Second); err != nil {
				t.Errorf("stop: %v", err)
			}
		}
		if err := w.Remove(soon(t), "web", end == "rm -f"); err != nil {
			t.Errorf("%s: %v", end, err)
		}
		for _, cmd := range theirs {
			if kernel.Ending(cmd.Process.Pid) {
				t.Errorf("%s: process %d of somebody else was ended", end, cmd.Process.Pid)
			}
		}
		w.nothingLeft("web")
	}
}

// recycled is a process of somebody else with the PID of one that is ending. Its start is another one on the clock that
// /proc has, which ticks every 10 ms: no kernel has gone through all PIDs between two of those.
func recycled(t *testing.T, old procID) *exec.Cmd {
	t.Helper()
	for ctx := soon(t); ctx.Err() == nil; {
		if _, err := kernel.StatFields(old.Pid); err == nil {
			continue // nobody has waited for it yet
		}
		if err := kernel.WriteFile("/proc/sys/kernel/ns_last_pid", strconv.AppendInt(nil, int64(old.Pid-1), 10)); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("/bin/sleep", "1000")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		end := func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait() // killed
		}
		if start, err := kernel.StartTime(cmd.Process.Pid); cmd.Process.Pid == old.Pid && err == nil && start != old.Start {
			t.Cleanup(end)
			return cmd
		}
		end() // another process was faster, or this one is too early; its PID may be the next one wanted
	}
	t.Fatalf("PID %d is not given away again", old.Pid)
	return nil
}
