// SPDX-License-Identifier: Apache-2.0

package nsexec

import (
	"time"

	"golang.org/x/sys/unix"
)

// CloneArgs says how [Program.Fork] makes the child.
type CloneArgs struct {
	Namespaces uint64 // CLONE_NEW* flags
	// Sibling makes the child one of the parent process, not of this one
	// (CLONE_PARENT): the caller reaps it.
	Sibling bool
	// Cgroup is an open cgroup directory to be born in, or NoReg.
	Cgroup Reg
}

// Fork makes the container's init. The child leaves the program here and waits
// for the next one on [Control]; this process tells the child's pid on sock, sends its
// pidfd, and goes on with its second socket as Control ([Helper.Keeper]), or
// without any: then it exits at the program's end. The result is the pidfd.
//
// The child dies with its parent until its program says otherwise: see
// [Program.DeathSignal].
func (p *Program) Fork(sock Reg, a CloneArgs) Reg {
	// struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal, stack,
	// stack_size, tls, set_tid, set_tid_size, cgroup. The interpreter fills in pidfd.
	flags := a.Namespaces | unix.CLONE_PIDFD
	exit := uint64(unix.SIGCHLD)
	if a.Sibling {
		flags |= unix.CLONE_PARENT
		exit = 0 // the kernel takes the parent's, and refuses any other
	}
	if a.Cgroup != NoReg {
		flags |= unix.CLONE_INTO_CGROUP
	}
	d := p.Words(flags, 0, 0, 0, exit, 0, 0, 0, 0, 0, 0)
	if a.Cgroup != NoReg {
		p.store(a.Cgroup, d.Sub(80), 8)
	}
	return p.keep(p.add(Step{Op: OpFork, Object: "init", Args: [6]Arg{d, sock}}))
}

// Sync sends id (and the descriptor out, unless NoReg) to the parent on sock
// and waits for its answer. Without a descriptor it uses write and read only.
func (p *Program) Sync(sock Reg, id uint32, out Reg) {
	p.add(Step{Op: OpSync, NR: id, Args: [6]Arg{sock, optional(out)}})
}

// SyncReceive is Sync for an answer that brings a descriptor.
func (p *Program) SyncReceive(sock Reg, id uint32) Reg {
	return p.keep(p.add(Step{Op: OpSync, NR: id, Args: [6]Arg{sock, optional(NoReg), Imm(1)}}))
}

// Ready is the last Sync of a start that succeeds, before exec.
func (p *Program) Ready(sock Reg, id uint32) { p.Sync(sock, id, NoReg) }

// DeathSignal makes the process die by sig when its parent does; 0 means that it
// lives on.
//
// Order: after the last change of ids, since the kernel forgets it then
// (prctl(2), PR_SET_PDEATHSIG).
func (p *Program) DeathSignal(sig unix.Signal) {
	p.Prctl("death signal", unix.PR_SET_PDEATHSIG, uint64(sig), 0, 0, 0)
}

// Dumpable says whether the process's files in /proc belong to its user (true) or
// to root. An unprivileged parent needs true to write the id maps.
//
// Order: back to false before any namespace with other processes is joined
// (CVE-2016-9962).
func (p *Program) Dumpable(yes bool) {
	var v uint64
	if yes {
		v = 1
	}
	p.Prctl("dumpable", unix.PR_SET_DUMPABLE, v, 0, 0, 0)
}

func optional(r Reg) Arg {
	if r == NoReg {
		return Imm(^uint64(0))
	}
	return r
}

// Keeper is what [Program.Keep] needs.
type Keeper struct {
	Child  Reg // pidfd of the container's init
	Record Reg // the exit record, open for writing
	Cgroup Reg // the directory of the unit's cgroup, or NoReg
	// Cleanup is executed when the record is written: an ELF file, open for
	// reading or with O_PATH.
	Cleanup Reg
	Argv    []string
	Env     []string
}

// Keep turns this process into the container's keeper: it reaps the child,
// writes the exit record and becomes the cleanup command. Its standard
// descriptors become /dev/null, so that it holds nobody's pipe open.
//
// It first sends [Keeping] and stays under the parent's eye until the answer
// comes. If the parent is gone by then, the child is killed, and the rest happens as usual.
func (p *Program) Keep(k Keeper) {
	null := p.OpenHere("/dev/null", unix.O_RDWR)
	for fd := range 3 {
		p.Dup3(null, fd)
	}
	p.Close(null)
	p.add(Step{Op: OpKeep, Object: "init", Args: [6]Arg{k.Child, k.Record, optional(k.Cgroup), k.Cleanup, p.Vector(k.Argv), p.Vector(k.Env)}})
}

// Reap turns this process into a pid 1 that reaps orphans and forwards signals;
// the payload goes on as its child.
//
// Signals that a terminal sends to the whole foreground group are not forwarded:
// the payload gets its own.
//
// Order: after the payload's ids, capabilities and filter: pid 1 has no more rights
// than the payload. A filter of the Spec must allow rt_sigprocmask, clone, prctl, close_range, rt_sigtimedwait,
// wait4 and kill.
func (p *Program) Reap() { p.add(Step{Op: OpReap, Object: "init"}) }

// Spawn runs a hook: path with argv and envp, state (at most 64 KiB) on its
// standard input, and kills it after timeout; 0 means no limit.
func (p *Program) Spawn(path string, argv, envp []string, state []byte, timeout time.Duration) {
	if len(state) > maxState {
		p.fail("hook %s: state of %d bytes, at most %d fit", path, len(state), maxState)
	}
	// Rounded up: a limit below a millisecond must not become none.
	ms := (timeout + time.Millisecond - 1) / time.Millisecond
	if timeout < 0 || ms > 0x7fffffff {
		p.fail("hook %s: timeout %v out of range", path, timeout)
	}
	p.add(Step{Op: OpSpawn, Object: path, NR: uint32(ms),
		Args: [6]Arg{p.Bytes(state), Imm(len(state)), p.String(path), p.Vector(argv), p.Vector(envp)}})
}

// CheckCwd dies unless the working directory lies inside the root.
func (p *Program) CheckCwd() { p.add(Step{Op: OpCheck, NR: CheckCwd, Object: "working directory"}) }

// CheckNode dies unless fd is of the type and device number given: mode is
// S_IFCHR and the like, dev 0 for anything but devices.
func (p *Program) CheckNode(fd Reg, object string, mode uint32, dev uint64) {
	p.add(Step{Op: OpCheck, NR: CheckNode, Object: object,
		Args: [6]Arg{fd, Imm(mode & unix.S_IFMT), Imm(unix.Major(dev)), Imm(unix.Minor(dev))}})
}

// What an OpCheck step verifies.
const (
	CheckCwd  = 0
	CheckNode = 1
)

// Setns joins the namespaces of fd: a namespace file or a pidfd.
func (p *Program) Setns(fd Reg, object string, flags uint64) *Step {
	return p.call(unix.SYS_SETNS, object, fd, Imm(flags))
}

// Unshare makes new namespaces for this process.
func (p *Program) Unshare(object string, flags uint64) {
	p.call(unix.SYS_UNSHARE, object, Imm(flags))
}

// PowerOff ends the PID namespace the process is in, itself included: its init ends as
// if by SIGINT (reboot(2)). In the first PID namespace it would be the machine's end.
func (p *Program) PowerOff() {
	p.call(unix.SYS_REBOOT, "PID namespace", Imm(unix.LINUX_REBOOT_MAGIC1), Imm(unix.LINUX_REBOOT_MAGIC2), Imm(unix.LINUX_REBOOT_CMD_POWER_OFF), Imm(0))
}

// Sethostname sets the UTS namespace's host name.
func (p *Program) Sethostname(name string) {
	p.call(unix.SYS_SETHOSTNAME, name, p.String(name), Imm(len(name)))
}

// Setdomainname sets the UTS namespace's NIS domain name.
func (p *Program) Setdomainname(name string) {
	p.call(unix.SYS_SETDOMAINNAME, name, p.String(name), Imm(len(name)))
}

// LoopbackUp brings "lo" up in the process's network namespace.
func (p *Program) LoopbackUp() {
	s := p.keep(p.call(unix.SYS_SOCKET, "lo", Imm(unix.AF_INET), Imm(unix.SOCK_DGRAM|unix.SOCK_CLOEXEC), Imm(0)))
	ifreq := make([]byte, 40)
	copy(ifreq, "lo")
	ifreq[16] = unix.IFF_UP | unix.IFF_LOOPBACK
	ifreq[16] |= unix.IFF_RUNNING
	p.call(unix.SYS_IOCTL, "lo", s, Imm(unix.SIOCSIFFLAGS), p.Bytes(ifreq))
	p.Close(s)
}

// JoinKeyring gives the process a new session keyring. It has no name: one made
// before by somebody else, under a name we would use, would be shared (keyctl(2)).
func (p *Program) JoinKeyring() *Step {
	return p.call(unix.SYS_KEYCTL, "session keyring", Imm(unix.KEYCTL_JOIN_SESSION_KEYRING), Imm(0))
}

// Prctl makes one prctl call; object says in words what for.
func (p *Program) Prctl(object string, option int, a, b, c, d uint64) *Step {
	return p.call(unix.SYS_PRCTL, object, Imm(option), Imm(a), Imm(b), Imm(c), Imm(d))
}

// Setsid starts a session.
func (p *Program) Setsid() { p.call(unix.SYS_SETSID, "") }

// Umask sets the file mode creation mask.
func (p *Program) Umask(mask uint32) { p.call(unix.SYS_UMASK, "", Imm(mask)) }

// Chdir changes the working directory inside the root the process already has.
func (p *Program) Chdir(path string) *Step { return p.call(unix.SYS_CHDIR, path, p.String(path)) }

// Setgroups sets the supplementary groups.
func (p *Program) Setgroups(gids []uint32) *Step {
	b := make([]byte, 0, 4*len(gids))
	for _, g := range gids {
		b = append(b, byte(g), byte(g>>8), byte(g>>16), byte(g>>24))
	}
	return p.call(unix.SYS_SETGROUPS, "", Imm(len(gids)), p.Bytes(b))
}

// Setgid sets the three group ids.
func (p *Program) Setgid(gid uint32) {
	p.call(unix.SYS_SETRESGID, "", Imm(gid), Imm(gid), Imm(gid))
}

// Setuid sets the three user ids.
func (p *Program) Setuid(uid uint32) {
	p.call(unix.SYS_SETRESUID, "", Imm(uid), Imm(uid), Imm(uid))
}

// Capset sets the effective, permitted and inheritable sets.
func (p *Program) Capset(effective, permitted, inheritable uint64) {
	hdr := p.Words(uint64(unix.LINUX_CAPABILITY_VERSION_3))
	e, m, i := effective, permitted, inheritable
	low, high := uint64(0xffffffff), 32
	d := p.Words(e&low|m&low<<high, i&low|e>>high<<high, m>>high|i>>high<<high)
	p.call(unix.SYS_CAPSET, "", hdr, d)
}

// Seccomp installs a filter: instructions of 8 bytes each.
func (p *Program) Seccomp(filter []byte, flags uint64) {
	prog := p.Words(uint64(len(filter)/8), 0)
	p.point(prog.Sub(8), p.Bytes(filter))
	p.call(unix.SYS_SECCOMP, "filter", Imm(unix.SECCOMP_SET_MODE_FILTER), Imm(flags), prog)
}

// Ioctl makes one ioctl with an integer argument.
func (p *Program) Ioctl(fd Reg, object string, request uint64, value uint64) *Step {
	return p.call(unix.SYS_IOCTL, object, fd, Imm(request), Imm(value))
}

// OpenPty opens the container's own /dev/pts/ptmx, unlocks the pair and returns
// both ends. What is no ptmx is not asked for anything.
func (p *Program) OpenPty(devpts Reg) (master, slave Reg) {
	how := p.Words(uint64(unix.O_RDWR|unix.O_NOCTTY|unix.O_NOFOLLOW|cloexec), 0, inRoot)
	master = p.keep(p.call(unix.SYS_OPENAT2, "ptmx", devpts, p.String("ptmx"), how, Imm(24)))
	p.CheckNode(master, "ptmx", unix.S_IFCHR, unix.Mkdev(5, 2))
	p.call(unix.SYS_IOCTL, "ptmx", master, Imm(unix.TIOCSPTLCK), p.Words(0))
	slave = p.keep(p.call(unix.SYS_IOCTL, "ptmx", master, Imm(unix.TIOCGPTPEER), Imm(unix.O_RDWR|unix.O_NOCTTY|cloexec)))
	return master, slave
}

// Dup3 makes descriptor number to a copy of fd that survives exec.
func (p *Program) Dup3(fd Reg, to int) {
	p.call(unix.SYS_DUP3, "", fd, Imm(to), Imm(0))
}

// Stdio makes received descriptors the standard input, output and error.
func (p *Program) Stdio(received [3]Reg) {
	for i, fd := range received {
		p.Dup3(fd, i)
		p.Close(fd)
	}
}

// ControlFD is the number of the descriptor in [Control].
const ControlFD = 100

// CloseOthers closes every descriptor but 0, 1, 2 and [Control].
func (p *Program) CloseOthers() {
	p.call(unix.SYS_CLOSE_RANGE, "", Imm(3), Imm(ControlFD-1), Imm(0))
	p.CloseFrom(ControlFD + 1)
}

// CloseFrom closes every descriptor from first on.
func (p *Program) CloseFrom(first int) {
	p.call(unix.SYS_CLOSE_RANGE, "", Imm(first), Imm(^uint32(0)), Imm(0))
}

// Access dies unless the process, as it is then, may execute path.
func (p *Program) Access(path string) *Step {
	return p.call(unix.SYS_FACCESSAT2, path, here, p.String(path), Imm(unix.X_OK), Imm(unix.AT_EACCESS))
}

// Exec ends the program: the process becomes path.
func (p *Program) Exec(path string, argv, envp []string) {
	p.call(unix.SYS_EXECVE, path, p.String(path), p.Vector(argv), p.Vector(envp))
}

// ExecOrSync is Exec that, when it fails with one of errs, tells the parent so by a [Program.Sync] on sock, and then tries
// again and dies of that.
func (p *Program) ExecOrSync(sock Reg, id uint32, path string, argv, envp []string, errs ...unix.Errno) {
	first := p.call(unix.SYS_EXECVE, path, p.String(path), p.Vector(argv), p.Vector(envp))
	again := *first
	first.Tolerate(errs...)
	p.Sync(sock, id, NoReg)
	p.add(again)
}

// Setaffinity limits the process to the CPUs of mask.
func (p *Program) Setaffinity(mask []byte) *Step {
	return p.call(unix.SYS_SCHED_SETAFFINITY, "", Imm(0), Imm(len(mask)), p.Bytes(mask))
}

// Personality sets the execution domain.
func (p *Program) Personality(persona uint64) {
	p.call(unix.SYS_PERSONALITY, "", Imm(persona))
}

// End reports the program done; the process waits for the next one.
func (p *Program) End() { p.add(Step{Op: OpEnd}) }
