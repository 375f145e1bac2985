// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
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

func (p procID) alive() bool {
	if p.Pid <= 0 {
		return false
	}
	start, err := kernel.StartTime(p.Pid)
	return err == nil && start == p.Start
}

// open returns a pidfd of exactly this process, or ESRCH.
func (p procID) open() (*os.File, error) {
	if p.Pid <= 0 {
		return nil, os.NewSyscallError("pidfd_open", unix.ESRCH)
	}
	f, err := kernel.Pidfd(p.Pid)
	if err != nil {
		return nil, err
	}
	if !p.alive() {
		f.Close()
		return nil, os.NewSyscallError("pidfd_open", unix.ESRCH)
	}
	return f, nil
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
