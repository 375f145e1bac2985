// SPDX-License-Identifier: Apache-2.0

package nsexec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
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

// spawnTo forks a child whose output is w, which it closes here.
func spawnTo(ctx context.Context, h *Helper, w *os.File, ns uint64) (*Program, child, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, child{}, err
	}
	defer null.Close()
	p := New("spawn")
	p.Stdio([3]Reg{p.Receive("in"), p.Receive("out"), p.Receive("err")})
	p.At("fork init", "")
	p.Fork(Control, CloneArgs{Namespaces: ns, Sibling: true, Cgroup: NoReg})
	p.End()
	init, err := h.spawn(ctx, p, []*os.File{null, w, w})
	return p, init, errors.Join(err, w.Close())
}

const allNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWNET | unix.CLONE_NEWCGROUP

// inNamespaces starts a child in new namespaces.
func inNamespaces(t testing.TB, ns uint64) (*Helper, child, *Program) {
	t.Helper()
	h := startHelper(t, StartOptions{})
	spawn := spawnProgram(ns, true)
	init, err := h.spawn(testContext(t), spawn, nil)
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
	h := startHelper(t, StartOptions{})
	ctx := testContext(t)
	spawn, init, err := spawnTo(ctx, h, w, allNamespaces)
	if err != nil {
		t.Fatal(err)
	}
	build := Next("build", spawn)
	build.PropagateAll(unix.MS_PRIVATE)
	build.Sethostname("inside")
	build.LoopbackUp()
	build.End()
	if err := h.run(ctx, build, nil, noSync); err != nil {
		t.Fatal(err)
	}
	enter := Next("enter", build)
	enter.Ready(Control, 7)
	enter.Exec("/bin/sh", []string{"sh", "-c", "hostname; echo $$ $X; cat /proc/sys/kernel/hostname; exit 5"}, []string{"PATH=/usr/bin:/bin", "X=y"})
	if err := h.run(ctx, enter, nil, func(e Event) error {
		if e.ID != 7 {
			t.Errorf("sync %d", e.ID)
		}
		return errHold
	}); err != nil {
		t.Fatal(err)
	}
	if err := h.release(ctx); err != nil {
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

// J1: CVE-2021-43784. Strings around 2^16 bytes, where lengths of 16 bits begin anew, are what the payload gets, each to its end and no further.
func TestJ1LongStrings(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	h := startHelper(t, StartOptions{})
	ctx := testContext(t)
	spawn, init, err := spawnTo(ctx, h, w, allNamespaces)
	if err != nil {
		t.Fatal(err)
	}
	defer init.Pidfd.Close()
	var env []string
	for n := 1<<16 - 2; n <= 1<<16+2; n++ {
		env = append(env, fmt.Sprintf("E%d=", n)+strings.Repeat("x", n-len("E65536="))) // with its NUL one more
	}
	enter := Next("enter", spawn)
	enter.Exec("/bin/cat", []string{"cat", "/proc/self/environ"}, append(env, "LAST=y"))
	if err := h.run(ctx, enter, nil, noSync); err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if want := strings.Join(append(env, "LAST=y", ""), "\x00"); err != nil || string(out) != want {
		t.Errorf("%d bytes, %v, want %d", len(out), err, len(want))
	}
	if _, err := unix.Wait4(init.Pid, nil, 0, nil); err != nil {
		t.Error(err)
	}
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
	err := h.run(testContext(t), p, nil, noSync)
	var step *StepError
	if !errors.As(err, &step) || !errors.Is(err, unix.ENODEV) {
		t.Fatalf("%v", err)
	}
	if step.Index != 1 || !strings.HasPrefix(err.Error(), "mount nonsense on /x: fsopen nonsense: no such device (") {
		t.Errorf("%d %v", step.Index, err)
	}
}

// blockSignal blocks a signal on the thread that interpreters are started by.
func blockSignal(t *testing.T, sig unix.Signal) (undo func()) {
	on := func(f func() error) {
		done := make(chan error)
		spawner() <- func() { done <- f() }
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	var set, old unix.Sigset_t
	set.Val[0] = 1 << (sig - 1)
	on(func() error { return unix.PthreadSigmask(unix.SIG_BLOCK, &set, &old) })
	return func() { on(func() error { return unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil) }) }
}

// What a payload finds: nothing of ours but what its program gave it.
func TestA12PayloadInheritsNothing(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	leak, err := unix.Dup(int(w.Fd())) // not close-on-exec
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(leak)
	leakHigh, err := unix.FcntlInt(w.Fd(), unix.F_DUPFD, 150)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(leakHigh)
	signal.Ignore(unix.SIGWINCH)
	defer signal.Reset(unix.SIGWINCH)
	defer blockSignal(t, unix.SIGUSR2)()
	var core unix.Rlimit
	if err := unix.Prlimit(0, unix.RLIMIT_CORE, nil, &core); err != nil {
		t.Fatal(err)
	}
	defer unix.Prlimit(0, unix.RLIMIT_CORE, &core, nil)
	if err := unix.Prlimit(0, unix.RLIMIT_CORE, &unix.Rlimit{Cur: core.Max, Max: core.Max}, nil); err != nil {
		t.Fatal(err)
	}
	h := startHelper(t, StartOptions{})
	ctx := testContext(t)
	spawn, init, err := spawnTo(ctx, h, w, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer init.Pidfd.Close()
	// Here and not below: a shell may clear its mask by itself.
	if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", init.Pid)); err != nil || !strings.Contains(string(b), "\nSigBlk:\t0000000000000000\n") {
		t.Errorf("%v\n%s", err, b)
	}
	enter := Next("enter", spawn)
	files := []*os.File{openPath(t, "/usr"), openPath(t, "/etc")}
	enter.Receive("usr")
	enter.Receive("etc")
	enter.Exec("/bin/sh", []string{"sh", "-c", `ls /proc/$$/fd; readlink /proc/$$/fd/0
		grep -E 'Sig(Ign|Blk)' /proc/self/status | tr -d '\t'; umask; ulimit -c; pwd; env`}, []string{"PATH=/bin:/usr/bin"})
	if err := h.run(ctx, enter, files, noSync); err != nil {
		t.Fatal(err)
	}
	w.Close()
	unix.Close(leak)
	unix.Close(leakHigh)
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	const want = "0\n1\n2\n/dev/null\n" +
		"SigBlk:0000000000000000\nSigIgn:0000000000000000\n0077\n0\n/\nPATH=/bin:/usr/bin\nPWD=/\n"
	if string(out) != want {
		t.Errorf("%s\nwant\n%s", out, want)
	}
	_, _ = unix.Wait4(init.Pid, nil, 0, nil)
}

// Without a message to wait for, K is gone after its fork; with a keeper it is not.
func TestHelperExits(t *testing.T) {
	h, _, _ := inNamespaces(t, 0)
	waitDead(t, h.pidfd, 5*time.Second)
	if got := deathOf(h.Pid); got != "exit status 0" {
		t.Error(got)
	}
}

// Nobody may trace or dump the interpreter. The answer also takes the way of a
// result through a register into the data.
func TestA9HelperIsNotDumpable(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	h := startHelper(t, StartOptions{})
	p := New("look")
	out := p.Receive("pipe")
	for i, set := range []bool{false, true, false} {
		if i > 0 {
			p.Dumpable(set)
		}
		answer := p.Words(^uint64(0))
		p.store(p.keep(p.call(unix.SYS_PRCTL, "", Imm(unix.PR_GET_DUMPABLE))), answer, 8)
		p.call(unix.SYS_WRITE, "", out, answer, Imm(1))
	}
	p.End()
	if err := h.run(testContext(t), p, []*os.File{w}, noSync); err != nil {
		t.Fatal(err)
	}
	var b [3]byte
	if _, err := io.ReadFull(r, b[:]); err != nil || b != [3]byte{0, 1, 0} {
		t.Errorf("%v %v", b, err)
	}
}

// BenchmarkStart measures from nothing to a forked child, without namespaces.
func BenchmarkStart(b *testing.B) { benchmarkStart(b, 0) }

// BenchmarkStartNamespaces is the same with all but a network namespace.
func BenchmarkStartNamespaces(b *testing.B) { benchmarkStart(b, allNamespaces&^unix.CLONE_NEWNET) }

func benchmarkStart(b *testing.B, ns uint64) {
	sdtest.Require(b, sdtest.Root)
	spawn := spawnProgram(ns, true)
	var times []time.Duration
	for b.Loop() {
		begin := time.Now()
		h, err := Start(StartOptions{})
		if err != nil {
			b.Fatal(err)
		}
		init, err := h.spawn(b.Context(), spawn, nil)
		if err != nil {
			b.Fatal(err)
		}
		times = append(times, time.Since(begin))
		if err := h.Close(); err != nil {
			b.Fatal(err)
		}
		_, _ = unix.Wait4(init.Pid, nil, 0, nil)
		init.Pidfd.Close()
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Microseconds()), "µs-median/forked")
	b.ReportMetric(float64(times[0].Microseconds()), "µs-min/forked")
}
