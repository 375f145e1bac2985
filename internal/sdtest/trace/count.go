// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A Tally is what a command and all that it starts come to. Of processes and executions the command
// itself is not counted.
type Tally struct {
	Processes int
	Execs     int
	Calls     int // system calls
	Messages  int // sent over D-Bus
}

// Own is what a command's own process comes to.
type Own struct {
	Threads int   // made
	Peak    int64 // KiB that its last program had resident at most
}

// Count runs cmd, whose streams must be files, to its end and that of all that it starts. It knows
// nothing of the program.
func Count(cmd *exec.Cmd, deadline time.Duration) (Tally, unix.WaitStatus, error) {
	c := &counter{flags: options | unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK, resume: unix.PTRACE_SYSCALL}
	err := c.count(cmd, deadline)
	c.Messages = c.bus.messages()
	return c.Tally, c.status, err
}

// CountAttached is [Count] of a process that waits to execute the program, which release lets it. It is somebody else's child.
func CountAttached(pid int, release func() error, deadline time.Duration) (Tally, unix.WaitStatus, error) {
	c := &counter{flags: options | unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK, resume: unix.PTRACE_SYSCALL, root: pid}
	err := c.locked(func() error { return c.follow(nil, release, deadline) })
	c.Messages = c.bus.messages()
	return c.Tally, c.status, err
}

// Measure runs cmd likewise, and lets it make its calls at their own speed: a program in Go makes more threads when they take long.
func Measure(cmd *exec.Cmd, deadline time.Duration) (Own, unix.WaitStatus, error) {
	c := &counter{flags: options | unix.PTRACE_O_TRACEEXIT, resume: unix.PTRACE_CONT}
	err := c.count(cmd, deadline)
	return c.Own, c.status, err
}

type counted struct {
	tid, pid int
	last     uint64 // its last call
	again    bool   // the last call may be seen twice
	opening  *counted
}

func (th *counted) ids() (tid, pid int) { return th.tid, th.pid }

// A descriptor is one of a process.
type descriptor struct {
	pid int
	fd  int64
}

type counter struct {
	Tally
	Own
	flags  uintptr
	resume int
	root   int
	begun  bool // the command has been executed
	status unix.WaitStatus
	live[*counted]
	// loose are those that somebody looks at by this descriptor.
	loose map[descriptor]*counted
	bus   stream
}

func (c *counter) count(cmd *exec.Cmd, deadline time.Duration) error {
	return c.locked(func() error { return c.run(cmd, deadline) })
}

func (c *counter) locked(run func() error) error {
	c.loose, c.bus = map[descriptor]*counted{}, stream{}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // ptrace(2) is by thread; it ends with the goroutine
		done <- run()
	}()
	return <-done
}

func (c *counter) run(cmd *exec.Cmd, deadline time.Duration) error {
	release, err := hold(cmd)
	if err != nil {
		return err
	}
	defer func() { _ = cmd.Process.Release() }() // reaped here
	c.root = cmd.Process.Pid
	return c.follow(cmd.Process, release, deadline)
}

// follow goes after the root to the end of all. The command is nil where that is nobody's of ours.
func (c *counter) follow(command *os.Process, release func() error, deadline time.Duration) error {
	if err := c.seize(&counted{tid: c.root, pid: c.root}); err != nil {
		return errors.Join(fmt.Errorf("seize: %w", err), unix.Kill(c.root, unix.SIGKILL))
	}
	timer := time.AfterFunc(deadline, func() { c.killAll(command) })
	defer timer.Stop()
	if err := release(); err != nil {
		return err
	}
	err := c.loop()
	return errors.Join(c.late, err)
}

func (c *counter) seize(th *counted) error {
	if err := ptrace(unix.PTRACE_SEIZE, th.tid, 0, c.flags); err != nil {
		return err
	}
	c.add(th)
	return ptrace(unix.PTRACE_INTERRUPT, th.tid, 0, 0) // so that its calls are seen
}

func (c *counter) loop() error {
	for len(c.by) > 0 {
		var ws unix.WaitStatus
		tid, err := unix.Wait4(-1, &ws, unix.WALL|unix.WNOTHREAD, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return os.NewSyscallError("wait4", err)
		}
		if err := c.handle(tid, ws); err != nil && err != unix.ESRCH { // ESRCH: it was killed meanwhile
			return fmt.Errorf("process %d: %w", tid, err)
		}
	}
	return nil
}

func (c *counter) handle(tid int, ws unix.WaitStatus) error {
	if ws.Exited() || ws.Signaled() {
		c.remove(tid)
		if tid == c.root {
			c.status = ws
		}
		return nil
	}
	th := c.by[tid]
	if th == nil {
		th = c.meet(tid)
	}
	sig, event := ws.StopSignal(), int(ws)>>16
	switch {
	case sig == unix.SIGTRAP|0x80:
		if err := c.syscall(th); err != nil {
			return err
		}
		sig = 0
	case event == unix.PTRACE_EVENT_EXEC:
		if err := c.executed(th); err != nil {
			return err
		}
		sig = 0
	case event == unix.PTRACE_EVENT_STOP && sig != unix.SIGTRAP:
		return ptrace(unix.PTRACE_LISTEN, tid, 0, 0) // a group stop
	case event == unix.PTRACE_EVENT_EXIT && tid == c.root:
		// Of this program's own memory: what the kernel tells in rusage begins with that of whoever forked it.
		c.Peak = status(tid, "VmHWM")
		sig = 0
	case event != 0:
		sig = 0
	}
	return ptrace(c.resume, tid, 0, uintptr(sig))
}

// meet takes up a new thread or process; its parent's word for it may come later.
func (c *counter) meet(tid int) *counted {
	th := &counted{tid: tid, pid: int(status(tid, "Tgid"))}
	switch th.pid {
	case tid:
		c.Processes++
	case c.root:
		c.Threads++
	}
	c.add(th)
	return th
}

func (c *counter) executed(th *counted) error {
	// A thread that is not the first gets the first one's number, and its own is gone.
	former, err := unix.PtraceGetEventMsg(th.tid)
	if err != nil {
		return err
	}
	if int(former) != th.tid {
		c.remove(int(former))
	}
	if !c.begun {
		c.begun = !isHeld(th.pid)
		return nil
	}
	c.Execs++
	return nil
}

// syscall is the stop before and after a call.
func (c *counter) syscall(th *counted) error {
	info, err := syscallInfo(th.tid)
	if err != nil || !c.begun {
		return err
	}
	if info.op != opEntry {
		return c.opened(th, info.ret)
	}
	seen := th.again && info.nr == th.last
	th.last, th.again = info.nr, false
	if seen {
		return nil
	}
	c.Calls++
	switch info.nr {
	case unix.SYS_OPENAT, unix.SYS_OPENAT2:
		return c.look(th, ReadString(th.pid, info.args[1]))
	case unix.SYS_CLOSE:
		return c.looked(descriptor{th.pid, int64(info.args[0])})
	default:
		c.bus.call(th.pid, info)
	}
	return nil
}

// look lets go of a process while somebody reads its status: that would say that it is traced, for
// which our own manager refuses it. It cannot do much meanwhile: it is waiting for the reader.
func (c *counter) look(th *counted, path string) error {
	name, ok := strings.CutPrefix(path, "/proc/")
	name, isStatus := strings.CutSuffix(name, "/status")
	pid, err := strconv.Atoi(name)
	target := c.by[pid]
	if !ok || !isStatus || err != nil || target == nil || target.pid == th.pid {
		return nil
	}
	if err := ptrace(unix.PTRACE_INTERRUPT, pid, 0, 0); err != nil {
		return err
	}
	var ws unix.WaitStatus
	if _, err := unix.Wait4(pid, &ws, unix.WALL|unix.WNOTHREAD, nil); err != nil {
		return os.NewSyscallError("wait4", err)
	}
	if ws.Exited() || ws.Signaled() {
		return c.handle(pid, ws)
	}
	if ws.StopSignal() == unix.SIGTRAP|0x80 {
		if err := c.syscall(target); err != nil {
			return err
		}
	}
	c.remove(pid)
	th.opening = target
	return ptrace(unix.PTRACE_DETACH, pid, 0, 0)
}

// opened is after any call.
func (c *counter) opened(th *counted, fd int64) error {
	if th.opening == nil {
		return nil
	}
	key := descriptor{th.pid, fd}
	c.loose[key], th.opening = th.opening, nil
	if fd < 0 {
		return c.looked(key)
	}
	return nil
}

// looked is when the reader closes what it has read. The call that the process waits in is begun anew.
func (c *counter) looked(d descriptor) error {
	target := c.loose[d]
	if target == nil {
		return nil
	}
	delete(c.loose, d)
	target.again = true
	return c.seize(target)
}

// status is a number in a process's status; 0 when it is not there.
func status(pid int, field string) int64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == field+":" {
			n, _ := strconv.ParseInt(f[1], 10, 64) // the kernel's own number
			return n
		}
	}
	return 0
}
