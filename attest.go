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
	ownNS      []string          // that must be ours
	joinedNS   map[string]string // name -> link text that must be equal
	cgroup     string
	rootRO     bool
	shared     bool // the root's propagation may be shared or slave
	kernel     []kernelMount
	mounts     []specMount
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
	bases []base   // its filesystems that show the kernel
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
	for _, b := range w.bases {
		_ = b.dir.Close() // nil if it was not found
	}
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
	w.undumpable(e)
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
	w.equal("session", f["NSsid"], f["NSpid"])
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

// undumpable: nobody in the container can trace the process or open its
// descriptors. Then its files in /proc belong to root (proc(5)); of a process that is
// root here they always do.
func (w *witness) undumpable(e *expectation) {
	var st unix.Stat_t
	if err := unix.Stat(w.proc+"/status", &st); err != nil {
		w.diffs = append(w.diffs, &os.PathError{Op: "stat", Path: w.proc + "/status", Err: err})
	} else if st.Uid == e.uid && e.uid != 0 {
		w.differ("dumpable", "true", "false")
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
	for _, name := range e.ownNS {
		w.equal(name+" namespace", link(w.proc, name), link("/proc/self", name))
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

// cgroupLimits: the kernel's files hold what systemd was asked for.
func (w *witness) cgroupLimits(dir string, e *expectation) {
	for _, l := range e.limits {
		b, err := kernel.ReadFile(filepath.Join(dir, l.File))
		if err != nil {
			w.diffs = append(w.diffs, fmt.Errorf("%s: %w", l.Property, err))
			continue
		}
		if have, ok := l.In(string(b)); ok {
			what := strings.TrimSpace(filepath.Base(l.File) + " " + l.Device)
			w.equal(l.Property+" ("+what+")", have, l.Value)
		}
	}
}
