// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"bytes"
	"encoding/binary"
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

func ptrace(request, pid int, addr, data uintptr) error {
	_, _, e := unix.RawSyscall6(unix.SYS_PTRACE, uintptr(request), uintptr(pid), addr, data, 0, 0)
	if e != 0 {
		return e
	}
	return nil
}

// call is struct ptrace_syscall_info, as far as it is of use.
type call struct {
	op   uint8
	nr   uint64
	args [6]uint64
	ret  int64 // after the call
}

const (
	opEntry = 1 // PTRACE_SYSCALL_INFO_ENTRY
	opExit  = 2 // PTRACE_SYSCALL_INFO_EXIT
)

func syscallInfo(tid int) (call, error) {
	var b [88]byte
	err := ptrace(unix.PTRACE_GET_SYSCALL_INFO, tid, uintptr(len(b)), uintptr(unsafe.Pointer(&b)))
	c := call{op: b[0]}
	if c.op == opExit {
		c.ret = int64(binary.NativeEndian.Uint64(b[24:]))
	}
	if c.op == opEntry {
		c.nr = binary.NativeEndian.Uint64(b[24:])
		for i := range c.args {
			c.args[i] = binary.NativeEndian.Uint64(b[32+8*i:])
		}
	}
	return c, err
}

// Read reads a stopped process's memory.
func Read(pid int, addr uint64, size int) ([]byte, error) {
	f, err := os.Open("/proc/" + strconv.Itoa(pid) + "/mem")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, size)
	n, err := f.ReadAt(b, int64(addr))
	if n > 0 {
		err = nil
	}
	return b[:n], err
}

// ReadString reads a string that ends with a NUL.
func ReadString(pid int, addr uint64) string {
	// Not across a page, behind which there may be none.
	b, _ := Read(pid, addr, int(4096-addr%4096)) // what is not there is no string
	s, _, _ := bytes.Cut(b, []byte{0})
	return string(s)
}
