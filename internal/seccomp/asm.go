// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// maxInstructions is the kernel's BPF_MAXINSNS.
const maxInstructions = 4096

// What the filter reads: struct seccomp_data.
const (
	offNR   = 0
	offArch = 4
	offArgs = 16
)

// Instructions used.
const (
	opLoad = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	opAnd  = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
	opJump = unix.BPF_JMP | unix.BPF_JA
	opJEQ  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	opJGT  = unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K
	opJGE  = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
	opRet  = unix.BPF_RET | unix.BPF_K
)

// instruction is struct sock_filter.
type instruction struct {
	op     uint16
	jt, jf uint8
	k      uint32
}

// label is a place in the program: how many instructions follow it.
type label int

// assembler writes a program from its end to its beginning. Classic BPF jumps
// forward only, so every target is placed, and its distance known, when a jump to
// it is written.
type assembler struct {
	code  []instruction // last instruction first
	rets  map[uint32]label
	tries map[tried]label
}

func (a *assembler) emit(i instruction) label {
	a.code = append(a.code, i)
	return label(len(a.code) - 1)
}

// distance is how many instructions the next one would skip to get to l.
func (a *assembler) distance(l label) int { return len(a.code) - 1 - int(l) }

// ret ends the filter with an action.
func (a *assembler) ret(action uint32) label {
	if l, ok := a.rets[action]; ok {
		return l
	}
	l := a.emit(instruction{op: opRet, k: action})
	a.rets[action] = l
	return l
}

// near returns l or, when a conditional jump cannot reach it, a stepping stone.
func (a *assembler) near(l label) label {
	// One less than 255, for the stone the other branch may need.
	if a.distance(l) < 255 {
		return l
	}
	if i := a.code[l]; i.op == opRet {
		a.rets[i.k] = a.emit(i)
		return a.rets[i.k]
	}
	return a.emit(instruction{op: opJump, k: uint32(a.distance(l))})
}

// jump goes to yes when the comparison of the accumulator with k holds.
func (a *assembler) jump(op uint16, k uint32, yes, no label) label {
	if yes == no {
		return yes
	}
	no = a.near(no)
	yes = a.near(yes)
	return a.emit(instruction{op: op, jt: uint8(a.distance(yes)), jf: uint8(a.distance(no)), k: k})
}

// then writes an instruction that goes on at next.
func (a *assembler) then(op uint16, k uint32, next label) label {
	if a.distance(next) != 0 {
		if i := a.code[next]; i.op == opRet {
			a.emit(i)
		} else {
			a.emit(instruction{op: opJump, k: uint32(a.distance(next))})
		}
	}
	return a.emit(instruction{op: op, k: k})
}

// bytes is the program in the order and form the kernel wants, starting at l.
func (a *assembler) bytes(start label) ([]byte, error) {
	n := int(start) + 1
	if n > maxInstructions {
		return nil, fmt.Errorf("%w: %d instructions, the kernel takes %d", ErrTooLong, n, maxInstructions)
	}
	b := make([]byte, 0, 8*n)
	for i := n - 1; i >= 0; i-- {
		c := a.code[i]
		b = binary.NativeEndian.AppendUint16(b, c.op)
		b = append(b, c.jt, c.jf)
		b = binary.NativeEndian.AppendUint32(b, c.k)
	}
	return b, nil
}
