// SPDX-License-Identifier: Apache-2.0

package nsexec

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
)

// StartOptions says what the interpreter starts with. It has an empty
// environment, a session of its own, "/" as working directory and /dev/null as
// standard streams: see [Program.Stdio].
type StartOptions struct {
	// Keeper gives the process a second socket, to which it changes when it has
	// forked: [Helper.Keeper] is the parent's end. Without it, it exits then.
	Keeper bool
}

// A Helper is a started interpreter: K of nsexec.h, and, once it has forked, its
// child. Programs and answers go to the process that is to run them: through the
// Helper itself to K until it reports [Forked], then to the child; through Keeper
// to K from then on.
type Helper struct {
	*Conn
	// Pid is K's.
	Pid int

	keeper *Conn
	pidfd  *os.File
	kept   bool
	closed sync.Once
}

// Start starts the interpreter. It waits for nothing: programs can be sent at once.
//
// The process dies with this one, and its child too, unless their programs say
// otherwise. It returns [ErrNoInterpreter] if none was built.
func Start(o StartOptions) (*Helper, error) {
	image, err := interpreter()
	if err != nil {
		return nil, err
	}
	exe, err := sealExecutable(image)
	if err != nil {
		return nil, err
	}
	defer unix.Close(exe)
	control, far, err := socketpair("nsexec")
	if err != nil {
		return nil, err
	}
	defer unix.Close(far)
	sent := &sentPrograms{}
	h := &Helper{Conn: &Conn{f: control, sent: sent, who: "helper"}}
	keeperFar := -1
	if o.Keeper {
		var near *os.File
		if near, keeperFar, err = socketpair("keeper"); err != nil {
			_ = control.Close() // nothing was written
			return nil, err
		}
		defer unix.Close(keeperFar)
		h.keeper = &Conn{f: near, sent: sent, who: "keeper"}
	}
	if err := h.exec(exe, far, keeperFar); err != nil {
		h.closeSockets()
		return nil, fmt.Errorf("start nsexec: %w", err)
	}
	h.Conn.h, h.Conn.pid = h, h.Pid
	if h.keeper != nil {
		h.keeper.h, h.keeper.pid = h, h.Pid
	}
	return h, nil
}

// socketpair makes a pair of which only the near end knows deadlines.
func socketpair(name string) (near *os.File, far int, err error) {
	s, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, -1, os.NewSyscallError("socketpair", err)
	}
	if err := unix.SetNonblock(s[0], true); err != nil {
		return nil, -1, errors.Join(os.NewSyscallError("fcntl", err), unix.Close(s[0]), unix.Close(s[1]))
	}
	return os.NewFile(uintptr(s[0]), name), s[1], nil
}

// spawner runs functions on one thread that lives as long as the process.
//
// Order: whoever is forked with a parent death signal dies when the thread that
// forked it ends (prctl(2), PR_SET_PDEATHSIG), and Go ends threads at will.
var spawner = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})

func (h *Helper) exec(exe, control, keeper int) error {
	null := -1
	err := kernel.Retry(func() (err error) { null, err = unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0); return err })
	if err != nil {
		return &os.PathError{Op: "open", Path: os.DevNull, Err: err}
	}
	defer unix.Close(null)
	// Without a keeper the 4 is -1, which closes what we may have inherited there.
	files := []uintptr{uintptr(null), uintptr(null), uintptr(null), uintptr(control), uintptr(keeper)}
	// Order: after every other descriptor is known. On its way to giving the child its
	// descriptors ForkExec uses the numbers right above the highest of them: the executable
	// must not be there.
	exe, err = above(exe, max(null, control, keeper)+2*len(files))
	if err != nil {
		return err
	}
	defer unix.Close(exe)
	pidfd := -1
	attr := &syscall.ProcAttr{Dir: "/", Env: []string{}, Files: files, Sys: &syscall.SysProcAttr{Setsid: true, PidFD: &pidfd}}
	done := make(chan struct{})
	spawner() <- func() {
		h.Pid, err = syscall.ForkExec("/proc/self/fd/"+strconv.Itoa(exe), []string{"nsexec"}, attr)
		close(done)
	}
	<-done
	if err == unix.EAGAIN {
		err = fmt.Errorf("%w (%s)", err, noTask)
	}
	if err != nil {
		return err
	}
	h.pidfd, err = pollable(pidfd, "pidfd:"+strconv.Itoa(h.Pid))
	return err
}

// above copies a descriptor to a number that is not below least.
func above(fd, least int) (int, error) {
	high, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, least)
	if err == unix.EINVAL { // fcntl(2): least is not below the limit
		err = unix.EMFILE
	}
	return high, os.NewSyscallError("fcntl", err)
}

// pollable makes a descriptor known to the runtime's poller.
func pollable(fd int, name string) (*os.File, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, errors.Join(os.NewSyscallError("fcntl "+name, err), unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), name), nil
}

// hear takes one report. While K forks it is K that must speak, and K may be killed: its child
// has the same socket, so that the connection would not end.
func (c *Conn) hear(ctx context.Context) (*report, *os.File, error) {
	if c.h == nil || c != c.h.Conn || c.pid != c.h.Pid {
		return c.read(ctx)
	}
	alive, gone := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		if kernel.WaitReadable(alive, c.h.pidfd) == nil {
			gone()
		}
	}()
	r, file, err := c.read(alive)
	gone()
	<-watched
	if err == nil || ctx.Err() != nil || !errors.Is(err, context.Canceled) {
		return r, file, err
	}
	// What it said is there by now.
	last, cancel := context.WithTimeout(ctx, lastWords)
	defer cancel()
	if r, file, err = c.read(last); errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		err = nil // the end, like that of the connection
	}
	return r, file, err
}

// lastWords is how long a report that has been sent may take to be read.
const lastWords = 100 * time.Millisecond

// Keeper is the connection to K after it has forked; nil without [StartOptions].Keeper.
func (h *Helper) Keeper() *Conn { return h.keeper }

// Kill kills K. Its child, if it is not a sibling, dies with it.
func (h *Helper) Kill() error {
	err := kernel.Signal(h.pidfd, unix.SIGKILL)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// Close ends the conversation. Processes that still wait for a program end. K
// is reaped: at once, or if it was told to keep, when it has ended. One that waits to
// be told kills its child and runs the cleanup command: who wants neither calls
// Kill first.
func (h *Helper) Close() error {
	var err error
	h.closed.Do(func() {
		err = h.closeSockets()
		if h.kept {
			go func() {
				_ = h.reap(context.Background()) // whoever keeps is nobody's error
			}()
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if e := kernel.WaitReadable(ctx, h.pidfd); e != nil {
			err = errors.Join(err, h.Kill())
		}
		err = errors.Join(err, h.reap(context.Background()))
	})
	return err
}

func (h *Helper) closeSockets() error {
	var err error
	for _, c := range []*Conn{h.Conn, h.keeper} {
		if c != nil {
			err = errors.Join(err, c.Close())
		}
	}
	return err
}

// reap waits for K's end. Somebody else may have done it.
func (h *Helper) reap(ctx context.Context) error {
	defer h.pidfd.Close()
	if err := kernel.WaitReadable(ctx, h.pidfd); err != nil {
		return err
	}
	err := kernel.Retry(func() error { return unix.Waitid(unix.P_PIDFD, int(h.pidfd.Fd()), nil, unix.WEXITED, nil) })
	if err != nil && err != unix.ECHILD {
		return os.NewSyscallError("waitid", err)
	}
	return nil
}
