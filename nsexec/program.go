// SPDX-License-Identifier: Apache-2.0

package nsexec

import (
	"encoding/binary"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// A Reg is one of the interpreter's registers. It holds the result of an
// earlier step or a descriptor the parent sent. Registers live as long as the
// process, so a later program may use what an earlier one left behind: see
// [Next].
type Reg uint8

// Limits of the wire format, checked by the assembler and again by the parser.
const (
	MaxRegs     = 191
	MaxSteps    = 4096
	MaxData     = 512 << 10
	MaxReceived = 200 // the kernel passes at most 253 descriptors in a message
	maxRelocs   = 16384
	maxTolerate = 4
	maxPath     = 4096
	maxState    = 65536 // what a pipe holds without a reader
)

// Control is the register that always holds the process's own socket to the
// parent.
const Control Reg = 191

// An Arg is one argument of a step: [Imm], [Reg] or [Data].
type Arg interface {
	arg() (tag uint8, value uint64)
}

// Imm is an argument known when the program is compiled.
type Imm uint64

// Data is the address of bytes in the program's data section.
type Data struct{ off, len uint32 }

const (
	tagImm  = 0
	tagData = 1
	tagReg  = 2
)

func (i Imm) arg() (uint8, uint64)  { return tagImm, uint64(i) }
func (d Data) arg() (uint8, uint64) { return tagData, uint64(d.off) }
func (r Reg) arg() (uint8, uint64)  { return tagReg, uint64(r) }

// Sub is the address n bytes into d.
func (d Data) Sub(n int) Data { return Data{d.off + uint32(n), d.len - uint32(n)} }

// Op tells the interpreter what kind of step it has before it.
type Op uint8

// The kinds of step. Each is one function of nsexec.c.
const (
	OpCall   Op = iota // one system call
	OpStore            // write a register into the data section
	OpSync             // tell the parent, wait for its answer
	OpFork             // clone3; the child goes on with the next program
	OpSpawn            // run a hook and wait for it with a deadline
	OpMkPath           // make a mount point inside a root, by descriptor
	OpCheck            // verify a fact or die
	OpKeep             // stay as keeper of a child
	OpReap             // stay as a reaping pid 1; the child goes on
	OpEnd              // report; wait for the next program
)

// A Step is one line of a program.
type Step struct {
	Op   Op
	NR   uint32 // system call number, or the operand of a special step
	Args [6]Arg
	Dst  Reg // where the result goes, if Keeps
	// Keeps says that the result is stored in Dst.
	Keeps bool
	// Tolerated errnos do not end the program: it goes on Skip+1 steps further.
	Tolerated []unix.Errno
	Skip      uint16

	// Name is what the step belongs to, in the field's words: "mount proc on
	// /proc". Why is the reason it is here. Both are for people: errors and
	// explain use them, the interpreter never sees them.
	Name, Why string
	// Object is what the call works on, for the error message.
	Object string
}

// A Program is a flat list of kernel calls, with the data they point to.
//
// Methods that add a step never fail: the first mistake (a string with a NUL, too many
// steps) is remembered and returned by [Program.Encode].
type Program struct {
	name     string
	steps    []Step
	data     []byte
	relocs   []reloc
	firstReg Reg // the first of its own: where received descriptors go
	nextReg  Reg
	free     []Reg // closed: for the next result
	received []string
	at, why  string
	err      error
	encoded  []byte // what Encode made of it, until something is added
}

// A reloc says: the 8 bytes at Where are the address of Target.
type reloc struct{ Where, Target uint32 }

// New starts an empty program. The name ("spawn", "build", "enter") appears in
// errors and in explain.
func New(name string) *Program { return &Program{name: name} }

// Next starts the program that the same process runs after p: it may use every
// register p filled.
func Next(name string, p *Program) *Program {
	return &Program{name: name, firstReg: p.nextReg, nextReg: p.nextReg, free: slices.Clone(p.free)}
}

// Grow makes room for a long program.
func (p *Program) Grow(steps, data int) {
	p.steps, p.data = slices.Grow(p.steps, steps), slices.Grow(p.data, data)
}

// Name is the name given to [New].
func (p *Program) Name() string { return p.name }

// Steps is the program so far. The caller may change the steps.
func (p *Program) Steps() []Step {
	p.encoded = nil
	return p.steps
}

// Received names the descriptors the parent sends with the program, in order.
func (p *Program) Received() []string { return p.received }

// Receive declares one more descriptor that the parent sends with the program,
// and returns the register it arrives in. All calls come before the first step.
func (p *Program) Receive(what string) Reg {
	if len(p.steps) > 0 {
		p.fail("receive %q after the first step", what)
	}
	if len(p.received) >= MaxReceived {
		p.fail("more than %d descriptors", MaxReceived)
	}
	p.received = append(p.received, what)
	return p.freshReg() // one after the other, as they arrive
}

// At names the steps that follow, until the next At: what they do together and
// why. An ordering constraint belongs into an "// Order:" comment beside the
// call; why is one short clause for explain.
func (p *Program) At(name, why string) { p.at, p.why = name, why }

func (p *Program) fail(format string, a ...any) {
	if p.err == nil {
		p.err = fmt.Errorf("program "+p.name+": "+format, a...)
	}
}

func (p *Program) newReg() Reg {
	if n := len(p.free); n > 0 {
		r := p.free[n-1]
		p.free = p.free[:n-1]
		return r
	}
	return p.freshReg()
}

func (p *Program) freshReg() Reg {
	if p.nextReg >= MaxRegs {
		p.fail("more than %d registers", MaxRegs)
		return 0
	}
	p.nextReg++
	return p.nextReg - 1
}

func (p *Program) add(s Step) *Step {
	if len(p.steps) >= MaxSteps {
		p.fail("more than %d steps", MaxSteps)
		return &Step{}
	}
	s.Name, s.Why = p.at, p.why
	p.encoded = nil
	p.steps = append(p.steps, s)
	return &p.steps[len(p.steps)-1]
}

// Call adds one system call. object is what it works on, for people. The typed
// builders are for use outside this package: a planner that needs a new kernel
// call adds a builder.
func (p *Program) call(nr uintptr, object string, args ...Arg) *Step {
	s := Step{Op: OpCall, NR: uint32(nr), Object: object}
	copy(s.Args[:], args)
	return p.add(s)
}

// Keep stores the step's result in a new register.
func (p *Program) keep(s *Step) Reg {
	s.Dst, s.Keeps = p.newReg(), true
	return s.Dst
}

// Tolerate lets the program go on when the step fails with one of errs.
// Valid until the next step is added.
func (s *Step) Tolerate(errs ...unix.Errno) *Step { return s.OrSkip(0, errs...) }

// OrSkip lets the program go on n steps further when the step fails with one of
// errs: the steps between are for success only.
func (s *Step) OrSkip(n int, errs ...unix.Errno) *Step {
	s.Tolerated, s.Skip = errs, uint16(n)
	return s
}

// Jump goes on n steps further: the end of a branch that [Step.OrSkip] began. It
// is a call that always fails.
func (p *Program) Jump(n int) {
	p.call(unix.SYS_CLOSE, "", Imm(^uint64(0))).OrSkip(n, unix.EBADF)
}

// String puts a NUL-terminated string into the data section.
func (p *Program) String(s string) Data {
	for i := range len(s) {
		if s[i] == 0 {
			p.fail("%s: NUL byte in %q", p.at, s)
			break
		}
	}
	return p.Bytes(append([]byte(s), 0))
}

// Bytes puts b into the data section, aligned to 8 bytes.
func (p *Program) Bytes(b []byte) Data {
	for len(p.data)%8 != 0 {
		p.data = append(p.data, 0)
	}
	if len(p.data)+len(b) > MaxData {
		p.fail("more than %d bytes of data", MaxData)
		return Data{}
	}
	d := Data{uint32(len(p.data)), uint32(len(b))}
	p.data = append(p.data, b...)
	return d
}

// Words puts 64-bit integers into the data section: the shape of most kernel
// structures (open_how, mount_attr, clone_args).
func (p *Program) Words(w ...uint64) Data {
	b := make([]byte, 0, 8*len(w))
	for _, x := range w {
		b = binary.LittleEndian.AppendUint64(b, x)
	}
	return p.Bytes(b)
}

// Vector puts a NULL-terminated array of pointers to strings into the data
// section: argv, envp.
func (p *Program) Vector(list []string) Data {
	at := make([]Data, len(list))
	for i, s := range list {
		at[i] = p.String(s)
	}
	v := p.Words(make([]uint64, len(list)+1)...)
	for i, d := range at {
		p.point(v.Sub(8*i), d)
	}
	return v
}

// point makes the 8 bytes at where hold the address of target.
func (p *Program) point(where, target Data) {
	p.relocs = append(p.relocs, reloc{where.off, target.off})
}

// store adds the step that writes register r, as size bytes, to d at run time.
func (p *Program) store(r Reg, d Data, size int) {
	p.add(Step{Op: OpStore, NR: uint32(size), Args: [6]Arg{d, r}})
}
