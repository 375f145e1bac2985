// SPDX-License-Identifier: Apache-2.0

// Package kernel has the system calls golang.org/x/sys/unix lacks, wrapped so
// that every error names its call and object, EINTR is retried and every
// descriptor is close-on-exec, and starts programs of this machine, which nobody
// else does. It holds no policy. Everyone may call it.
package kernel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Retry calls f until it fails with something else than EINTR.
func Retry(f func() error) error {
	for {
		if err := f(); err != unix.EINTR {
			return err
		}
	}
}

// OpenIn opens path below root as if root were "/": symlinks stay inside and
// procfs's magic links are refused.
func OpenIn(root *os.File, path string, flags int) (*os.File, error) {
	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_CLOEXEC),
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	}
	var fd int
	err := Retry(func() (err error) {
		fd, err = unix.Openat2(int(root.Fd()), path, &how)
		return err
	})
	if err != nil {
		return nil, &os.PathError{Op: "openat2", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// isInterface is true of filesystems whose files are the kernel's: to read one tells of the machine,
// or does something to it (kmsg, trace_pipe), by the rights of who reads. A payload
// can mount some, and put a link to their files where one of the image is expected.
func isInterface(magic uint32) bool {
	const configfs, nfsd, fusectl = 0x62656570, 0x6e667364, 0x65735543
	switch magic {
	case unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC,
		unix.DEBUGFS_MAGIC, unix.TRACEFS_MAGIC, unix.SECURITYFS_MAGIC, unix.EFIVARFS_MAGIC,
		unix.BPF_FS_MAGIC, unix.PSTOREFS_MAGIC, unix.RDTGROUP_SUPER_MAGIC, unix.SELINUX_MAGIC,
		unix.SMACK_MAGIC, unix.BINFMTFS_MAGIC, unix.BINDERFS_SUPER_MAGIC, unix.XENFS_SUPER_MAGIC,
		unix.NSFS_MAGIC, configfs, nfsd, fusectl:
		return true
	}
	return false
}

// ReadIn reads a regular file of at most limit bytes below root. Anything else,
// or a larger file, is an error and is not even opened: opening a device can do
// something. A filesystem that does not answer (FUSE, NFS) can keep it for ever.
// Errors: EACCES, for a file of the kernel's.
func ReadIn(root *os.File, path string, limit int64) ([]byte, error) {
	place, err := OpenIn(root, path, unix.O_PATH)
	if err != nil {
		return nil, err
	}
	defer place.Close()
	info, err := place.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &os.PathError{Op: "read", Path: path, Err: errors.New("not a regular file")}
	}
	var fs unix.Statfs_t
	if err := Retry(func() error { return unix.Fstatfs(int(place.Fd()), &fs) }); err != nil {
		return nil, &os.PathError{Op: "fstatfs", Path: path, Err: err}
	}
	if isInterface(uint32(fs.Type)) {
		return nil, &os.PathError{Op: "read", Path: path, Err: fmt.Errorf("%w: it leads to a file of the kernel's, as in /proc or /sys", unix.EACCES)}
	}
	f, err := os.OpenFile("/proc/self/fd/"+strconv.Itoa(int(place.Fd())), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, &os.PathError{Op: "read", Path: path, Err: fmt.Errorf("larger than %d bytes", limit)}
	}
	return b, nil
}

// OpenPath opens path for use as a directory or mount handle only.
func OpenPath(path string) (*os.File, error) { return Open(path, unix.O_PATH) }

// CloneMount returns a detached copy of what is mounted at path: a bind mount
// without a place.
func CloneMount(path string, recursive bool) (*os.File, error) {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	var fd int
	err := Retry(func() (err error) {
		fd, err = unix.OpenTree(unix.AT_FDCWD, path, flags)
		return err
	})
	if err != nil {
		return nil, &os.PathError{Op: "open_tree", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// SetMountAttr changes a mount by descriptor.
func SetMountAttr(mount *os.File, recursive bool, attr *unix.MountAttr) error {
	flags := uint(unix.AT_EMPTY_PATH)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	err := Retry(func() error {
		return unix.MountSetattr(int(mount.Fd()), "", flags, attr)
	})
	if err != nil {
		return &os.PathError{Op: "mount_setattr", Path: mount.Name(), Err: err}
	}
	return nil
}

// Idmap makes a detached mount show its files through the mapping of userns.
func Idmap(mount *os.File, recursive bool, userns *os.File) error {
	return SetMountAttr(mount, recursive, &unix.MountAttr{
		Attr_set:  unix.MOUNT_ATTR_IDMAP,
		Userns_fd: uint64(userns.Fd()),
	})
}

// Pidfd opens a process. The descriptor can be waited for with [WaitReadable]. Errors: ESRCH.
func Pidfd(pid int) (*os.File, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if pid > 0 && (err == unix.EINVAL || err == unix.ENOENT) {
		// The number is known, but not as that of a process: it is being reaped at this
		// moment, or a thread's.
		err = unix.ESRCH
	}
	if err != nil {
		return nil, os.NewSyscallError("pidfd_open "+strconv.Itoa(pid), err)
	}
	return os.NewFile(uintptr(fd), "pidfd:"+strconv.Itoa(pid)), nil
}

// WaitReadable waits until f (a pidfd, made non-blocking) is readable: for a
// pidfd, until the process has ended.
func WaitReadable(ctx context.Context, f *os.File) error { return wait(ctx, f, unix.POLLIN) }

// WaitHangup waits until the other end of a pipe or socket is closed.
func WaitHangup(ctx context.Context, f *os.File) error { return wait(ctx, f, 0) }

func wait(ctx context.Context, f *os.File, events int16) error {
	rc, err := f.SyscallConn()
	if err != nil {
		return err
	}
	defer Interrupt(ctx, f)()
	err = rc.Read(func(fd uintptr) bool {
		p := []unix.PollFd{{Fd: int32(fd), Events: events}} // POLLHUP always counts
		n := 0
		_ = Retry(func() (err error) { n, err = unix.Poll(p, 0); return err }) // of which only readiness counts
		return n > 0
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// Interrupt makes reads of f end when ctx does, until undo: then f is as before, for the
// next wait with a context of its own.
func Interrupt(ctx context.Context, f *os.File) (undo func()) {
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = f.SetReadDeadline(time.Unix(1, 0)) // of a closed file reads end anyway
		close(done)
	})
	return func() {
		if !stop() {
			<-done // it may be under way
			_ = f.SetReadDeadline(time.Time{})
		}
	}
}

// Signal sends sig to the process behind a pidfd. Errors: ESRCH, also where the pidfd is closed, as who has waited for the process does.
func Signal(pidfd *os.File, sig unix.Signal) error {
	rc, err := pidfd.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	if rc.Control(func(fd uintptr) { sent = Retry(func() error { return unix.PidfdSendSignal(int(fd), sig, nil, 0) }) }) != nil {
		sent = unix.ESRCH
	}
	return os.NewSyscallError("pidfd_send_signal", sent)
}

// ErrNoZombie is that a process has not ended, or not all of its threads.
var ErrNoZombie = errors.New("not that of a zombie")

// ZombieStatus is the wait status of a process that has ended and that nobody has
// reaped: field 52 of /proc/PID/stat. It needs the right to trace the process. Errors: ErrNoZombie.
func ZombieStatus(pid int) (unix.WaitStatus, error) {
	f, err := StatFields(pid)
	if err != nil {
		return 0, err
	}
	const exitCode = 52 - 3 // the fields begin with the third
	if len(f) <= exitCode || !dead(f) {
		return 0, fmt.Errorf("/proc/%d/stat: %w", pid, ErrNoZombie)
	}
	n, err := strconv.ParseUint(f[exitCode], 10, 32)
	return unix.WaitStatus(n), err
}

// StatFields are the fields of /proc/PID/stat after the command name, which may
// hold anything but ends with the last ')'.
func StatFields(pid int) ([]string, error) {
	b, err := ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return nil, err
	}
	s := string(b)
	return strings.Fields(s[strings.LastIndexByte(s, ')')+1:]), nil
}

// dead says whether the fields are those of a process that has ended and was not reaped. A first thread that has ended
// alone looks like it, but for the number of threads: the others run on.
func dead(f []string) bool {
	return (f[0] == "Z" || f[0] == "X") && alone(f)
}

// alone says whether the first thread is the only one there is.
func alone(f []string) bool { return f[17] == "1" || f[17] == "0" } // num_threads, field 20

// StartTime is field 22 of /proc/PID/stat: with the PID it names a process for
// the time of one boot. Errors: ESRCH of one that has ended.
func StartTime(pid int) (uint64, error) {
	f, err := StatFields(pid)
	if err != nil {
		return 0, err
	}
	if len(f) < 20 {
		return 0, fmt.Errorf("/proc/%d/stat: %d fields", pid, len(f))
	}
	if dead(f) {
		return 0, os.NewSyscallError("process "+strconv.Itoa(pid), unix.ESRCH)
	}
	return strconv.ParseUint(f[19], 10, 64)
}

// Ending says whether a process has begun to exit, or is gone: its namespaces, root and
// memory may be so already, while it still has a name.
func Ending(pid int) bool {
	f, err := StatFields(pid)
	if err != nil || len(f) < 20 {
		return true
	}
	const exiting = 0x4 // PF_EXITING, in field 9
	flags, err := strconv.ParseUint(f[6], 10, 64)
	return err == nil && flags&exiting != 0 && alone(f)
}

var bootID atomic.Pointer[string]

// BootID names this boot of the machine, which no process outlives: what was read once holds.
func BootID() (string, error) {
	if id := bootID.Load(); id != nil {
		return *id, nil
	}
	b, err := ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", err
	}
	id := strings.TrimSpace(string(b))
	bootID.Store(&id)
	return id, nil
}

// Prlimit sets a limit of another process.
func Prlimit(pid, resource int, soft, hard uint64) error {
	lim := unix.Rlimit{Cur: soft, Max: hard}
	return os.NewSyscallError("prlimit", Retry(func() error { return unix.Prlimit(pid, resource, &lim, nil) }))
}

// SetScheduler sets the scheduling policy of another process, and what goes with it.
func SetScheduler(pid int, a unix.SchedAttr) error {
	return os.NewSyscallError("sched_setattr", Retry(func() error { return unix.SchedSetAttr(pid, &a, 0) }))
}

// SetIOPriority sets the class and level of another process's I/O: one number, as ioprio_set(2) has it.
func SetIOPriority(pid int, value uint64) error {
	const process = 1 // IOPRIO_WHO_PROCESS
	return os.NewSyscallError("ioprio_set", Retry(func() error {
		if _, _, errno := unix.Syscall(unix.SYS_IOPRIO_SET, process, uintptr(pid), uintptr(value)); errno != 0 {
			return errno
		}
		return nil
	}))
}

// WatchWritten returns a descriptor that becomes readable when the file at path
// is written to, renamed or removed.
func WatchWritten(path string) (*os.File, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	f := os.NewFile(uintptr(fd), "inotify:"+path)
	if _, err := unix.InotifyAddWatch(fd, path, unix.IN_MODIFY|unix.IN_ATTRIB|unix.IN_MOVE_SELF); err != nil {
		f.Close()
		return nil, &os.PathError{Op: "inotify_add_watch", Path: path, Err: err}
	}
	return f, nil
}

// HaveOverlayLowerPlus says whether overlayfs takes its lower directories one by
// one, as "lowerdir+" (Linux 6.7, 24e16e385f22). It tries.
var HaveOverlayLowerPlus = sync.OnceValue(func() bool {
	fs, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return false
	}
	defer unix.Close(fs)
	// Before Linux 6.5 it takes any option and complains only when it is mounted.
	if unix.FsconfigSetString(fs, "no-such-option", "/") == nil {
		return false
	}
	return unix.FsconfigSetString(fs, "lowerdir+", "/") == nil
})

// TryFlock takes a lock on f, LOCK_SH or LOCK_EX. Errors: EWOULDBLOCK where somebody else has it.
func TryFlock(f *os.File, how int) error {
	if err := Retry(func() error { return unix.Flock(int(f.Fd()), how|unix.LOCK_NB) }); err != nil {
		return &os.PathError{Op: "flock", Path: f.Name(), Err: err}
	}
	return nil
}
