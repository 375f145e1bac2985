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

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/scope"
)

// unseenEnd has a detached container end without its keeper: its record does not say how, and whoever comes next cleans up.
func (w *world) unseenEnd(id string) *Container {
	w.t.Helper()
	c := w.mustStart(id, CreateOptions{Detach: true}, "/bin/sleep", "60")
	if err := c.st.Keeper.signal(unix.SIGKILL); err != nil {
		w.t.Fatal(err)
	}
	if err := c.Stop(soon(w.t), 0); err != nil {
		w.t.Fatal(err)
	}
	return c
}

// R36: what is done to a container that has ended is not done to the one that has the unit of that name by now.
func TestEndedOneLeavesItsNamesakeAlone(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	for what, tt := range map[string]struct {
		do   func(*world, *Container) error
		want error
	}{
		"rm":      {func(_ *world, c *Container) error { return c.Destroy(soon(t), false) }, nil},
		"rm -f":   {func(w *world, _ *Container) error { return w.Remove(soon(t), "same", true) }, nil},
		"wait":    {func(_ *world, c *Container) error { _, err := c.Wait(soon(t)); return err }, ErrExitUnknown},
		"cleanup": {func(w *world, _ *Container) error { return w.Cleanup(soon(t), "same") }, nil},
		"run": {func(w *world, _ *Container) error {
			_, err := w.start("same", CreateOptions{Detach: true}, "/bin/true")
			return err
		}, scope.ErrUnitExists},
		"rm -f of a damaged record": {func(w *world, c *Container) error {
			return errors.Join(damages["garbage"](c.path(stateFile)), w.Remove(soon(t), "same", true))
		}, nil},
	} {
		w := newWorld(t)
		old := w.unseenEnd("same")
		other := &world{Runtime: &Runtime{Dir: filepath.Join(t.TempDir(), "other")}, root: w.root, t: t}
		live := other.mustStart("same", CreateOptions{Detach: true}, "/bin/sleep", "60")
		if err := tt.do(w, old); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v; want %v", what, err, tt.want)
		}
		if err := live.Signal(soon(t), unix.SIGCONT, true); err != nil {
			t.Errorf("%s: its namesake: %v", what, err)
		}
		if s, err := live.State(); err != nil || s.Status != Running {
			t.Errorf("%s: its namesake: %+v, %v; want it to run", what, s, err)
		}
		for _, c := range []*Container{live, old} {
			if err := c.Destroy(soon(t), true); ignore(err, ErrNotExist) != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
}

// What a container leaves in its own unit goes, whether the record says which cgroup was its own, or an older command wrote it.
func TestRestOfAnEndedOneGoes(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	for _, older := range []bool{false, true} {
		spec := w.spec("rest", "/bin/sh", "-c", "sleep 100000 & echo $!; read x")
		spec.Linux.Namespaces = slices.DeleteFunc(spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.PIDNamespace })
		c, left := w.leave(spec)
		defer left.Close()
		if c.st.Inode == 0 {
			t.Error("the record does not say which cgroup was its own")
		}
		if older {
			c.st.Inode = 0
			if err := c.write(); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Destroy(soon(t), false); err != nil {
			t.Errorf("older: %v: rm: %v", older, err)
		}
		if err := kernel.WaitReadable(soon(t), left); err != nil {
			t.Errorf("older: %v: what it left lives: %v", older, err)
		}
		w.nothingLeft("rest")
	}
}

// leave starts a container whose first process says the number of another, kills its keeper and that first process, and
// returns a pidfd of the other.
func (w *world) leave(spec *specs.Spec) (*Container, *os.File) {
	w.t.Helper()
	r, out := pipe(w.t)
	in, never := pipe(w.t)
	defer never.Close()
	c, err := w.startSpec("rest", spec, CreateOptions{Detach: true, Stdin: in, Stdout: out})
	out.Close()
	if err != nil {
		w.t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Fscan(r, &pid); err != nil {
		w.t.Fatal(err)
	}
	left, err := kernel.Pidfd(pid)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, p := range []procID{c.st.Keeper, c.st.Init} {
		if err := killProcess(soon(w.t), "process", p); err != nil {
			w.t.Fatal(err)
		}
	}
	return c, left
}

// runLeaver is the main process of a service that becomes a container without a PID namespace.
func runLeaver(args []string) error {
	r := &Runtime{Dir: args[0]}
	spec, err := testSpec("leaver", args[1], []string{"/bin/sh", "-c", args[2]})
	if err != nil {
		return err
	}
	spec.Linux.Namespaces = slices.DeleteFunc(spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.PIDNamespace })
	return serve(r, "leaver", spec)
}

// What an earlier start of a service has left in the payload's cgroup is ended by the next one, which is in that unit itself.
func TestServiceEndsWhatItsLastStartLeft(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	said := filepath.Join(t.TempDir(), "said")
	start := func(name string, args ...string) (left *os.File) {
		t.Helper()
		out, err := exec.Command(name, args...).CombinedOutput()
		b, _ := os.ReadFile(said) // for the message
		if err != nil {
			t.Fatalf("%v: %s: %s", err, out, b)
		}
		said := strings.Fields(string(b))
		pid, err := strconv.Atoi(said[len(said)-1])
		if err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		if left, err = kernel.Pidfd(pid); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { left.Close() })
		return left
	}
	last := start("systemd-run", "--wait", "--unit=leaver", "-pType=notify", "-pNotifyAccess=all", "-pDelegate=yes", "-pKillMode=process",
		"-pStandardOutput=append:"+said, "-pStandardError=append:"+said, sdtest.Payload(t), "other", "leaver", w.Dir, w.root, "sleep 100000 & echo $!")
	next := start("systemctl", "start", "--wait", "leaver.service")
	if err := kernel.WaitReadable(soon(t), last); err != nil {
		t.Errorf("what the last start left lives: %v", err)
	}
	if err := w.Remove(soon(t), "leaver", false); err != nil {
		t.Error(err)
	}
	if err := kernel.WaitReadable(soon(t), next); err != nil {
		t.Errorf("after rm what was left lives: %v", err)
	}
}

// Containers of one name are told apart by who made them and when, also where no process of them is known.
func TestSameContainer(t *testing.T) {
	at := time.Now()
	of := func(creator procID, created time.Time) *Container {
		return &Container{st: &record{Creator: creator, Created: created}}
	}
	one := of(procID{Pid: 7, Start: 1}, at)
	for name, tt := range map[string]struct {
		other *Container
		same  bool
	}{
		"itself":          {of(procID{Pid: 7, Start: 1}, at.Round(0)), true},
		"another moment":  {of(procID{Pid: 7, Start: 1}, at.Add(1)), false},
		"another process": {of(procID{Pid: 7, Start: 2}, at), false},
		"another boot":    {of(procID{}, at), false},
	} {
		if got := one.Same(tt.other); got != tt.same {
			t.Errorf("%s: %v", name, got)
		}
	}
}
