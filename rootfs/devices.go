// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/nsexec"
)

// A node is one device of the container.
type node struct {
	path     string
	mode     uint32 // with the type
	dev      uint64
	uid, gid uint32
	bound    bool       // comes from the parent: a user namespace may not make devices
	name     string     // in the filesystem that comes, then
	src      nsexec.Reg // of the host's, where that comes instead
}

// links are in every /dev.
var links = []struct{ name, target string }{
	{"fd", "/proc/self/fd"}, {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"}, {"stderr", "/proc/self/fd/2"},
	{"core", "/proc/kcore"}, {"ptmx", "pts/ptmx"},
}

// hostDev says whether /dev is a bind mount: then its content is the host's
// affair and stays as it is.
func (b *builder) hostDev() bool {
	for _, m := range b.mounts {
		if m.dest == "/dev" && m.kind == bound {
			return true
		}
	}
	return false
}

// noNodesInRoot says whether no device node lies in the root filesystem itself or in one that
// came with it, so that they can be nodev.
func (b *builder) noNodesInRoot() bool {
	own := false
	for _, m := range b.mounts {
		own = own || m.dest == "/dev"
	}
	for _, n := range b.nodes {
		own = own && below(n.path, "/dev")
	}
	return own
}

func (b *builder) parseDevices() (list []node, errs []error) {
	listed := map[string]bool{}
	for _, d := range b.linux.Devices {
		n, err := b.parseDevice(d)
		if err == nil && listed[n.path] {
			err = errors.New("is listed twice")
		}
		if err != nil {
			errs = append(errs, &configs.FieldError{Field: "linux.devices", Entry: d.Path, Err: err})
			continue
		}
		listed[n.path] = true
		list = append(list, n)
	}
	if b.hostDev() {
		return list, errs
	}
	var all []node
	for _, d := range configs.StandardDevices {
		n := node{path: "/dev/" + d.Name, mode: unix.S_IFCHR | 0o666, dev: unix.Mkdev(uint32(d.Major), uint32(d.Minor)), bound: b.ns.has(userNS)}
		if d.Name != "" && !listed[n.path] {
			all = append(all, n)
		}
	}
	return append(all, list...), errs
}

func (b *builder) parseDevice(d specs.LinuxDevice) (node, error) {
	types := map[string]uint32{"c": unix.S_IFCHR, "u": unix.S_IFCHR, "b": unix.S_IFBLK, "p": unix.S_IFIFO}
	typ, ok := types[d.Type]
	if !ok {
		return node{}, fmt.Errorf("type %q: want c, b, u or p", d.Type)
	}
	p, err := inside(d.Path)
	if err != nil {
		return node{}, err
	}
	if below(p, "/proc") || below(p, "/sys") {
		return node{}, errors.New("a device in /proc or /sys cannot be made")
	}
	n := node{path: p, mode: typ | 0o666}
	if d.FileMode != nil {
		n.mode = typ | uint32(d.FileMode.Perm())
	}
	if d.UID != nil {
		n.uid = *d.UID
	}
	if d.GID != nil {
		n.gid = *d.GID
	}
	if typ == unix.S_IFIFO {
		return n, nil
	}
	if d.Major < 0 || d.Major > 0xfff || d.Minor < 0 || d.Minor > 0xfffff {
		return node{}, fmt.Errorf("number %d:%d is out of range", d.Major, d.Minor)
	}
	n.dev = unix.Mkdev(uint32(d.Major), uint32(d.Minor))
	n.bound = b.ns.has(userNS)
	return n, nil
}

// checkNodes finds devices that could not be made, and mounts that forbid those which could.
func (b *builder) checkNodes() (errs []error) {
	told := map[*mount]bool{}
	for _, n := range b.nodes {
		m := b.holder(n.path)
		err := b.checkPlace(n, m)
		if err == nil && n.bound && b.ns.made(userNS) && !(b.owns(n.uid, b.linux.UIDMappings) && b.owns(n.gid, b.linux.GIDMappings)) {
			err = fmt.Errorf("has the owner %d:%d, which the user namespace does not have", n.uid, n.gid)
		}
		if err != nil {
			errs = append(errs, &configs.FieldError{Field: "linux.devices", Entry: n.path, Err: err})
			continue
		}
		// A bound node is a mount of its own, and an optional mount may be left out.
		if m == nil || m.optional && !has(b.in.Sources, m.Source) || told[m] || n.bound || n.mode&unix.S_IFMT == unix.S_IFIFO || m.top().set&unix.MOUNT_ATTR_NODEV == 0 {
			continue
		}
		told[m] = true
		err = fmt.Errorf("is nodev: the device %s, which is made in it, could not be opened (give it the option dev)", n.path)
		errs = append(errs, &configs.FieldError{Field: "mounts", Entry: m.dest, Err: err})
	}
	return errs
}

// owns says whether a node can have an id for its owner: in place of a root that is not there it has the first there is.
func (b *builder) owns(id uint32, maps []specs.LinuxIDMapping) bool {
	return id == 0 || b.hasID(id, maps)
}

// checkPlace says why a device cannot be made where it is to be, which m holds. What a bind brings may be the device itself.
func (b *builder) checkPlace(n node, m *mount) error {
	i := slices.IndexFunc(b.nodes, func(o node) bool { return o.path != n.path && below(n.path, o.path) })
	switch {
	case i >= 0:
		return fmt.Errorf("lies below the device %s", b.nodes[i].path)
	case m == nil || m.bind:
		return nil
	case m.dest == n.path:
		return fmt.Errorf("is the place of the %s mount", m.Type)
	case m.kind == cgroups || m.Type == "devpts" || m.Type == "mqueue":
		return fmt.Errorf("lies in the %s mount, where none can be made", m.Type)
	}
	return nil
}

// holder is the mount that is at path or above it, nil for the root: the last, which hides the others.
func (b *builder) holder(path string) (found *mount) {
	for _, m := range b.mounts {
		if below(path, m.dest) {
			found = m
		}
	}
	return found
}

// addDevices fills /dev.
func (b *builder) addDevices() {
	// Order: after the mounts: /dev is one of them, and a mount over it would hide
	// the nodes.
	b.At("open /dev", "everything in it is made by descriptor: an image's link cannot lead out (CVE-2026-41579)")
	in, rest := b.within("/dev")
	dev := b.MkPath(in, rest, nsexec.Dir, 0o755)
	if b.devices != nsexec.NoReg {
		b.park(b.devices, "devices")
	}
	for _, n := range b.nodes {
		b.At("device "+n.path, b.nodeComes(n))
		dir, name := dev, path.Base(n.path)
		if path.Dir(n.path) != "/dev" {
			in, rest := b.within(path.Dir(n.path))
			dir = b.MkPath(in, rest, nsexec.Dir, 0o755)
		}
		if n.bound {
			b.bindNode(dir, name, n)
		} else {
			b.makeNode(dir, name, n)
		}
		if dir != dev {
			b.Close(dir)
		}
	}
	if b.devices != nsexec.NoReg {
		b.Close(b.devices)
	}
	if !b.hostDev() {
		b.addLinks(dev)
	}
	b.addNull(dev)
	b.Close(dev)
}

// nodeComes says where a node comes from.
func (b *builder) nodeComes(n node) string {
	switch {
	case !n.bound:
		return "made here: what the image has of that name may be anything"
	case b.devices == nsexec.NoReg:
		return "the host's node: nobody here may make one"
	}
	return "the parent made it: a user namespace may not"
}

func (b *builder) makeNode(dir nsexec.Reg, name string, n node) {
	b.Mknod(dir, name, n.mode, n.dev).Tolerate(unix.EEXIST)
	fd := b.checkNode(dir, name, n)
	if n.uid != 0 || n.gid != 0 {
		// By descriptor: what was checked, whatever has that name by now.
		b.ChownPath(fd, n.path, n.uid, n.gid)
	}
	b.Close(fd)
}

func (b *builder) bindNode(dir nsexec.Reg, name string, n node) {
	src := n.src
	if b.devices != nsexec.NoReg {
		src = b.OpenTree(b.devices, n.name, false)
	} else {
		// The host's node may lie on a mount without nosuid or noexec, and is a peer of it.
		b.MountSetattr(src, n.path, nsexec.MountAttr{
			Set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC, Clear: unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_RDONLY,
			Propagation: unix.MS_PRIVATE})
	}
	place := b.MkPath(dir, name, nsexec.File, 0o644)
	b.MoveMount(src, place, n.path)
	b.Close(place)
	b.Close(src)
	b.Close(b.checkNode(dir, name, n))
}

// checkNode opens what lies there now and makes sure of it: an image may have
// brought a file, or a link to one, of the same name.
func (b *builder) checkNode(dir nsexec.Reg, name string, n node) nsexec.Reg {
	fd := b.OpenInRoot(dir, name, unix.O_PATH|unix.O_NOFOLLOW)
	b.CheckNode(fd, n.path, n.mode&unix.S_IFMT, n.dev)
	return fd
}

func (b *builder) addLinks(dev nsexec.Reg) {
	b.At("links in /dev", "where programs look for their own descriptors")
	for _, l := range links {
		if strings.HasPrefix(l.target, "pts/") && b.at("/dev/pts", "devpts") == nil {
			continue
		}
		b.Symlink(l.target, dev, l.name)
	}
}
