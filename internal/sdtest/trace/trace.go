// SPDX-License-Identifier: Apache-2.0

// Package trace runs a command under ptrace and lets a test decide about each
// of its system calls before it is made: let it go, let it fail, or send a signal, such as the one that kills.
// All threads are stopped by one tracer, so that there is one order of calls and one count. Test support only.
package trace

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A Role is which of our processes makes a call.
type Role int

// The command itself; the interpreter it starts; the interpreter's child, which becomes the payload.
const (
	Manager Role = iota
	Helper
	Init
	starting // forked by the manager, not yet anything
)

func (r Role) String() string { return [...]string{"manager", "helper", "init", "starting"}[r] }

// A Call is a system call that is about to be made.
type Call struct {
	Role Role
	PID  int // process
	TID  int
	NR   uint64
	Args [6]uint64
}

// A Verdict is what becomes of a call. The zero value lets it go.
type Verdict struct {
	Signal unix.Signal // sent to the process now; with SIGKILL the call is not made
	Errno  unix.Errno  // the call is not made, and fails with it
	Detach bool        // go on, and be traced no more
}

// Options says what is looked at.
type Options struct {
	// Manager and Helpers say whose calls OnCall sees. Helpers are followed until
	// they execute something else.
	Manager, Helpers bool
	OnCall           func(Call) Verdict
	// Attach, instead of a command, is a process that waits to execute the manager;
	// Go lets it.
	Attach int
	Go     func() error
	// Deadline kills what has not ended by then.
	Deadline time.Duration
}

type thread struct {
	tid, pid int
	role     Role
	errno    unix.Errno // to put in place of the result of the call under way
}

func (th *thread) ids() (tid, pid int) { return th.tid, th.pid }

type tracer struct {
	Options
	root   int
	begun  bool // the manager has been executed
	ended  bool // the manager has
	status unix.WaitStatus
	early  map[int]bool // stopped before their parent told of them
	live[*thread]
}

const options = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEEXEC | unix.PTRACE_O_EXITKILL

// held waits for a byte and becomes the command.
var held = []string{"sh", "-c", `read x <&9; exec 9<&-; exec "$@"`, "sh"}

// Run runs cmd, whose streams must be files, and returns how it ended. Processes that it left running are traced no more by then.
func Run(cmd *exec.Cmd, o Options) (unix.WaitStatus, error) {
	type result struct {
		ws  unix.WaitStatus
		err error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // ptrace(2) is by thread; it ends with the goroutine
		ws, err := run(cmd, o)
		done <- result{ws, err}
	}()
	r := <-done
	return r.ws, r.err
}

func run(cmd *exec.Cmd, o Options) (unix.WaitStatus, error) {
	t := &tracer{Options: o, root: o.Attach, early: map[int]bool{}}
	if cmd != nil {
		release, err := hold(cmd)
		if err != nil {
			return 0, err
		}
		t.root, t.Go = cmd.Process.Pid, release
		defer func() { _ = cmd.Process.Release() }() // reaped here
	}
	flags := uintptr(options)
	if o.Helpers {
		flags |= unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK
	}
	if err := ptrace(unix.PTRACE_SEIZE, t.root, 0, flags); err != nil {
		return 0, errors.Join(fmt.Errorf("seize: %w", err), unix.Kill(t.root, unix.SIGKILL))
	}
	t.add(&thread{tid: t.root, pid: t.root})
	if err := t.Go(); err != nil {
		return 0, err
	}
	if o.Deadline == 0 {
		o.Deadline = 30 * time.Second
	}
	var command *os.Process
	if cmd != nil {
		command = cmd.Process
	}
	timer := time.AfterFunc(o.Deadline, func() { t.killAll(command) })
	defer timer.Stop()
	err := t.loop()
	if cmd != nil && !t.ended && err == nil { // let go, it is still our child
		_, err = unix.Wait4(t.root, &t.status, 0, nil)
	}
	return t.status, errors.Join(t.late, err)
}

// hold starts cmd so that it waits for release before it is executed.
func hold(cmd *exec.Cmd) (release func() error, err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	for len(cmd.ExtraFiles) < 6 {
		cmd.ExtraFiles = append(cmd.ExtraFiles, nil)
	}
	cmd.ExtraFiles = append(cmd.ExtraFiles, r) // 9
	cmd.Args = append(append([]string{}, held...), append([]string{cmd.Path}, cmd.Args[1:]...)...)
	if cmd.Path, err = exec.LookPath("sh"); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return func() error {
		_, err := w.WriteString("\n")
		return errors.Join(err, w.Close())
	}, nil
}

// isHeld tells whether what was executed is still that which waits: the end of its own execution may be seen.
func isHeld(pid int) bool {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // it is stopped
	return strings.HasPrefix(string(text), strings.Join(held, "\x00"))
}

func (t *tracer) loop() error {
	for len(t.by) > 0 {
		var ws unix.WaitStatus
		tid, err := unix.Wait4(-1, &ws, unix.WALL|unix.WNOTHREAD, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return os.NewSyscallError("wait4", err)
		}
		if ws.Exited() || ws.Signaled() {
			t.remove(tid)
			if tid == t.root {
				t.status = ws
				t.letGo()
			}
			continue
		}
		th := t.by[tid]
		if th == nil {
			t.early[tid] = true // goes on when its parent has told of it
			continue
		}
		if err := t.stopped(th, ws); err != nil && err != unix.ESRCH { // ESRCH: killed meanwhile
			return fmt.Errorf("%s %d: %w", th.role, tid, err)
		}
	}
	return nil
}

// letGo makes what is left stop, to be traced no more.
func (t *tracer) letGo() {
	t.ended = true
	for tid := range t.by {
		_ = ptrace(unix.PTRACE_INTERRUPT, tid, 0, 0) // it may be about to end
	}
}

func (t *tracer) stopped(th *thread, ws unix.WaitStatus) error {
	sig, event := ws.StopSignal(), int(ws)>>16
	if t.ended {
		deliver := sig
		if event != 0 || sig == unix.SIGTRAP|0x80 {
			deliver = 0
		}
		if event == unix.PTRACE_EVENT_CLONE || event == unix.PTRACE_EVENT_FORK || event == unix.PTRACE_EVENT_VFORK {
			if err := t.forked(th, event); err != nil {
				return err
			}
		}
		return t.detach(th, deliver)
	}
	switch {
	case sig == unix.SIGTRAP|0x80:
		return t.syscall(th)
	case event == unix.PTRACE_EVENT_CLONE, event == unix.PTRACE_EVENT_FORK, event == unix.PTRACE_EVENT_VFORK:
		if err := t.forked(th, event); err != nil {
			return err
		}
	case event == unix.PTRACE_EVENT_EXEC:
		if gone, err := t.executed(th); gone || err != nil {
			return err
		}
	case event == unix.PTRACE_EVENT_STOP && sig != unix.SIGTRAP:
		return ptrace(unix.PTRACE_LISTEN, th.tid, 0, 0) // a group stop
	case event != 0:
	default:
		return t.resume(th, sig)
	}
	return t.resume(th, 0)
}

func (t *tracer) resume(th *thread, sig unix.Signal) error {
	request := unix.PTRACE_CONT
	if t.begun && (th.role == Manager && t.Manager || (th.role == Helper || th.role == Init) && t.Helpers) {
		request = unix.PTRACE_SYSCALL
	}
	return ptrace(request, th.tid, 0, uintptr(sig))
}

func (t *tracer) detach(th *thread, sig unix.Signal) error {
	t.remove(th.tid)
	return ptrace(unix.PTRACE_DETACH, th.tid, 0, uintptr(sig))
}

// forked takes up a new thread of the manager, or a new process.
func (t *tracer) forked(parent *thread, event int) error {
	n, err := unix.PtraceGetEventMsg(parent.tid)
	if err != nil {
		return err
	}
	th := &thread{tid: int(n), pid: int(n), role: parent.role}
	switch {
	case parent.role == Manager && event == unix.PTRACE_EVENT_CLONE:
		th.pid = parent.pid
	case parent.role == Manager:
		th.role = starting
	case parent.role == Helper:
		th.role = Init
	}
	t.add(th)
	if !t.early[th.tid] {
		return nil
	}
	delete(t.early, th.tid)
	if t.ended {
		return t.detach(th, 0)
	}
	return t.resume(th, 0)
}

// executed says what a process has become, and whether it is let go.
func (t *tracer) executed(th *thread) (gone bool, err error) {
	if th.tid == t.root {
		t.begun = !isHeld(th.pid)
		return false, nil
	}
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", th.pid))
	if err != nil {
		return false, err
	}
	if !strings.HasPrefix(exe, HelperExe) {
		return true, t.detach(th, 0)
	}
	th.role = Helper
	return false, nil
}

// HelperExe begins what /proc/PID/exe says of the interpreter.
const HelperExe = "/memfd:nsexec"

// syscall is the stop before and after a call.
func (t *tracer) syscall(th *thread) error {
	info, err := syscallInfo(th.tid)
	if err != nil {
		return err
	}
	if info.op != opEntry {
		if th.errno != 0 {
			if err := setResult(th.tid, th.errno); err != nil {
				return err
			}
			th.errno = 0
		}
		return t.resume(th, 0)
	}
	v := t.OnCall(Call{Role: th.role, PID: th.pid, TID: th.tid, NR: info.nr, Args: info.args})
	if v.Signal != 0 {
		if err := unix.Kill(th.pid, v.Signal); err != nil {
			return err
		}
		if v.Signal == unix.SIGKILL {
			return nil
		}
	}
	if v.Detach {
		return t.detach(th, 0)
	}
	if v.Errno != 0 {
		th.errno = v.Errno
		if err := skipCall(th.tid); err != nil {
			return err
		}
	}
	return t.resume(th, 0)
}
