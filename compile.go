// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/caps"
	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/seccomp"
	"github.com/sdcontainer/sdcontainer/nsexec"
	"github.com/sdcontainer/sdcontainer/rootfs"
	"github.com/sdcontainer/sdcontainer/scope"
)

// syncReady is the Sync before exec: everything is done and can be attested.
const syncReady = 1

// syncUnexecuted is the Sync of a service's init whose exec failed.
const syncUnexecuted = 4

// A plan is a container compiled, as far as that is possible before it exists.
// It is a pure function of the Spec and the facts.
type plan struct {
	spec     *specs.Spec
	settings configs.Settings

	unit   scope.Unit
	spawn  *nsexec.Program
	joins  []join // in the order spawn receives them
	born   bool   // spawn receives a cgroup to be born in
	keeper bool   // spawn receives the exit record and the cleanup command
	world  *rootfs.World
	filter []byte
	flags  uint64 // seccomp's
}

// compileOptions is what the Spec does not say about how the container lives.
type compileOptions struct {
	service bool // born in a sub-cgroup of the unit
	keeper  []string
}

// namespaces in the order they are joined.
//
// Order: the user namespace last of those joined: in it we would lack the rights
// to join namespaces it does not own (setns(2)).
var namespaceKinds = []struct {
	typ  specs.LinuxNamespaceType
	kind string
	flag uint64
}{
	{specs.IPCNamespace, "ipc", unix.CLONE_NEWIPC},
	{specs.UTSNamespace, "uts", unix.CLONE_NEWUTS},
	{specs.NetworkNamespace, "net", unix.CLONE_NEWNET},
	{specs.PIDNamespace, "pid", unix.CLONE_NEWPID},
	{specs.TimeNamespace, "time", unix.CLONE_NEWTIME},
	{specs.MountNamespace, "mnt", unix.CLONE_NEWNS},
	{specs.CgroupNamespace, "cgroup", unix.CLONE_NEWCGROUP},
	{specs.UserNamespace, "user", unix.CLONE_NEWUSER},
}

// newPlan compiles what comes first: the program that makes the namespaces.
func newPlan(spec *specs.Spec, settings configs.Settings, o compileOptions) (*plan, error) {
	if spec.Process == nil || spec.Root == nil || spec.Linux == nil {
		return nil, errors.New("the Spec lacks process, root or linux")
	}
	p := &plan{spec: spec, settings: settings, born: o.service, keeper: o.keeper != nil}
	return p, p.compileSpawn(o)
}

// complete compiles the rest: the unit, the program that builds the world, the filter.
func (p *plan) complete(facts rootfs.Facts) (err error) {
	if p.unit, err = scope.Plan(p.spec, p.settings); err != nil {
		return err
	}
	facts.Spawn = p.spawn
	if p.world, err = rootfs.Plan(p.spec, p.settings, facts); err != nil {
		return err
	}
	return p.compileFilter()
}

// leaveKeys takes the caller's session keyring from the interpreter.
//
// Order: before any change of ids. The init's own keyring counts against the quota of the container's root, who
// can have used it up: then this one, which is empty, is the session's.
func leaveKeys(s *nsexec.Program) {
	s.At("session keyring", "the caller's keys stay with the caller, whatever the container's root has done to its quota")
	s.JoinKeyring().Tolerate(unix.ENOSYS)
}

// compileSpawn is the program that makes the namespaces and the init.
func (p *plan) compileSpawn(o compileOptions) error {
	s := nsexec.New("spawn")
	p.spawn = s
	stdio := receiveStdio(s)
	made, fds := p.bindNamespaces(s)
	// Order: in a service the init is not our child: systemd takes the main process
	// it is told of for its own only if PID 1 is its parent by then; of another's it
	// waits for nothing between SIGTERM and SIGKILL.
	args := nsexec.CloneArgs{Sibling: !p.keeper && !o.service, Cgroup: nsexec.NoReg}
	if o.service {
		args.Cgroup = s.Receive("cgroup")
	}
	var record, cleanup nsexec.Reg
	if p.keeper {
		record, cleanup = s.Receive("exit record"), s.Receive("cleanup command")
	}
	leaveKeys(s)
	s.At("standard streams", "those of the payload, as the parent sends them")
	s.Stdio(stdio)
	home := p.openOwn(s, made)
	for i, j := range p.joins {
		s.At("join "+j.kind+" namespace "+j.path, "linux.namespaces: shared with what else is in it")
		s.Setns(fds[i], j.path, j.flag)
	}
	if made&unix.CLONE_NEWTIME != 0 {
		// Order: before the clone: a time namespace is for the children of who
		// makes it, and takes offsets only while it is empty (time_namespaces(7)).
		s.At("new time namespace", "it takes offsets only while nobody is in it")
		s.Unshare("time namespace", unix.CLONE_NEWTIME)
		if err := timeOffsets(s, p.spec.Linux.TimeOffsets); err != nil {
			return err
		}
	}
	s.At("new namespaces and init", strings.Join(flagNames(made), " "))
	// Order: all at once: a new user namespace owns the others made with it. The
	// cgroup namespace waits until the final cgroup is joined (cgroup_namespaces(7)).
	args.Namespaces = made &^ (unix.CLONE_NEWTIME | unix.CLONE_NEWCGROUP)
	child := s.Fork(nsexec.Control, args)
	for _, n := range home {
		s.At("return to the "+n.kind+" namespace", "the keeper ends as a command of the host's, whose threads are not for another PID or time namespace")
		s.Setns(n.fd, "/proc/self/ns/"+n.kind, n.flag)
		s.Close(n.fd)
	}
	if o.service {
		s.At("step aside", "when the parent goes, the init is PID 1's child")
		s.Sync(nsexec.Control, syncAside, nsexec.NoReg)
	}
	if p.keeper {
		s.At("keep", "record how the container ends")
		unit := s.SyncReceive(nsexec.Control, syncUnit)
		s.Keep(nsexec.Keeper{Child: child, Record: record, Cgroup: unit, Cleanup: cleanup, Argv: o.keeper})
	}
	s.End()
	_, err := s.Encode()
	return err
}

// An ownNamespace is one of the spawning process that it leaves to make the init.
type ownNamespace struct {
	fd   nsexec.Reg
	kind string
	flag uint64
}

// openOwn opens those that a keeper, which stays, is to return to.
func (p *plan) openOwn(s *nsexec.Program, made uint64) (own []ownNamespace) {
	left := made & unix.CLONE_NEWTIME // of those that are made the clone leaves the others alone
	for _, j := range p.joins {
		left |= j.flag
	}
	for _, k := range namespaceKinds {
		if p.keeper && left&k.flag != 0 {
			own = append(own, ownNamespace{s.OpenHere("/proc/self/ns/"+k.kind, unix.O_RDONLY), k.kind, k.flag})
		}
	}
	return own
}

// bindNamespaces has s receive those that are joined; made are the flags of the new ones.
func (p *plan) bindNamespaces(s *nsexec.Program) (made uint64, fds []nsexec.Reg) {
	for _, k := range namespaceKinds {
		i := slices.IndexFunc(p.spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == k.typ })
		switch {
		case i < 0: // the host's
		case p.spec.Linux.Namespaces[i].Path != "":
			p.joins = append(p.joins, join{k.typ, k.kind, p.spec.Linux.Namespaces[i].Path, k.flag, harmIn(p.spec, k.typ)})
			fds = append(fds, s.Receive(k.kind+" namespace "+p.spec.Linux.Namespaces[i].Path))
		default:
			made |= k.flag
		}
	}
	return made, fds
}

func receiveStdio(s *nsexec.Program) [3]nsexec.Reg {
	return [3]nsexec.Reg{s.Receive("standard input"), s.Receive("standard output"), s.Receive("standard error")}
}

// syncAside is never answered: its process ends when the connection does.
const syncAside = 3

// syncUnit brings the keeper the directory of the unit's cgroup.
const syncUnit = 2

func timeOffsets(s *nsexec.Program, offsets map[string]specs.LinuxTimeOffset) error {
	if len(offsets) == 0 {
		return nil
	}
	var text strings.Builder
	for _, clock := range []string{"monotonic", "boottime"} {
		if o, ok := offsets[clock]; ok {
			fmt.Fprintf(&text, "%s %d %d\n", clock, o.Secs, o.Nanosecs)
		}
	}
	f := s.OpenHere("/proc/self/timens_offsets", unix.O_WRONLY)
	s.Write(f, "timens_offsets", text.String())
	s.Close(f)
	return nil
}

func flagNames(flags uint64) []string {
	var names []string
	for _, k := range namespaceKinds {
		if flags&k.flag != 0 {
			names = append(names, k.kind)
		}
	}
	return names
}

// compileFilter compiles the seccomp filter: the Spec's own, or the default one.
func (p *plan) compileFilter() (err error) {
	profile := p.spec.Linux.Seccomp
	if profile == nil {
		if p.settings.Seccomp != "default" {
			return nil
		}
		var granted []string
		if c := p.spec.Process.Capabilities; c != nil {
			granted = c.Bounding
		}
		profile = seccomp.Default(granted, p.made(specs.UserNamespace) || joins(p.spec, specs.UserNamespace))
	}
	if p.filter, err = seccomp.Compile(profile, runtime.GOARCH); err != nil {
		return fewMistakes(err)
	}
	p.flags, err = seccomp.Flags(profile)
	return err
}

// ownCPUs says whether the container has CPUs of its own, on which its processes run whatever mask who starts them has. One
// without runs where its starter does: all that there are would be those too that isolcpus= keeps free.
func (p *plan) ownCPUs() bool {
	if _, ok := p.settings.UnitProperties["AllowedCPUs"]; ok {
		return true
	}
	r := p.spec.Linux.Resources
	return r != nil && (r.CPU != nil && r.CPU.Cpus != "" || r.Unified["cpuset.cpus"] != "")
}

// made says whether the container gets a new namespace of that kind.
func (p *plan) made(typ specs.LinuxNamespaceType) bool {
	return slices.ContainsFunc(p.spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool {
		return n.Type == typ && n.Path == ""
	})
}

// enter compiles the last program, when what it needs has been found in the
// container: who the user is and where the executable lies.
func (p *plan) enter(y *caps.Payload) (*nsexec.Program, error) {
	y.AnyCPU = !p.born && p.ownCPUs() // of a service CPUAffinity= says it
	e := nsexec.Next("enter", p.world.Program)
	p.world.EnterMounts(e)
	y.Enter(e, func() { p.world.Terminal(e, y.UID) }, func() { p.addFilter(e) })
	ready(e, p.settings.Init)
	e.At("execute "+y.Path, executes)
	if p.born {
		// Order: before the process dies of it: systemd takes the exit status of the main process for the service's. It is not
		// the payload's, which has none, but the parent's, which says why.
		e.ExecOrSync(nsexec.Control, syncUnexecuted, y.Path, p.spec.Process.Args, y.Env, unexecutable...)
	} else {
		e.Exec(y.Path, p.spec.Process.Args, y.Env)
	}
	_, err := e.Encode()
	return e, err
}

// addFilter closes what is not the payload's and installs the filter, if there is one.
//
// Order: to close first: a filter need not allow it. Nothing is opened after it.
func (p *plan) addFilter(e *nsexec.Program) {
	e.At("close descriptors", "the payload has 0, 1 and 2 (CVE-2024-21626)")
	e.CloseOthers()
	if p.filter == nil {
		return
	}
	e.At("seccomp filter", fmt.Sprintf("%d instructions", len(p.filter)/8))
	e.Seccomp(p.filter, p.flags)
}

const executes = "the payload; every descriptor of ours closes"

// ready comes last before exec in a program that becomes the payload.
func ready(e *nsexec.Program, init bool) {
	e.At("ready", "the parent attests from outside, then lets go")
	e.Ready(nsexec.Control, syncReady)
	if init {
		e.At("init", "pid 1 reaps orphans and forwards signals; the payload is its child")
		// Order: after the parent has set and attested pid 1's resource limits: the child
		// inherits them (setrlimit(2)).
		e.Reap()
	}
}
