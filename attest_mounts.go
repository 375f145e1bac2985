// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/rootfs"
)

// A mountLine is a line of mountinfo.
type mountLine struct {
	id      uint64
	parent  uint64
	dev     string // of the file system, as MAJOR:MINOR
	root    string // what of it is mounted
	point   string
	options []string // of the mount, not of the filesystem
	peers   bool     // shared, slave
	overlay string   // the options of an overlay's file system
}

func parseMountinfo(text string) []mountLine {
	var list []mountLine
	for line := range strings.Lines(text) {
		// By single spaces: only those are escaped in names, and a source may be empty.
		f := strings.Split(strings.TrimSuffix(line, "\n"), " ")
		if len(f) < 10 {
			continue
		}
		m := mountLine{dev: f[2], root: unescapeMount(f[3]), point: unescapeMount(f[4]), options: strings.Split(f[5], ",")}
		m.id, _ = strconv.ParseUint(f[0], 10, 64) // the kernel's own numbers
		m.parent, _ = strconv.ParseUint(f[1], 10, 64)
		for i, tag := range f[6:] {
			if tag == "-" {
				if rest := f[6+i:]; len(rest) > 3 && rest[1] == "overlay" {
					m.overlay = rest[3]
				}
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

func (m mountLine) ro() bool { return slices.Contains(m.options, "ro") }

// The mounts of a process: by what statx calls them, and the visible one of each place.
type mountTable struct {
	byID map[uint64]mountLine
	top  map[string]mountLine
	many map[string]bool // points with several: which is visible the order of lines does not say from Linux 6.8 on
}

func (w *witness) mounts(e *expectation) {
	t := mountTable{map[uint64]mountLine{}, map[string]mountLine{}, map[string]bool{}}
	roots := 0
	for _, m := range parseMountinfo(w.read("mountinfo")) {
		if _, ok := t.top[m.point]; ok {
			t.many[m.point] = true
		}
		t.byID[m.id], t.top[m.point] = m, m // the last one mounted on a point is the visible one
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
	root, ok := t.top["/"]
	if !ok || root.ro() != e.rootRO {
		w.differ("root mount", root.options, map[bool]string{true: "ro", false: "rw"}[e.rootRO])
	}
	w.directories(t)
	w.findBases(e.kernel)
	for _, m := range e.mounts {
		w.mounted(t, m)
	}
	for _, p := range e.masked {
		if !w.covered(t, p) {
			w.differ("masked path "+p, "visible", "covered")
		}
	}
	for _, p := range e.readonly {
		if !w.covered(t, p) {
			w.differ("read-only path "+p, "writable", "ro")
		}
	}
}

// directories: root and working directory lie on mounts of the container's
// (CVE-2024-21626).
func (w *witness) directories(t mountTable) {
	for _, name := range []string{"root", "cwd"} {
		st, err := mountOf(unix.AT_FDCWD, w.proc+"/"+name)
		m, ok := t.byID[st.Mnt_id]
		switch {
		case err != nil:
			w.diffs = append(w.diffs, err)
		case !ok:
			w.differ(name+" directory", "outside of the container's mounts", "inside")
		case name == "root" && m.point != "/":
			w.differ(name+" directory", m.point, "/")
		}
	}
}

// mountOf asks which mount a path lies on, without asking who serves it.
func mountOf(dir int, path string) (st unix.Statx_t, err error) {
	const flags = unix.AT_STATX_DONT_SYNC | unix.AT_NO_AUTOMOUNT | unix.AT_EMPTY_PATH
	if err := unix.Statx(dir, path, flags, unix.STATX_MNT_ID, &st); err != nil {
		return st, &os.PathError{Op: "statx", Path: path, Err: err}
	}
	return st, nil
}

// A specMount is a mount of the Spec that no later one covers, and that must be there.
type specMount struct {
	dest    string
	options []string      // those of the mount that take something away
	later   []specs.Mount // which may hide it
}

func specMounts(spec *specs.Spec) (list []specMount) {
	// Where an optional one was left out, what is on its place is another's.
	needed := slices.DeleteFunc(slices.Clone(spec.Mounts), func(m specs.Mount) bool { return slices.Contains(m.Options, "x-sdc.optional") })
	for i, m := range needed {
		s := specMount{dest: filepath.Clean(m.Destination), options: rootfs.Restrictions(m.Options), later: needed[i+1:]}
		list = slices.DeleteFunc(list, func(o specMount) bool { return isBelow(o.dest, s.dest) })
		list = append(list, s)
	}
	return list
}

// mounted compares one mount of the Spec with what is on its place: it is there, and allows no more.
func (w *witness) mounted(t mountTable, want specMount) {
	m, ok := w.mountAt(t, want.dest)
	lacks := slices.DeleteFunc(slices.Clone(want.options), func(o string) bool { return slices.Contains(m.options, o) })
	switch {
	case ok && len(lacks) == 0 || w.hidden(t, want):
	case !ok:
		w.differ("mount "+want.dest, "nothing", "a mount")
	default:
		w.differ("mount "+want.dest, strings.Join(m.options, ","), strings.Join(lacks, ","))
	}
}

// hidden says whether the way to a mount leads over a later one of the Spec, which links of the image put there: nobody
// can see the mount, and the later one is compared itself.
func (w *witness) hidden(t mountTable, m specMount) bool {
	root := w.openRoot()
	if root == nil {
		return false
	}
	over := map[uint64]bool{}
	for _, l := range m.later {
		if on, ok, _ := t.leadsTo(root, l.Destination); ok && on.point != "/" { // a link to the root covers nothing
			over[on.id] = true
		}
	}
	for path := m.dest; len(over) > 0 && path != "/"; path = filepath.Dir(path) {
		place, err := kernel.OpenIn(root, path, unix.O_PATH)
		if err != nil {
			continue // the rest of the way is not there
		}
		st, err := mountOf(int(place.Fd()), "")
		_ = place.Close() // only looked at
		if err == nil && over[st.Mnt_id] {
			return true
		}
	}
	return false
}

// mountAt is what is mounted on path: by text where that says it, else what the path leads to.
func (w *witness) mountAt(t mountTable, path string) (mountLine, bool) {
	if m, ok := t.top[path]; ok && !t.many[path] {
		return m, true
	}
	root := w.openRoot()
	if root == nil {
		return mountLine{}, false
	}
	m, ok, _ := t.leadsTo(root, path)
	return m, ok
}

// leadsTo is the mount at whose root a path below dir ends, if it ends at one. An error is that of the path.
func (t mountTable) leadsTo(dir *os.File, path string) (m mountLine, ok bool, err error) {
	place, err := kernel.OpenIn(dir, path, unix.O_PATH)
	if err != nil {
		return m, false, err
	}
	defer place.Close()
	if st, err := mountOf(int(place.Fd()), ""); err == nil && st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0 {
		m, ok = t.byID[st.Mnt_id]
	}
	return m, ok, nil
}

// covered says whether something read-only is mounted on path, or nothing is
// there. By text; where links of the image lead elsewhere, by what the path leads to, from
// its base if it has one. An unreadable answer counts as no.
func (w *witness) covered(t mountTable, path string) bool {
	path = filepath.Clean(path)
	b := w.baseOf(path)
	if m, ok := t.top[path]; ok && m.ro() && (b == nil || t.within(m, b.id)) {
		return true
	}
	dir, rest := w.openRoot(), path
	if b != nil {
		dir, rest = b.dir, "."+strings.TrimPrefix(path, b.dest)
	}
	if dir == nil {
		return b != nil // that was told already
	}
	m, ok, err := t.leadsTo(dir, rest)
	return ok && m.ro() || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR)
}

// openRoot opens the process's root directory, once; nil if it cannot.
func (w *witness) openRoot() *os.File {
	if w.root == nil {
		var err error
		if w.root, err = kernel.OpenPath(w.proc + "/root"); err != nil {
			w.diffs = append(w.diffs, err)
			return nil
		}
	}
	return w.root
}
