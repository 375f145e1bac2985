// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	ntPRStatus   = 1     // elf.h: NT_PRSTATUS
	ntSystemCall = 0x404 // elf.h: NT_ARM_SYSTEM_CALL
)

// skipCall, at the stop before a call, makes it none.
func skipCall(tid int) error {
	nr := int32(-1)
	iov := unix.Iovec{Base: (*byte)(unsafe.Pointer(&nr)), Len: 4}
	return ptrace(unix.PTRACE_SETREGSET, tid, ntSystemCall, uintptr(unsafe.Pointer(&iov)))
}

// setResult, at the stop after a call, makes it one that failed.
func setResult(tid int, errno unix.Errno) error {
	var r unix.PtraceRegsArm64
	iov := unix.Iovec{Base: (*byte)(unsafe.Pointer(&r)), Len: uint64(unsafe.Sizeof(r))}
	if err := ptrace(unix.PTRACE_GETREGSET, tid, ntPRStatus, uintptr(unsafe.Pointer(&iov))); err != nil {
		return err
	}
	r.Regs[0] = -uint64(errno)
	return ptrace(unix.PTRACE_SETREGSET, tid, ntPRStatus, uintptr(unsafe.Pointer(&iov)))
}
