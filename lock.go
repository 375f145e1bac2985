// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
)

var (
	errLocked  = errors.New("locked by somebody else")
	errNotFIFO = errors.New("not a FIFO, which a lock is")
)

// A lock is flock(2) on a FIFO, which ends with its descriptor and so with its holder,
// however he ends. Nobody waits inside flock: that wait can be ended neither by closing the
// descriptor nor by a signal (Go's handlers restart it). Who finds the lock taken waits for
// the hang-up of the FIFO instead, like for anything else that poll(2) knows.
//
// Order: flock and the end for writing are one open file. The kernel drops the flock of a
// file that is closed before it counts one writer less (__fput: locks_remove_file, then
// ->release). So when there is no writer any more, nobody has the lock, and no wake-up is
// lost: the hang-up is a state, not an event.

// How a lock is taken.
const (
	shared    = unix.LOCK_SH
	exclusive = unix.LOCK_EX
)

// tryLock takes the lock at path, making it where there is none. Errors: errLocked,
// errNotFIFO, fs.ErrNotExist without the directory.
func tryLock(path string, how int) (*os.File, error) {
	for {
		var fd int
		err := kernel.Retry(func() (err error) {
			fd, err = unix.Open(path, unix.O_RDWR|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
			return err
		})
		switch err {
		case nil:
			return flock(os.NewFile(uintptr(fd), path), how)
		case unix.ENOENT:
			err = kernel.Retry(func() error { return unix.Mkfifo(path, 0o600) })
			if err == nil || err == unix.EEXIST {
				continue
			}
			return nil, roomFor(&os.PathError{Op: "mkfifo", Path: path, Err: err})
		case unix.ELOOP, unix.EISDIR, unix.ENXIO, unix.ENOTDIR:
			return nil, fmt.Errorf("%s: %w", path, errNotFIFO)
		}
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
}

// flock tries to take the lock on f, which it closes where it cannot.
func flock(f *os.File, how int) (*os.File, error) {
	err := kernel.TryFlock(f, how)
	if info, serr := f.Stat(); serr != nil || info.Mode().Type() != fs.ModeNamedPipe {
		err = fmt.Errorf("%s: %w", f.Name(), errNotFIFO)
	}
	if err == nil {
		return f, nil
	}
	f.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, errLocked
	}
	return nil, err
}

// waitLock takes the lock at path and waits for it as long as ctx lasts.
func waitLock(ctx context.Context, path string, how int) (*os.File, error) {
	f, err := tryLock(path, how)
	if !errors.Is(err, errLocked) {
		return f, err
	}
	// Order: open for reading before trying again: a writer that goes after this moment
	// leaves a hang-up behind, even if it is our own next try.
	r, err := os.OpenFile(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	for {
		f, err := tryLock(path, how)
		if !errors.Is(err, errLocked) {
			return f, err
		}
		switch err := kernel.WaitHangup(ctx, r); {
		case errors.Is(err, context.Canceled): // who waited gave up: that is not to be tried again
			return nil, fmt.Errorf("%v: process %s holds %s: %w", ErrBusy, holder(r), path, err)
		case err != nil:
			return nil, fmt.Errorf("%w: process %s holds %s: %w", ErrBusy, holder(r), path, err)
		}
	}
}

// holder names the process that has the lock on f: its number, and what it is.
func holder(f *os.File) string {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return "unknown"
	}
	file := fmt.Sprintf("%02x:%02x:%d", unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino)
	b, _ := kernel.ReadFile("/proc/locks")
	for line := range strings.Lines(string(b)) { // 1: FLOCK ADVISORY WRITE PID MAJ:MIN:INO 0 EOF
		if f := strings.Fields(line); len(f) > 5 && f[1] == "FLOCK" && f[5] == file {
			comm, _ := kernel.ReadFile("/proc/" + f[4] + "/comm")
			return f[4] + " (" + strings.TrimSpace(string(comm)) + ")"
		}
	}
	return "unknown"
}

// turn waits for the container's lock. Those who share it can follow each other without an end,
// and a container's processes can see to that: they stop what is brought in among them. So who wants
// the lock alone, and finds it taken, holds the one before it, where those who come later wait.
// It is about order only: where there can be none, as in a full /run, nobody waits at it. Once made it stays.
func (c *Container) turn(ctx context.Context, how int) (*os.File, error) {
	lock, before := c.path(lockFile), c.path(turnFile)
	if how == exclusive {
		if f, err := tryLock(lock, how); !errors.Is(err, errLocked) {
			return f, err
		}
	} else if _, err := os.Lstat(before); err != nil { // nobody has ever had to wait
		return waitLock(ctx, lock, how)
	}
	f, err := waitLock(ctx, before, how)
	if ctx.Err() != nil && err != nil {
		return nil, err
	}
	defer f.Close() // of none, too
	return waitLock(ctx, lock, how)
}

// lockTimeout bounds the wait for a lock: no verb holds one for long, but its process may be stopped, and who uses the
// library may have created a container and not start it.
var lockTimeout = 30 * time.Second

// lock takes the lock of what has the container's name. Whoever is between Create and
// Start has it. Errors: ErrNotExist, ErrBusy, *damage.
func (c *Container) lock(ctx context.Context, how int) (unlock func(), err error) {
	if c.start != nil && c.start.unlock != nil {
		return func() {}, nil
	}
	if err := c.rt.trusted(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, lockTimeout)
	defer cancel()
	for {
		f, err := c.turn(ctx, how)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, ErrNotExist
		case errors.Is(err, errNotFIFO):
			return nil, &damage{c.path(lockFile), errNotFIFO.Error()}
		case err != nil:
			return nil, err
		}
		at, err := isAt(f, c.path(lockFile))
		if at {
			return func() { f.Close() }, nil
		}
		f.Close() // removed, and perhaps made anew, while we waited
		if err != nil {
			return nil, err
		}
	}
}

// isAt says whether path still leads to f.
func isAt(f *os.File, path string) (bool, error) {
	have, err := f.Stat()
	if err != nil {
		return false, err
	}
	want, err := os.Lstat(path)
	return err == nil && os.SameFile(have, want), ignoreMissing(err)
}

// locked runs f under the container's lock, on a fresh reading of its record.
func (c *Container) locked(ctx context.Context, f func() error) error {
	unlock, err := c.lock(ctx, exclusive)
	if err != nil {
		return err
	}
	defer unlock()
	if err := c.read(); err != nil {
		return err
	}
	return f()
}

// lockedPatiently is locked without a time limit of its own.
func (c *Container) lockedPatiently(ctx context.Context, f func() error) error {
	for {
		if err := c.locked(ctx, f); !errors.Is(err, ErrBusy) || ctx.Err() != nil {
			return err
		}
	}
}
