// SPDX-License-Identifier: Apache-2.0

package nsexec

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// startHelper starts an interpreter that ends with the test.
func startHelper(t testing.TB, o StartOptions) *Helper {
	t.Helper()
	sdtest.Require(t, sdtest.Root)
	h, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// spawnProgram forks a child in new namespaces.
func spawnProgram(ns uint64, sibling bool) *Program {
	p := New("spawn")
	p.At("fork init", "")
	p.Fork(Control, CloneArgs{Namespaces: ns, Sibling: sibling, Cgroup: NoReg})
	p.End()
	return p
}

const allNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWNET | unix.CLONE_NEWCGROUP

// inNamespaces starts a child in new namespaces.
func inNamespaces(t testing.TB, ns uint64) (*Helper, Init, *Program) {
	t.Helper()
	h := startHelper(t, StartOptions{})
	spawn := spawnProgram(ns, true)
	init, err := h.Spawn(testContext(t), spawn, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = unix.PidfdSendSignal(int(init.Pidfd.Fd()), unix.SIGKILL, nil, 0)
		_, _ = unix.Wait4(init.Pid, nil, 0, nil)
		init.Pidfd.Close()
	})
	return h, init, spawn
}

func noSync(Event) error { return errors.New("unexpected sync") }

func TestRunPayload(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	h := startHelper(t, StartOptions{Stdout: w})
	w.Close()
	ctx := testContext(t)
	spawn := spawnProgram(allNamespaces, true)
	init, err := h.Spawn(ctx, spawn, nil)
	if err != nil {
		t.Fatal(err)
	}
	build := Next("build", spawn)
	build.PropagateAll(unix.MS_PRIVATE)
	build.Sethostname("inside")
	build.LoopbackUp()
	build.End()
	if err := h.Run(ctx, build, nil, noSync); err != nil {
		t.Fatal(err)
	}
	enter := Next("enter", build)
	enter.Ready(Control, 7)
	enter.Exec("/bin/sh", []string{"sh", "-c", "hostname; echo $$ $X; cat /proc/sys/kernel/hostname; exit 5"}, []string{"PATH=/usr/bin:/bin", "X=y"})
	if err := h.Run(ctx, enter, nil, func(e Event) error {
		if e.ID != 7 {
			t.Errorf("sync %d", e.ID)
		}
		return ErrHold
	}); err != nil {
		t.Fatal(err)
	}
	if err := h.Release(ctx); err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(out), "inside\n1 y\ninside\n"; got != want {
		t.Errorf("output %q, want %q", got, want)
	}
	var ws unix.WaitStatus
	if _, err := unix.Wait4(init.Pid, &ws, 0, nil); err != nil || ws.ExitStatus() != 5 {
		t.Errorf("wait: %v, status %v", err, ws)
	}
	init.Pidfd.Close()
}

func TestStepErrorIsNamed(t *testing.T) {
	h, _, spawn := inNamespaces(t, allNamespaces)
	p := Next("build", spawn)
	p.At("set the host name", "")
	p.Sethostname("a")
	p.At("mount nonsense on /x", "to see it fail")
	p.Fsopen("nonsense")
	p.Sethostname("b")
	p.End()
	err := h.Run(testContext(t), p, nil, noSync)
	var step *StepError
	if !errors.As(err, &step) || !errors.Is(err, unix.ENODEV) {
		t.Fatalf("%v", err)
	}
	if step.Index != 1 || !strings.HasPrefix(err.Error(), "mount nonsense on /x: fsopen nonsense: no such device (") {
		t.Errorf("%d %v", step.Index, err)
	}
}

func BenchmarkStart(b *testing.B) {
	sdtest.Require(b, sdtest.Root)
	spawn := spawnProgram(0, true)
	for b.Loop() {
		h, err := Start(StartOptions{})
		if err != nil {
			b.Fatal(err)
		}
		init, err := h.Spawn(b.Context(), spawn, nil)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		h.Close()
		_, _ = unix.Wait4(init.Pid, nil, 0, nil)
		init.Pidfd.Close()
		b.StartTimer()
	}
}
