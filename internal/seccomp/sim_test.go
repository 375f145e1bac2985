// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"encoding/binary"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

// data is struct seccomp_data.
type data struct {
	nr, arch uint32
	args     [6]uint64
}

func (d *data) word(off uint32) (uint32, error) {
	switch {
	case off == offNR:
		return d.nr, nil
	case off == offArch:
		return d.arch, nil
	case off >= offArgs && off < offArgs+48 && off%4 == 0:
		return uint32(d.args[(off-offArgs)/8] >> (8 * (off % 8))), nil
	}
	return 0, fmt.Errorf("load from offset %d", off)
}

func decode(filter []byte) []instruction {
	var out []instruction
	for ; len(filter) > 0; filter = filter[8:] {
		out = append(out, instruction{
			op: binary.NativeEndian.Uint16(filter), jt: filter[2], jf: filter[3], k: binary.NativeEndian.Uint32(filter[4:]),
		})
	}
	return out
}

// simulate runs a filter as the kernel does, and fails on what its checker would refuse.
func simulate(code []instruction, d *data) (uint32, error) {
	var acc uint32
	for pc := 0; pc < len(code); pc++ {
		i := code[pc]
		var yes bool
		var err error
		switch i.op {
		case opLoad:
			if acc, err = d.word(i.k); err != nil {
				return 0, err
			}
			continue
		case opAnd:
			acc &= i.k
			continue
		case opJump:
			pc += int(i.k)
			continue
		case opRet:
			return i.k, nil
		case opJEQ:
			yes = acc == i.k
		case opJGT:
			yes = acc > i.k
		case opJGE:
			yes = acc >= i.k
		default:
			return 0, fmt.Errorf("instruction %d: op %#x", pc, i.op)
		}
		if yes {
			pc += int(i.jt)
		} else {
			pc += int(i.jf)
		}
	}
	return 0, fmt.Errorf("ran off the end")
}

// run is simulate for tests that know the filter to be good.
func run(t testing.TB, code []instruction, d data) uint32 {
	t.Helper()
	v, err := simulate(code, &d)
	if err != nil {
		t.Fatalf("%+v: %v", d, err)
	}
	return v
}

// disassemble prints a filter one instruction a line, for golden files.
func disassemble(filter []byte) string {
	var out []byte
	for n, i := range decode(filter) {
		out = fmt.Appendf(out, "%4d  ", n)
		switch i.op {
		case opLoad:
			out = fmt.Appendf(out, "ld   [%d]", i.k)
		case opAnd:
			out = fmt.Appendf(out, "and  %#x", i.k)
		case opJump:
			out = fmt.Appendf(out, "ja   %d", n+1+int(i.k))
		case opRet:
			out = fmt.Appendf(out, "ret  %s", actionName(i.k))
		default:
			name := map[uint16]string{opJEQ: "jeq", opJGT: "jgt", opJGE: "jge"}[i.op]
			out = fmt.Appendf(out, "%s  %#x, %d, %d", name, i.k, n+1+int(i.jt), n+1+int(i.jf))
		}
		out = append(out, '\n')
	}
	return string(out)
}

// allowed is the value of SCMP_ACT_ALLOW, and denied that of SCMP_ACT_ERRNO with e.
const allowed = unix.SECCOMP_RET_ALLOW

func denied(e unix.Errno) uint32 { return unix.SECCOMP_RET_ERRNO | uint32(e) }
