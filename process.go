// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"context"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
)

// Wait waits for a process that Exec started, and reaps it: until then it stays, a zombie in the end. It can be called once, and again
// where ctx ended it.
func (p *Process) Wait(ctx context.Context) (Exit, error) {
	if err := kernel.WaitReadable(ctx, p.pidfd); err != nil {
		return Exit{}, err
	}
	defer p.pidfd.Close()
	var ws unix.WaitStatus
	if err := reapEnded(p.Pid, &ws); err != nil {
		return Exit{}, err
	}
	e := exitOf(ws)
	e.At = time.Now()
	return e, nil
}

// reapEnded reaps a child that has ended. Something in its container may trace it
// and keep the zombie as long as it pleases: then the status is read, and reaping left
// to a thread that waits, since the container's pid 1 cannot end before (pid_namespaces(7)).
func reapEnded(pid int, ws *unix.WaitStatus) error {
	got := 0
	err := kernel.Retry(func() (err error) { got, err = unix.Wait4(pid, ws, unix.WNOHANG, nil); return err })
	if err != nil || got == pid {
		return os.NewSyscallError("wait4", err)
	}
	*ws, err = kernel.ZombieStatus(pid)
	go func() { _, _ = unix.Wait4(pid, nil, 0, nil) }() // its status is known
	return err
}

// Signal sends sig to the process. Another goroutine may be in Wait. Errors: ESRCH when it has ended.
func (p *Process) Signal(sig unix.Signal) error { return kernel.Signal(p.pidfd, sig) }
