// SPDX-License-Identifier: Apache-2.0

package nsexec

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// Encode turns the program into the interpreter's format. The same program gives the same
// bytes, which are not to be changed. It returns the first mistake made while assembling.
func (p *Program) Encode() (b []byte, err error) {
	if p.encoded == nil {
		p.encoded, err = p.encode()
	}
	return p.encoded, err
}

func (p *Program) encode() ([]byte, error) {
	if p.err != nil {
		return nil, p.err
	}
	if len(p.steps) == 0 || !endsWell(p.steps[len(p.steps)-1]) {
		return nil, fmt.Errorf("program %s: the last step is not End, Exec or Keep", p.name)
	}
	if len(p.relocs) > maxRelocs {
		return nil, fmt.Errorf("program %s: %d addresses, at most %d", p.name, len(p.relocs), maxRelocs)
	}
	// The last byte is 0, so that no string runs out of the data; and there is some data.
	data := append(slices.Clip(p.data), make([]byte, 16-len(p.data)%8)...)
	if len(data) > MaxData {
		return nil, fmt.Errorf("program %s: %d bytes of data, at most %d", p.name, len(data), MaxData)
	}
	size := headerSize + len(p.steps)*stepSize + len(p.relocs)*relocSize + len(data)
	b := make([]byte, 0, size)
	b = put(b, header{magic, uint32(size), uint32(len(p.steps)), uint32(len(p.relocs)), uint32(len(data)),
		uint32(len(p.received)), uint32(p.firstReg)})
	for i, s := range p.steps {
		var err error
		if b, err = p.appendStep(b, i, s); err != nil {
			return nil, fmt.Errorf("program %s, step %d (%s): %w", p.name, i, s.Name, err)
		}
	}
	for _, r := range p.relocs {
		b = le.AppendUint32(le.AppendUint32(b, r.Where), r.Target)
	}
	return append(b, data...), nil
}

// put appends a structure of fixed size.
func put(b []byte, v any) []byte {
	b, err := binary.Append(b, le, v)
	if err != nil {
		panic(err) // only for types that have no fixed size
	}
	return b
}

// endsWell says that nothing can come after s. An Exec that succeeds does not return.
func endsWell(s Step) bool {
	return s.Op == OpEnd || s.Op == OpKeep || execs(s)
}

func execs(s Step) bool {
	return s.Op == OpCall && (s.NR == unix.SYS_EXECVE || s.NR == unix.SYS_EXECVEAT)
}

func (p *Program) appendStep(b []byte, i int, s Step) ([]byte, error) {
	dst := Reg(noDst)
	if s.Keeps {
		dst = s.Dst
	}
	if len(s.Tolerated) > maxTolerate {
		return nil, fmt.Errorf("%d tolerated errnos, at most %d", len(s.Tolerated), maxTolerate)
	}
	if len(s.Tolerated) > 0 && i+1+int(s.Skip) >= len(p.steps) {
		return nil, fmt.Errorf("skips %d steps, only %d follow", s.Skip, len(p.steps)-i-1)
	}
	if s.Op == OpEnd && i+1 != len(p.steps) {
		return nil, errors.New("End before the last step")
	}
	b = append(b, uint8(s.Op), uint8(dst))
	b = le.AppendUint16(b, s.Skip)
	b = le.AppendUint32(b, s.NR)
	var tags [8]uint8
	var values [6]uint64
	for j, a := range s.Args {
		if a == nil {
			continue
		}
		tags[j], values[j] = a.arg()
		if r, ok := a.(Reg); ok && r >= p.nextReg && r != Control {
			return nil, fmt.Errorf("argument %d: register %d has never been filled", j, r)
		}
	}
	b = append(b, tags[:]...)
	for j := range maxTolerate {
		var e uint16
		if j < len(s.Tolerated) {
			e = uint16(s.Tolerated[j])
		}
		b = le.AppendUint16(b, e)
	}
	for _, v := range values {
		b = le.AppendUint64(b, v)
	}
	return b, nil
}
