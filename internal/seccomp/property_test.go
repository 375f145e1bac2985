// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// evaluate says what a profile means, straight from its rules: what Compile must agree with.
func evaluate(s *specs.LinuxSeccomp, arch string, d *data) uint32 {
	m, own := enteredBy(s, arch, d)
	if !own {
		if m.x32 {
			return denied(unix.ENOSYS)
		}
		return unix.SECCOMP_RET_KILL_PROCESS
	}
	fallback, _ := actionValue(s.DefaultAction, s.DefaultErrnoRet)
	nr := d.nr
	if m.x32 {
		nr -= x32Bit
	}
	highest := int64(-1)
	var best, bestPlain *uint32
	for i := range s.Syscalls {
		r := &s.Syscalls[i]
		action, _ := actionValue(r.Action, r.ErrnoRet)
		for _, name := range r.Names {
			e, ok := find(name)
			if !ok {
				continue
			}
			n, ok := m.number(e)
			if !ok {
				continue
			}
			if n < privateBase {
				highest = max(highest, int64(n))
			}
			if n != nr || slices.ContainsFunc(r.Args, func(a specs.LinuxSeccompArg) bool { return !holds(a, d) }) {
				continue
			}
			slot := &best
			if len(r.Args) == 0 {
				slot = &bestPlain
			}
			if *slot == nil || int32(action&unix.SECCOMP_RET_ACTION_FULL) < int32(**slot&unix.SECCOMP_RET_ACTION_FULL) {
				*slot = &action
			}
		}
	}
	switch {
	case best != nil:
		return *best
	case bestPlain != nil:
		return *bestPlain
	case mentioned(s, m, nr):
		return fallback
	case highest >= 0 && int64(nr) > highest && int32(fallback&unix.SECCOMP_RET_ACTION_FULL) <= unix.SECCOMP_RET_ERRNO:
		return denied(unix.ENOSYS)
	}
	return fallback
}

// mentioned says whether any rule names number nr of m.
func mentioned(s *specs.LinuxSeccomp, m isa, nr uint32) bool {
	for _, r := range s.Syscalls {
		for _, name := range r.Names {
			if e, ok := find(name); ok {
				if n, ok := m.number(e); ok && n == nr {
					return true
				}
			}
		}
	}
	return false
}

// enteredBy is the instruction set a call came by, and whether the profile lists it.
func enteredBy(s *specs.LinuxSeccomp, arch string, d *data) (isa, bool) {
	for _, m := range known {
		x32 := d.arch == isaAMD64.audit && d.nr >= x32Bit
		if m.audit != d.arch || m.x32 != x32 || !slices.Contains(machines(arch), m) {
			continue
		}
		return m, m == machines(arch)[0] || slices.Contains(s.Architectures, m.oci)
	}
	return isa{}, false
}

func holds(a specs.LinuxSeccompArg, d *data) bool {
	v := d.args[a.Index]
	switch a.Op {
	case specs.OpEqualTo:
		return v == a.Value
	case specs.OpNotEqual:
		return v != a.Value
	case specs.OpLessThan:
		return v < a.Value
	case specs.OpLessEqual:
		return v <= a.Value
	case specs.OpGreaterEqual:
		return v >= a.Value
	case specs.OpGreaterThan:
		return v > a.Value
	}
	return v&a.Value == a.ValueTwo
}

// edges are the values comparisons go wrong at.
var edges = []uint64{0, 1, 2, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff, 0x100000000, 0x100000001,
	0x7fffffffffffffff, 0x8000000000000000, 0xffffffff00000000, 0xffffffffffffffff}

var (
	actions = []specs.LinuxSeccompAction{specs.ActAllow, specs.ActErrno, specs.ActKill, specs.ActKillProcess,
		specs.ActKillThread, specs.ActTrap, specs.ActTrace, specs.ActLog}
	operators = []specs.LinuxSeccompOperator{specs.OpEqualTo, specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual,
		specs.OpGreaterEqual, specs.OpGreaterThan, specs.OpMaskedEqual}
)

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

func value(r *rand.Rand) uint64 {
	if r.IntN(3) == 0 {
		return r.Uint64() >> r.IntN(64)
	}
	return pick(r, edges) + uint64(r.IntN(3)) - 1
}

func randomErrno(r *rand.Rand, a specs.LinuxSeccompAction) *uint {
	if (a == specs.ActErrno || a == specs.ActTrace) && r.IntN(2) == 0 {
		return errno(unix.Errno(r.IntN(maxErrno + 1)))
	}
	return nil
}

func randomProfile(r *rand.Rand) *specs.LinuxSeccomp {
	s := &specs.LinuxSeccomp{DefaultAction: pick(r, actions)}
	s.DefaultErrnoRet = randomErrno(r, s.DefaultAction)
	for _, a := range []specs.Arch{specs.ArchX86, specs.ArchX32, specs.ArchARM, specs.ArchX86_64, specs.ArchMIPS} {
		if r.IntN(2) == 0 {
			s.Architectures = append(s.Architectures, a)
		}
	}
	for range r.IntN(60) {
		rule := specs.LinuxSyscall{Action: pick(r, actions)}
		rule.ErrnoRet = randomErrno(r, rule.Action)
		for range 1 + r.IntN(4) {
			// Few names, so that rules meet.
			rule.Names = append(rule.Names, syscalls[r.IntN(len(syscalls))>>r.IntN(5)].name)
		}
		for range r.IntN(5) {
			a := specs.LinuxSeccompArg{Index: uint(r.IntN(6) >> r.IntN(3)), Op: pick(r, operators), Value: value(r)}
			if a.Op == specs.OpMaskedEqual {
				a.ValueTwo = a.Value & value(r)
			}
			rule.Args = append(rule.Args, a)
		}
		s.Syscalls = append(s.Syscalls, rule)
	}
	return s
}

// randomCall makes a call that the profile has something to say about.
func randomCall(r *rand.Rand, s *specs.LinuxSeccomp) data {
	m := pick(r, known[:])
	d := data{arch: m.audit, nr: uint32(r.IntN(500))}
	if r.IntN(20) == 0 {
		d.arch = r.Uint32()
	}
	for i := range d.args {
		d.args[i] = value(r)
	}
	if len(s.Syscalls) > 0 && r.IntN(10) > 0 {
		rule := pick(r, s.Syscalls)
		if e, ok := find(pick(r, rule.Names)); ok {
			if nr, ok := m.number(e); ok {
				d.nr = nr + uint32(pick(r, []int{0, 0, 0, 0, 1, -1}))
			}
		}
		for _, a := range rule.Args {
			d.args[a.Index] = pick(r, []uint64{a.Value, a.ValueTwo, a.ValueTwo | ^a.Value, a.Value | 1<<40}) +
				uint64(pick(r, []int{0, 0, 0, 1, -1}))
		}
	}
	if m.x32 || r.IntN(30) == 0 {
		d.nr |= x32Bit
	}
	return d
}

// TestD3Meaning is row D3: the filter does what the rules say, on two million random calls (see Unraced).
func TestD3Meaning(t *testing.T) {
	profiles, calls := sdtest.Unraced(2000), 1000
	r := rand.New(rand.NewPCG(1, 2))
	seen := map[uint32]int{}
	tooLong := 0
	for range profiles {
		s := randomProfile(r)
		arch := pick(r, []string{"amd64", "arm64"})
		filter, err := Compile(s, arch)
		if errors.Is(err, ErrTooLong) {
			tooLong++
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		code := decode(filter)
		for range calls {
			d := randomCall(r, s)
			got, want := run(t, code, d), evaluate(s, arch, &d)
			if got != want {
				t.Fatalf("%s %+v: filter says %s, profile %s\n%+v\n%s", arch, d, actionName(got), actionName(want), s, disassemble(filter))
			}
			seen[got&unix.SECCOMP_RET_ACTION_FULL]++
		}
	}
	if tooLong > profiles/20 {
		t.Errorf("%d of %d profiles did not fit", tooLong, profiles)
	}
	for _, a := range actions {
		v, _ := actionValue(a, nil)
		if seen[v&unix.SECCOMP_RET_ACTION_FULL] < profiles {
			t.Errorf("action %s came out %d times only: the test does not reach it", a, seen[v&unix.SECCOMP_RET_ACTION_FULL])
		}
	}
}

func FuzzCompile(f *testing.F) {
	f.Add(uint64(1), uint64(2), "read", uint64(3), uint64(3), "SCMP_CMP_EQ")
	f.Fuzz(func(t *testing.T, seed1, seed2 uint64, name string, v1, v2 uint64, op string) {
		r := rand.New(rand.NewPCG(seed1, seed2))
		s := randomProfile(r)
		s.Syscalls = append(s.Syscalls, specs.LinuxSyscall{Names: []string{name}, Action: pick(r, actions),
			Args: []specs.LinuxSeccompArg{{Index: uint(r.IntN(8)), Op: specs.LinuxSeccompOperator(op), Value: v1, ValueTwo: v2}}})
		filter, err := Compile(s, "amd64")
		if err != nil {
			return // refused: nothing to compare
		}
		code := decode(filter)
		for range 50 {
			d := randomCall(r, s)
			if got, want := run(t, code, d), evaluate(s, "amd64", &d); got != want {
				t.Fatalf("%+v: filter says %s, profile %s", d, actionName(got), actionName(want))
			}
		}
	})
}

// TestLongJumps has conditions enough to put targets out of reach of one byte.
func TestLongJumps(t *testing.T) {
	s := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno}
	for i := range uint64(120) {
		s.Syscalls = append(s.Syscalls, allow("ioctl", specs.LinuxSeccompArg{Index: 1, Op: specs.OpEqualTo, Value: i * 3}),
			allow("prctl", specs.LinuxSeccompArg{Index: 0, Op: specs.OpEqualTo, Value: i * 5}))
	}
	filter, err := Compile(s, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	code := decode(filter)
	if len(code) < 900 {
		t.Fatalf("%d instructions: too few to test anything", len(code))
	}
	for v := range uint64(700) {
		for _, d := range []data{{nr: nr("ioctl"), args: [6]uint64{0, v}}, {nr: nr("prctl"), args: [6]uint64{v}}} {
			d.arch = isaAMD64.audit
			if got, want := run(t, code, d), evaluate(s, "amd64", &d); got != want {
				t.Errorf("%+v: %s, want %s", d, actionName(got), actionName(want))
			}
		}
	}
}

func TestD8TooLong(t *testing.T) {
	s := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno}
	for i := range uint64(1100) {
		s.Syscalls = append(s.Syscalls, allow("ioctl", specs.LinuxSeccompArg{Index: 1, Op: specs.OpEqualTo, Value: i}))
	}
	if _, err := Compile(s, "amd64"); !errors.Is(err, ErrTooLong) {
		t.Fatalf("%v, want ErrTooLong", err)
	}
}
