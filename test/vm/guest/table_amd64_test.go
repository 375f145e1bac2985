// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// untried are the calls that say nothing about a filter when they are made so, or do harm.
var untried = map[uintptr]string{
	unix.SYS_RT_SIGRETURN: "takes its registers from whatever is on the stack",
	unix.SYS_PAUSE:        "waits",
	unix.SYS_FORK:         "returns twice", // clone, whose flags are all set then, does not
	unix.SYS_VFORK:        "returns twice, on one stack",
	unix.SYS_EXIT:         "ends",
	unix.SYS_EXIT_GROUP:   "ends",
	unix.SYS_VHANGUP:      "takes the terminal of who looks",
}

// beyond is the first number that no kernel has; those from 512 on were x32's alone.
const beyond = 548

const mapShadowStack = 453

// table has the numbers of all system calls, and of some that there are not, by
// what they answer when every argument is -1: no pointer, descriptor, process or set
// of flags is valid then.
func table() []string {
	answers := map[string][]uintptr{}
	for nr := range uintptr(beyond) {
		answer := "not tried"
		if untried[nr] == "" {
			answer = forked(nr)
		}
		if nr == mapShadowStack && answer == "ENOTSUP" {
			answer = "EINVAL" // a processor without shadow stacks is told before wrong flags are
		}
		answers[answer] = append(answers[answer], nr)
	}
	var out []string
	for _, answer := range slices.Sorted(maps.Keys(answers)) {
		out = append(out, answer+": "+ranges(answers[answer]))
	}
	return out
}

// forked makes a call in a process of its own: what it changes ends with that, and so
// does what kills it.
//
// After the fork only this thread is left of Go's: nothing may allocate, wait for
// another or grow the stack. RawSyscall6 does none of it.
func forked(nr uintptr) string {
	const none = ^uintptr(0)
	handlers := uintptr(unsafe.Pointer(new([4]uint64))) // SIG_DFL
	pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 {
		return "fork " + result(errno)
	}
	if pid == 0 {
		for sig := uintptr(1); sig < 32; sig++ { // else they are for a runtime that is not there
			unix.RawSyscall6(unix.SYS_RT_SIGACTION, sig, handlers, 0, 8, 0, 0)
		}
		unix.RawSyscall6(unix.SYS_ALARM, 60, 0, 0, 0, 0, 0) // a call that waits ends with SIGALRM
		_, _, errno = unix.RawSyscall6(nr, none, none, none, none, none, none)
		unix.RawSyscall6(unix.SYS_EXIT_GROUP, uintptr(errno), 0, 0, 0, 0, 0)
	}
	var status unix.WaitStatus
	for {
		if _, err := unix.Wait4(int(pid), &status, 0, nil); err != unix.EINTR {
			return ended(status, err)
		}
	}
}

// ended is how a process ended whose exit code is an errno.
func ended(status unix.WaitStatus, err error) string {
	switch {
	case err != nil:
		return "wait " + result(err)
	case status.Signaled():
		return unix.SignalName(status.Signal())
	}
	return result(syscall.Errno(status.ExitStatus()))
}

// ranges writes ascending numbers as "1 3-5".
func ranges(list []uintptr) string {
	var out []string
	for i := 0; i < len(list); {
		j := i
		for j+1 < len(list) && list[j+1] == list[j]+1 {
			j++
		}
		r := fmt.Sprint(list[i])
		if j > i {
			r += "-" + strconv.Itoa(int(list[j]))
		}
		out = append(out, r)
		i = j + 1
	}
	return strings.Join(out, " ")
}
