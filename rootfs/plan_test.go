// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/sdtest/golden"
	"github.com/sdcontainer/sdcontainer/nsexec"
)

// full is a Spec with something of everything.
func full() *specs.Spec {
	s := usual("/rootfs")
	s.Root.Readonly = true
	s.Domainname = "example"
	s.Process = &specs.Process{Cwd: "/srv", Terminal: true}
	s.Mounts = append(s.Mounts,
		specs.Mount{Type: "tmpfs", Source: "tmpfs", Destination: "/run", Options: []string{"ro", "size=1m"}},
		specs.Mount{Type: "bind", Source: "/data", Destination: "/data", Options: []string{"rbind", "rro", "nosuid", "rslave", "idmap"}},
		specs.Mount{Type: "bind", Source: "/etc/file", Destination: "/etc/file", Options: []string{"bind", "ro"}},
		specs.Mount{Type: "overlay", Source: "overlay", Destination: "/merged", Options: []string{"lowerdir=/l1:/l2", "upperdir=/u", "workdir=/w"}})
	s.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1", "kernel.sem": "1 2 3 4"}
	s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/net/tun", Type: "c", Major: 10, Minor: 200}}
	s.Linux.RootfsPropagation = "rshared"
	return s
}

func withUserns(s *specs.Spec) *specs.Spec {
	m := []specs.LinuxIDMapping{{HostID: 100000, Size: 65536}}
	s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: userNS})
	s.Linux.UIDMappings, s.Linux.GIDMappings = m, m
	return s
}

func withoutIdmap(s *specs.Spec) *specs.Spec {
	for i := range s.Mounts {
		s.Mounts[i].Options = slices.DeleteFunc(s.Mounts[i].Options, func(o string) bool { return o == "idmap" })
	}
	return s
}

// plans are the Specs whose programs are kept as golden files.
func plans() map[string]*specs.Spec {
	return map[string]*specs.Spec{
		"usual":       usual("/rootfs"),
		"usual-user":  withUserns(usual("/rootfs")),
		"full":        withoutIdmap(full()),
		"full-user":   withUserns(full()),
		"bare":        {Root: &specs.Root{Path: "/rootfs"}, Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: mountNS}}}},
		"host-cgroup": {Root: &specs.Root{Path: "/rootfs"}, Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: mountNS}}}, Mounts: []specs.Mount{{Type: "cgroup2", Destination: "/sys/fs/cgroup"}}},
	}
}

func mustPlan(t *testing.T, spec *specs.Spec) (*World, *nsexec.Program) {
	t.Helper()
	w, err := Plan(spec, configs.Settings{}, Facts{Sources: map[string]SourceKind{"/etc/file": IsFile}, OverlayLowerPlus: true})
	if err != nil {
		t.Fatal(err)
	}
	enter := nsexec.Next("enter", w.Program)
	w.EnterMounts(enter)
	w.Terminal(enter, 1000)
	enter.Exec("/payload", nil, nil)
	if _, err := enter.Encode(); err != nil {
		t.Fatal(err)
	}
	return w, enter
}

func TestPlanGolden(t *testing.T) {
	for name, spec := range plans() {
		t.Run(name, func(t *testing.T) {
			w, enter := mustPlan(t, spec)
			var b bytes.Buffer
			for _, s := range w.Sources {
				line, err := json.Marshal(s)
				if err != nil {
					t.Fatal(err)
				}
				b.WriteString("source " + string(line) + "\n")
			}
			for _, p := range []*nsexec.Program{w.Program, enter} {
				if err := p.Format(&b); err != nil {
					t.Fatal(err)
				}
			}
			golden.Check(t, "testdata/"+name+".txt", b.String())
		})
	}
}

// TestOrder asserts on the compiled programs what the "Order:" comments say.
// A9: see the test of the same number in package caps.
func TestA9NotDumpableAfterIDs(t *testing.T) {
	p := nsexec.New("build")
	BecomeRoot(p, &specs.Linux{})
	for i, s := range p.Steps() {
		if s.NR != unix.SYS_SETRESUID && s.NR != unix.SYS_SETRESGID {
			continue
		}
		if next := p.Steps()[i+1]; next.NR != unix.SYS_PRCTL || next.Args[0] != nsexec.Imm(unix.PR_SET_DUMPABLE) || next.Args[1] != nsexec.Imm(0) {
			t.Errorf("step %d changes ids, and the next is %+v", i, next)
		}
	}
}

func TestOrder(t *testing.T) {
	for name, spec := range plans() {
		t.Run(name, func(t *testing.T) {
			w, enter := mustPlan(t, spec)
			steps := slices.Concat(w.Program.Explain(), enter.Explain())
			position := func(last bool, match func(nsexec.StepInfo) bool) int {
				at := -1
				for i, s := range steps {
					if match(s) && (last || at < 0) {
						at = i
					}
				}
				return at
			}
			call := func(names ...string) func(nsexec.StepInfo) bool {
				return func(s nsexec.StepInfo) bool { return slices.Contains(names, s.Call) }
			}
			named := func(prefix string) func(nsexec.StepInfo) bool {
				return func(s nsexec.StepInfo) bool { return strings.HasPrefix(s.Name, prefix) }
			}
			first := func(m func(nsexec.StepInfo) bool) int { return position(false, m) }
			last := func(m func(nsexec.StepInfo) bool) int { return position(true, m) }
			before := func(what string, a, b int) {
				t.Helper()
				if a >= 0 && b >= 0 && a >= b {
					t.Errorf("%s: step %d (%s) does not come before step %d (%s)", what, a, steps[a].Name, b, steps[b].Name)
				}
			}
			mounted := func(s nsexec.StepInfo) bool {
				return s.Call == "move_mount" && !strings.HasPrefix(s.Name, "mount cgroup2")
			}
			if first(call("mount")) < 0 || first(call("pivot_root")) < 0 || last(call("end")) < 0 {
				t.Fatal("no propagation, change of root or gate")
			}
			before("propagation before any mount", first(call("mount")), first(call("move_mount", "fsmount", "mkpath")))
			before("user before files", last(call("setresuid")), first(call("mount", "mkpath")))
			before("mounts before nodes", last(named("mount proc on")), first(named("device ")))
			before("nodes before read-only", last(named("device ")), first(named("seal ")))
			before("working directory before read-only", last(named("working directory")), first(named("seal ")))
			before("terminal before read-only", last(named("mount terminal")), first(named("seal ")))
			before("sysctls before readonlyPaths", last(named("sysctl ")), first(named("make ")))
			before("hooks before masks", last(call("spawn")), first(named("prepare masks")))
			before("readonlyPaths before maskedPaths", last(named("make ")), first(named("mask ")))
			before("mounts before masks", last(func(s nsexec.StepInfo) bool { return mounted(s) && strings.HasPrefix(s.Name, "mount ") }), first(named("make ")))
			before("mounts before the change of root", last(mounted), first(call("pivot_root")))
			before("change of root before its propagation", first(call("pivot_root")), first(named("propagate rootfs")))
			before("cgroup namespace before its mount", first(call("unshare")), first(named("mount cgroup2")))
			before("session before terminal", first(call("setsid")), first(named("attach terminal")))
			for i, s := range steps {
				if i > first(call("pivot_root")) && slices.Contains([]string{"mkpath", "openat2", "mknodat", "open_tree", "mount", "symlinkat"}, s.Call) {
					t.Errorf("step %d after the change of root resolves a path: %s", i, s)
				}
			}
		})
	}
}

// Kernel settings are written to the container's own procfs where it has them, to a private one where not.
func TestProcOfSysctls(t *testing.T) {
	for options, private := range map[string]bool{"nosuid": false, "ro": true, "subset=pid": true} {
		spec := full()
		spec.Mounts[0].Options = []string{options}
		w, _ := mustPlan(t, withoutIdmap(spec))
		if got := slices.ContainsFunc(w.Program.Steps(), func(s nsexec.Step) bool { return s.Name == "private procfs for sysctls" }); got != private {
			t.Errorf("%s: private is %v", options, got)
		}
	}
}

// TestOnlyDescriptors checks that nothing of the image is ever named by an
// absolute path: the few calls that take one are about the host's own side.
func TestOnlyDescriptors(t *testing.T) {
	for name, spec := range plans() {
		w, _ := mustPlan(t, spec)
		for i, s := range w.Program.Explain() {
			text := s.String()
			switch {
			case s.Call == "openat":
				if !strings.Contains(text, `"/"`) && !strings.Contains(text, `"/proc/self/ns/mnt"`) && !strings.Contains(text, `"/dev"`) && !strings.Contains(text, `"/proc"`) {
					t.Errorf("%s: step %d: %s", name, i, text)
				}
			case s.Call == "mount" && !strings.Contains(s.Name, "leave the host's mounts"),
				slices.Contains([]string{"open", "stat", "lstat", "mkdir", "mknod", "chown", "rename", "unlink"}, s.Call):
				t.Errorf("%s: step %d: %s", name, i, text)
			}
		}
	}
}

// FuzzPlan feeds Specs as JSON: a plan is either refused or complete.
func FuzzPlan(f *testing.F) {
	for _, spec := range plans() {
		b, err := json.Marshal(spec)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var spec specs.Spec
		if json.Unmarshal(b, &spec) != nil {
			return
		}
		w, err := Plan(&spec, configs.Settings{}, Facts{})
		if err != nil {
			return
		}
		if len(w.Sources) != len(w.Program.Received()) {
			t.Fatalf("%d sources, %d received", len(w.Sources), len(w.Program.Received()))
		}
		for _, s := range w.Sources {
			if !filepath.IsAbs(s.Path) && len(s.Nodes) == 0 {
				t.Fatalf("source %q", s.Path)
			}
		}
	})
}

func BenchmarkPlan(b *testing.B) {
	spec := usual("/rootfs")
	for b.Loop() {
		if _, err := Plan(spec, configs.Settings{}, Facts{}); err != nil {
			b.Fatal(err)
		}
	}
}
