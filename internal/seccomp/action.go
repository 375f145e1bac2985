// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"errors"
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// ErrTooLong is returned for a profile that does not fit the kernel's 4096 instructions.
var ErrTooLong = errors.New("seccomp filter too long")

// UnknownSyscallError is returned for a rule that would restrict a system call
// whose name is not known: without it the profile would be weaker than written.
type UnknownSyscallError struct {
	Name   string
	Action specs.LinuxSeccompAction
}

func (e *UnknownSyscallError) Error() string {
	return fmt.Sprintf("system call %q of a %s rule is not known, and the default action allows it (correct the name or remove it)", e.Name, e.Action)
}

// enosys is how unknown system calls are answered.
const enosys = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)

// maxErrno is the highest errno the kernel returns for SECCOMP_RET_ERRNO.
const maxErrno = 4095

// actionValue is what the filter returns for an action.
func actionValue(a specs.LinuxSeccompAction, errnoRet *uint) (uint32, error) {
	data := uint32(unix.EPERM)
	if errnoRet != nil {
		if a != specs.ActErrno && a != specs.ActTrace {
			if _, err := actionValue(a, nil); err != nil {
				return 0, err // which says more
			}
			return 0, fmt.Errorf("errnoRet %d: action %s takes none (only SCMP_ACT_ERRNO and SCMP_ACT_TRACE do)", *errnoRet, a)
		}
		if *errnoRet > maxErrno {
			return 0, fmt.Errorf("errnoRet %d: the highest is %d", *errnoRet, maxErrno)
		}
		data = uint32(*errnoRet)
	}
	switch a {
	case specs.ActKill, specs.ActKillThread:
		return unix.SECCOMP_RET_KILL_THREAD, nil
	case specs.ActKillProcess:
		return unix.SECCOMP_RET_KILL_PROCESS, nil
	case specs.ActTrap:
		return unix.SECCOMP_RET_TRAP, nil
	case specs.ActErrno:
		return unix.SECCOMP_RET_ERRNO | data, nil
	case specs.ActTrace:
		return unix.SECCOMP_RET_TRACE | data, nil
	case specs.ActLog:
		return unix.SECCOMP_RET_LOG, nil
	case specs.ActAllow:
		return unix.SECCOMP_RET_ALLOW, nil
	case specs.ActNotify:
		return 0, errors.New("action SCMP_ACT_NOTIFY is not supported")
	}
	return 0, fmt.Errorf("action %q is not known (want SCMP_ACT_ALLOW, ERRNO, KILL, KILL_THREAD, KILL_PROCESS, TRAP, TRACE or LOG)", a)
}

// strictness orders actions as the kernel does when filters disagree: lower is stricter.
func strictness(action uint32) int32 { return int32(action & unix.SECCOMP_RET_ACTION_FULL) }

// refuses says whether an action keeps the system call from being made.
func refuses(action uint32) bool {
	return strictness(action) <= strictness(unix.SECCOMP_RET_ERRNO)
}

// Flags is the second argument of seccomp(2) for the profile. A profile without
// a list of flags gets SPEC_ALLOW: since Linux 5.16 that is the kernel's own
// default, and before it a filter slowed the payload down unasked.
func Flags(s *specs.LinuxSeccomp) (uint64, error) {
	if s.Flags == nil {
		return unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW, nil
	}
	var (
		flags uint64
		errs  []error
	)
	for i, f := range s.Flags {
		switch f {
		case specs.LinuxSeccompFlagLog:
			flags |= unix.SECCOMP_FILTER_FLAG_LOG
		case specs.LinuxSeccompFlagSpecAllow:
			flags |= unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW
		case "SECCOMP_FILTER_FLAG_TSYNC":
			flags |= unix.SECCOMP_FILTER_FLAG_TSYNC
		default:
			errs = append(errs, fmt.Errorf("seccomp: flags[%d]: %q is not supported (want SECCOMP_FILTER_FLAG_LOG, SPEC_ALLOW or TSYNC)", i, f))
		}
	}
	return flags, errors.Join(errs...)
}
