// SPDX-License-Identifier: Apache-2.0

package nsexec

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

var corpusDir = flag.String("corpus", "", "`directory` for the programs of the parser's tests: seeds of the C fuzzer")

// A verdict is a program and what the parser says of it.
type verdict struct {
	name    string
	program []byte
	ok      bool
}

// corpus takes every branch of the parser: TestParserCoverage sees to that.
func corpus(t testing.TB) []verdict {
	return slices.Concat([]verdict{
		{"sample", encode(t, sampleProgram()), true},
		{"payload", encode(t, samplePayload()), true},
	}, limits(t), refusals(t), headers(t), steps(t))
}

// J1: among them sizes, counts and offsets of which 16 or 32 bits are in range.
func TestJ1ParserCorpus(t *testing.T) {
	parser := startParser(t)
	for _, v := range corpus(t) {
		if got := parser.accepts(t, v.program); got != v.ok {
			t.Errorf("%s: %v, want %v", v.name, got, v.ok)
		}
		if got := valid(v.program); got != v.ok {
			t.Errorf("%s: the rules in Go say %v, want %v", v.name, got, v.ok)
		}
	}
}

// kept is what the C fuzzer found to be new on its way: one program a line, compressed.
func kept(t testing.TB) [][]byte {
	text, err := os.ReadFile("testdata/parser.corpus")
	if err != nil {
		t.Fatal(err)
	}
	var all [][]byte
	for line := range strings.Lines(string(text)) {
		packed := base64.NewDecoder(base64.StdEncoding, strings.NewReader(strings.TrimSpace(line)))
		b, err := io.ReadAll(flate.NewReader(packed))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	return all
}

func TestParserKeptCorpus(t *testing.T) {
	parser := startParser(t)
	accepted := 0
	all := kept(t)
	for _, b := range all {
		got := parser.accepts(t, b)
		if want := valid(b); got != want {
			t.Errorf("C says %v, Go says %v: %x", got, want, b)
		}
		if got {
			accepted++
		}
	}
	if accepted == 0 || accepted == len(all) {
		t.Errorf("%d of %d programs accepted: the corpus has one side only", accepted, len(all))
	}
}

// TestWriteCorpus is what -corpus is for.
func TestWriteCorpus(t *testing.T) {
	if *corpusDir == "" {
		return
	}
	if err := os.MkdirAll(*corpusDir, 0o755); err != nil {
		t.Fatal(err)
	}
	var programs [][]byte
	for _, v := range corpus(t) {
		programs = append(programs, v.program)
	}
	for i, b := range append(programs, kept(t)...) {
		if err := os.WriteFile(filepath.Join(*corpusDir, fmt.Sprintf("seed-%03d", i)), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// resize makes a program consistent in itself with more addresses, and more data or less
// of it, be it more than there is room for in the interpreter.
func resize(b []byte, relocs, data int) []byte {
	steps := headerSize + int(le.Uint32(b[12:]))*stepSize
	b = slices.Concat(b[:steps], make([]byte, relocs*relocSize), b[steps:len(b)+min(data, 0)], make([]byte, max(data, 0)))
	le.PutUint32(b[8:], uint32(len(b)))
	le.PutUint32(b[16:], le.Uint32(b[16:])+uint32(relocs))
	le.PutUint32(b[20:], le.Uint32(b[20:])+uint32(data))
	return b
}

func smallest(t testing.TB) []byte {
	p := New("small")
	p.End()
	return encode(t, p)
}

// hook runs one with so many bytes of state; the data has room for more than is allowed.
func hook(t testing.TB, state int) []byte {
	p := New("hook")
	p.Spawn("/h", nil, nil, make([]byte, maxState), 0)
	p.End()
	b := resize(encode(t, p), 0, 1024)
	le.PutUint64(b[headerSize+24+8:], uint64(state))
	return b
}

func long(t testing.TB, n int) []byte {
	p := New("steps")
	for range MaxSteps - 1 {
		p.Umask(0)
	}
	p.End()
	b := encode(t, p)
	b = slices.Concat(b[:headerSize], bytes.Repeat(b[headerSize:headerSize+stepSize], n-MaxSteps), b[headerSize:])
	le.PutUint32(b[8:], uint32(len(b)))
	le.PutUint32(b[12:], uint32(n))
	return b
}

func limits(t testing.TB) []verdict {
	small := smallest(t)
	have := int(le.Uint32(small[20:]))
	return []verdict{
		{"all data", resize(small, 0, MaxData-have), true},
		{"more data", resize(small, 0, MaxData-have+8), false},
		{"least data", resize(small, 0, 8-have), true},
		{"less data", resize(small, 0, 7-have), false},
		{"all relocs", resize(small, maxRelocs, 0), true},
		{"more relocs", resize(small, maxRelocs+1, 0), false},
		{"whole state", hook(t, maxState), true},
		{"larger state", hook(t, maxState+1), false},
		{"state of 2^32", hook(t, 1<<32), false},
		{"all steps", long(t, MaxSteps), true},
		{"more steps", long(t, MaxSteps+1), false},
	}
}

// refusals are programs with one byte changed, one for each thing only the parser checks.
func refusals(t testing.TB) []verdict {
	good := encode(t, samplePayload())
	count := int(le.Uint32(good[12:]))
	step := func(op Op) int { // offset of the first step of this kind
		for i := range count {
			if at := headerSize + i*stepSize; good[at] == byte(op) {
				return at
			}
		}
		t.Fatalf("no %s in the sample", opNames[op])
		return 0
	}
	last := headerSize + (count-1)*stepSize
	var all []verdict
	for _, c := range []struct {
		name string
		at   int
		v    byte
	}{
		{"magic", 0, 'x'},
		{"unknown op", headerSize, byte(OpEnd) + 1},
		{"result in the control register", headerSize + 1, byte(Control)},
		{"register out of range", step(OpMkPath) + 24, 192},
		{"register where data must be", step(OpMkPath) + 9, tagReg},
		{"unused argument", step(OpReap) + 24, 1},
		{"padding", headerSize + 14, 1},
		{"more padding", headerSize + 15, 1},
		{"skip without an errno", headerSize + 2, 1},
		{"system call number", step(OpCall) + 6, 1},
		{"unknown check", step(OpCheck) + 4, 2},
		{"last step", last, byte(OpReap)},
		{"end in the middle", step(OpReap), byte(OpEnd)},
		{"first register", 28, 191},
		{"number of steps", 12, byte(count + 1)},
		{"end of the data", len(good) - 1, 1},
	} {
		b := bytes.Clone(good)
		if b[c.at] == c.v {
			t.Fatalf("%s: the sample has that value", c.name)
		}
		b[c.at] = c.v
		all = append(all, verdict{c.name, b, false})
	}
	return all
}

// headers are what is wrong or at its limit outside of the steps.
func headers(t testing.TB) []verdict {
	small := smallest(t)
	data := le.Uint32(small[20:])
	set := func(at int, v uint32) []byte {
		b := bytes.Clone(small)
		le.PutUint32(b[at:], v)
		return b
	}
	point := func(where, target uint32) []byte {
		b := resize(small, 1, 0)
		at := headerSize + stepSize
		le.PutUint32(b[at:], where)
		le.PutUint32(b[at+4:], target)
		return b
	}
	bare := slices.Concat(small[:headerSize], make([]byte, data)) // no step at all
	le.PutUint32(bare[8:], uint32(len(bare)))
	le.PutUint32(bare[12:], 0)
	return []verdict{
		{"nothing", nil, false},
		{"a short header", small[:headerSize-1], false},
		{"size", set(8, uint32(len(small)+1)), false},
		{"steps that wrap", set(12, 1<<26+1), false},
		{"relocs that wrap", set(16, 1<<29), false},
		{"data that wraps", set(20, data+1<<16), false},
		{"data below zero", set(20, 1<<32-8), false},
		{"size that wraps", set(8, uint32(len(small)+1<<16)), false},
		{"no step", bare, false},
		{"every register received", set(24, MaxRegs), true},
		{"a register too many received", set(24, MaxRegs+1), false},
		{"first register past the last", set(28, MaxRegs+1), false},
		{"last address", point(data-8, data-1), true},
		{"an address past the end", point(data-7, 0), false},
		{"an address unaligned", point(4, 0), false},
		{"an address of nothing", point(0, data), false},
	}
}

// steps are one step each, then an end.
func steps(t testing.TB) []verdict {
	build := func(nr uint32, last wireStep, edit func(*wireStep)) []byte {
		small := resize(smallest(t), 0, 256)
		s := wireStep{Op: uint8(OpCall), Dst: noDst, NR: nr}
		edit(&s)
		b := put(bytes.Clone(small[:headerSize]), s)
		b = put(b, last)
		b = append(b, small[headerSize+stepSize:]...)
		le.PutUint32(b[8:], uint32(len(b)))
		le.PutUint32(b[12:], 2)
		return b
	}
	end := wireStep{Op: uint8(OpEnd), Dst: noDst}
	call := func(nr uint32) wireStep { return wireStep{Op: uint8(OpCall), Dst: noDst, NR: nr} }
	room := uint64(le.Uint32(resize(smallest(t), 0, 256)[20:]))
	data := func(op Op, at uint64) func(*wireStep) {
		return func(s *wireStep) { s.Op, s.Tag, s.Arg = uint8(op), [6]uint8{tagData, tagReg}, [6]uint64{at} }
	}
	tolerate := func(skip uint16) func(*wireStep) {
		return func(s *wireStep) { s.Tolerated[0], s.Skip = uint16(unix.EPERM), skip }
	}
	argument := func(tag uint8, v uint64) func(*wireStep) {
		return func(s *wireStep) { s.Tag[5], s.Arg[5] = tag, v }
	}
	return []verdict{
		{"store at the end", build(8, end, data(OpStore, room-8)), true},
		{"store that wraps", build(8, end, data(OpStore, 1<<64-8)), false},
		{"store at 2^32", build(8, end, data(OpStore, 1<<32)), false},
		{"store past the end", build(8, end, data(OpStore, room-7)), false},
		{"store of nothing", build(0, end, data(OpStore, room-1)), true},
		{"fork at the end", build(0, end, data(OpFork, room-88)), true},
		{"fork past the end", build(0, end, data(OpFork, room-87)), false},
		{"tolerated", build(1, end, tolerate(0)), true},
		{"skip past the last", build(1, end, tolerate(1)), false},
		{"the last register", build(1, end, argument(tagReg, uint64(Control))), true},
		{"a register past it", build(1, end, argument(tagReg, uint64(Control)+1)), false},
		{"the last data", build(1, end, argument(tagData, room-1)), true},
		{"data past 2^16", build(1, end, argument(tagData, 1<<16)), false},
		{"data at 2^32", build(1, end, argument(tagData, 1<<32)), false},
		{"a register at 2^32", build(1, end, argument(tagReg, 1<<32)), false},
		{"data past it", build(1, end, argument(tagData, room)), false},
		{"an unknown tag", build(1, end, argument(tagReg+1, 0)), false},
		{"a tag without an argument", build(0, end, func(s *wireStep) { s.Op, s.Tag[0] = uint8(OpReap), tagReg }), false},
		{"result in the last register", build(1, end, func(s *wireStep) { s.Dst = uint8(MaxRegs - 1) }), true},
		{"ends in execve", build(1, call(unix.SYS_EXECVE), func(*wireStep) {}), true},
		{"ends in execveat", build(1, call(unix.SYS_EXECVEAT), func(*wireStep) {}), true},
		{"ends in another call", build(1, call(unix.SYS_EXECVEAT+1), func(*wireStep) {}), false},
	}
}
