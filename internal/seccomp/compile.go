// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Compile returns the filter of a profile for a kernel of the GOARCH arch
// ("amd64" or "arm64"): instructions of eight bytes each. It returns
//
//   - an [UnknownSyscallError] for each name that cannot be skipped safely, joined with what else is wrong
//   - [ErrTooLong] for a filter the kernel would not take
func Compile(s *specs.LinuxSeccomp, arch string) ([]byte, error) {
	p, err := parse(s, arch)
	if err != nil {
		return nil, err
	}
	a := &assembler{rets: map[uint32]label{}, tries: map[tried]label{}}
	entry := a.ret(unix.SECCOMP_RET_KILL_PROCESS)
	for _, sec := range slices.Backward(p.sections) {
		search := a.then(opLoad, offNR, a.search(p.intervals(sec)))
		entry = a.jump(opJEQ, sec.isa.audit, search, entry)
	}
	return a.bytes(a.then(opLoad, offArch, entry))
}

// profile is a checked [specs.LinuxSeccomp] for one kernel.
type profile struct {
	fallback uint32
	sections []*section
}

// section is what the profile says for one value of seccomp_data.arch.
type section struct {
	isa   isa
	rules []entered // by number, then by precedence
	last  uint32    // the highest number named, private ones aside
	named bool
	x32   *section // rules for numbers with the x32 bit, nil when not listed
}

// entered is a rule under one of its numbers.
type entered struct {
	nr uint32
	*rule
}

// rule is one of the profile's.
type rule struct {
	action uint32
	args   []specs.LinuxSeccompArg
}

// parse tells all that is wrong with a profile, joined, each with its place.
func parse(s *specs.LinuxSeccomp, arch string) (*profile, error) {
	isas, err := listed(s.Architectures, arch)
	errs := []error{err}
	p := &profile{}
	if p.fallback, err = actionValue(s.DefaultAction, s.DefaultErrnoRet); err != nil {
		errs = append(errs, fmt.Errorf("seccomp: defaultAction: %w", err))
	}
	_, err = Flags(s)
	errs = append(errs, err)
	var all []*section
	for _, m := range isas {
		sec := &section{isa: m, rules: make([]entered, 0, len(syscalls))}
		all = append(all, sec)
		if m.x32 {
			all[0].x32 = sec // the native one is first
		} else {
			p.sections = append(p.sections, sec)
		}
	}
	for i := range s.Syscalls {
		errs = append(errs, p.add(all, i, &s.Syscalls[i])...)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for _, sec := range all {
		slices.SortStableFunc(sec.rules, byPrecedence)
	}
	return p, nil
}

// listed returns the instruction sets of arch that the profile names, the native
// one always and first. Those this kernel cannot run need no rule.
func listed(names []specs.Arch, arch string) ([]isa, error) {
	all := machines(arch)
	if all == nil {
		return nil, fmt.Errorf("seccomp: architecture %q is not supported (want amd64 or arm64)", arch)
	}
	var errs []error
	for i, name := range names {
		if !slices.Contains(foreign[:], name) && !slices.ContainsFunc(known[:], func(m isa) bool { return m.oci == name }) {
			errs = append(errs, fmt.Errorf("seccomp: architectures[%d]: %q is not known (want SCMP_ARCH_X86_64, SCMP_ARCH_AARCH64 and so on)", i, name))
		}
	}
	return slices.DeleteFunc(all, func(m isa) bool {
		return m.oci != all[0].oci && !slices.Contains(names, m.oci)
	}), errors.Join(errs...)
}

var known = [...]isa{isaAMD64, isaX32, isa386, isaARM64, isaARM}

// foreign are the architectures sdcontainer does not run on.
var foreign = [...]specs.Arch{specs.ArchMIPS, specs.ArchMIPS64, specs.ArchMIPS64N32, specs.ArchMIPSEL,
	specs.ArchMIPSEL64, specs.ArchMIPSEL64N32, specs.ArchPPC, specs.ArchPPC64, specs.ArchPPC64LE, specs.ArchS390,
	specs.ArchS390X, specs.ArchPARISC, specs.ArchPARISC64, specs.ArchRISCV64, specs.ArchLOONGARCH64, specs.ArchM68K,
	specs.ArchSH, specs.ArchSHEB}

// add enters a rule of the profile, the one of that index, under all its names.
func (p *profile) add(all []*section, i int, s *specs.LinuxSyscall) (errs []error) {
	bad := func(field string, err error) {
		errs = append(errs, fmt.Errorf("seccomp: syscalls[%d]%s: %w", i, field, err))
	}
	action, err := actionValue(s.Action, s.ErrnoRet)
	if err != nil {
		bad("", err)
	}
	if len(s.Names) == 0 {
		bad(".names", errors.New("at least one is needed"))
	}
	for j := range s.Args {
		for _, err := range checkArg(&s.Args[j]) {
			bad(fmt.Sprintf(".args[%d]", j), err)
		}
	}
	// Skipped, a call gets the default action, or ENOSYS.
	weaker := err == nil && strictness(action) < strictness(p.fallback) && !refuses(p.fallback)
	r := &rule{action: action, args: s.Args}
	for j, name := range s.Names {
		e, ok := find(name)
		if !ok && weaker {
			bad(fmt.Sprintf(".names[%d]", j), &UnknownSyscallError{Name: name, Action: s.Action})
		}
		if !ok {
			continue
		}
		for _, sec := range all {
			sec.add(e, r)
		}
	}
	return errs
}

func (sec *section) add(e *entry, r *rule) {
	nr, ok := sec.isa.number(e)
	if !ok {
		return
	}
	if nr < privateBase {
		sec.last, sec.named = max(sec.last, nr), true
	}
	sec.rules = append(sec.rules, entered{nr, r})
}

func checkArg(a *specs.LinuxSeccompArg) (errs []error) {
	if a.Index > 5 {
		errs = append(errs, fmt.Errorf("index %d: a system call has arguments 0 to 5", a.Index))
	}
	switch a.Op {
	case specs.OpEqualTo, specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpGreaterEqual, specs.OpGreaterThan:
	case specs.OpMaskedEqual:
		if a.ValueTwo&^a.Value != 0 {
			errs = append(errs, fmt.Errorf("valueTwo %#x has bits outside the mask %#x (value): it would never match", a.ValueTwo, a.Value))
		}
	default:
		errs = append(errs, fmt.Errorf("op %q is not known (want SCMP_CMP_EQ, NE, LT, LE, GE, GT or MASKED_EQ)", a.Op))
	}
	return errs
}

// byPrecedence puts, for each number, the rule that wins first.
func byPrecedence(a, b entered) int {
	switch {
	case a.nr != b.nr:
		return cmp.Compare(a.nr, b.nr)
	case len(a.args) > 0 && len(b.args) == 0:
		return -1
	case len(a.args) == 0 && len(b.args) > 0:
		return 1
	}
	return cmp.Compare(strictness(a.action), strictness(b.action))
}

// interval is a run of numbers, up to the next interval, with the same outcome:
// rules to try in order, then action.
type interval struct {
	start  uint32
	rules  []entered
	action uint32
}

// intervals covers all numbers of a section.
func (p *profile) intervals(sec *section) []interval {
	out := p.runs(nil, sec, 0)
	if sec.isa.column != colAMD64 {
		return out
	}
	if sec.x32 == nil {
		return append(out, interval{start: x32Bit, action: enosys})
	}
	return p.runs(out, sec.x32, x32Bit)
}

// runs appends the intervals of sec, whose numbers begin at base.
func (p *profile) runs(out []interval, sec *section, base uint32) []interval {
	next := uint32(0) // the first number not yet covered
	for rest := sec.rules; len(rest) > 0; {
		nr, n := rest[0].nr, 1
		for n < len(rest) && rest[n].nr == nr {
			n++
		}
		if nr > next {
			out = p.gap(out, sec, next, base)
		}
		out = extend(out, p.outcome(rest[:n], base+nr))
		next, rest = nr+1, rest[n:]
	}
	return p.gap(out, sec, next, base)
}

// gap covers the numbers from nr on that no rule names.
func (p *profile) gap(out []interval, sec *section, nr, base uint32) []interval {
	if !sec.named || !refuses(p.fallback) {
		return extend(out, interval{start: base + nr, action: p.fallback})
	}
	if nr > sec.last {
		return extend(out, interval{start: base + nr, action: enosys})
	}
	return extend(out, interval{start: base + nr, action: p.fallback})
}

// outcome drops the rules that cannot be reached.
func (p *profile) outcome(rules []entered, nr uint32) interval {
	for i, r := range rules {
		if len(r.args) == 0 {
			return interval{start: nr, rules: rules[:i], action: r.action}
		}
	}
	return interval{start: nr, rules: rules, action: p.fallback}
}

// extend appends i unless it only continues the last interval.
func extend(out []interval, i interval) []interval {
	if n := len(out); n > 0 && len(i.rules) == 0 && len(out[n-1].rules) == 0 && out[n-1].action == i.action {
		return out
	}
	return append(out, i)
}

// search writes the binary search for the number in the accumulator.
func (a *assembler) search(in []interval) label {
	if len(in) == 1 {
		return a.try(in[0].rules, in[0].action)
	}
	mid := len(in) / 2
	above := a.search(in[mid:])
	below := a.search(in[:mid])
	return a.jump(opJGE, in[mid].start, above, below)
}

// try writes rules, the first match of which decides, then action.
func (a *assembler) try(rules []entered, action uint32) label {
	l := a.ret(action)
	for _, r := range slices.Backward(rules) {
		key := tried{r.rule, l}
		if done, ok := a.tries[key]; ok {
			l = done
			continue
		}
		yes, no := a.ret(r.action), l
		for i := range slices.Backward(r.args) {
			yes = a.condition(&r.args[i], yes, no)
		}
		l, a.tries[key] = yes, yes
	}
	return l
}

// tried is a rule and where its failure leads: written once for all its names.
type tried struct {
	*rule
	no label
}

// condition writes one 64-bit comparison, as two of 32 bits.
func (a *assembler) condition(c *specs.LinuxSeccompArg, yes, no label) label {
	low := uint32(offArgs + 8*c.Index) // both machines are little-endian
	high := low + 4
	vl, vh := uint32(c.Value), uint32(c.Value>>32)
	switch c.Op {
	case specs.OpNotEqual:
		return a.equal(low, high, vl, vh, no, yes)
	case specs.OpGreaterEqual:
		return a.greater(opJGE, low, high, vl, vh, yes, no)
	case specs.OpGreaterThan:
		return a.greater(opJGT, low, high, vl, vh, yes, no)
	case specs.OpLessThan:
		return a.greater(opJGE, low, high, vl, vh, no, yes)
	case specs.OpLessEqual:
		return a.greater(opJGT, low, high, vl, vh, no, yes)
	case specs.OpMaskedEqual:
		l := a.masked(low, vl, uint32(c.ValueTwo), yes, no)
		return a.masked(high, vh, uint32(c.ValueTwo>>32), l, no)
	}
	return a.equal(low, high, vl, vh, yes, no)
}

func (a *assembler) equal(low, high, vl, vh uint32, yes, no label) label {
	l := a.then(opLoad, low, a.jump(opJEQ, vl, yes, no))
	return a.then(opLoad, high, a.jump(opJEQ, vh, l, no))
}

// greater compares the high words, and the low ones when those are equal.
func (a *assembler) greater(op uint16, low, high, vl, vh uint32, yes, no label) label {
	l := a.then(opLoad, low, a.jump(op, vl, yes, no))
	l = a.jump(opJEQ, vh, l, no)
	return a.then(opLoad, high, a.jump(opJGT, vh, yes, l))
}

func (a *assembler) masked(off, mask, value uint32, yes, no label) label {
	if mask == 0 {
		return yes
	}
	return a.then(opLoad, off, a.then(opAnd, mask, a.jump(opJEQ, value, yes, no)))
}
