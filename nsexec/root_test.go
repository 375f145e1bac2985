// SPDX-License-Identifier: Apache-2.0

package nsexec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
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

func TestStartNeedsInterpreter(t *testing.T) {
	if _, err := embedded.ReadFile("bin/README"); err != nil {
		t.Error(err) // what lets the package build before make did
	}
	b, err := interpreter()
	if err != nil || len(b) == 0 {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
}

// One that is embedded goes before one that is installed; where there is none, the error says how to make one.
func TestInterpreterIsFound(t *testing.T) {
	name := "bin/nsexec-" + runtime.GOARCH
	file := filepath.Join(t.TempDir(), "nsexec")
	if b, err := findInterpreter(fstest.MapFS{}, file); !errors.Is(err, ErrNoInterpreter) || !strings.Contains(err.Error(), "build with: make") {
		t.Errorf("none: %d bytes, %v", len(b), err)
	}
	if err := os.WriteFile(file, []byte("installed"), 0o755); err != nil {
		t.Fatal(err)
	}
	for want, built := range map[string]fstest.MapFS{
		"installed": {"bin/README": {}},
		"embedded":  {name: {Data: []byte("embedded")}},
	} {
		if b, err := findInterpreter(built, file); err != nil || string(b) != want {
			t.Errorf("%q, %v; want the %s one", b, err, want)
		}
	}
}

// A2, I2: an interpreter that can be changed, or has another user's rights, refuses to run.
func TestA2UnsealedInterpreterRefuses(t *testing.T) {
	sdtest.Require(t, sdtest.Root)
	b, err := interpreter()
	if err != nil {
		t.Fatal(err)
	}
	exe := filepath.Join(t.TempDir(), "nsexec")
	if err := os.WriteFile(exe, b, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := runsNot(t, exe); !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "refuses to run here") {
		t.Error(err)
	}
	// With another user's rights it does not even look at its socket.
	if err := errors.Join(os.Chown(exe, 65534, 65534), unix.Chmod(exe, 0o6755)); err != nil {
		t.Fatal(err)
	}
	if err := runsNot(t, exe); errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "connection closed") {
		t.Error(err)
	}
}

// CVE-2019-5736: what /proc/PID/exe leads to is no file of the host, and nobody can
// change it.
func TestA3ExecutableIsSealedAndNobodysFile(t *testing.T) {
	sdtest.Require(t, sdtest.Root)
	h := startHelper(t, StartOptions{})
	p := New("wait") // until it runs, the link leads to us
	p.End()
	if err := h.run(testContext(t), p, nil, noSync); err != nil {
		t.Fatal(err)
	}
	exe := fmt.Sprintf("/proc/%d/exe", h.Pid)
	if to, err := os.Readlink(exe); err != nil || !strings.HasPrefix(to, "/memfd:") {
		t.Errorf("%s, %v", to, err)
	}
	f, err := os.Open(exe)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	seals, err := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0)
	if err != nil || seals&allSeals != allSeals {
		t.Errorf("seals %#x, %v", seals, err)
	}
	if _, err := os.Stat("/proc/sys/vm/memfd_noexec"); err == nil { // Linux 6.3 knows a seal of the mode's x, too
		if err := unix.Chmod(exe, 0o600); seals&unix.F_SEAL_EXEC == 0 || !errors.Is(err, unix.EPERM) {
			t.Errorf("seals %#x, chmod: %v", seals, err)
		}
	}
	for _, flags := range []int{unix.O_WRONLY, unix.O_RDWR, unix.O_WRONLY | unix.O_TRUNC, unix.O_WRONLY | unix.O_APPEND} {
		if fd, err := unix.Open(exe, flags|unix.O_CLOEXEC, 0); err == nil {
			_ = unix.Close(fd)
			t.Errorf("opened with flags %#x", flags)
		}
	}
}

// Where memory files must not be executed, the start fails and says so.
func TestA4MemoryFilesMustNotBeExecuted(t *testing.T) {
	sdtest.Require(t, sdtest.Root)
	if os.Getenv("A4_INSIDE") == "" {
		if _, err := os.Stat("/proc/sys/vm/memfd_noexec"); err != nil {
			return // before Linux 6.3 nobody can forbid it
		}
		cmd := exec.Command("unshare", "--pid", "--fork", "--mount-proc", os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), "A4_INSIDE=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	if err := os.WriteFile("/proc/sys/vm/memfd_noexec", []byte("2"), 0); err != nil {
		t.Fatal(err)
	}
	if h, err := Start(StartOptions{}); err == nil || !strings.Contains(err.Error(), "vm.memfd_noexec=2") {
		t.Errorf("%v, %v; want an error that names the setting", h, err)
	}
}

// runsNot executes an interpreter that must refuse, and returns what it says.
func runsNot(t *testing.T, exe string) error {
	t.Helper()
	near, far, err := socketpair("nsexec")
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	farFile := os.NewFile(uintptr(far), "far")
	defer farFile.Close()
	cmd := exec.Command(exe)
	cmd.ExtraFiles = []*os.File{farFile}
	err = cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 125 {
		t.Errorf("%v, want exit status 125", err)
	}
	farFile.Close()
	c := &Conn{f: near, sent: &sentPrograms{}, who: "helper"}
	_, err = c.Next(testContext(t))
	return err
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
