// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// A1, A9, A11: CVE-2019-5736, CVE-2016-9962, CVE-2016-8649. A container that may
// trace its processes goes for every process that enters it.
func TestA9NothingOfAHelperCanBeHad(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	for name, change := range map[string]func(*testing.T, *specs.Spec){
		"user namespace": func(t *testing.T, s *specs.Spec) { unconfined(t, s, "CAP_SYS_PTRACE") },
		// There the capability would be one over the host's processes. Without it the same user may trace what is
		// dumpable and has no more capabilities than he.
		"host's users": func(t *testing.T, s *specs.Spec) { unconfined(t, s); hostRoot(t, s) },
	} {
		t.Run(name, func(t *testing.T) { helpersAreOutOfReach(t, change) })
	}
}

func helpersAreOutOfReach(t *testing.T, change func(*testing.T, *specs.Spec)) {
	t.Helper()
	w := newWorld(t)
	spec := w.hostile("spy", "helpers")
	change(t, spec)
	c, said := w.startHostile("spy", spec)
	for range sdtest.Loops(t, 40, 10000) {
		p, err := c.Exec(t.Context(), &specs.Process{Args: []string{"true"}}, ExecOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if e, err := p.Wait(t.Context()); err != nil || e.Code != 0 {
			t.Fatalf("%+v, %v", e, err)
		}
	}
	if err := c.Destroy(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(said)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for line := range strings.Lines(string(rest)) {
		if strings.HasPrefix(line, "seen ") {
			seen++
		} else {
			t.Error(line)
		}
	}
	if seen == 0 {
		t.Error("it never saw a helper: the test shows nothing")
	}
	t.Logf("%d helpers seen", seen)
}

// What runs in the container may trace the processes of an exec, and keeps their
// zombies then: how they ended is known all the same, and nobody waits.
func TestA9TracedExecIsNotWaitedForInVain(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	spec := w.hostile("tracer", "tracer")
	unconfined(t, spec, "CAP_SYS_PTRACE")
	c, said := w.startHostile("tracer", spec)
	in, stop := pipe(t)
	p, err := c.Exec(t.Context(), &specs.Process{Args: []string{"sh", "-c", "read x; exit 7"}}, ExecOptions{Stdin: in})
	if err != nil {
		t.Fatal(err)
	}
	if line, err := said.ReadString('\n'); err != nil || line != "traced\n" {
		t.Fatalf("the payload said %q, %v", line, err)
	}
	stop.Close()
	endsWith7(t, p.Wait)
}

// The same of a payload in the host's PID namespace: there its tracer outlives it.
func TestTracedPayloadIsNotWaitedForInVain(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	for name, detach := range map[string]bool{"foreground": false, "detached": true} {
		t.Run(name, func(t *testing.T) { tracedPayload(t, detach) })
	}
}

func tracedPayload(t *testing.T, detach bool) {
	w := newWorld(t)
	spec := w.hostile("traced", "")
	unconfined(t, spec, "CAP_SYS_PTRACE")
	hostRoot(t, spec)
	without(specs.PIDNamespace)(spec)
	spec.Process.Args = []string{"/bin/sh", "-c", "/spy spy child & read x; exit 7"}
	in, stop := pipe(t)
	r, out := pipe(t)
	c, err := w.Create(t.Context(), "traced", spec, w.options(CreateOptions{Stdin: in, Stdout: out, Detach: detach}))
	out.Close()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(r).ReadString('\n'); err != nil || line != "traced\n" {
		t.Fatalf("the payload said %q, %v", line, err)
	}
	stop.Close()
	endsWith7(t, c.Wait)
	if err := c.Destroy(t.Context(), true); err != nil {
		t.Error(err)
	}
}

// A11: what the host gave the helper of an exec is closed before it changes its ids.
func TestA11HostDescriptorsAreClosedFirst(t *testing.T) {
	sdtest.Require(t, sdtest.Root, sdtest.Userns)
	cmd := exec.Command("sleep", "60")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, Pdeathsig: unix.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	spec, err := configs.FromRootfs("x", t.TempDir(), []string{"true"})
	if err != nil {
		t.Fatal(err)
	}
	l := &launch{c: &Container{st: &record{}}, spec: spec, plan: &plan{spec: spec}}
	l.c.st.Init.Pid = cmd.Process.Pid
	root, err := openRoot(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	spec.Process.Args = []string{"/bin/sh"}
	if l.who, err = findPayload(root, spec.Process, nil); err != nil {
		t.Fatal(err)
	}
	j, err := compileJoin(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	enter, err := l.compileEnter(j)
	if err != nil {
		t.Fatal(err)
	}
	closed := 0
	for _, s := range enter.Steps() {
		if s.NR == unix.SYS_CLOSE {
			closed++
		}
		if s.NR == unix.SYS_SETRESGID || s.NR == unix.SYS_SETRESUID {
			break
		}
	}
	if closed != 2 {
		t.Errorf("%d descriptors closed before the ids change, want the container's init and its cgroup", closed)
	}
}

// C8: root of a container uses up all keys that it may have, so that nobody gets a keyring there. Who is brought into the
// container then has not the caller's instead. In a guest none of the keys may be left afterwards (package canary).
func TestCallersKeysStayWithTheCaller(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	sdtest.Require(t, sdtest.Static) // else the child alone would be skipped
	const step = "SDCONTAINER_TEST_KEYS"
	switch os.Getenv(step) {
	case "": // in a process of its own: afterwards this one looks for what was left behind
		cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.v", "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), step+"=join")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	case "join":
		// Each thread has a keyring of its own: this one's is every thread's after an exec.
		runtime.LockOSThread()
		if _, _, errno := unix.Syscall(unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0); errno != 0 {
			t.Fatal(errno)
		}
		if _, err := unix.AddKey("user", "sdc-canary", []byte("x"), unix.KEY_SPEC_SESSION_KEYRING); err != nil {
			t.Fatal(err)
		}
		os.Setenv(step, "look")
		t.Fatal(unix.Exec("/proc/self/exe", os.Args, os.Environ()))
	}
	w := newWorld(t)
	spec := w.hostile("hoarder", "hoarder")
	unconfined(t, spec)
	c, _ := w.startHostile("hoarder", spec)

	r, out := pipe(t)
	p, err := c.Exec(t.Context(), &specs.Process{Args: []string{"/spy", "spy", "keys"}}, ExecOptions{Stdout: out})
	out.Close()
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(r)
	if e, err := p.Wait(t.Context()); err != nil || e.Code != 0 || string(b) != unix.ENOKEY.Error()+"\n" {
		t.Errorf("%q, %+v, %v, want no key", b, e, err)
	}
}

// endsWith7 waits for a process that has ended with code 7, whoever traces it.
func endsWith7(t *testing.T, wait func(context.Context) (Exit, error)) {
	t.Helper()
	ended := make(chan Exit, 1)
	go func() {
		e, err := wait(t.Context())
		if err != nil {
			t.Error(err)
		}
		ended <- e
	}()
	select {
	case e := <-ended:
		if e.Code != 7 {
			t.Errorf("%+v, want code 7", e)
		}
	case <-time.After(10 * time.Second):
		t.Error("waits as long as the tracer pleases")
	}
}

// R41: exec that is kept from becoming what it should by a process of the container ends in time,
// and whoever has the lock shared keeps nobody from removing the container by force.
func TestStoppedExec(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	old := lookTimeout
	t.Cleanup(func() { lookTimeout = old })
	lookTimeout = sdtest.Slower(time.Second, 3)
	w := newWorld(t)
	c := w.mustStart("stopper", CreateOptions{Detach: true}, "/bin/sh", "-c", "while :; do kill -STOP -1; done")
	for {
		p, err := c.Exec(soon(t), &specs.Process{Args: []string{"true"}}, ExecOptions{})
		if err != nil {
			if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "stopped by a process of the container?") {
				t.Error(err)
			}
			break
		}
		if err := p.Signal(unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) { // it came through
			t.Fatal(err)
		}
		if _, err := p.Wait(soon(t)); err != nil {
			t.Fatal(err)
		}
	}
	held, err := tryLock(c.path(lockFile), shared)
	if err != nil {
		t.Fatal(err)
	}
	init, err := c.st.Init.open()
	if err != nil {
		t.Fatal(err)
	}
	defer init.Close()
	go func() { // as an exec does, whose container ends
		_ = kernel.WaitReadable(t.Context(), init)
		held.Close()
	}()
	if err := c.Destroy(soon(t), true); err != nil {
		t.Error(err)
	}
	w.nothingLeft("stopper")
}

// B18: the payload leads who enters to a file of the kernel's in place of the image's.
func TestB18ExecReadsNoFileOfTheKernels(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	c := w.mustStart("led", CreateOptions{Detach: true}, "/bin/sleep", "60")
	if err := os.MkdirAll(filepath.Join(w.root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	passwd := filepath.Join(w.root, "etc/passwd")
	for target, want := range map[string]error{"/proc/1/mountinfo": unix.EACCES, "/proc/version": unix.EACCES, "/sys/kernel/fscaps": unix.EACCES, "/nothing": nil} {
		if err := os.RemoveAll(passwd); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, passwd); err != nil {
			t.Fatal(err)
		}
		p, err := c.Exec(t.Context(), &specs.Process{Args: []string{"true"}}, ExecOptions{})
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", target, err, want)
		}
		if err == nil {
			if e, err := p.Wait(t.Context()); err != nil || e.Code != 0 {
				t.Errorf("%s: %+v, %v", target, e, err)
			}
		}
	}
}
