// SPDX-License-Identifier: Apache-2.0

package trace

import "golang.org/x/sys/unix"

// skipCall, at the stop before a call, makes it none.
func skipCall(tid int) error {
	var r unix.PtraceRegs
	if err := unix.PtraceGetRegs(tid, &r); err != nil {
		return err
	}
	r.Orig_rax = ^uint64(0)
	return unix.PtraceSetRegs(tid, &r)
}

// setResult, at the stop after a call, makes it one that failed.
func setResult(tid int, errno unix.Errno) error {
	var r unix.PtraceRegs
	if err := unix.PtraceGetRegs(tid, &r); err != nil {
		return err
	}
	r.Rax = -uint64(errno)
	return unix.PtraceSetRegs(tid, &r)
}
