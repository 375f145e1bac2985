// SPDX-License-Identifier: Apache-2.0

package caps

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/nsexec"
)

// A Payload is a process of the Spec, understood.
type Payload struct {
	Identity
	Sets
	// Rlimits, OOMScoreAdj, Scheduler and IOPriority (the value ioprio_set(2) takes; nil for none) are set by the parent:
	// the right to raise them is one of the host's, which a process in a user namespace does not have.
	Rlimits     []Rlimit
	OOMScoreAdj *int
	Scheduler   *unix.SchedAttr
	IOPriority  *uint64
	// Env is the whole environment.
	Env []string
	// Path is the program's absolute path in the container. The parent resolves
	// it; until then it is empty.
	Path string
	// StandsFor is the user, in words, whose ids are not known and for which the Identity stands; "" where it is
	// known. It is only told.
	StandsFor string
	// AnyCPU takes away the mask of CPUs that the process has from who started it: those of its cgroup count.
	AnyCPU bool
	// DeathSignal ends the payload when its parent does; 0 for none.
	DeathSignal unix.Signal

	cwd        string
	umask      uint32
	noNewPrivs bool
	persona    *uint64
	affinity   []byte
}

// Plan understands process p, run as id. l has what a container's first process
// takes from the Spec's linux section; it is nil for one executed later.
func Plan(p *specs.Process, l *specs.Linux, id Identity) (*Payload, error) {
	if p == nil {
		return nil, errors.New("process: the Spec has none")
	}
	y := &Payload{Identity: id, cwd: p.Cwd, umask: 0o022, noNewPrivs: p.NoNewPrivileges}
	if y.cwd == "" {
		y.cwd = "/"
	}
	if !path.IsAbs(y.cwd) {
		return nil, fmt.Errorf("process.cwd %q: want an absolute path", y.cwd)
	}
	if u := p.User.Umask; u != nil {
		y.umask = *u
	}
	if y.umask > 0o777 {
		return nil, fmt.Errorf("process.user.umask %#o: want 0 to 0777", y.umask)
	}
	if err := y.understand(p, l); err != nil {
		return nil, fmt.Errorf("process: %w", err)
	}
	return y, nil
}

func (y *Payload) understand(p *specs.Process, l *specs.Linux) (err error) {
	if y.Sets, err = ParseSets(p.Capabilities); err != nil {
		return err
	}
	if y.Rlimits, err = Rlimits(p.Rlimits); err != nil {
		return err
	}
	if y.OOMScoreAdj, err = oomScore(p.OOMScoreAdj); err != nil {
		return err
	}
	if y.Scheduler, err = scheduler(p.Scheduler); err != nil {
		return err
	}
	if y.IOPriority, err = ioPriority(p.IOPriority); err != nil {
		return err
	}
	if y.Env, err = environment(p, y.Identity); err != nil {
		return err
	}
	if l == nil {
		if a := p.ExecCPUAffinity; a != nil && a.Final != "" {
			y.affinity, err = ParseCPUs(a.Final)
		}
		return err
	}
	if l.MemoryPolicy != nil {
		return errors.New("linux.memoryPolicy is not supported (numactl in the container does the same)")
	}
	y.persona, err = personality(l.Personality)
	return err
}

// DefaultPath is where programs are looked for when the environment has no PATH.
const DefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// environment is what the Spec says, of one name the last, and what every process has.
func environment(p *specs.Process, id Identity) ([]string, error) {
	if err := configs.CheckEnv(p.Env); err != nil {
		return nil, err
	}
	env := make([]string, 0, len(p.Env)+4)
	at := make(map[string]int, len(p.Env)+4)
	for _, kv := range p.Env {
		name, _, _ := strings.Cut(kv, "=")
		if i, twice := at[name]; twice { // programs would take the first and shells the last
			env[i] = kv
			continue
		}
		at[name] = len(env)
		env = append(env, kv)
	}
	add := func(name, value string) {
		if _, given := at[name]; !given {
			env = append(env, name+"="+value)
		}
	}
	add("PATH", DefaultPath)
	add("HOME", id.Home)
	if p.Terminal {
		add("TERM", "xterm")
	}
	add("container", "sdcontainer")
	return env, nil
}

// Enter adds the steps that turn the helper into the payload's user. terminal
// adds those for its session and standard streams, filter those that install its
// seccomp filter: their place depends on no_new_privs. What is left is telling the
// parent, and exec.
func (y *Payload) Enter(p *nsexec.Program, terminal, filter func()) {
	joinKeyring(p)
	y.schedule(p)
	// Order: the terminal gets its owner while we may still give files away
	// (chown(2), CAP_CHOWN).
	terminal()
	y.directory(p)
	y.bound(p)
	if !y.noNewPrivs {
		// Order: without no_new_privs the filter needs CAP_SYS_ADMIN, which the next
		// steps give up (seccomp(2)).
		filter()
	}
	y.become(p)
	y.grant(p)
	p.At("death signal", y.fate())
	// Order: after the change of ids, with which the kernel forgets it (prctl(2)).
	p.DeathSignal(y.DeathSignal)
	p.At(fmt.Sprintf("umask %03o", y.umask), "for the files of the payload; the work needed none")
	p.Umask(y.umask)
	if y.Path != "" {
		p.At("check "+y.Path, "as the user it will run as")
		// Order: after the credentials; before the filter if that comes last. A filter
		// may not know the call: then exec itself tells.
		p.Access(y.Path).Tolerate(unix.ENOSYS, unix.EPERM)
	}
	if y.noNewPrivs {
		p.At("no_new_privs", "no program can give more rights than these")
		p.Prctl("no_new_privs", unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
		// Order: with no_new_privs the filter comes last: it need not allow what the
		// steps above do.
		filter()
	}
}

// fate says what a death signal is for.
func (y *Payload) fate() string {
	switch y.DeathSignal {
	case 0:
		return "the payload outlives who started it"
	case unix.SIGKILL:
		return "the payload ends with who started it; the change of user has undone that"
	}
	return "the payload is told when who started it dies; the change of user has undone that"
}

func joinKeyring(p *nsexec.Program) {
	p.At("session keyring", "the caller's keys stay with the caller")
	// Order: first: the keyring belongs to who makes it, and later users have a
	// quota of 200 keys (keyrings(7)). Without room, or keys in the kernel, the process goes
	// on without one of its own, and not with the caller's: the interpreter has left that.
	p.JoinKeyring().Tolerate(unix.ENOSYS, unix.EDQUOT)
}

func (y *Payload) schedule(p *nsexec.Program) {
	if y.AnyCPU && y.affinity == nil {
		p.At("any CPU of the cgroup's", "its cpuset alone would leave the mask of who started the process")
		// Order: after the final cgroup was joined, whose cpuset no longer takes away a mask that was asked for (Linux 6.2,
		// da019032819a).
		p.Setaffinity(bytes.Repeat([]byte{0xff}, (configs.MaxCPU+1)/8)) // the kernel takes those there are, and of them the cpuset's
	}
	// Order: after the final cgroup was joined, whose cpuset limits masks (before Linux 6.2 it replaces them); before the
	// filter is installed.
	if y.affinity != nil {
		p.At("CPU affinity", "in the final cgroup, whose cpuset limits it")
		p.Setaffinity(y.affinity)
	}
	if y.persona != nil {
		p.At("personality", "before the filter, which may refuse to change it")
		p.Personality(*y.persona)
	}
}

func (y *Payload) directory(p *nsexec.Program) {
	p.At("working directory "+y.cwd, "the user need not be able to enter it; that it lies inside the root is checked")
	// Order: before the change of user, who need not be able to enter it. It is not tried again after that: what the
	// container's root may not enter (NFS with root_squash, another user's FUSE) is refused.
	p.Chdir(y.cwd)
	// Order: at once after chdir: a descriptor that leads out of the root would show
	// here (CVE-2024-21626).
	p.CheckCwd()
}

// bound drops what is not in the bounding set.
func (y *Payload) bound(p *nsexec.Program) {
	p.At("bounding set: "+y.Bounding.String(), "what no program can ever get")
	// Order: while CAP_SETPCAP is there.
	for n := range len(names) {
		if y.Bounding&(1<<n) == 0 {
			p.Prctl(names[n], unix.PR_CAPBSET_DROP, uint64(n), 0, 0, 0)
		}
	}
	// Capabilities of later kernels: the first number that does not exist ends it.
	// Linux gained four in its last ten years.
	const end = 48
	for n := len(names); n < end; n++ {
		p.Prctl(fmt.Sprintf("CAP_%d", n), unix.PR_CAPBSET_DROP, uint64(n), 0, 0, 0).OrSkip(end-1-n, unix.EINVAL)
	}
}

// become changes to the payload's ids.
func (y *Payload) become(p *nsexec.Program) {
	who := fmt.Sprintf("%d:%d", y.UID, y.GID)
	if y.StandsFor != "" {
		who = fmt.Sprintf("%s (not known here: %s stands for it)", y.StandsFor, who)
	}
	p.At("become user "+who, "groups, group, user: each needs a right that the next gives up")
	p.Prctl("keepcaps", unix.PR_SET_KEEPCAPS, 1, 0, 0, 0)
	// Order: groups, group, user: each needs rights that the next gives up. Not dumpable
	// after each change of ids, which makes us what fs.suid_dumpable says: where that is 1,
	// what runs in the container already could trace us until exec (CVE-2016-9962, proc(5)).
	p.Setgroups(y.Groups)
	p.Setgid(y.GID)
	p.Dumpable(false)
	p.Setuid(y.UID)
	p.Dumpable(false)
	p.Prctl("keepcaps", unix.PR_SET_KEEPCAPS, 0, 0, 0, 0)
}

// grant sets the capability sets.
func (y *Payload) grant(p *nsexec.Program) {
	p.At("capabilities: "+y.Permitted.String(), "what the payload has of the bounding set")
	p.Capset(uint64(y.Effective), uint64(y.Permitted), uint64(y.Inheritable))
	// Order: ambient last: it is cut to permitted and inheritable (capabilities(7)).
	p.Prctl("ambient", unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
	for n, name := range names {
		if y.Ambient&(1<<n) != 0 {
			p.Prctl(name, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, uint64(n), 0, 0)
		}
	}
}
