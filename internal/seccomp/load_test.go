// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"encoding/json"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// loadEnv holds a profile as JSON in the test binary started by [underFilter].
const loadEnv = "SECCOMP_TEST_PROFILE"

func TestMain(m *testing.M) {
	if profile := os.Getenv(loadEnv); profile != "" {
		filtered(profile)
	}
	os.Exit(m.Run())
}

// filtered loads the profile, tries the calls and prints what came of them.
func filtered(profile string) {
	var s specs.LinuxSeccomp
	if err := json.Unmarshal([]byte(profile), &s); err != nil {
		panic(err)
	}
	filter, err := Compile(&s, runtime.GOARCH)
	if err != nil {
		panic(err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		panic(err)
	}
	prog := unix.SockFprog{Len: uint16(len(filter) / 8), Filter: (*unix.SockFilter)(unsafe.Pointer(&filter[0]))}
	// All threads: the calls below may run on any.
	_, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	if e != 0 {
		panic(e)
	}
	for _, a := range attempts {
		r, _, e := unix.Syscall6(a.nr, a.args[0], a.args[1], a.args[2], a.args[3], a.args[4], a.args[5])
		if e == 0 && a.opens {
			_ = unix.Close(int(r)) // only to keep the table of descriptors short
		}
		os.Stdout.WriteString(a.name + " " + unix.ErrnoName(e) + "\n")
	}
	// As the starter does with the last two calls it makes.
	if err := unix.Exec("/proc/self/exe", []string{"seccomp.test", "-test.run=^TestAfterExec$"}, nil); err != nil {
		panic(err)
	}
}

// TestAfterExec is where the filtered process ends up: a Go program under the filter.
func TestAfterExec(t *testing.T) {
	if err := exec.Command("/proc/self/exe", "-test.run=^$").Run(); err != nil {
		t.Fatal(err)
	}
}

// attempt is a call with arguments that change nothing should it be allowed.
type attempt struct {
	name  string
	nr    uintptr
	args  [6]uintptr
	opens bool
	want  string
}

const highWord = 1 << 32

// attempts have no terminal: an ioctl that passes the filter gives ENOTTY or EBADF.
var attempts = []attempt{
	{name: "getpid", nr: unix.SYS_GETPID},
	{name: "mount", nr: unix.SYS_MOUNT, want: "EPERM"},
	{name: "fsopen", nr: unix.SYS_FSOPEN, want: "EPERM"},
	{name: "clone3", nr: unix.SYS_CLONE3, want: "ENOSYS"},
	{name: "unshare user", nr: unix.SYS_UNSHARE, args: [6]uintptr{unix.CLONE_NEWUSER}, want: "EPERM"},
	{name: "unshare nothing", nr: unix.SYS_UNSHARE},
	{name: "setns", nr: unix.SYS_SETNS, args: [6]uintptr{^uintptr(0)}, want: "EPERM"},
	{name: "io_uring_setup", nr: unix.SYS_IO_URING_SETUP, args: [6]uintptr{1}, want: "EPERM"},
	{name: "ptrace", nr: unix.SYS_PTRACE, args: [6]uintptr{0xffff, 1}, want: "EPERM"},
	{name: "process_vm_readv", nr: unix.SYS_PROCESS_VM_READV, args: [6]uintptr{1 << 30}, want: "EPERM"},
	{name: "bpf", nr: unix.SYS_BPF, args: [6]uintptr{^uintptr(0)}, want: "EPERM"},
	{name: "keyctl", nr: unix.SYS_KEYCTL, args: [6]uintptr{^uintptr(0)}, want: "EPERM"},
	{name: "open_by_handle_at", nr: unix.SYS_OPEN_BY_HANDLE_AT, want: "EPERM"},
	{name: "userfaultfd", nr: unix.SYS_USERFAULTFD, opens: true, want: "EPERM"},
	{name: "AF_UNIX", nr: unix.SYS_SOCKET, args: [6]uintptr{unix.AF_UNIX, unix.SOCK_STREAM}, opens: true},
	{name: "AF_ALG", nr: unix.SYS_SOCKET, args: [6]uintptr{unix.AF_ALG, unix.SOCK_SEQPACKET}, opens: true, want: "EAFNOSUPPORT"},
	{name: "AF_ALG high", nr: unix.SYS_SOCKET, args: [6]uintptr{unix.AF_ALG | highWord, unix.SOCK_SEQPACKET}, opens: true, want: "EAFNOSUPPORT"},
	{name: "AF_VSOCK", nr: unix.SYS_SOCKET, args: [6]uintptr{unix.AF_VSOCK, unix.SOCK_STREAM}, opens: true, want: "EAFNOSUPPORT"},
	{name: "AF_PACKET", nr: unix.SYS_SOCKET, args: [6]uintptr{unix.AF_PACKET, unix.SOCK_RAW}, opens: true, want: "EAFNOSUPPORT"},
	{name: "TCGETS", nr: unix.SYS_IOCTL, args: [6]uintptr{^uintptr(0), unix.TCGETS}, want: "EBADF"},
	{name: "TIOCSTI", nr: unix.SYS_IOCTL, args: [6]uintptr{^uintptr(0), unix.TIOCSTI}, want: "EPERM"},
	{name: "TIOCSTI high", nr: unix.SYS_IOCTL, args: [6]uintptr{^uintptr(0), unix.TIOCSTI | highWord}, want: "EPERM"},
	{name: "TIOCLINUX", nr: unix.SYS_IOCTL, args: [6]uintptr{^uintptr(0), tioclinux}, want: "EPERM"},
	{name: "x32 getpid", nr: unix.SYS_GETPID | x32Bit, want: "ENOSYS"},
	{name: "number 4000", nr: 4000, want: "ENOSYS"},
}

// underFilter runs the test binary under a profile and returns what it printed.
func underFilter(t *testing.T, s *specs.LinuxSeccomp) (string, error) {
	t.Helper()
	profile, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), loadEnv+"="+string(profile))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// C14, C15, D4, D5: the filter in the kernel's own interpreter.
func TestLoaded(t *testing.T) {
	out, err := underFilter(t, Default(nil, false))
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var want strings.Builder
	for _, a := range attempts {
		want.WriteString(a.name + " " + a.want + "\n")
	}
	if diff := cmp.Diff(want.String()+"PASS\n", out); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestLoadedKill sees a process die of a forbidden call, and of nothing else.
func TestLoadedKill(t *testing.T) {
	s := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{
		rules(specs.ActKillProcess, nil, []string{"bpf"})}}
	out, err := underFilter(t, s)
	exit, ok := err.(*exec.ExitError)
	if !ok || exit.Sys().(interface{ Signal() unix.Signal }).Signal() != unix.SIGSYS {
		t.Fatalf("%v, want SIGSYS\n%s", err, out)
	}
}
