// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/nsexec"
)

// execSabotages are those that only a process that joins can have, besides those of both.
func execSabotages() []sabotage {
	all := slices.DeleteFunc(sabotages(), func(s sabotage) bool { return !s.both })
	return append(all,
		sabotage{name: "user namespace", steps: stayIn(unix.CLONE_NEWUSER), want: "user namespace"},
		sabotage{name: "uid map", steps: stayIn(unix.CLONE_NEWUSER), want: "uid_map"},
		sabotage{name: "gid map", steps: stayIn(unix.CLONE_NEWUSER), want: "gid_map"},
		sabotage{name: "mount namespace", steps: stayIn(unix.CLONE_NEWNS), want: "mnt namespace"},
		sabotage{name: "pid namespace", steps: stayIn(unix.CLONE_NEWPID), want: "pid namespace"},
		sabotage{name: "network namespace", steps: stayIn(unix.CLONE_NEWNET), want: "net namespace"},
		sabotage{name: "ipc namespace", steps: stayIn(unix.CLONE_NEWIPC), want: "ipc namespace"},
		sabotage{name: "uts namespace", steps: stayIn(unix.CLONE_NEWUTS), want: "uts namespace"},
		sabotage{name: "cgroup namespace", steps: skipEnter(unix.SYS_SETNS, nil), want: "cgroup namespace"},
	)
}

// stayIn leaves one namespace out of those that are joined.
func stayIn(flag nsexec.Imm) func(build, enter []nsexec.Step) {
	return func(build, enter []nsexec.Step) {
		for i, s := range build {
			if flags, ok := s.Args[1].(nsexec.Imm); ok && s.Op == nsexec.OpCall && s.NR == unix.SYS_SETNS {
				build[i].Args[1] = flags &^ flag
			}
		}
		skipChecks(enter) // the host's files are others
	}
}

// D8: a process that joins a container as anything else than what was asked for is killed
// before it is the command, and the error says which property is wrong.
func TestAttestNamesEverySabotageOfExec(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	for i, s := range append(sdtest.Some(execSabotages(), 3), sabotage{name: "none"}) {
		t.Run(s.name, func(t *testing.T) {
			spec := w.spec("sabx"+strconv.Itoa(i), "/bin/sleep", "60")
			if s.spec != nil {
				s.spec(spec)
			}
			c, err := w.startSpec("sabx"+strconv.Itoa(i), spec, CreateOptions{Detach: true})
			if err != nil {
				t.Fatal(err)
			}
			r, out := pipe(t)
			x, err := c.another(&specs.Process{Args: []string{"/bin/echo", "ran"}}, ExecOptions{Stdout: out})
			if err != nil {
				t.Fatal(err)
			}
			s.found(t, x.sabotaged(t, s, slices.Concat(x.joinSteps(), x.becomeSteps())))
			out.Close()
			it, err := kernel.Pidfd(x.pid)
			if err != nil {
				t.Fatal(err)
			}
			defer it.Close()
			if err := x.takeBack(context.WithoutCancel(t.Context())); err != nil {
				t.Error(err)
			}
			if err := kernel.Signal(it, unix.Signal(0)); !errors.Is(err, unix.ESRCH) {
				t.Errorf("its process after that: %v, want that there is none", err)
			}
			if b, err := io.ReadAll(r); err != nil || len(b) != 0 {
				t.Errorf("it said %q, %v", b, err)
			}
			if got := c.status(); got != Running {
				t.Errorf("the container is %s", got)
			}
			if err := c.Destroy(t.Context(), true); err != nil {
				t.Error(err)
			}
		})
	}
}
