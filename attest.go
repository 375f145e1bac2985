// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/nsexec"
	"github.com/sdcontainer/sdcontainer/scope"
)

// An expectation is what must be true of the init, seen from outside, between
// "ready" and exec. It is written from the Spec, not from the programs: the two
// are derived separately, so that a mistake in one shows in the other.
type expectation struct {
	caps       [5]uint64 // inheritable, permitted, effective, bounding, ambient
	noNewPrivs bool
	seccomp    bool
	uid, gid   uint32 // as the host sees them
	groups     []uint32
	umask      uint32
	uidMap     []specs.LinuxIDMapping
	gidMap     []specs.LinuxIDMapping
	newNS      []string          // names in /proc/PID/ns that must differ from ours
	joinedNS   map[string]string // name -> link text that must be equal
	cgroup     string
	rootRO     bool
	shared     bool // the root's propagation may be shared or slave
	masked     []string
	readonly   []string
	rlimits    map[int][2]uint64
	oomScore   *int
	limits     []scope.Limit
}

// A witness collects the differences found in one process.
type witness struct {
	proc  string   // /proc/PID
	root  *os.File // its root directory, once somebody looked
	diffs []error
}

func (w *witness) differ(what string, have, want any) {
	w.diffs = append(w.diffs, fmt.Errorf("%s is %v, want %v", what, have, want))
}

func (w *witness) read(name string) string {
	b, err := kernel.ReadFile(filepath.Join(w.proc, name))
	if err != nil {
		w.diffs = append(w.diffs, err)
	}
	return string(b)
}

// attest compares the process with what was compiled. Every difference is in
// the error; errors.Is(err, ErrAttest).
func attest(pid int, cgroupDir string, e *expectation) error {
	w := &witness{proc: "/proc/" + strconv.Itoa(pid)}
	w.process(pid, e)
	w.mounts(e)
	_ = w.root.Close() // nil if nobody looked
	w.cgroupLimits(cgroupDir, e)
	return w.verdict()
}

// attestProcess does so for one that joined a container: what that mounts and how
// it is limited is not for a process of it to change.
func attestProcess(pid int, e *expectation) error {
	w := &witness{proc: "/proc/" + strconv.Itoa(pid)}
	w.process(pid, e)
	return w.verdict()
}

func (w *witness) process(pid int, e *expectation) {
	w.status(e)
	w.idMap("uid_map", e.uidMap)
	w.idMap("gid_map", e.gidMap)
	w.namespaces(e)
	w.cgroup(e)
	w.descriptors()
	w.rlimits(pid, e)
}

func (w *witness) verdict() error {
	if len(w.diffs) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrAttest, errors.Join(w.diffs...))
}

var capLines = [5]string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}

func statusFields(text string) map[string]string {
	f := map[string]string{}
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(line, ":"); ok {
			f[k] = strings.TrimSpace(v)
		}
	}
	return f
}

// seccomp: the filters are those this process is under itself and, if that was
// asked for, exactly one more.
func (w *witness) seccomp(f map[string]string, e *expectation) {
	own := statusFields((&witness{proc: "/proc/self"}).read("status"))
	mode := own["Seccomp"]
	if e.seccomp {
		mode = "2"
	}
	w.equal("Seccomp", f["Seccomp"], mode)
	n, err := strconv.Atoi(own["Seccomp_filters"])
	if err != nil {
		return // before Linux 5.9
	}
	if e.seccomp {
		n++
	}
	w.equal("Seccomp_filters", f["Seccomp_filters"], strconv.Itoa(n))
}

func (w *witness) status(e *expectation) {
	f := statusFields(w.read("status"))
	for i, name := range capLines {
		if have, err := strconv.ParseUint(f[name], 16, 64); err != nil || have != e.caps[i] {
			w.differ(name, f[name], fmt.Sprintf("%016x", e.caps[i]))
		}
	}
	w.equal("NoNewPrivs", f["NoNewPrivs"], digit(e.noNewPrivs))
	w.seccomp(f, e)
	w.equal("Uid", f["Uid"], fourTimes(e.uid))
	w.equal("Gid", f["Gid"], fourTimes(e.gid))
	w.equal("Umask", f["Umask"], fmt.Sprintf("%04o", e.umask))
	w.equal("TracerPid", f["TracerPid"], "0")
	groups := slices.Sorted(slices.Values(e.groups))
	have := []uint32{}
	for _, g := range strings.Fields(f["Groups"]) {
		n, _ := strconv.ParseUint(g, 10, 32) // the kernel's own number
		have = append(have, uint32(n))
	}
	slices.Sort(have)
	if !slices.Equal(slices.Compact(have), slices.Compact(groups)) {
		w.differ("Groups", have, groups)
	}
}

func (w *witness) equal(what, have, want string) {
	if have != want {
		w.differ(what, have, want)
	}
}

func digit(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

func fourTimes(id uint32) string {
	s := strconv.FormatUint(uint64(id), 10)
	return strings.Join([]string{s, s, s, s}, "\t")
}

func (w *witness) idMap(name string, want []specs.LinuxIDMapping) {
	if want == nil {
		own, err := kernel.ReadFile("/proc/self/" + name)
		if err != nil {
			w.diffs = append(w.diffs, err)
			return
		}
		w.equal(name, w.read(name), string(own))
		return
	}
	have := parseIDMap(w.read(name))
	byID := func(a, b specs.LinuxIDMapping) int { return int(int64(a.ContainerID) - int64(b.ContainerID)) }
	want = slices.SortedFunc(slices.Values(want), byID)
	slices.SortFunc(have, byID)
	if !slices.Equal(have, want) {
		w.differ(name, have, want)
	}
}

// parseIDMap reads the kernel's uid_map or gid_map.
func parseIDMap(text string) []specs.LinuxIDMapping {
	var maps []specs.LinuxIDMapping
	for line := range strings.Lines(text) {
		var m specs.LinuxIDMapping
		if _, err := fmt.Sscan(line, &m.ContainerID, &m.HostID, &m.Size); err == nil {
			maps = append(maps, m)
		}
	}
	return maps
}

func (w *witness) namespaces(e *expectation) {
	link := func(proc, name string) string {
		l, err := os.Readlink(proc + "/ns/" + name)
		if err != nil {
			w.diffs = append(w.diffs, err)
		}
		return l
	}
	for _, name := range e.newNS {
		if have := link(w.proc, name); have == link("/proc/self", name) {
			w.differ(name+" namespace", have, "a new one")
		}
	}
	for name, want := range e.joinedNS {
		w.equal(name+" namespace", link(w.proc, name), want)
	}
}

func (w *witness) cgroup(e *expectation) {
	for line := range strings.Lines(w.read("cgroup")) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			w.equal("cgroup", path, e.cgroup)
			return
		}
	}
	w.differ("cgroup", "not unified", e.cgroup)
}

// descriptors: nothing but stdio and the interpreter's close-on-exec socket to
// us is open.
func (w *witness) descriptors() {
	controlFD := strconv.Itoa(nsexec.ControlFD)
	d, err := os.Open(w.proc + "/fd")
	if err != nil {
		w.diffs = append(w.diffs, err)
		return
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		w.diffs = append(w.diffs, err)
	}
	for _, n := range names {
		if n != "0" && n != "1" && n != "2" && n != controlFD {
			to, _ := os.Readlink(w.proc + "/fd/" + n) // for the message only
			w.differ("descriptor "+n, to, "closed")
		}
	}
}

// A mount is a line of mountinfo.
type mountLine struct {
	point   string
	options []string // of the mount, not of the filesystem
	peers   bool     // shared, slave
}

func parseMountinfo(text string) []mountLine {
	var list []mountLine
	for line := range strings.Lines(text) {
		// By single spaces: only those are escaped in names, and a source may be empty.
		f := strings.Split(strings.TrimSuffix(line, "\n"), " ")
		if len(f) < 10 {
			continue
		}
		m := mountLine{point: unescapeMount(f[4]), options: strings.Split(f[5], ",")}
		for _, tag := range f[6:] {
			if tag == "-" {
				break
			}
			m.peers = m.peers || strings.HasPrefix(tag, "shared:") || strings.HasPrefix(tag, "master:")
		}
		list = append(list, m)
	}
	return list
}

// unescapeMount undoes the kernel's \ooo for space, tab, newline and backslash.
func unescapeMount(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func (w *witness) mounts(e *expectation) {
	top := map[string]mountLine{} // the last one mounted on a point is the visible one
	roots := 0
	for _, m := range parseMountinfo(w.read("mountinfo")) {
		top[m.point] = m
		if m.point == "/" {
			roots++ // a second one is the host's, within reach as "/.."
		}
		if m.peers && !e.shared {
			w.differ("propagation of "+m.point, "shared or slave", "private")
		}
	}
	if roots != 1 {
		w.differ("number of root mounts", roots, 1)
	}
	root, ok := top["/"]
	if !ok || slices.Contains(root.options, "ro") != e.rootRO {
		w.differ("root mount", root.options, map[bool]string{true: "ro", false: "rw"}[e.rootRO])
	}
	for _, p := range e.masked {
		if m, ok := top[filepath.Clean(p)]; !(ok && slices.Contains(m.options, "ro")) && w.exists(p) {
			w.differ("masked path "+p, "visible", "covered")
		}
	}
	for _, p := range e.readonly {
		if m, ok := top[filepath.Clean(p)]; !(ok && slices.Contains(m.options, "ro")) && w.exists(p) {
			w.differ("read-only path "+p, m.options, "ro")
		}
	}
}

// exists says whether the container sees something at path. An unreadable
// answer counts as yes: the caller then complains.
func (w *witness) exists(path string) bool {
	if w.root == nil {
		var err error
		if w.root, err = os.OpenFile(w.proc+"/root", unix.O_PATH|unix.O_DIRECTORY, 0); err != nil {
			return true
		}
	}
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(int(w.root.Fd()), path, &how)
	if err != nil {
		return !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR)
	}
	_ = unix.Close(fd)
	return true
}

func (w *witness) rlimits(pid int, e *expectation) {
	for res, want := range e.rlimits {
		var have unix.Rlimit
		if err := unix.Prlimit(pid, res, nil, &have); err != nil {
			w.diffs = append(w.diffs, os.NewSyscallError("prlimit", err))
		} else if have.Cur != want[0] || have.Max != want[1] {
			w.differ("rlimit "+strconv.Itoa(res), have, want)
		}
	}
	if e.oomScore != nil {
		w.equal("oom_score_adj", strings.TrimSpace(w.read("oom_score_adj")), strconv.Itoa(*e.oomScore))
	}
}

// cgroupLimits: the kernel's files hold what systemd was asked for. A missing
// file means a missing controller.
func (w *witness) cgroupLimits(dir string, e *expectation) {
	for _, l := range e.limits {
		b, err := kernel.ReadFile(filepath.Join(dir, l.File))
		if err != nil {
			w.diffs = append(w.diffs, fmt.Errorf("%s: %w", l.Property, err))
			continue
		}
		w.equal(l.Property+" ("+l.File+")", strings.TrimSpace(string(b)), l.Value)
	}
}
