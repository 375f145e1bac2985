// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest/golden"
)

// TestDefaultGolden keeps the built-in filter, instruction by instruction, and
// what it does in words.
func TestDefaultGolden(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64"} {
		t.Run(arch, func(t *testing.T) {
			s := Default(nil, true)
			filter, err := Compile(s, arch)
			if err != nil {
				t.Fatal(err)
			}
			golden.Check(t, "testdata/default-"+arch+".golden", summary(t, s, arch, filter)+"\n"+disassemble(filter))
		})
	}
}

// byArgument are the names Default decides by argument or by hand.
var byArgument = []string{"ioctl", "personality", "clone", "clone3", "unshare", "socket", "socketpair"}

// TestDefaultComplete fails when a new table brings names nobody has decided on.
func TestDefaultComplete(t *testing.T) {
	count := map[string]int{}
	groups := [][]string{always[:], tracing[:], never[:], gone[:], byArgument}
	for _, c := range byCapability {
		groups = append(groups, c.names)
	}
	for _, g := range groups {
		for _, name := range g {
			count[name]++
			if _, ok := find(name); !ok {
				t.Errorf("%s: not a system call", name)
			}
		}
	}
	for _, e := range syscalls {
		if e.nr[colAMD64] < 0 && e.nr[colARM64] < 0 {
			continue
		}
		if count[e.name] != 1 {
			t.Errorf("%s: in %d lists, want 1", e.name, count[e.name])
		}
	}
}

func TestTableSorted(t *testing.T) {
	for i := range syscalls[1:] {
		if syscalls[i].name >= syscalls[i+1].name {
			t.Errorf("%s before %s", syscalls[i].name, syscalls[i+1].name)
		}
	}
}

// D5, D1, D2, D4, C8, C14, C15: what has a history is denied, with high words too.
func TestD5DefaultAnswers(t *testing.T) {
	const high = 0xdead << 32
	admin := []string{"CAP_SYS_ADMIN", "CAP_NET_RAW", "CAP_AUDIT_WRITE"}
	for _, tt := range []struct {
		what  string
		nr    uint32
		args  [6]uint64
		plain uint32 // without capabilities
		admin uint32
	}{
		{"what the starter needs: read", nr("read"), [6]uint64{}, allowed, allowed},
		{"what the starter needs: write", nr("write"), [6]uint64{}, allowed, allowed},
		{"what the starter needs: execve", nr("execve"), [6]uint64{}, allowed, allowed},
		{"what the starter needs: exit_group", nr("exit_group"), [6]uint64{}, allowed, allowed},
		{"uprobes kill a process that may not return", nr("uretprobe"), [6]uint64{}, allowed, allowed},
		{"newer than the table", 472, [6]uint64{}, denied(unix.ENOSYS), denied(unix.ENOSYS)},
		{"far newer", 1 << 20, [6]uint64{}, denied(unix.ENOSYS), denied(unix.ENOSYS)},
		{"a hole in the table", 400, [6]uint64{}, denied(unix.ENOSYS), denied(unix.ENOSYS)},
		{"what a tracer leaves", 0xffffffff, [6]uint64{}, denied(unix.ENOSYS), denied(unix.ENOSYS)},
		{"clone3", nr("clone3"), [6]uint64{}, denied(unix.ENOSYS), allowed},
		{"thread", nr("clone"), [6]uint64{0x3d0f00}, allowed, allowed},
		{"fork", nr("clone"), [6]uint64{uint64(unix.SIGCHLD)}, allowed, allowed},
		{"clone user namespace", nr("clone"), [6]uint64{unix.CLONE_NEWUSER}, denied(unix.EPERM), allowed},
		{"clone with a high word", nr("clone"), [6]uint64{unix.CLONE_NEWNS | high}, denied(unix.EPERM), allowed},
		{"unshare files", nr("unshare"), [6]uint64{unix.CLONE_FILES}, allowed, allowed},
		{"unshare time", nr("unshare"), [6]uint64{unix.CLONE_NEWTIME}, denied(unix.EPERM), allowed},
		{"setns", nr("setns"), [6]uint64{}, denied(unix.EPERM), allowed},
		{"mount", nr("mount"), [6]uint64{}, denied(unix.EPERM), allowed},
		{"fsopen", nr("fsopen"), [6]uint64{}, denied(unix.EPERM), allowed},
		{"open_tree", nr("open_tree"), [6]uint64{}, denied(unix.EPERM), allowed},
		{"move_mount", nr("move_mount"), [6]uint64{}, denied(unix.EPERM), allowed},
		{"fsmount", nr("fsmount"), [6]uint64{}, denied(unix.EPERM), allowed},
		{"mount_setattr", nr("mount_setattr"), [6]uint64{}, denied(unix.EPERM), allowed},
		{"open_tree_attr", nr("open_tree_attr"), [6]uint64{}, denied(unix.EPERM), allowed},
		{"pivot_root", nr("pivot_root"), [6]uint64{}, denied(unix.EPERM), allowed},
		{"io_uring_setup", nr("io_uring_setup"), [6]uint64{}, denied(unix.EPERM), denied(unix.EPERM)},
		{"io_uring_enter", nr("io_uring_enter"), [6]uint64{}, denied(unix.EPERM), denied(unix.EPERM)},
		{"open_by_handle_at", nr("open_by_handle_at"), [6]uint64{}, denied(unix.EPERM), denied(unix.EPERM)},
		{"keyctl", nr("keyctl"), [6]uint64{}, denied(unix.EPERM), denied(unix.EPERM)},
		{"bpf", nr("bpf"), [6]uint64{}, denied(unix.EPERM), denied(unix.EPERM)},
		{"userfaultfd", nr("userfaultfd"), [6]uint64{}, denied(unix.EPERM), denied(unix.EPERM)},
		{"AF_UNIX", nr("socket"), [6]uint64{unix.AF_UNIX}, allowed, allowed},
		{"AF_INET6 with a high word", nr("socket"), [6]uint64{unix.AF_INET6 | high}, allowed, allowed},
		{"AF_ALG", nr("socket"), [6]uint64{unix.AF_ALG}, denied(unix.EAFNOSUPPORT), denied(unix.EAFNOSUPPORT)},
		{"AF_ALG with a high word", nr("socket"), [6]uint64{unix.AF_ALG | high}, denied(unix.EAFNOSUPPORT), denied(unix.EAFNOSUPPORT)},
		{"AF_VSOCK", nr("socket"), [6]uint64{unix.AF_VSOCK}, denied(unix.EAFNOSUPPORT), denied(unix.EAFNOSUPPORT)},
		{"AF_PACKET", nr("socket"), [6]uint64{unix.AF_PACKET}, denied(unix.EAFNOSUPPORT), allowed},
		{"route netlink", nr("socket"), [6]uint64{unix.AF_NETLINK}, allowed, allowed},
		{"audit netlink", nr("socket"), [6]uint64{unix.AF_NETLINK, 0, unix.NETLINK_AUDIT}, denied(unix.EAFNOSUPPORT), allowed},
		{"TCGETS", nr("ioctl"), [6]uint64{0, unix.TCGETS}, allowed, allowed},
		{"sign-extended ioctl", nr("ioctl"), [6]uint64{0, 0xffffffff80045430}, allowed, allowed},
		{"TIOCSTI", nr("ioctl"), [6]uint64{0, unix.TIOCSTI}, denied(unix.EPERM), denied(unix.EPERM)},
		{"TIOCSTI with a high word", nr("ioctl"), [6]uint64{0, unix.TIOCSTI | high}, denied(unix.EPERM), denied(unix.EPERM)},
		{"TIOCLINUX", nr("ioctl"), [6]uint64{0, tioclinux | high}, denied(unix.EPERM), denied(unix.EPERM)},
		{"personality query", nr("personality"), [6]uint64{0xffffffff}, allowed, allowed},
		{"ADDR_NO_RANDOMIZE", nr("personality"), [6]uint64{0x40000}, denied(unix.EPERM), denied(unix.EPERM)},
	} {
		for _, c := range []struct {
			caps []string
			want uint32
		}{{nil, tt.plain}, {admin, tt.admin}} {
			if got := run(t, compiled(t, Default(c.caps, true)), data{nr: tt.nr, arch: isaAMD64.audit, args: tt.args}); got != c.want {
				t.Errorf("%s, capabilities %v: %s, want %s", tt.what, c.caps, actionName(got), actionName(c.want))
			}
		}
	}
}

// Other processes are reached into where the kernel keeps that inside the container, and by who has the capability.
func TestTracing(t *testing.T) {
	for _, tt := range []struct {
		caps   []string
		userns bool
		want   uint32
	}{
		{nil, true, allowed}, {nil, false, denied(unix.EPERM)},
		{[]string{"CAP_SYS_ADMIN"}, false, denied(unix.EPERM)}, {[]string{"CAP_SYS_PTRACE"}, false, allowed},
	} {
		code := compiled(t, Default(tt.caps, tt.userns))
		for _, name := range []string{"ptrace", "process_vm_readv", "process_vm_writev"} {
			if got := run(t, code, data{nr: nr(name), arch: isaAMD64.audit}); got != tt.want {
				t.Errorf("%s, capabilities %v, user namespace %v: %s, want %s", name, tt.caps, tt.userns, actionName(got), actionName(tt.want))
			}
		}
	}
}

// nr is a number of amd64, whatever the test runs on.
func nr(name string) uint32 {
	e, ok := find(name)
	if !ok {
		panic("no system call " + name)
	}
	return uint32(e.nr[colAMD64])
}

func compiled(t *testing.T, s *specs.LinuxSeccomp) []instruction {
	t.Helper()
	filter, err := Compile(s, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	return decode(filter)
}

// TestD1ForeignArchitectures is row D1: every number by every other way into the kernel.
func TestD1ForeignArchitectures(t *testing.T) {
	code := compiled(t, Default(nil, true))
	for i := range uint32(1025) {
		for _, arch := range []uint32{isa386.audit, isaARM.audit, isaARM64.audit, 0, 0xffffffff} {
			for _, n := range []uint32{i, i | x32Bit} {
				if got := run(t, code, data{nr: n, arch: arch}); got != unix.SECCOMP_RET_KILL_PROCESS {
					t.Fatalf("arch %#x, number %#x: %s, want kill process", arch, n, actionName(got))
				}
			}
		}
		if got := run(t, code, data{nr: i | x32Bit, arch: isaAMD64.audit}); got != denied(unix.ENOSYS) {
			t.Fatalf("x32 number %d: %s, want ENOSYS", i, actionName(got))
		}
	}
}

// TestPrecedence has the cases in which other compilers let a permission win.
func TestPrecedence(t *testing.T) {
	broad := allow("socket")
	refusal := deny(unix.EACCES, "socket", masked(0, int32Mask, unix.AF_ALG))
	for name, order := range map[string][]specs.LinuxSyscall{"refusal first": {refusal, broad}, "refusal last": {broad, refusal}} {
		s := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: order}
		code := compiled(t, s)
		got := run(t, code, data{nr: nr("socket"), arch: isaAMD64.audit, args: [6]uint64{unix.AF_ALG}})
		if got != denied(unix.EACCES) {
			t.Errorf("%s: %s, want EACCES", name, actionName(got))
		}
	}
	// Two conditions on one argument are a range, not two permissions.
	s := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{allow("socket",
		specs.LinuxSeccompArg{Index: 0, Op: specs.OpGreaterEqual, Value: 1},
		specs.LinuxSeccompArg{Index: 0, Op: specs.OpLessEqual, Value: 2})}}
	code := compiled(t, s)
	for family, want := range []uint32{denied(unix.EPERM), allowed, allowed, denied(unix.EPERM)} {
		if got := run(t, code, data{nr: nr("socket"), arch: isaAMD64.audit, args: [6]uint64{uint64(family)}}); got != want {
			t.Errorf("family %d: %s, want %s", family, actionName(got), actionName(want))
		}
	}
}

func TestD2UnknownName(t *testing.T) {
	future := func(def, action specs.LinuxSeccompAction) *specs.LinuxSeccomp {
		return &specs.LinuxSeccomp{DefaultAction: def, Syscalls: []specs.LinuxSyscall{rules(action, nil, []string{"teleport", "read"})}}
	}
	for _, tt := range []struct {
		def, action specs.LinuxSeccompAction
		skipped     bool
	}{
		{specs.ActErrno, specs.ActAllow, true},
		{specs.ActErrno, specs.ActKillProcess, true},
		{specs.ActAllow, specs.ActAllow, true},
		{specs.ActAllow, specs.ActErrno, false},
		{specs.ActLog, specs.ActKill, false},
		{specs.ActLog, specs.ActAllow, true},
	} {
		_, err := Compile(future(tt.def, tt.action), "amd64")
		var unknown *UnknownSyscallError
		switch {
		case tt.skipped && err != nil:
			t.Errorf("%s in %s: %v, want it skipped", tt.action, tt.def, err)
		case !tt.skipped && (!errors.As(err, &unknown) || unknown.Name != "teleport"):
			t.Errorf("%s in %s: %v, want UnknownSyscallError", tt.action, tt.def, err)
		}
	}
}

// D6, D8: a filter that would ask somebody, and one that cannot be understood, is no filter.
func TestRefused(t *testing.T) {
	arg := func(a specs.LinuxSeccompArg) *specs.LinuxSeccomp {
		return &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{allow("read", a)}}
	}
	tooBig := uint(4096)
	for name, s := range map[string]*specs.LinuxSeccomp{
		"no default":           {},
		"notify":               {DefaultAction: specs.ActNotify},
		"notify of a call":     {DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{rules(specs.ActNotify, nil, []string{"mount"})}},
		"unknown action":       {DefaultAction: "SCMP_ACT_PERHAPS"},
		"errno of allow":       {DefaultAction: specs.ActAllow, DefaultErrnoRet: errno(unix.EPERM)},
		"errno too big":        {DefaultAction: specs.ActErrno, DefaultErrnoRet: &tooBig},
		"unknown flag":         {DefaultAction: specs.ActAllow, Flags: []specs.LinuxSeccompFlag{"SECCOMP_FILTER_FLAG_NEW_LISTENER"}},
		"unknown architecture": {DefaultAction: specs.ActAllow, Architectures: []specs.Arch{"SCMP_ARCH_VAX"}},
		"no names":             {DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{rules(specs.ActAllow, nil, nil)}},
		"argument 6":           arg(specs.LinuxSeccompArg{Index: 6, Op: specs.OpEqualTo}),
		"unknown operator":     arg(specs.LinuxSeccompArg{Op: "SCMP_CMP_MAYBE"}),
		"bits outside mask":    arg(masked(0, 0xff, 0x100)),
	} {
		if _, err := Compile(s, "amd64"); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := Compile(&specs.LinuxSeccomp{DefaultAction: specs.ActAllow}, "riscv64"); err == nil {
		t.Error("riscv64: accepted")
	}
}

// All that is wrong with a profile is told, each with its place.
func TestRefusedAtOnce(t *testing.T) {
	tooBig := uint(99999)
	_, err := Compile(&specs.LinuxSeccomp{
		DefaultAction: "SCMP_ACT_FOO", Architectures: []specs.Arch{specs.ArchX86, "SCMP_ARCH_FOO"}, Flags: []specs.LinuxSeccompFlag{"FOO", specs.LinuxSeccompFlagLog, "BAR"},
		Syscalls: []specs.LinuxSyscall{
			rules(specs.ActAllow, nil, nil),
			{Names: []string{"read"}, Action: specs.ActErrno, ErrnoRet: &tooBig, Args: []specs.LinuxSeccompArg{{Op: specs.OpEqualTo}, {Index: 9, Op: "SCMP_CMP_FOO"}}},
			{Names: []string{"read"}, Action: "BAR", ErrnoRet: &tooBig},
		},
	}, "amd64")
	want := []string{
		`seccomp: architectures[1]: "SCMP_ARCH_FOO" is not known (want SCMP_ARCH_X86_64, SCMP_ARCH_AARCH64 and so on)`,
		`seccomp: defaultAction: action "SCMP_ACT_FOO" is not known`,
		`seccomp: flags[0]: "FOO" is not supported`,
		`seccomp: flags[2]: "BAR" is not supported`,
		`seccomp: syscalls[0].names: at least one is needed`,
		`seccomp: syscalls[1]: errnoRet 99999: the highest is 4095`,
		`seccomp: syscalls[1].args[1]: index 9: a system call has arguments 0 to 5`,
		`seccomp: syscalls[1].args[1]: op "SCMP_CMP_FOO" is not known`,
		`seccomp: syscalls[2]: action "BAR" is not known`,
	}
	told(t, err, want)
	_, err = Compile(&specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{
		rules(specs.ActErrno, nil, []string{"teleport", "read", "levitate"})}}, "amd64")
	told(t, err, []string{`seccomp: syscalls[0].names[0]: system call "teleport" of a SCMP_ACT_ERRNO rule`, `seccomp: syscalls[0].names[2]: system call "levitate"`})
}

// told compares the lines of an error with what they begin with.
func told(t *testing.T, err error, want []string) {
	t.Helper()
	if got := strings.Split(fmt.Sprint(err), "\n"); !slices.EqualFunc(got, want, strings.HasPrefix) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestFlags(t *testing.T) {
	for _, tt := range []struct {
		flags []specs.LinuxSeccompFlag
		want  uint64
	}{
		{nil, unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW},
		{[]specs.LinuxSeccompFlag{}, 0},
		{[]specs.LinuxSeccompFlag{specs.LinuxSeccompFlagLog, "SECCOMP_FILTER_FLAG_TSYNC"}, unix.SECCOMP_FILTER_FLAG_LOG | unix.SECCOMP_FILTER_FLAG_TSYNC},
	} {
		got, err := Flags(&specs.LinuxSeccomp{Flags: tt.flags})
		if err != nil || got != tt.want {
			t.Errorf("%v: %#x, %v, want %#x", tt.flags, got, err, tt.want)
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	for b.Loop() {
		if _, err := Compile(Default(nil, true), "amd64"); err != nil {
			b.Fatal(err)
		}
	}
}
