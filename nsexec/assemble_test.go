// SPDX-License-Identifier: Apache-2.0

package nsexec

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// assembler builds a program from bytes: each two are a builder and its operand.
type assembler struct {
	*Program
	regs []Reg
}

func (a *assembler) reg(v byte) Reg {
	if len(a.regs) == 0 {
		return Control
	}
	return a.regs[int(v)%len(a.regs)]
}

func (a *assembler) step(op, v byte, s string) {
	p, r := a.Program, a.reg(v)
	keep := func(r Reg) { a.regs = append(a.regs, r) }
	for i, build := range []func(){
		func() { keep(p.Receive(s)) },
		func() { keep(p.OpenInRoot(r, s, int(v))) },
		func() { keep(p.MkPath(r, s, Kind(v%2), uint32(v))) },
		func() { keep(p.Fsopen(s)) },
		func() { p.FsconfigString(r, s, s).Tolerate(unix.EINVAL) },
		func() { p.Close(r) },
		func() { p.Umask(uint32(v)); p.Steps()[len(p.Steps())-1].OrSkip(int(v), unix.EPERM) },
		func() { p.Jump(int(v)) },
		func() { p.Sync(r, uint32(v), NoReg) },
		func() { keep(p.SyncReceive(r, uint32(v))) },
		func() { keep(p.Fork(r, CloneArgs{Namespaces: uint64(v) << 24, Cgroup: NoReg})) },
		func() { keep(p.Fork(r, CloneArgs{Cgroup: r})) },
		func() { p.Spawn(s, []string{s}, nil, []byte(s), time.Duration(int8(v))*time.Duration(1)<<46) },
		func() { p.Keep(Keeper{Child: r, Record: r, Cgroup: NoReg, Cleanup: r, Argv: []string{s, s}}) },
		func() { p.CheckCwd() },
		func() { p.CheckNode(r, s, unix.S_IFCHR, uint64(v)) },
		func() { p.Reap() },
		func() { p.Dup3(r, int(v)) },
		func() { p.Seccomp([]byte(s), uint64(v)) },
		func() { p.Exec(s, []string{s}, []string{s}) },
		func() { p.End() },
		func() { keep(Reg(v)) }, // one that nobody filled
		func() { master, slave := p.OpenPty(r); keep(master); keep(slave) },
		func() { p.Setgroups(make([]uint32, v)) },
		func() { p.Bytes(make([]byte, int(v)<<11)) },
	} {
		if i == int(op)%25 {
			build()
		}
	}
}

// FuzzAssemble: what the assembler encodes is what the interpreter accepts.
func FuzzAssemble(f *testing.F) {
	f.Add([]byte{0, 1, 2, 0, 20, 0}, "/proc")
	f.Add([]byte{0, 0, 10, 6, 9, 0, 13, 0}, "x")
	f.Add([]byte{6, 1, 20, 0}, "") // skips more than there is
	f.Add([]byte{3, 0, 7, 1, 12, 1, 19, 0}, "a b")
	f.Add([]byte{24, 255, 24, 255, 16, 0, 20, 0}, "")
	f.Add([]byte{17, 3, 11, 0, 21, 255, 1, 2, 18, 0, 14, 0, 15, 0, 22, 0, 23, 9, 20, 0}, "\x00")
	parser := startParser(f)
	f.Fuzz(func(t *testing.T, ops []byte, s string) {
		a := &assembler{Program: New("fuzzed")}
		for ; len(ops) >= 2; ops = ops[2:] {
			a.step(ops[0], ops[1], s)
		}
		b, err := a.Encode()
		if err != nil {
			return // refused by name, before anything is begun
		}
		if !parser.accepts(t, b) || !valid(b) {
			t.Errorf("assembled, but the interpreter refuses it: %x", b)
		}
		a.Explain()
	})
}
