// SPDX-License-Identifier: Apache-2.0

package nsexec

import (
	"context"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
)

// A StepError is a step of a program that failed. errors.Is with the errno holds.
type StepError struct {
	Program string
	Index   int    // -1: the interpreter refused the whole program
	Name    string // what the step belongs to: "mount proc on /proc"
	Call    string // the system call or special step: "fsconfig"
	Object  string // what it worked on
	Errno   unix.Errno
	Status  int    // of a hook: its exit code, or 128+n
	Hint    string // what to do about it, if something is known
}

func (e *StepError) Error() string {
	var b strings.Builder
	if e.Name != "" {
		b.WriteString(e.Name + ": ")
	}
	b.WriteString(e.Call)
	if e.Object != "" {
		b.WriteString(" " + e.Object)
	}
	switch {
	case e.Call == opNames[OpSpawn] && e.Errno == unix.ECHILD && e.Status == 127:
		b.WriteString(": cannot be executed (exit status 127)")
	case e.Call == opNames[OpSpawn] && e.Errno == unix.ECHILD && e.Status > 128:
		fmt.Fprintf(&b, ": killed by %s", unix.SignalName(unix.Signal(e.Status-128)))
	case e.Call == opNames[OpSpawn] && e.Errno == unix.ECHILD:
		fmt.Fprintf(&b, ": exit status %d", e.Status)
	default:
		b.WriteString(": " + e.Errno.Error())
	}
	if e.Hint != "" {
		b.WriteString(" (" + e.Hint + ")")
	}
	return b.String()
}

// Unwrap is the errno.
func (e *StepError) Unwrap() error { return e.Errno }

// stepError gives a failure its name.
func (c *Conn) stepError(r *report) error {
	e := &StepError{Index: -1, Call: "load", Errno: unix.Errno(r.Errno), Status: int(r.Value)}
	p := c.sent.get(r.Program)
	if r.Program == 0 {
		err := fmt.Errorf("%s: the interpreter refuses to run here: %w", c.who, e.Errno)
		switch e.Errno {
		case unix.EMFILE:
			err = fmt.Errorf("%w (it needs a limit of 256 open files: ulimit -n, LimitNOFILE=)", err)
		case unix.ENOSYS:
			err = fmt.Errorf("%w (it needs close_range, of Linux 5.9: an outer container's seccomp filter may refuse it)", err)
		}
		return err
	}
	if p == nil {
		return fmt.Errorf("%s: unknown program %d, step %d: %w", c.who, r.Program, r.Step, e.Errno)
	}
	e.Program = p.name
	if r.Step == refused {
		e.Object = "program " + p.name
		e.Hint = "the interpreter does not belong to this sdcontainer, or one of them is broken: build both with make"
		return e
	}
	if int(r.Step) >= len(p.steps) {
		return fmt.Errorf("%s: program %s has no step %d: %w", c.who, p.name, r.Step, e.Errno)
	}
	s := p.steps[r.Step]
	e.Index, e.Name, e.Object, e.Call = int(r.Step), s.Name, s.Object, s.Call()
	e.Hint = hint(e)
	return e
}

// enotsupp is ENOTSUPP, which has no name outside the kernel and should not leave it: a filter is not compiled, and
// nothing interprets it instead.
const enotsupp = unix.Errno(524)

// noTask is what to do about a process that cannot be made.
const noTask = "the limit of processes is reached: TasksMax, pids.max or RLIMIT_NPROC"

// hints are for the failures people meet most. The first that fits is taken: an
// empty name fits all steps.
var hints = []struct {
	call, name string // name: a part of the step's name
	errno      unix.Errno
	text       string
}{
	{"fsconfig", "proc", unix.EPERM, "the kernel refuses a new proc while parts of the visible one are covered: unmask /proc in the outer container"},
	{"fsconfig", "sysfs", unix.EPERM, "sysfs needs a network namespace of the container's own"},
	{"fsmount", "", unix.EPERM, "the namespace the mount belongs to may not make this filesystem"},
	{"fsopen", "", unix.ENODEV, "no such filesystem in this kernel: is its module loaded?"},
	{"fsopen", "", unix.EPERM, "not allowed in a user namespace: bind mount it from the host instead"},
	{"fsconfig", "overlay", unix.EACCES, "lower, upper and work must lie where the ids of the container can pass: a directory above one of them shuts them out"},
	{"fsconfig", "", unix.EINVAL, "an option this filesystem or kernel does not know: see the kernel log"},
	{"mknodat", "", unix.EPERM, "making a device takes CAP_MKNOD and m for it in DeviceAllow= of the unit, and cannot be done in a user namespace"},
	{"move_mount", "", unix.EINVAL, "a directory can only be mounted on a directory, a file on a file; or the place lies on a shared mount, or the source in another mount namespace"},
	{"move_mount", "", unix.ENOTDIR, "a directory can only be mounted on a directory, a file on a file"},
	{"mount_setattr", "", unix.EINVAL, "this filesystem may not support id-mapped mounts"},
	{"mount_setattr", "", unix.EPERM, "flags the mount had when it came into the user namespace are locked"},
	{"pivot_root", "", unix.EINVAL, "the new root must be a mount of its own, and not on the initial ramfs"},
	{"openat2", "", unix.ENOENT, "it does not exist inside the container's root"},
	{"open_tree", "", unix.ENOENT, "the source does not exist"},
	{"openat2", "terminal", unix.EPERM, `DeviceAllow= of the unit has no terminals: set security.device_policy = "closed", or add ('/dev/ptmx', 'rw') to the list in systemd.scope`},
	{"openat2", "", unix.ELOOP, "too many links, or one of procfs"},
	{"mkpath", "", unix.EROFS, "the mount point is missing and the root is read-only: make it in the image"},
	{"mkpath", "", unix.ENOTDIR, "something on the way exists and is not a directory"},
	{"mkpath", "", unix.EAGAIN, "somebody renames directories on the way all the time"},
	{"check", "", unix.EXDEV, "the working directory lies outside the container's root"},
	{"check", "", unix.ENODEV, "there is something else in its place"},
	{"execve", "", unix.ENOENT, "no such file, or the interpreter it names is missing in the root"},
	{"execve", "", unix.EACCES, "not executable for this user, or its mount is noexec"},
	{"execve", "", unix.ENOEXEC, "not a program for this machine: wrong architecture, or a script without #!"},
	{"execve", "", unix.E2BIG, "arguments and environment are too long"},
	{"fork", "", unix.EUSERS, "user namespaces are nested too deep"},
	{"fork", "", unix.ENOSPC, "the limit of namespaces is reached: user.max_*_namespaces"},
	{"fork", "", unix.EPERM, "not allowed to make these namespaces: root, or kernel.unprivileged_userns_clone"},
	{"fork", "", unix.EBUSY, "the cgroup has controllers enabled for its children: processes must live below it"},
	{"fork", "", unix.EAGAIN, noTask},
	{"setns", "", unix.EINVAL, "not a namespace of this kind, or one already joined"},
	{"setns", "", unix.EPERM, "joining needs CAP_SYS_ADMIN in the user namespace that owns it"},
	{"setresuid", "", unix.EINVAL, "the user is not in the container's id map"},
	{"setresgid", "", unix.EINVAL, "the group is not in the container's id map"},
	{"setgroups", "", unix.EPERM, "supplementary groups cannot be changed here: setgroups is denied in this user namespace"},
	{"setgroups", "", unix.EINVAL, "a group is not in the container's id map"},
	{"seccomp", "", unix.EACCES, "a filter needs no_new_privs or CAP_SYS_ADMIN"},
	{"seccomp", "", unix.EINVAL, "the kernel refuses the filter"},
	{"seccomp", "", enotsupp, "the machine's memory for compiled filters is used up: raise net.core.bpf_jit_limit"},
	{"spawn", "", unix.ETIMEDOUT, "the hook's timeout is over"},
	{"umount2", "", unix.EBUSY, "in use"},
}

func hint(e *StepError) string {
	for _, h := range hints {
		if h.errno == e.Errno && h.call == e.Call && strings.Contains(e.Name, h.name) {
			return h.text
		}
	}
	return ""
}

// Died is the error for a process that was found dead, as err says: the failure that it told before it
// ended, perhaps behind reports that nobody has waited for yet, or how it did.
func (c *Conn) Died(err error) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for {
		r, file, readErr := c.read(ctx)
		if file != nil {
			_ = file.Close() // of a message nobody waits for
		}
		if readErr != nil || r == nil {
			return c.explainEOF(err)
		}
		if r.Kind == failed {
			return c.stepError(r)
		}
	}
}

// explainEOF adds how the process at the other end died, if that can be known.
func (c *Conn) explainEOF(err error) error {
	what := c.who
	if c.running != nil {
		what = "program " + c.running.name + ": " + what
	}
	if end := deathOf(c.pid); end != "" {
		return fmt.Errorf("%s ended unexpectedly: %s", what, end)
	}
	return fmt.Errorf("%s ended unexpectedly: %w", what, err)
}

// deathOf says how a process ended, and leaves it to be reaped. It is "" for one
// that has been reaped, or does not end within a second.
func deathOf(pid int) string {
	if pid <= 0 {
		return ""
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	_ = kernel.Retry(func() error {
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(time.Second/time.Millisecond))
		return err
	})
	ws, err := kernel.ZombieStatus(pid)
	if err != nil {
		return ""
	}
	if ws.Signaled() {
		return "killed by " + unix.SignalName(ws.Signal())
	}
	return fmt.Sprintf("exit status %d", ws.ExitStatus())
}
