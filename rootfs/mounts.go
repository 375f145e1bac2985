// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/nsexec"
)

// addMount makes one mount of the Spec and attaches it.
func (b *builder) addMount(m *mount) {
	b.At(m.String(), why(m))
	place := b.target(m)
	b.forget(m.dest)
	switch m.kind {
	case fresh:
		b.addFresh(m, place)
	case bound:
		b.addBound(m, place)
	case cgroups:
		// Order: only the mount point. The filesystem shows the right root after the
		// process has its final cgroup and its cgroup namespace (cgroup_namespaces(7)).
		b.w.group, b.w.place = m, place
	}
}

func why(m *mount) string {
	switch {
	case m.kind == cgroups:
		return "the mount point; the filesystem follows after the gate"
	case m.kind == bound && m.Type != "bind" && shows[m.Type] != "":
		return "a copy of the host's: the container does not own the " + string(shows[m.Type]) + " namespace"
	case m.kind == bound:
		return "from " + m.Source
	case m.Type == "devpts":
		return "terminals of its own"
	}
	return "in the order of the configuration"
}

// target opens the place a mount goes to, making it if need be.
func (b *builder) target(m *mount) nsexec.Reg {
	if m.dest == "/proc" || m.dest == "/sys" || m.ownDev() {
		return b.ordinary(m.dest)
	}
	dir, rest := b.within(m.dest)
	if m.kind == bound && (b.in.Sources[m.Source] == IsFile || m.create != nil && m.create.Kind == nsexec.File) {
		return b.MkPath(dir, rest, nsexec.File, 0o644)
	}
	return b.MkPath(dir, rest, nsexec.Dir, 0o755)
}

// ordinary opens a directory in the root that must not be a link: programs, and
// the kernel's own helpers, trust what lies there (CVE-2019-19921, CVE-2023-27561). To a
// held mount there must be no other way than its name.
func (b *builder) ordinary(dest string) nsexec.Reg {
	name := strings.TrimPrefix(dest, "/")
	b.Mkdir(b.root, name, 0o555)
	return b.OpenInRoot(b.root, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_DIRECTORY)
}

func (b *builder) addFresh(m *mount, place nsexec.Reg) {
	fs := b.Fsopen(m.Type)
	if m.Source != "" {
		b.FsconfigString(fs, "source", m.Source)
	}
	b.configure(fs, m)
	for _, flag := range m.super {
		b.FsconfigFlag(fs, flag)
	}
	attr := m.attr.set
	late := m.Type == "tmpfs" && attr&unix.MOUNT_ATTR_RDONLY != 0
	if late {
		attr &^= unix.MOUNT_ATTR_RDONLY
	}
	mnt := b.Fsmount(fs, m.Type, attr)
	b.Close(fs)
	if m.propagation != 0 && m.propagation != unix.MS_PRIVATE {
		b.MountSetattr(mnt, m.dest, nsexec.MountAttr{Propagation: m.propagation})
	}
	b.MoveMount(mnt, place, m.dest)
	b.Close(place)
	switch {
	case late:
		b.late, b.names = append(b.late, mnt), append(b.names, m.dest)
		b.hold(m, mnt)
	case m == b.at("/dev/pts", "devpts") && terminal(b.spec):
		b.pts = mnt
	case b.hold(m, mnt):
	default:
		b.Close(mnt)
	}
}

// configure hands over the filesystem's own options one by one: no value can
// turn into another option (a comma in a path).
func (b *builder) configure(fs nsexec.Reg, m *mount) {
	for _, p := range b.params(m) {
		if p.flag {
			b.FsconfigFlag(fs, p.key)
		} else {
			b.FsconfigString(fs, p.key, p.value)
		}
	}
}

// params are the options of m with what the type always has.
func (b *builder) params(m *mount) []param {
	list := m.params
	switch m.Type {
	case "devpts":
		list = b.devpts(list)
	case "overlay":
		list = b.overlay(list)
	}
	if l := b.linux.MountLabel; l != "" && (m.Type == "tmpfs" || m.Type == "devpts" || m.Type == "overlay") && !given(list, "context") {
		list = append(list, param{key: "context", value: l})
	}
	return list
}

func given(list []param, key string) bool {
	for _, p := range list {
		if p.key == key {
			return true
		}
	}
	return false
}

// maxTerminals bounds the terminals of one devpts: all those that are not the host's share what the kernel has for them
// (kernel.pty.max without kernel.pty.reserve: 3072), and one container could leave the others none. Who may mount, as with
// profile "system", still can, by a devpts of its own.
const maxTerminals = "256"

// ttyGID is the group that owns terminals everywhere.
const ttyGID = 5

func (b *builder) devpts(list []param) []param {
	var out []param
	for _, p := range list {
		// A group that the user namespace does not have cannot be named.
		if p.key == "gid" && p.value == "5" && !b.hasGID(ttyGID) {
			continue
		}
		out = append(out, p)
	}
	for _, p := range []param{{key: "newinstance", flag: true}, {key: "ptmxmode", value: "0666"}, {key: "mode", value: "0620"}, {key: "max", value: maxTerminals}} {
		if !given(out, p.key) {
			out = append(out, p)
		}
	}
	if !given(list, "gid") && b.hasGID(ttyGID) {
		out = append(out, param{key: "gid", value: "5"})
	}
	return out
}

func (b *builder) hasGID(gid uint32) bool {
	return !b.ns.has(userNS) || b.hasID(gid, b.linux.GIDMappings)
}

// overlay splits the list of lower directories where the kernel takes them one
// by one: then a ':' in a name needs no escape and the list may be long.
func (b *builder) overlay(list []param) []param {
	if !b.in.OverlayLowerPlus {
		return list
	}
	var out []param
	for _, p := range list {
		if p.key != "lowerdir" || strings.Contains(p.value, "::") {
			out = append(out, p)
			continue
		}
		for _, dir := range configs.SplitLower(p.value) {
			out = append(out, param{key: "lowerdir+", value: dir})
		}
	}
	return out
}

func (b *builder) addBound(m *mount, place nsexec.Reg) {
	b.dress(m)
	b.MoveMount(m.src, place, m.dest)
	b.Close(place)
	if !b.hold(m, m.src) {
		b.Close(m.src)
	}
}

// dress gives a received mount its attributes.
func (b *builder) dress(m *mount) {
	// Order: before it is attached: there is no moment in which it can be reached
	// without them, and no path to it that could be exchanged (CVE-2026-115521).
	below := nsexec.MountAttr{Set: m.below.set, Clear: m.below.clear, Recursive: true}
	top := nsexec.MountAttr{Set: m.attr.set, Clear: m.attr.clear}
	switch {
	case m.propagation == 0:
		below.Propagation = unix.MS_PRIVATE
	case m.spread:
		below.Propagation = m.propagation
	default:
		if m.propagation != unix.MS_SHARED {
			below.Propagation = unix.MS_PRIVATE
		}
		top.Propagation = m.propagation
	}
	// A slave is made of a peer: it must not be private before.
	if m.propagation == unix.MS_SLAVE && !m.spread {
		below.Propagation = unix.MS_SLAVE
		top.Propagation = 0
	}
	for _, a := range []nsexec.MountAttr{below, top} {
		if a.Set|a.Clear|a.Propagation != 0 {
			b.MountSetattr(m.src, m.dest, a)
		}
	}
}
