// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/nsexec"
	"github.com/sdcontainer/sdcontainer/scope"
)

// A sabotage makes a start do something else than what was asked for. Each one must
// be found, by name, before the payload runs.
type sabotage struct {
	name  string
	both  bool                                       // a process that joins has that property, too
	spec  func(s *specs.Spec)                        // what is asked for, on top of the usual
	build func(s *specs.Spec)                        // what is compiled instead
	steps func(build, enter []nsexec.Step)           // what is done instead
	find  func(l *launch)                            // what is found of the payload, instead
	maps  func(*specs.Linux) *[]specs.LinuxIDMapping // of these, others are written
	last  func(t *testing.T, l *launch)              // what happens just before the attestation
	want  string
}

func without(typ specs.LinuxNamespaceType) func(s *specs.Spec) {
	return func(s *specs.Spec) {
		s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == typ })
	}
}

func with(typ specs.LinuxNamespaceType) func(s *specs.Spec) {
	return func(s *specs.Spec) { s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: typ}) }
}

func asUser(s *specs.Spec) {
	s.Process.User = specs.User{UID: 33, GID: 44, AdditionalGids: []uint32{55}}
	s.Process.Capabilities = nil
}

// oneMore has the payload get a capability that nobody gave it, in each set.
func oneMore(l *launch) {
	c := l.spec.Process.Capabilities
	for _, set := range []*[]string{&c.Bounding, &c.Permitted, &c.Effective, &c.Inheritable, &c.Ambient} {
		*set = append(slices.Clone(*set), "CAP_SYS_PTRACE")
	}
}

// filterless: without no_new_privs the last step, the filter, would fail by itself.
func filterless(s *specs.Spec) {
	settings, err := configs.SettingsOf(s)
	if err != nil {
		panic(err)
	}
	settings.Seccomp = "unconfined"
	settings.Annotate(s)
}

func sabotages() []sabotage {
	return []sabotage{
		{name: "bounding set", both: true, steps: skipEnter(unix.SYS_PRCTL, prctl(unix.PR_CAPBSET_DROP)), want: "CapBnd"},
		{name: "permitted and effective", both: true, steps: skipEnter(unix.SYS_CAPSET, nil), want: "CapEff"},
		{name: "no_new_privs", both: true, spec: filterless, steps: skipEnter(unix.SYS_PRCTL, prctl(unix.PR_SET_NO_NEW_PRIVS)), want: "NoNewPrivs"},
		{name: "seccomp", both: true, steps: skipEnter(unix.SYS_SECCOMP, nil), want: "Seccomp"},
		{name: "no filter was compiled", find: func(l *launch) { l.plan.filter = nil }, want: "Seccomp"},
		{name: "one filter too many", both: true, steps: twice, want: "Seccomp_filters"},
		{name: "uid", both: true, spec: asUser, steps: change(unix.SYS_SETRESUID, nil, 1, 0), want: "Uid"},
		{name: "gid", both: true, spec: asUser, steps: change(unix.SYS_SETRESGID, nil, 2, 0), want: "Gid"},
		{name: "groups", both: true, spec: asUser, steps: change(unix.SYS_SETGROUPS, nil, 0, 1), want: "Groups"},
		{name: "umask", both: true, steps: change(unix.SYS_UMASK, nil, 0, 0), want: "Umask"},
		{name: "session", both: true, steps: skipEnter(unix.SYS_SETSID, nil), want: "session"},
		{name: "descriptors", both: true, steps: skipEnter(unix.SYS_CLOSE_RANGE, nil), want: "descriptor"},
		{name: "dumpable", both: true, steps: func(build, enter []nsexec.Step) {
			change(unix.SYS_PRCTL, prctl(unix.PR_SET_DUMPABLE), 1, 1)(nil, build)
			change(unix.SYS_PRCTL, prctl(unix.PR_SET_DUMPABLE), 1, 1)(nil, enter)
		}, want: "dumpable"},
		{name: "host's root stays", steps: func(build, _ []nsexec.Step) { skip(build, unix.SYS_UMOUNT2, nil) }, want: "number of root mounts"},
		{name: "root", spec: func(s *specs.Spec) { s.Process.Cwd = "/etc" }, steps: inside, want: "root directory"},
		{name: "working directory", steps: outside, want: "cwd directory"},
		{name: "uid map", maps: func(l *specs.Linux) *[]specs.LinuxIDMapping { return &l.UIDMappings }, want: "uid_map"},
		{name: "gid map", maps: func(l *specs.Linux) *[]specs.LinuxIDMapping { return &l.GIDMappings }, want: "gid_map"},
		{name: "one capability too many", both: true, find: oneMore, want: "CapPrm"},
		{name: "inheritable", both: true, find: oneMore, want: "CapInh"},
		{name: "ambient", both: true, find: oneMore, want: "CapAmb"},
		{name: "mask", build: func(s *specs.Spec) {
			s.Linux.MaskedPaths = slices.DeleteFunc(s.Linux.MaskedPaths, func(p string) bool { return p == "/proc/keys" })
		}, want: "masked path /proc/keys"},
		{name: "mask behind a link", spec: func(s *specs.Spec) { s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, "/bin/sh") },
			build: func(s *specs.Spec) { s.Linux.MaskedPaths = s.Linux.MaskedPaths[:len(s.Linux.MaskedPaths)-1] }, want: "masked path /bin/sh"},
		{name: "read-only path", build: func(s *specs.Spec) { s.Linux.ReadonlyPaths = nil }, want: "read-only path /proc/sys"},
		{name: "read-only root", spec: func(s *specs.Spec) { s.Root.Readonly = true },
			build: func(s *specs.Spec) { s.Root.Readonly = false }, want: "root mount"},
		{name: "shared mounts", build: func(s *specs.Spec) { s.Linux.RootfsPropagation = "rshared" }, want: "propagation of /"},
		{name: "namespace not made", build: without(specs.IPCNamespace), want: "ipc namespace"},
		{name: "pid namespace not made", build: without(specs.PIDNamespace), want: "pid namespace"},
		{name: "cgroup namespace not made", build: without(specs.CgroupNamespace), want: "cgroup namespace"},
		{name: "namespace not joined", spec: func(s *specs.Spec) {
			for i, n := range s.Linux.Namespaces {
				if n.Type == specs.NetworkNamespace {
					s.Linux.Namespaces[i].Path = "/proc/self/ns/net"
				}
			}
		}, build: func(s *specs.Spec) {
			for i := range s.Linux.Namespaces {
				s.Linux.Namespaces[i].Path = ""
			}
		}, want: "net namespace"},
		{name: "namespace nobody asked for", spec: func(s *specs.Spec) { without(specs.UTSNamespace)(s); s.Hostname = "" },
			build: with(specs.UTSNamespace), want: "uts namespace"},
		// Without one of these there is no plan; without that of users asked for from the beginning, nothing is built.
		{name: "mount namespace nobody asked for", spec: without(specs.MountNamespace), build: with(specs.MountNamespace), want: "mnt namespace"},
		{name: "user namespace nobody asked for", last: func(_ *testing.T, l *launch) { without(specs.UserNamespace)(l.spec) }, want: "user namespace"},
		{name: "cgroup", both: true, last: elsewhere, want: "cgroup"},
		{name: "rlimit", both: true, last: func(t *testing.T, l *launch) {
			if err := kernel.Prlimit(l.pid, unix.RLIMIT_NOFILE, 7, 7); err != nil {
				t.Fatal(err)
			}
		}, want: "rlimit " + strconv.Itoa(unix.RLIMIT_NOFILE)},
		{name: "oom_score_adj", both: true, spec: func(s *specs.Spec) { n := 100; s.Process.OOMScoreAdj = &n }, last: func(t *testing.T, l *launch) {
			if err := writeOOMScore(l.pid, 200); err != nil {
				t.Fatal(err)
			}
		}, want: "oom_score_adj"},
		{name: "volume left out", spec: withVolume, build: func(s *specs.Spec) {
			s.Mounts = slices.DeleteFunc(s.Mounts, func(m specs.Mount) bool { return m.Destination == "/vol" })
		}, want: "mount /vol"},
		{name: "volume writable", spec: withVolume, build: func(s *specs.Spec) {
			m := &s.Mounts[len(s.Mounts)-1]
			m.Options = slices.DeleteFunc(slices.Clone(m.Options), func(o string) bool { return o == "ro" })
		}, want: "mount /vol"},
		{name: "tmpfs with devices", spec: func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/vol", Type: "tmpfs", Options: []string{"dev", "nodev", "nosuid"}})
		}, build: func(s *specs.Spec) { s.Mounts[len(s.Mounts)-1].Options = []string{"nosuid"} }, want: "mount /vol"},
		{name: "tracer", both: true, last: tracedBy, want: "TracerPid"},
		{name: "proc is not proc", last: renamed("proc"), want: "filesystem on /proc"},
		{name: "sysfs is not sysfs", last: renamed("sys"), want: "filesystem on /sys"},
	}
}

// otherLimit has a file of the unit's cgroup hold something else.
func otherLimit(file, value string) func(*testing.T, *launch) {
	return func(t *testing.T, l *launch) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(scope.Mount(), scope.UnitCgroup(l.c.st.Cgroup), file), []byte(value), 0); err != nil {
			t.Fatal(err)
		}
	}
}

func otherRate(t *testing.T, l *launch) {
	t.Helper()
	disk := scope.Limit{Device: "/"}
	if ok, err := disk.Find(); !ok || err != nil {
		t.Fatal(ok, err)
	}
	otherLimit("io.max", disk.Device+" rbps=max")(t, l)
}

func withProperty(name, value string) func(*specs.Spec) {
	return func(s *specs.Spec) {
		settings, err := configs.SettingsOf(s)
		if err != nil {
			panic(err)
		}
		settings.UnitProperties = map[string]string{name: value}
		settings.Annotate(s)
	}
}

func withVolume(s *specs.Spec) {
	s.Mounts = append(s.Mounts, specs.Mount{Destination: "/vol", Source: "/usr", Options: []string{"bind", "ro", "nosuid"}})
}

// elsewhere moves the init to a cgroup beside its own.
func elsewhere(t *testing.T, l *launch) {
	t.Helper()
	dir := filepath.Join(scope.Mount(), filepath.Dir(l.c.st.Cgroup), "elsewhere")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), fmt.Append(nil, l.pid), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(dir) })
}

// renamed has another directory in the place of a mount point, which is one in the
// container's mount namespace only, as who shares the rootfs can.
func renamed(name string) func(*testing.T, *launch) {
	return func(t *testing.T, l *launch) {
		t.Helper()
		at := filepath.Join(l.spec.Root.Path, name)
		if err := errors.Join(os.Rename(at, at+".away"), os.Mkdir(at, 0o755)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := errors.Join(os.Remove(at), os.Rename(at+".away", at)); err != nil {
				t.Error(err)
			}
		})
	}
}

func tracedBy(t *testing.T, l *launch) {
	t.Helper()
	const seize = 0x4206 // PTRACE_SEIZE
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	if _, _, errno := unix.Syscall6(unix.SYS_PTRACE, seize, uintptr(l.pid), 0, 0, 0, 0); errno != 0 {
		t.Fatal(errno)
	}
}

// D8: a start that does anything else than what was asked for, such as to go on without the filter, is stopped before its
// payload runs, and says which property is wrong.
func TestAttestNamesEverySabotage(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	some := append(sdtest.Some(sabotages(), 3), sabotage{name: "none"})
	have, _ := scope.Controllers("/") // this machine's may have none
	for _, s := range []sabotage{
		{name: "pids", last: otherLimit("pids.max", "51"), want: "TasksMax"},
		{name: "memory", spec: withProperty("MemoryMax", "uint64 67108864"), last: otherLimit("memory.max", "max"), want: "MemoryMax"},
		{name: "cpu", spec: withProperty("CPUQuotaPerSecUSec", "uint64 500000"), last: otherLimit("cpu.max", "max 100000"), want: "CPUQuotaPerSecUSec"},
		{name: "memory", spec: withProperty("OOMPolicy", "'kill'"), last: otherLimit("memory.oom.group", "0"), want: "OOMPolicy"},
		{name: "io", spec: withProperty("IOReadBandwidthMax", "[('/', 1000000)]"), last: otherRate, want: "IOReadBandwidthMax"},
	} {
		if slices.Contains(have, s.name) {
			some = append(some, s)
		}
	}
	for i, s := range some {
		t.Run(s.name, func(t *testing.T) {
			id := "sab" + strconv.Itoa(i)
			spec := w.spec(id, "/bin/true")
			if s.spec != nil {
				s.spec(spec)
			}
			l := w.launch(&Container{rt: w.Runtime, id: id}, spec, w.options(CreateOptions{}))
			err := l.sabotaged(t, s, l.steps())
			s.found(t, err)
			if err := l.takeBack(context.WithoutCancel(t.Context())); err != nil {
				t.Error(err)
			}
			w.nothingLeft(id)
		})
	}
}

// found checks what the attestation said.
func (s sabotage) found(t *testing.T, err error) {
	t.Helper()
	switch {
	case s.want == "" && err != nil:
		t.Errorf("the truth: %v", err)
	case s.want == "":
	case !errors.Is(err, ErrAttest) || !strings.Contains(err.Error(), s.want+" "):
		t.Errorf("%v; want ErrAttest about %s", err, s.want)
	default:
		t.Log(strings.ReplaceAll(err.Error(), "\n", "; "))
	}
}

// sabotaged does the steps until the attestation, with the sabotage in them.
func (l *launch) sabotaged(t *testing.T, s sabotage, steps []launchStep) error {
	t.Helper()
	ctx := soon(t)
	asked, maps := l.spec, []specs.LinuxIDMapping(nil)
	if s.build != nil {
		l.spec = clone(t, asked)
		s.build(l.spec)
	}
	for _, step := range steps {
		switch {
		case step.name == "attach" && s.maps != nil:
			these := s.maps(l.spec.Linux)
			maps = *these
			*these = []specs.LinuxIDMapping{{HostID: maps[0].HostID + maps[0].Size, Size: maps[0].Size}}
		case step.name == "find" && s.find != nil:
			l.spec = clone(t, asked)
			s.find(l)
		case step.name == "build" && s.steps != nil:
			s.steps(l.plan.world.Program.Steps(), nil)
		case step.name == "enter" && s.steps != nil:
			s.steps(nil, l.become.Steps())
		case step.name == "join" && s.steps != nil:
			s.steps(l.joined.spawn.Steps(), nil)
		case step.name == "attest" && s.last != nil && l.joined != nil:
			s.last(t, l)
		case step.name == "attest" && s.last != nil:
			return l.attestAfter(t, s.last)
		}
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		switch {
		case step.name == "plan" && s.build != nil: // from here on what was asked for counts
			asked.Linux.UIDMappings, asked.Linux.GIDMappings = l.spec.Linux.UIDMappings, l.spec.Linux.GIDMappings
			l.spec, l.plan.spec = asked, asked
		case step.name == "attach" && s.maps != nil:
			*s.maps(l.spec.Linux) = maps
		case step.name == "find" && s.find != nil:
			l.spec = asked
		case step.name == "attest":
			return nil
		}
	}
	return errors.New("it was never attested")
}

func (l *launch) attestAfter(t *testing.T, change func(*testing.T, *launch)) error {
	t.Helper()
	if err := l.setLimits(); err != nil {
		t.Fatal(err)
	}
	change(t, l)
	e, err := l.expect()
	if err != nil {
		t.Fatal(err)
	}
	return attest(l.pid, filepath.Join(scope.Mount(), l.c.st.Cgroup), e)
}

func clone(t *testing.T, spec *specs.Spec) *specs.Spec {
	t.Helper()
	b, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	var c specs.Spec
	if err := json.Unmarshal(b, &c); err != nil {
		t.Fatal(err)
	}
	return &c
}
