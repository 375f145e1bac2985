// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/internal/sdtest/converse"
	"github.com/sdcontainer/sdcontainer/nsexec"
)

// The payload of these tests is the test binary itself: with an argument
// "look", it tells as JSON what it sees and can do.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "look" {
		look(os.Args[2:])
		return
	}
	os.Exit(sdtest.Main(m))
}

// A view is what the payload found.
type view struct {
	Mounts   []mountLine
	Hostname string
	Ran      map[string]string // command to its result
}

// A mountLine is one line of mountinfo.
type mountLine struct{ Root, Point, Options, Tags, Type, Super string }

func (m mountLine) has(option string) bool {
	return slices.Contains(strings.Split(m.Options, ","), option)
}

func (v *view) at(point string) mountLine {
	var found mountLine
	for _, m := range v.Mounts {
		if m.Point == point {
			found = m
		}
	}
	return found
}

func look(commands []string) {
	v := view{Ran: map[string]string{}}
	v.Hostname, _ = os.Hostname()
	b, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(b)) {
		left, right, _ := strings.Cut(strings.TrimSpace(line), " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		v.Mounts = append(v.Mounts, mountLine{l[3], l[4], l[5], strings.Join(l[6:], " "), r[0], r[2]})
	}
	for _, c := range commands {
		v.Ran[c] = try(c)
	}
	json.NewEncoder(os.Stdout).Encode(v)
}

// try runs one small command and gives its result as text.
func try(command string) string {
	verb, arg, _ := strings.Cut(command, " ")
	result := func(s string, err error) string {
		var errno unix.Errno
		switch {
		case errors.As(err, &errno):
			return unix.ErrnoName(errno)
		case err != nil:
			return err.Error()
		}
		return s
	}
	switch verb {
	case "cat":
		b, err := os.ReadFile(arg)
		return result(strings.TrimSpace(string(b)), err)
	case "ls":
		list, err := os.ReadDir(arg)
		var names []string
		for _, e := range list {
			names = append(names, e.Name())
		}
		return result(strings.Join(names, " "), err)
	case "mkdir":
		return result("ok", os.Mkdir(arg, 0o755))
	case "link":
		s, err := os.Readlink(arg)
		return result(s, err)
	case "write":
		f, err := os.OpenFile(arg, os.O_WRONLY, 0)
		if err == nil {
			f.Close()
		}
		return result("ok", err)
	case "create":
		f, err := os.Create(arg)
		if err == nil {
			f.Close()
		}
		return result("ok", err)
	case "stat":
		var st unix.Stat_t
		err := unix.Lstat(arg, &st)
		return result(fmt.Sprintf("%o %d:%d %d:%d", st.Mode, unix.Major(st.Rdev), unix.Minor(st.Rdev), st.Uid, st.Gid), err)
	case "cwd":
		s, err := os.Getwd()
		return result(s, err)
	case "lo":
		s, err := os.ReadFile("/sys/class/net/lo/flags")
		return result(strings.TrimSpace(string(s)), err)
	case "files": // open ones, but for those of the Go runtime
		list, err := os.ReadDir("/proc/self/fd")
		var targets []string
		for _, e := range list {
			if s, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && !strings.HasPrefix(s, "anon_inode:[event") {
				targets = append(targets, s)
			}
		}
		return result(strings.Join(targets, " "), err)
	case "tty":
		var st unix.Stat_t
		err := unix.Fstat(0, &st)
		sid, _ := unix.IoctlGetInt(0, unix.TIOCGSID)
		return result(fmt.Sprintf("%d:%d session %d", unix.Major(st.Rdev), unix.Minor(st.Rdev), sid), err)
	}
	return "unknown command"
}

// A world is one container to be made by a test.
type world struct {
	t        *testing.T
	spec     *specs.Spec
	set      configs.Settings
	facts    Facts
	root     string   // the rootfs directory
	terminal *os.File // the master side
	pid      int
	between  func(pid int) error // is done instead of the step about the object "mode=751"
	during   func(pid int) error // is done when the world is complete
	ends     []func()
}

// newWorld makes an empty rootfs and a Spec with the usual mounts.
func newWorld(t *testing.T) *world {
	t.Helper()
	sdtest.Require(t, sdtest.Root, sdtest.Static)
	root := filepath.Join(t.TempDir(), "rootfs")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	return &world{t: t, root: root, spec: usual(root), facts: Facts{Sources: map[string]SourceKind{}}}
}

// bind adds a bind mount of a host path.
func (w *world) bind(source, dest string, options ...string) {
	w.spec.Mounts = append(w.spec.Mounts, specs.Mount{Type: "bind", Source: source, Destination: dest, Options: append(options, "rbind")})
}

var cloneFlags = map[nsType]uint64{pidNS: unix.CLONE_NEWPID, netNS: unix.CLONE_NEWNET, ipcNS: unix.CLONE_NEWIPC,
	utsNS: unix.CLONE_NEWUTS, mountNS: unix.CLONE_NEWNS, userNS: unix.CLONE_NEWUSER}

// run makes the world and looks at it from inside.
func (w *world) run(commands ...string) (*view, error) {
	t := w.t
	t.Helper()
	w.bind(sdtest.Payload(t), "/look", "ro", "exec")
	if err := w.find(); err != nil {
		return nil, err
	}
	r, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer out.Close()
	h, err := nsexec.Start(nsexec.StartOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := w.start(ctx, h, out, commands); err != nil {
		return nil, err
	}
	out.Close()
	from := r
	if w.terminal != nil {
		from = w.terminal
	}
	var v view
	if err := json.NewDecoder(from).Decode(&v); err != nil {
		t.Fatalf("the payload said: %v", err)
	}
	return &v, nil
}

// find fills in what bind sources are.
func (w *world) find() error {
	binds, err := Binds(w.spec)
	if err != nil {
		return err
	}
	for _, b := range binds {
		info, err := os.Stat(b.Path)
		switch {
		case errors.Is(err, os.ErrNotExist):
			w.facts.Sources[b.Path] = IsMissing
		case err != nil:
			return err
		case !info.IsDir():
			w.facts.Sources[b.Path] = IsFile
		}
	}
	return nil
}

func (w *world) start(ctx context.Context, h *nsexec.Helper, out *os.File, commands []string) error {
	spawn := nsexec.New("spawn")
	spawn.Stdio([3]nsexec.Reg{spawn.Receive("in"), spawn.Receive("out"), spawn.Receive("err")})
	spawn.At("fork init", "")
	var flags uint64
	for _, n := range w.spec.Linux.Namespaces {
		flags |= cloneFlags[n.Type]
	}
	spawn.Fork(nsexec.Control, nsexec.CloneArgs{Namespaces: flags, Sibling: true, Cgroup: nsexec.NoReg})
	spawn.End()
	init, err := converse.Spawn(ctx, h, spawn, out, out, os.Stderr)
	if err != nil {
		return err
	}
	w.pid = init.Pid
	w.later(func() {
		_ = unix.PidfdSendSignal(int(init.File.Fd()), unix.SIGKILL, nil, 0)
		_, _ = unix.Wait4(init.Pid, nil, 0, nil)
		init.File.Close()
	})
	if w.spec.Linux.UIDMappings != nil {
		if err := nsexec.WriteIDMaps(init.Pid, w.spec.Linux.UIDMappings, w.spec.Linux.GIDMappings); err != nil {
			return err
		}
	}
	w.facts.Spawn = spawn
	plan, err := Plan(w.spec, w.set, w.facts)
	if err != nil {
		return err
	}
	for i, s := range plan.Program.Steps() {
		if w.between != nil && s.Object == "mode=751" {
			plan.Program.Steps()[i] = nsexec.Step{Op: nsexec.OpSync, NR: syncBetween, Args: [6]nsexec.Arg{nsexec.Control, nsexec.Imm(^uint64(0)), nsexec.Imm(0), nsexec.Imm(0), nsexec.Imm(0), nsexec.Imm(0)}}
		}
	}
	files := w.openSources(plan.Sources)
	if err := converse.Run(ctx, h, plan.Program, files, w.event); err != nil {
		return err
	}
	enter := nsexec.Next("enter", plan.Program)
	plan.EnterMounts(enter)
	plan.Terminal(enter, 0)
	if w.during != nil {
		enter.At("hold", "")
		enter.Sync(nsexec.Control, syncDuring, nsexec.NoReg)
	}
	enter.At("payload", "")
	enter.Chdir(w.spec.Process.Cwd)
	enter.CheckCwd()
	enter.Exec("/look", append([]string{"look", "look"}, commands...), nil)
	return converse.Run(ctx, h, enter, nil, w.event)
}

const (
	syncBetween = 98
	syncDuring  = 99
)

func (w *world) event(e nsexec.Event) error {
	if e.Kind == nsexec.Synced && e.ID == syncBetween {
		return w.between(w.pid)
	}
	if e.Kind == nsexec.Synced && e.ID == syncDuring {
		return w.during(w.pid)
	}
	if e.Kind != nsexec.Synced || e.ID != SyncConsole {
		return fmt.Errorf("unexpected event %+v", e)
	}
	w.terminal = e.File
	w.later(func() { e.File.Close() })
	return nil
}

// later has something done when the world is no longer needed: at the end of the test, or of one attempt of many.
func (w *world) later(f func()) {
	if w.ends == nil {
		w.t.Cleanup(w.end)
	}
	w.ends = append(w.ends, f)
}

func (w *world) end() {
	for _, f := range slices.Backward(w.ends) {
		f()
	}
	w.ends = nil
}

func (w *world) openSources(list []Source) []*os.File {
	t, pid := w.t, w.pid
	t.Helper()
	var files []*os.File
	for _, s := range list {
		f, err := w.nodes(s.Nodes)
		if len(s.Nodes) == 0 {
			f, err = kernel.CloneMount(s.Path, s.Recursive)
		}
		if err != nil {
			t.Fatal(err)
		}
		w.later(func() { f.Close() })
		if s.IDMap != nil {
			ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", pid))
			if err != nil {
				t.Fatal(err)
			}
			if err := kernel.Idmap(f, s.IDMap.Recursive, ns); err != nil {
				t.Fatal(err)
			}
			ns.Close()
		}
		files = append(files, f)
	}
	return files
}

// nodes makes the devices of a user namespace, for its first user.
func (w *world) nodes(list []Node) (*os.File, error) {
	var nodes []kernel.Node
	for _, n := range list {
		nodes = append(nodes, kernel.Node{Name: n.Name, Mode: n.Mode, Dev: n.Dev, UID: w.spec.Linux.UIDMappings[0].HostID, GID: w.spec.Linux.GIDMappings[0].HostID})
	}
	if len(list) == 0 {
		return nil, nil
	}
	return kernel.NodeMount(nodes)
}

// usual is the Spec of an ordinary container.
func usual(root string) *specs.Spec {
	return &specs.Spec{
		Root:     &specs.Root{Path: root},
		Hostname: "box",
		Process:  &specs.Process{Cwd: "/"},
		Mounts: []specs.Mount{
			{Type: "proc", Source: "proc", Destination: "/proc"},
			{Type: "tmpfs", Source: "tmpfs", Destination: "/dev", Options: []string{"nosuid", "noexec", "strictatime", "mode=755", "size=64k", "nr_inodes=512"}},
			{Type: "devpts", Source: "devpts", Destination: "/dev/pts", Options: []string{"nosuid", "noexec"}},
			{Type: "tmpfs", Source: "shm", Destination: "/dev/shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=64m"}},
			{Type: "mqueue", Source: "mqueue", Destination: "/dev/mqueue"},
			{Type: "sysfs", Source: "sysfs", Destination: "/sys", Options: []string{"ro"}},
			{Type: "cgroup", Source: "cgroup", Destination: "/sys/fs/cgroup", Options: []string{"ro"}},
		},
		Linux: &specs.Linux{
			Namespaces: []specs.LinuxNamespace{{Type: mountNS}, {Type: pidNS}, {Type: netNS}, {Type: ipcNS}, {Type: utsNS}, {Type: cgroupNS}},
			MaskedPaths: []string{"/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
				"/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap"},
			ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		},
	}
}
