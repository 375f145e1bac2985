// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A Source is a mount that the parent opens on the host, as a detached clone, and
// sends with the program.
type Source struct {
	Path      string
	For       string // what it becomes, for messages
	Target    string // of the mount, "" for the root and devices
	Recursive bool   // with the mounts below it
	// ReadOnly and Writable say how it is for the container, whatever it is on the host; neither, as it is there.
	ReadOnly, Writable bool
	// ReadOnlyBelow and WritableBelow say so of the mounts below it.
	ReadOnlyBelow, WritableBelow bool
	// IDMap asks for the files to be shown through a mapping, nil for none.
	IDMap *IDMap
	// Create is about a Path that does not exist: see [Binds].
	Create *Create
	// Nodes are instead of a Path: the mount is a filesystem with these devices, which the parent makes.
	Nodes []Node `json:",omitempty"`
}

// A Node is a device that the parent makes: a user namespace may make none. The host's own would be the same for all: who watches
// one (inotify(7)) learns when others open, read and write it.
type Node struct {
	Name     string // in the filesystem
	Path     string // in the container
	Mode     uint32 // with the type
	Dev      uint64
	UID, GID uint32 // in the container
}

// Nodes returns the devices of the Spec that the parent makes before [Plan]. Where it may not, [Facts.HostNodes] says so.
func Nodes(spec *specs.Spec) ([]Node, error) {
	b := &builder{spec: spec, linux: spec.Linux, ns: namespacesOf(spec)}
	if b.linux == nil || !b.ns.has(userNS) {
		return nil, nil
	}
	var errs, more []error
	b.mounts, errs = parseMounts(spec)
	b.nodes, more = b.parseDevices()
	if err := joined(append(errs, more...)); err != nil {
		return nil, err
	}
	return b.given(), nil
}

// given are the devices that the parent makes.
func (b *builder) given() (list []Node) {
	for i, n := range b.nodes {
		if n.bound {
			b.nodes[i].name = strconv.Itoa(len(list))
			list = append(list, Node{b.nodes[i].name, n.path, n.mode, n.dev, n.uid, n.gid})
		}
	}
	return list
}

// IDMap is the mapping of an idmapped mount. Without ids it is that of the
// container's user namespace.
type IDMap struct {
	UIDs, GIDs []specs.LinuxIDMapping
	Recursive  bool
}

// Binds returns the sources of the Spec's bind mounts in order. Before [Plan]
// the parent makes those with Create that are missing, and tells what each is in
// [Facts.Sources].
func Binds(spec *specs.Spec) ([]Source, error) {
	mounts, errs := parseMounts(spec)
	if err := joined(errs); err != nil {
		return nil, err
	}
	var list []Source
	for _, m := range mounts {
		if m.kind == bound {
			list = append(list, m.source())
		}
	}
	return list, nil
}

func (m *mount) source() Source {
	s := Source{Path: m.Source, For: m.String(), Target: m.Destination, Recursive: m.recursive, Create: m.create}
	s.ReadOnly, s.Writable = m.top().rights()
	s.ReadOnlyBelow, s.WritableBelow = m.below.rights()
	if m.idmap {
		s.IDMap = &IDMap{UIDs: m.UIDMappings, GIDs: m.GIDMappings, Recursive: m.idmapBelow}
	}
	return s
}

// receive declares every descriptor the parent sends.
func (b *builder) receive() {
	root := Source{Path: b.spec.Root.Path, For: "rootfs", Recursive: true, ReadOnly: b.spec.Root.Readonly}
	if b.set.IdmapRootfs {
		root.IDMap = &IDMap{Recursive: true}
	}
	b.root = b.Receive("rootfs")
	b.w.Root, b.w.Sources = b.root, append(b.w.Sources, root)
	for _, m := range b.mounts {
		if m.kind == bound {
			m.src = b.Receive(m.String())
			b.w.Sources = append(b.w.Sources, m.source())
		}
	}
	if nodes := b.given(); len(nodes) > 0 && !b.in.HostNodes {
		b.devices = b.Receive("devices")
		b.w.Sources = append(b.w.Sources, Source{For: "devices", Nodes: nodes})
		return
	}
	for i, n := range b.nodes {
		if n.bound {
			b.nodes[i].src = b.Receive("device " + n.path)
			b.w.Sources = append(b.w.Sources, Source{Path: n.path, For: "device " + n.path})
		}
	}
}
