// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// otherABIs enters the kernel as programs of 32 bits and of x32 do, from a program
// that does nothing else: where it may, it exits with 250, else with the errno.
func otherABIs() []string {
	report := []byte{
		0xf7, 0xd8, // neg eax
		0x89, 0xc7, // mov edi, eax
		0xb8, 0x3c, 0, 0, 0, // mov eax, 60 (exit)
		0x0f, 0x05, // syscall
	}
	var out []string
	for _, abi := range []struct {
		name string
		code []byte
	}{
		{"int 0x80", []byte{
			0xb8, 1, 0, 0, 0, // mov eax, 1 (exit of i386)
			0xbb, 250, 0, 0, 0, // mov ebx, 250
			0xcd, 0x80, // int 0x80
		}},
		{"x32", []byte{
			0xb8, 0x3c, 0, 0, 0x40, // mov eax, 0x40000000 | 60
			0xbf, 250, 0, 0, 0, // mov edi, 250
			0x0f, 0x05, // syscall
		}},
	} {
		out = append(out, abi.name+" "+execute(program(append(abi.code, report...))))
	}
	return out
}

// program is the least that a kernel executes: code, after the headers that map it.
func program(code []byte) []byte {
	const base, headers = 0x400000, 64 + 56
	size := uint64(headers + len(code))
	head := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT), Entry: base + headers,
		Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1}
	copy(head.Ident[:], elf.ELFMAG)
	head.Ident[elf.EI_CLASS], head.Ident[elf.EI_DATA], head.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)
	load := elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Vaddr: base, Filesz: size, Memsz: size, Align: 0x1000}
	var b bytes.Buffer
	_ = binary.Write(&b, binary.LittleEndian, head) // a buffer takes everything
	_ = binary.Write(&b, binary.LittleEndian, load)
	return append(b.Bytes(), code...)
}

// execute says how a program ended. It is in a memfd, since a root may have no place
// to write that executes.
func execute(program []byte) string {
	fd, err := unix.MemfdCreate("program", unix.MFD_CLOEXEC)
	if err != nil {
		return "memfd_create " + result(err)
	}
	defer func() { _ = unix.Close(fd) }()
	if _, err := unix.Write(fd, program); err != nil {
		return "write " + result(err)
	}
	pid, err := syscall.ForkExec("/proc/self/fd/"+strconv.Itoa(fd), []string{"program"}, &syscall.ProcAttr{Files: []uintptr{0, 1, 2}})
	if err != nil {
		return "execve " + result(err)
	}
	var status unix.WaitStatus
	_, err = unix.Wait4(pid, &status, 0, nil)
	if err == nil && status.ExitStatus() == 250 {
		return "runs"
	}
	return ended(status, err)
}
