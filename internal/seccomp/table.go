// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// entry is one row of the generated table.
type entry struct {
	name string
	nr   [4]int32
}

// isa is one way of entering the kernel: a set of system call numbers.
type isa struct {
	oci    specs.Arch
	audit  uint32 // AUDIT_ARCH_*: seccomp_data.arch
	column int    // of the generated table
	x32    bool
}

// Columns of the generated table.
const (
	colAMD64 = iota
	col386
	colARM64
	colARM
)

// x32Bit is set in the number of an x32 system call.
const x32Bit = 0x40000000

// privateBase is where the private system calls of 32-bit ARM begin.
const privateBase = 0xf0000

var (
	isaAMD64 = isa{oci: specs.ArchX86_64, audit: 0xc000003e, column: colAMD64}
	isaX32   = isa{oci: specs.ArchX32, audit: 0xc000003e, column: colAMD64, x32: true}
	isa386   = isa{oci: specs.ArchX86, audit: 0x40000003, column: col386}
	isaARM64 = isa{oci: specs.ArchAARCH64, audit: 0xc00000b7, column: colARM64}
	isaARM   = isa{oci: specs.ArchARM, audit: 0x40000028, column: colARM}
)

// machines lists what a kernel of GOARCH can run, the native one first.
func machines(arch string) []isa {
	switch arch {
	case "amd64":
		return []isa{isaAMD64, isa386, isaX32}
	case "arm64":
		return []isa{isaARM64, isaARM}
	}
	return nil
}

// x32Own is what x32 numbers differently: arch/x86/entry/syscalls/syscall_64.tbl,
// from 512 on.
var x32Own = [...]string{
	"rt_sigaction", "rt_sigreturn", "ioctl", "readv", "writev", "recvfrom", "sendmsg", "recvmsg",
	"execve", "ptrace", "rt_sigpending", "rt_sigtimedwait", "rt_sigqueueinfo", "sigaltstack",
	"timer_create", "mq_notify", "kexec_load", "waitid", "set_robust_list", "get_robust_list",
	"vmsplice", "move_pages", "preadv", "pwritev", "rt_tgsigqueueinfo", "recvmmsg", "sendmmsg",
	"process_vm_readv", "process_vm_writev", "setsockopt", "getsockopt", "io_setup", "io_submit",
	"execveat", "preadv2", "pwritev2",
}

// find looks a name up in the generated table.
func find(name string) (*entry, bool) {
	i, ok := slices.BinarySearchFunc(syscalls[:], name, func(e entry, name string) int {
		return strings.Compare(e.name, name)
	})
	if !ok {
		return nil, false
	}
	return &syscalls[i], true
}

// Names are those of the native system calls of a GOARCH, by number: for the page of what is seen from inside.
func Names(arch string) map[uint32]string {
	out := map[uint32]string{}
	m := machines(arch)
	if len(m) == 0 {
		return out
	}
	for i := range syscalls {
		if nr, ok := m[0].number(&syscalls[i]); ok {
			out[nr] = syscalls[i].name
		}
	}
	return out
}

// number is the number of e on m, without the x32 bit.
func (m isa) number(e *entry) (uint32, bool) {
	if m.x32 {
		if i := slices.Index(x32Own[:], e.name); i >= 0 {
			return uint32(512 + i), true
		}
	}
	nr := e.nr[m.column]
	return uint32(nr), nr >= 0
}
