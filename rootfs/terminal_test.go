// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/internal/sdtest/converse"
	"github.com/sdcontainer/sdcontainer/nsexec"
)

func TestTerminal(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		w.spec.Process.Terminal = true
		w.spec.Root.Readonly = true
		v := w.see(map[string]string{"tty": "136:0 session 1", "stat /dev/console": "20620 136:0 0:5", "link /proc/self/fd/0": "/dev/pts/0",
			"link /proc/self/fd/2": "/dev/pts/0"})
		if m := v.at("/dev/console"); m.Type != "devpts" {
			t.Errorf("/dev/console is of %q", m.Type)
		}
	})
}

// The terminal of an exec comes from a container that runs already: what was opened
// as ptmx is looked at once more before anything is asked of it, and so before the parent gets it.
func TestB6OpenedPtmxIsChecked(t *testing.T) {
	p := nsexec.New("enter")
	root := p.Receive("root")
	ExecTerminal(p, root, 0)
	opened, checked := -1, -1
	for i, s := range p.Steps() {
		switch {
		case s.Object == "ptmx" && s.NR == unix.SYS_OPENAT2 && opened < 0 && i > 0 && p.Steps()[i-1].NR == unix.SYS_CLOSE:
			opened = i
		case s.Op == nsexec.OpCheck:
			checked = i
		case s.NR == unix.SYS_IOCTL && s.Op == nsexec.OpCall || s.Op == nsexec.OpSync:
			if opened < 0 || checked < opened {
				t.Errorf("opened at step %d, checked at %d, used at %d", opened, checked, i)
			}
			return
		}
	}
	t.Error("the master is never used")
}

// TestExecTerminal joins a world that is complete, as exec does.
func TestExecTerminal(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		var v view
		w.during = func(pid int) error {
			return w.join(pid, &v, "tty", "stat /proc/self/fd/0", "link /proc/self/fd/1", "stat /dev/pts/0")
		}
		w.see(map[string]string{"cwd": "/"})
		// What /proc/PID/fd has are links; the terminal itself belongs to the user.
		want := map[string]string{"tty": "136:0 session 2", "stat /proc/self/fd/0": "120700 0:0 0:0", "link /proc/self/fd/1": "/dev/pts/0",
			"stat /dev/pts/0": "20620 136:0 1000:5"}
		if d := cmp.Diff(want, v.Ran); d != "" {
			t.Error(d)
		}
	})
}

// join runs the commands in a new process of the world, on a terminal.
func (w *world) join(pid int, v *view, commands ...string) error {
	h, err := nsexec.Start(nsexec.StartOptions{})
	if err != nil {
		return err
	}
	defer h.Close()
	target, err := kernel.Pidfd(pid)
	if err != nil {
		return err
	}
	defer target.Close()
	spawn := nsexec.New("spawn")
	fd := spawn.Receive("container's init")
	var flags uint64
	for _, n := range w.spec.Linux.Namespaces {
		flags |= cloneFlags[n.Type]
	}
	spawn.Setns(fd, "container's namespaces", flags)
	spawn.Fork(nsexec.Control, nsexec.CloneArgs{Sibling: true, Cgroup: nsexec.NoReg})
	spawn.End()
	init, err := converse.Spawn(w.t.Context(), h, spawn, target)
	if err != nil {
		return err
	}
	defer func() {
		_ = unix.PidfdSendSignal(int(init.File.Fd()), unix.SIGKILL, nil, 0)
		_, _ = unix.Wait4(init.Pid, nil, 0, nil)
		init.File.Close()
	}()
	enter := nsexec.Next("enter", spawn)
	if w.spec.Linux.UIDMappings != nil {
		BecomeRoot(enter, w.spec.Linux)
	}
	ExecTerminal(enter, enter.OpenHere("/", unix.O_PATH|unix.O_DIRECTORY), 1000)
	enter.Exec("/look", append([]string{"look", "look"}, commands...), nil)
	var terminal *os.File
	err = converse.Run(w.t.Context(), h, enter, nil, func(e nsexec.Event) error {
		terminal = e.File
		return nil
	})
	if err != nil {
		return err
	}
	defer terminal.Close()
	return json.NewDecoder(terminal).Decode(v)
}
