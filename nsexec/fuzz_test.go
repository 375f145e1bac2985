// SPDX-License-Identifier: Apache-2.0

package nsexec

import (
	"bytes"
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"
)

// valid is the parser's rules once more, in Go: what the two disagree on is a
// bug in one of them. It also gives the fuzzer something to see: it is blind to C.
func valid(b []byte) bool {
	var h header
	if _, err := binary.Decode(b, le, &h); err != nil {
		return false
	}
	size := headerSize + uint64(h.Steps)*stepSize + uint64(h.Relocs)*relocSize + uint64(h.Data)
	switch {
	case h.Magic != magic, uint64(h.Size) != uint64(len(b)), size != uint64(len(b)):
		return false
	case h.Steps == 0, h.Steps > MaxSteps, h.Relocs > maxRelocs, h.Data < 8, h.Data > MaxData:
		return false
	case uint64(h.FirstReg)+uint64(h.Received) > MaxRegs:
		return false
	case b[len(b)-1] != 0:
		return false
	}
	at := headerSize
	for i := range h.Steps {
		var s wireStep
		if _, err := binary.Decode(b[at:], le, &s); err != nil || !validStep(s, b[at+14]|b[at+15], int(h.Steps-i-1), uint64(h.Data)) {
			return false
		}
		at += stepSize
	}
	for range h.Relocs {
		where, target := le.Uint32(b[at:]), le.Uint32(b[at+4:])
		if uint64(where)+8 > uint64(h.Data) || where%8 != 0 || target >= h.Data {
			return false
		}
		at += relocSize
	}
	return true
}

// want says for each op what its arguments are, as the shapes in proc.go have them:
// a any, r register, d data, n number, o register or number, - none.
var want = map[Op]struct {
	args string
	most uint32
}{
	OpCall: {"aaaaaa", 1023}, OpStore: {"dr----", 8}, OpSync: {"ron---", 1<<32 - 1}, OpFork: {"dr----", 0},
	OpSpawn: {"dnddd-", 1<<31 - 1}, OpMkPath: {"rdnn--", 0}, OpCheck: {"onnn--", 1}, OpKeep: {"rrordd", 0},
	OpReap: {"------", 0}, OpEnd: {"------", 0},
}

func validStep(s wireStep, padding byte, follow int, data uint64) bool {
	w, ok := want[Op(s.Op)]
	if !ok || s.NR > w.most || padding != 0 || s.Dst != noDst && s.Dst >= MaxRegs {
		return false
	}
	for i, kind := range w.args {
		tag, v := s.Tag[i], s.Arg[i]
		var allowed string
		switch tag {
		case tagImm:
			allowed = "ano"
		case tagData:
			allowed = "ad"
		case tagReg:
			allowed = "aro"
		}
		if kind == '-' && (tag != tagImm || v != 0) || kind != '-' && !bytes.ContainsRune([]byte(allowed), kind) {
			return false
		}
		if tag == tagReg && v > uint64(Control) || tag == tagData && v >= data {
			return false
		}
	}
	if s.Tolerated[0] == 0 && s.Skip != 0 || s.Tolerated[0] != 0 && int(s.Skip) >= follow {
		return false
	}
	room := data - s.Arg[0]
	switch Op(s.Op) {
	case OpStore:
		ok = uint64(s.NR) <= room
	case OpFork:
		ok = room >= 88
	case OpSpawn:
		ok = s.Arg[1] <= room && s.Arg[1] <= maxState
	case OpEnd:
		ok = follow == 0
	}
	ends := Op(s.Op) == OpEnd || Op(s.Op) == OpKeep ||
		Op(s.Op) == OpCall && (s.NR == unix.SYS_EXECVE || s.NR == unix.SYS_EXECVEAT)
	return ok && (follow > 0 || ends)
}

// edit changes a valid program: each 8 bytes are an offset, a width and a value.
func edit(b, edits []byte) []byte {
	b = bytes.Clone(b)
	for ; len(edits) >= 8; edits = edits[8:] {
		width := 1 << (edits[2] % 4)
		at := int(le.Uint16(edits)) % len(b) &^ (width - 1)
		var value [8]byte
		le.PutUint64(value[:], uint64(int64(int32(le.Uint32(edits[4:])))))
		copy(b[at:min(at+width, len(b))], value[:])
		if edits[3] > 250 {
			b = b[:len(b)-int(edits[3]-250)]
		}
	}
	return b
}

// FuzzParse has the interpreter's own parser, under sanitizers, read edited
// programs, and compares its verdict with the rules in Go.
func FuzzParse(f *testing.F) {
	samples := [][]byte{encode(f, sampleProgram()), encode(f, samplePayload())}
	f.Add(uint8(0), []byte(nil))
	f.Add(uint8(1), []byte(nil))
	for at := 0; at < len(samples[1]); at += 4 {
		f.Add(uint8(1), []byte{byte(at), byte(at >> 8), 2, 0, byte(at), 0, 0, 0})
	}
	for _, v := range corpus(f) {
		if len(v.program) < 8<<10 { // the others would fill the fuzzer's memory, not its time
			f.Add(uint8(2), v.program)
		}
	}
	for _, b := range kept(f) {
		f.Add(uint8(2), b)
	}
	parser := startParser(f)
	f.Fuzz(func(t *testing.T, which uint8, edits []byte) {
		b := edits
		if which < 2 {
			b = edit(samples[which], edits)
		}
		if len(b) > 1<<20 {
			return
		}
		if got, want := parser.accepts(t, b), valid(b); got != want {
			t.Errorf("C says %v, Go says %v: %x", got, want, b)
		}
	})
}

// FuzzExitRecord: what is accepted comes out the same after it is written again, but for the text of
// memory.events, of which only the count matters.
func FuzzExitRecord(f *testing.F) {
	for _, r := range []ExitRecord{
		{Status: 7 << 8, OOMKnown: true}, {Status: unix.WaitStatus(unix.SIGKILL), OOMKilled: true, OOMKnown: true}, {Status: unix.WaitStatus(11 | 0x80)},
		{Status: unix.WaitStatus(unix.SIGKILL), ManagedOOM: true},
	} {
		f.Add(r.Encode())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseExitRecord(b)
		if err != nil {
			return
		}
		if len(b) != recordSize || r.OOMKilled && !r.OOMKnown {
			t.Fatalf("%d bytes: %+v", len(b), r)
		}
		again, err := ParseExitRecord(r.Encode())
		if err != nil || again != r {
			t.Fatalf("%+v, then %+v, %v", r, again, err)
		}
	})
}
