// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// LoggedOOM says whether the kernel's log, as far as it reaches back, has that the process was
// killed for lack of memory. The log knows PIDs of the host only.
func LoggedOOM(pid int) (bool, error) {
	const path = "/dev/kmsg"
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	b := make([]byte, 8192) // a record is smaller
	for {
		n, err := unix.Read(fd, b) // one record at a time
		switch err {
		case nil:
			if victim, ok := oomVictim(string(b[:n])); ok && victim == pid {
				return true, nil
			}
		case unix.EINTR, unix.EPIPE: // EPIPE: the next one was overwritten, the one after it is there
		case unix.EAGAIN:
			return false, nil
		default:
			return false, &os.PathError{Op: "read", Path: path, Err: err}
		}
		if err == nil && n == 0 {
			return false, nil
		}
	}
}

// oomVictim is the process that a record of the kernel's log, "priority,sequence,time,flags;text",
// says was killed for lack of memory (mm/oom_kill.c). Others than the kernel
// write with a facility: a priority of 8 and more.
func oomVictim(record string) (pid int, ok bool) {
	head, text, _ := strings.Cut(record, ";")
	prio, _, _ := strings.Cut(head, ",")
	if n, err := strconv.Atoi(prio); err != nil || n > 7 {
		return 0, false
	}
	why, rest, _ := strings.Cut(text, ": Killed process ")
	if why != "Memory cgroup out of memory" && why != "Out of memory" {
		return 0, false
	}
	number, _, ok := strings.Cut(rest, " (")
	pid, err := strconv.Atoi(number)
	return pid, ok && err == nil
}
