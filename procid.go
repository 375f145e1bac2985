// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
)

// A process is named by PID and start time: a recycled PID has another one.
type procID struct {
	Pid   int    `json:"pid"`
	Start uint64 `json:"start"`
}

func identify(pid int) (procID, error) {
	start, err := kernel.StartTime(pid)
	return procID{pid, start}, err
}

// lives says whether there is this process. The error is that it cannot be looked at, as without descriptors.
func (p procID) lives() (bool, error) {
	if p.Pid <= 0 {
		return false, nil
	}
	start, err := kernel.StartTime(p.Pid)
	if gone(err) {
		return false, nil
	}
	return err == nil && start == p.Start, err
}

// alive: where it cannot be looked at, nothing may be done as if it had ended.
func (p procID) alive() bool {
	lives, err := p.lives()
	return lives || err != nil
}

// gone says whether a process cannot be looked at because there is none.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) }

// open returns a pidfd of exactly this process, or ESRCH.
func (p procID) open() (*os.File, error) {
	if p.Pid <= 0 {
		return nil, os.NewSyscallError("pidfd_open", unix.ESRCH)
	}
	f, err := kernel.Pidfd(p.Pid)
	if err != nil {
		return nil, err
	}
	start, err := kernel.StartTime(p.Pid)
	if err == nil && start == p.Start {
		return f, nil
	}
	f.Close()
	if err == nil || gone(err) {
		err = os.NewSyscallError("pidfd_open", unix.ESRCH)
	}
	return nil, err
}

// signal sends sig to exactly this process, or returns ESRCH.
func (p procID) signal(sig unix.Signal) error {
	f, err := p.open()
	if err != nil {
		return err
	}
	defer f.Close()
	return kernel.Signal(f, sig)
}
