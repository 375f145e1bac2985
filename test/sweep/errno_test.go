// SPDX-License-Identifier: Apache-2.0

package sweep

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest/trace"
)

// failures are the command's calls that can fail, each with what it may fail with. Left out are those by which Go's runtime lives
// (futex, mmap, epoll and the like): it ends where they fail.
var failures = map[uint64]unix.Errno{
	unix.SYS_OPENAT: unix.EMFILE, unix.SYS_OPENAT2: unix.EMFILE, unix.SYS_OPEN_TREE: unix.EMFILE, unix.SYS_FSOPEN: unix.EMFILE, unix.SYS_FSMOUNT: unix.EMFILE,
	unix.SYS_SOCKET: unix.EMFILE, unix.SYS_SOCKETPAIR: unix.EMFILE, unix.SYS_PIPE2: unix.EMFILE, unix.SYS_MEMFD_CREATE: unix.EMFILE, unix.SYS_DUP3: unix.EMFILE,
	unix.SYS_PIDFD_OPEN: unix.EMFILE, unix.SYS_INOTIFY_INIT1: unix.EMFILE, unix.SYS_ACCEPT4: unix.EMFILE, unix.SYS_FCNTL: unix.EMFILE,
	unix.SYS_MKDIRAT: unix.ENOSPC, unix.SYS_RENAMEAT: unix.ENOSPC, unix.SYS_RENAMEAT2: unix.ENOSPC, unix.SYS_LINKAT: unix.ENOSPC, unix.SYS_SYMLINKAT: unix.ENOSPC,
	unix.SYS_WRITE: unix.ENOSPC, unix.SYS_PWRITE64: unix.ENOSPC, unix.SYS_FTRUNCATE: unix.ENOSPC, unix.SYS_FALLOCATE: unix.ENOSPC, unix.SYS_INOTIFY_ADD_WATCH: unix.ENOSPC,
	unix.SYS_UNLINKAT: unix.EIO, unix.SYS_FSYNC: unix.EIO, unix.SYS_FDATASYNC: unix.EIO, unix.SYS_READ: unix.EIO, unix.SYS_PREAD64: unix.EIO, unix.SYS_GETDENTS64: unix.EIO,
	unix.SYS_READLINKAT: unix.EIO, unix.SYS_IOCTL: unix.EIO, unix.SYS_FSTAT: unix.ENOMEM, unix.SYS_NEWFSTATAT: unix.ENOMEM, unix.SYS_STATX: unix.ENOMEM,
	unix.SYS_FSTATFS: unix.ENOMEM, unix.SYS_STATFS: unix.ENOMEM, unix.SYS_FACCESSAT: unix.ENOMEM, unix.SYS_FCHMODAT: unix.EPERM, unix.SYS_FCHOWNAT: unix.EPERM,
	unix.SYS_CONNECT: unix.ECONNREFUSED, unix.SYS_SENDMSG: unix.EPIPE, unix.SYS_SENDTO: unix.EPIPE, unix.SYS_RECVMSG: unix.ECONNRESET, unix.SYS_RECVFROM: unix.ECONNRESET,
	unix.SYS_BIND: unix.ENOMEM, unix.SYS_LISTEN: unix.ENOMEM, unix.SYS_GETSOCKOPT: unix.ENOBUFS, unix.SYS_SETSOCKOPT: unix.ENOBUFS,
	unix.SYS_CLONE: unix.EAGAIN, unix.SYS_CLONE3: unix.EAGAIN, unix.SYS_WAITID: unix.ECHILD, unix.SYS_WAIT4: unix.ECHILD, unix.SYS_PIDFD_SEND_SIGNAL: unix.EPERM,
	unix.SYS_KILL: unix.EPERM, unix.SYS_FLOCK: unix.ENOLCK, unix.SYS_PRLIMIT64: unix.EPERM, unix.SYS_KEYCTL: unix.EDQUOT,
	unix.SYS_MOUNT: unix.EPERM, unix.SYS_UMOUNT2: unix.EPERM, unix.SYS_MOVE_MOUNT: unix.EPERM, unix.SYS_MOUNT_SETATTR: unix.EPERM, unix.SYS_FSCONFIG: unix.ENOMEM,
	unix.SYS_SETNS: unix.EPERM, unix.SYS_UNSHARE: unix.ENOSPC, unix.SYS_SETXATTR: unix.ENOSPC, unix.SYS_NAME_TO_HANDLE_AT: unix.EIO,
}

// interruptible are those that a signal may end while they wait: for a lock, a child, or the other end.
var interruptible = []uint64{unix.SYS_OPENAT, unix.SYS_READ, unix.SYS_WRITE, unix.SYS_SENDMSG, unix.SYS_RECVMSG, unix.SYS_SENDTO, unix.SYS_RECVFROM,
	unix.SYS_ACCEPT4, unix.SYS_WAIT4, unix.SYS_WAITID, unix.SYS_FLOCK, unix.SYS_FCNTL, unix.SYS_PPOLL}

// fails says what a call fails with; 0 is one that cannot, or that is the runtime's.
func fails(c trace.Call) unix.Errno {
	errno := failures[c.NR]
	switch c.NR {
	case unix.SYS_READ, unix.SYS_WRITE:
		// By an eventfd Go's runtime wakes itself; by a pipe it hears, where that cannot fail, whether a child has become its program.
		if d := descriptor(c); d == "anon_inode:[eventfd]" || strings.HasPrefix(d, "pipe:") {
			return 0
		}
	case unix.SYS_FCNTL:
		switch c.Args[1] {
		case unix.F_DUPFD_CLOEXEC, unix.F_DUPFD:
		case unix.F_SETLK, unix.F_SETLKW, unix.F_OFD_SETLK, unix.F_OFD_SETLKW:
			return unix.ENOLCK
		case unix.F_ADD_SEALS:
			return unix.EPERM
		default:
			return 0
		}
	case unix.SYS_CLONE:
		if c.Args[0]&unix.CLONE_THREAD != 0 {
			return 0
		}
	case unix.SYS_CLONE3:
		b, err := trace.Read(c.PID, c.Args[0], 8)
		if err != nil || binary.NativeEndian.Uint64(b)&unix.CLONE_THREAD != 0 {
			return 0
		}
	}
	return errno
}

// interrupts says likewise whether it may be interrupted.
func interrupts(c trace.Call) unix.Errno {
	ok := slices.Contains(interruptible, c.NR)
	switch c.NR {
	case unix.SYS_READ, unix.SYS_WRITE:
		ok = strings.HasPrefix(descriptor(c), "socket:") || strings.HasPrefix(descriptor(c), "pipe:") || descriptor(c) == "anon_inode:inotify"
	case unix.SYS_FCNTL:
		ok = c.Args[1] == unix.F_SETLKW || c.Args[1] == unix.F_OFD_SETLKW
	}
	if !ok {
		return 0
	}
	return unix.EINTR
}

// descriptor is what the call's first argument is of; "" is none.
func descriptor(c trace.Call) string {
	what, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", c.PID, c.Args[0])) // it may be none
	return what
}

// failing are verbs whose own calls fail, with what is to be seen when they say that all is well.
var failing = []struct {
	verb
	done string // the container's state
	code int    // of a failure
}{
	{verb{"run", nothing, func(m *machine) []string { return m.foreground() }, nil, 16}, "stopped", 125},
	{verb{"run -d", nothing, func(m *machine) []string { return append([]string{"run", "-d", m.file}, payload...) }, nil, 16}, "running", 125},
	{verb{"exec", nothing, args("exec", name, "/bin/true"), untouched, 12}, "running", 125},
	{verb{"stop", running, args("stop", name), nil, 8}, "stopped", 1},
	{verb{"rm -f", running, args("rm", "-f", name), nil, 8}, "", 1},
}

// R17, R18, R21, R22, R23: the command's own first, second, third ... call fails. It says so, or does without; and where a call
// was interrupted, all is as if it had not been.
func TestCommandErrnos(t *testing.T) {
	for _, v := range failing {
		t.Run(v.name, func(t *testing.T) {
			o, ok := inside(t)
			if !ok {
				return
			}
			m := newMachine(t, o, plain)
			one := func(choose func(trace.Call) unix.Errno) func(n int) (int, string, error) {
				return func(n int) (int, string, error) { return m.fail(v.verb, v.done, failedCall{code: v.code}, choose, n) }
			}
			if v.after != nil {
				r := m.stays(v.verb)
				one = func(choose func(trace.Call) unix.Errno) func(n int) (int, string, error) {
					return func(n int) (int, string, error) { return m.failLasting(r, failedCall{code: v.code}, choose, n) }
				}
			}
			m.sweepSignal("errno at the command's calls of "+v.name, 6, v.quick, one(fails))
			m.sweepSignal("EINTR at the command's calls of "+v.name, 7, v.quick, one(interrupts))
		})
	}
}

// A failed call, and how the command took it.
type failedCall struct {
	calls int // that may fail
	last  string
	errno unix.Errno
	code  int // of a failure
}

func (f *failedCall) options(n int, choose func(trace.Call) unix.Errno) trace.Options {
	return trace.Options{Manager: true, OnCall: func(c trace.Call) trace.Verdict {
		errno := choose(c)
		if errno == 0 {
			return trace.Verdict{}
		}
		if f.calls++; f.calls != n {
			return trace.Verdict{}
		}
		f.errno, f.last = errno, fmt.Sprintf("%s (%s), %s", describe(c), descriptor(c), unix.ErrnoName(errno))
		return trace.Verdict{Errno: errno}
	}}
}

// ended: its exit code and an error, or success; nothing else if it was only interrupted, or not at all.
func (f *failedCall) ended(e ended, out string) error {
	switch {
	case e.fine():
	case f.errno == 0 || f.errno == unix.EINTR:
		return fmt.Errorf("want success, have %v: %s", e, out)
	case e.code != f.code || !strings.Contains(out, "sdcontainer: "):
		return fmt.Errorf("want exit %d and an error, or success, have %v: %s", f.code, e, out)
	}
	return nil
}

func (m *machine) fail(v verb, done string, f failedCall, choose func(trace.Call) unix.Errno, n int) (int, string, error) {
	v.setup(m)
	end, out, err := m.traced(v.args(m), f.options(n, choose))
	errs := []error{err, f.ended(end, out)}
	if now := m.inspect(); end.fine() && now.Status != done {
		errs = append(errs, fmt.Errorf("exit 0, and the container is %+v: %s", now, out))
	}
	errs = append(errs, m.removed(), m.cleaned())
	if v.args(m)[0] == "run" { // the others' set-up shows it
		if text, code, _ := m.do(m.foreground("--rm")...); code != 0 {
			errs = append(errs, fmt.Errorf("the same name again: exit %d: %s", code, text))
		}
	}
	return f.calls, f.last, errors.Join(errs...)
}

func (m *machine) failLasting(r ready, f failedCall, choose func(trace.Call) unix.Errno, n int) (int, string, error) {
	end, out, err := r.run(f.options(n, choose))
	return f.calls, f.last, errors.Join(err, f.ended(end, out), r.after(end), m.cleaned())
}
