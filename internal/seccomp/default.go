// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// namespaceFlags are the CLONE_NEW* bits of clone(2); CLONE_NEWTIME is a bit of
// its exit signal and counts in unshare(2) only.
const namespaceFlags = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
	unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET

// int32Mask compares an argument the kernel takes as an int.
const int32Mask = 0xffffffff

// Default is the filter of a container that names none, for a payload whose
// bounding set is caps ("CAP_NET_RAW"), and who has a user namespace other than
// the host's or not. It is a list of what is allowed. What
// Linux has and a container should not use gives EPERM; what is not listed at
// all, such as system calls newer than this program, gives ENOSYS. It relies on
// the precedence of rules described above: other runtimes may read it otherwise.
func Default(caps []string, userns bool) *specs.LinuxSeccomp {
	s := &specs.LinuxSeccomp{
		DefaultAction:   specs.ActErrno,
		DefaultErrnoRet: errno(unix.ENOSYS),
		Flags:           []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagSpecAllow},
	}
	allowed := slices.Clone(always[:])
	denied := slices.Clone(never[:])
	for _, c := range byCapability {
		if slices.ContainsFunc(c.caps, func(name string) bool { return slices.Contains(caps, name) }) {
			allowed = append(allowed, c.names...)
		} else {
			denied = append(denied, c.names...)
		}
	}
	if userns || slices.Contains(caps, "CAP_SYS_PTRACE") {
		allowed = append(allowed, tracing[:]...)
	} else {
		denied = append(denied, tracing[:]...)
	}
	s.Syscalls = append(s.Syscalls, rules(specs.ActAllow, nil, allowed))
	s.Syscalls = append(s.Syscalls, rules(specs.ActErrno, errno(unix.EPERM), denied))
	s.Syscalls = append(s.Syscalls, ioctls()...)
	s.Syscalls = append(s.Syscalls, personalities()...)
	s.Syscalls = append(s.Syscalls, clones(slices.Contains(caps, "CAP_SYS_ADMIN"))...)
	s.Syscalls = append(s.Syscalls, sockets(caps)...)
	return s
}

func errno(e unix.Errno) *uint {
	n := uint(e)
	return &n
}

func rules(action specs.LinuxSeccompAction, ret *uint, names []string, args ...specs.LinuxSeccompArg) specs.LinuxSyscall {
	return specs.LinuxSyscall{Names: names, Action: action, ErrnoRet: ret, Args: args}
}

func allow(name string, args ...specs.LinuxSeccompArg) specs.LinuxSyscall {
	return rules(specs.ActAllow, nil, []string{name}, args...)
}

func deny(e unix.Errno, name string, args ...specs.LinuxSeccompArg) specs.LinuxSyscall {
	return rules(specs.ActErrno, errno(e), []string{name}, args...)
}

// masked is (argument & mask) == value.
func masked(index uint, mask, value uint64) specs.LinuxSeccompArg {
	return specs.LinuxSeccompArg{Index: index, Value: mask, ValueTwo: value, Op: specs.OpMaskedEqual}
}

// ioctls refuses to type into a terminal the payload shares with somebody
// outside. The kernel reads the low word only (CVE-2019-10063).
func ioctls() []specs.LinuxSyscall {
	return []specs.LinuxSyscall{
		allow("ioctl"),
		deny(unix.EPERM, "ioctl", masked(1, int32Mask, unix.TIOCSTI)),
		deny(unix.EPERM, "ioctl", masked(1, int32Mask, tioclinux)),
	}
}

// tioclinux pastes the selection of a virtual console.
const tioclinux = 0x541c

// personalities leaves PER_LINUX32 and UNAME26 and the query; the others weaken
// the address space layout or choose rarely used kernel code.
func personalities() []specs.LinuxSyscall {
	const perLinux32, uname26 = 0x8, 0x20000
	return []specs.LinuxSyscall{
		allow("personality", masked(0, int32Mask&^(perLinux32|uname26), 0)),
		allow("personality", masked(0, int32Mask, int32Mask)),
		deny(unix.EPERM, "personality"),
	}
}

// clones keeps new namespaces, and with them most of the kernel's attack surface
// for unprivileged users, from who is not an administrator. The flags of clone3
// lie in memory, where no filter sees them: it is not there at all, and C
// libraries go back to clone (CVE-2021-41133).
func clones(admin bool) []specs.LinuxSyscall {
	if admin {
		return []specs.LinuxSyscall{allow("clone"), allow("clone3"), allow("unshare")}
	}
	return []specs.LinuxSyscall{
		allow("clone", masked(0, namespaceFlags, 0)),
		deny(unix.EPERM, "clone"),
		deny(unix.ENOSYS, "clone3"),
		allow("unshare", masked(0, namespaceFlags|unix.CLONE_NEWTIME, 0)),
		deny(unix.EPERM, "unshare"),
	}
}

// sockets allows the address families programs are written for. The others
// answer as on a kernel built without them, which programs take best: AF_ALG
// (CVE-2026-31431), AF_VSOCK (reaches the hypervisor), and all the rarely used ones.
func sockets(caps []string) []specs.LinuxSyscall {
	families := []uint64{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK}
	if slices.Contains(caps, "CAP_NET_RAW") {
		families = append(families, unix.AF_PACKET)
	}
	var out []specs.LinuxSyscall
	for _, f := range families {
		out = append(out, allow("socket", masked(0, int32Mask, f)))
	}
	if !slices.Contains(caps, "CAP_AUDIT_WRITE") {
		// libaudit goes on without auditing on EAFNOSUPPORT; EPERM makes logins fail.
		out = append(out, deny(unix.EAFNOSUPPORT, "socket",
			masked(0, int32Mask, unix.AF_NETLINK), masked(2, int32Mask, unix.NETLINK_AUDIT)))
	}
	return append(out, deny(unix.EAFNOSUPPORT, "socket"),
		allow("socketpair", masked(0, int32Mask, unix.AF_UNIX)), deny(unix.EAFNOSUPPORT, "socketpair"))
}
