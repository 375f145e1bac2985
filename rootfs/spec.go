// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/nsexec"
)

// A mount is one of the Spec's, understood.
type mount struct {
	specs.Mount
	options
	kind kind
	dest string     // normalised
	src  nsexec.Reg // of a bound one
}

func (m *mount) String() string { return "mount " + m.typeName() + " on " + m.dest }

func (m *mount) typeName() string {
	if m.kind == bound {
		return "bind"
	}
	return m.Type
}

// parseMounts understands the mounts of the Spec, and says what is wrong with those that
// are not right.
func parseMounts(spec *specs.Spec) (list []*mount, errs []error) {
	list = make([]*mount, 0, len(spec.Mounts))
	var group string // where the cgroup mount lies
	for _, s := range spec.Mounts {
		m, err := parseMount(s)
		switch {
		case err != nil:
			errs = append(errs, &configs.FieldError{Field: "mounts", Entry: s.Destination, Err: err})
			continue
		case m.kind == cgroups && group != "":
			err = fmt.Errorf("there is a cgroup mount on %s already", group)
		case group != "" && below(m.dest, group):
			err = fmt.Errorf("lies below the cgroup mount on %s, which is made last", group)
		case m.kind == cgroups:
			group = m.dest
		}
		if err != nil {
			errs = append(errs, &configs.FieldError{Field: "mounts", Entry: m.dest, Err: err})
			continue
		}
		list = append(list, m)
	}
	return list, errs
}

// checkMounts looks at what one mount alone does not show.
func (b *builder) checkMounts() (errs []error) {
	kept := b.mounts[:0]
	for _, m := range b.mounts {
		if m.kind == bound && b.in.Sources[m.Source] == IsMissing && m.create == nil {
			if m.optional {
				continue
			}
			errs = append(errs, fmt.Errorf("%v: source %s does not exist (%s)", m, m.Source, b.orElse()))
		}
		if m.idmap && len(m.UIDMappings) == 0 && !b.ns.has(userNS) {
			errs = append(errs, fmt.Errorf("%v: option idmap: the container has no user namespace and the mount no mapping", m))
		}
		if t, shows := shows[m.Type]; m.kind == fresh && shows && m.Type != "sysfs" && b.ns.joined(t) && !b.ns.owned(t) {
			err := fmt.Errorf("%v shows it, and can be made in its own user namespace only: %s", m, b.orJoin())
			errs = append(errs, &configs.FieldError{Field: "linux.namespaces", Entry: string(t), Err: err})
		}
		if m.kind == fresh && b.ns.has(userNS) && fstypes()[m.Type].host {
			errs = append(errs, b.hostOnly(m))
		}
		errs = append(append(errs, b.checkParams(m)...), b.replace(m))
		kept = append(kept, m)
	}
	b.mounts = kept
	if terminal(b.spec) && b.at("/dev/pts", "devpts") == nil {
		err := errors.New("want a mount of type devpts on /dev/pts")
		errs = append(errs, &configs.FieldError{Field: "process.terminal", Err: err})
	}
	return errs
}

// orElse says what a mount without its source can be, in the words of who wrote it.
func (b *builder) orElse() string {
	if b.set.Source != "" {
		return `optional = true leaves the mount out, create = "dir" makes a directory`
	}
	return "option x-sdc.optional skips the mount, x-sdc.create=dir makes the source"
}

// orJoin says what gives a container power over a namespace that it joins.
func (b *builder) orJoin() string {
	if b.set.Source != "" {
		return `join that too (userns.mode = "path:/FILE"), or have none (userns.mode = "none")`
	}
	return "join that too, have none, or leave this out"
}

// hostOnly says why a user namespace cannot have a mount.
func (b *builder) hostOnly(m *mount) error {
	instead := "bind the host's, or have no user namespace"
	if b.set.Source != "" {
		instead = `bind the host's (type = "bind"), or have no user namespace (userns.mode = "none")`
	}
	err := fmt.Errorf("the kernel mounts %s in no user namespace: %s", m.Type, instead)
	return &configs.FieldError{Field: "mounts", Entry: m.dest, Err: err}
}

// checkParams finds options that the kernel would refuse with no more than EPERM or EINVAL.
func (b *builder) checkParams(m *mount) (errs []error) {
	user := given(m.params, "userxattr")
	for _, p := range m.params {
		free, host := hostOptions[p.key]
		if !host || slices.Contains(free, p.value) {
			continue
		}
		var err error
		switch {
		case user && p.key != "verity":
			err = fmt.Errorf("option %q: does not go with userxattr (leave one out)", p)
		case !user && b.ns.has(userNS) && b.set.Source != "":
			err = fmt.Errorf(`option %q: the kernel gives it to no user namespace (leave it out, or set userns.mode = "none")`, p)
		case !user && b.ns.has(userNS):
			err = fmt.Errorf("option %q: the kernel gives it to no user namespace (leave it out, or have none)", p)
		default:
			continue
		}
		errs = append(errs, &configs.FieldError{Field: "mounts", Entry: m.dest, Option: p.String(), Err: err})
	}
	return errs
}

// parseMount returns a [configs.FieldError] of what is wrong with one field, "type" or "destination".
func parseMount(s specs.Mount) (*mount, error) {
	m := &mount{Mount: s}
	t, known := fstypes()[s.Type]
	bind := s.Type == "bind" || slices.Contains(s.Options, "bind") || slices.Contains(s.Options, "rbind")
	if bind {
		t = fstype{}
	} else if !known {
		err := fmt.Errorf("want bind or one of %s", strings.Join(slices.Sorted(maps.Keys(fstypes())), ", "))
		return nil, &configs.FieldError{Field: "type", Entry: s.Type, Err: err}
	}
	var err error
	if m.options, err = parseOptions(s.Options, bind, t.keys); err != nil {
		return nil, err
	}
	switch {
	case bind:
		m.kind = bound
		err = m.checkBind()
	case s.Type == "cgroup" || s.Type == "cgroup2":
		m.kind = cgroups
	}
	if err == nil && !bind {
		err = m.checkFresh()
	}
	if err == nil {
		m.attr.set |= t.safe &^ m.attr.clear
		if m.dest, err = destination(m); err != nil {
			err = &configs.FieldError{Field: "destination", Err: err}
		}
	}
	return m, err
}

func (m *mount) checkBind() error {
	switch {
	case !path.IsAbs(m.Source):
		return fmt.Errorf("source %q of a bind mount: want an absolute path", m.Source)
	case len(m.super) > 0:
		return fmt.Errorf("option %q has no effect on a bind mount: the filesystem is the host's", m.super[0])
	case m.optional && m.create != nil:
		return fmt.Errorf("x-sdc.optional and x-sdc.create contradict each other")
	case (len(m.UIDMappings) == 0) != (len(m.GIDMappings) == 0):
		return fmt.Errorf("uidMappings and gidMappings: want both or none")
	}
	m.idmap = m.idmap || len(m.UIDMappings) > 0
	return nil
}

func (m *mount) checkFresh() error {
	switch {
	case m.optional || m.create != nil:
		return fmt.Errorf("x-sdc.optional and x-sdc.create are for bind mounts")
	case m.idmap || len(m.UIDMappings) > 0 || len(m.GIDMappings) > 0:
		return fmt.Errorf("id mapping is for bind mounts")
	case len(m.Source) > maxValue:
		return fmt.Errorf("source longer than the kernel's %d bytes", maxValue)
	}
	// A new filesystem has no mounts below it.
	m.attr, m.below = m.top(), change{}
	return nil
}

// overProc lists what may lie over a file of proc: what shows a container its
// own limits (lxcfs), and two switches engines replace.
var overProc = []string{
	"/proc/cpuinfo", "/proc/diskstats", "/proc/meminfo", "/proc/stat", "/proc/swaps", "/proc/uptime",
	"/proc/loadavg", "/proc/slabinfo", "/proc/net/dev", "/proc/sys/kernel/ns_last_pid", "/proc/sys/crypto/fips_enabled",
}

// destination normalises where a mount goes, and refuses places where it would
// replace the root or what the kernel says about the container.
func destination(m *mount) (string, error) {
	d, err := inside(m.Destination)
	if err != nil {
		return "", err
	}
	switch {
	case d == "/proc" && m.Type != "proc" && !(m.bind && path.Clean(m.Source) == "/proc"):
		return "", errors.New("is for type proc")
	case d != "/proc" && below(d, "/proc") && !slices.Contains(overProc, d):
		return "", errors.New("would hide a part of proc")
	case d == "/sys" && m.Type != "sysfs" && m.Type != "tmpfs" && !(m.bind && path.Clean(m.Source) == "/sys"):
		return "", errors.New("is for type sysfs")
	}
	return d, nil
}

// inside normalises a path in the container; "/" is refused.
func inside(p string) (string, error) {
	switch {
	case strings.ContainsRune(p, 0):
		return "", fmt.Errorf("path %q has a NUL byte", p)
	case !path.IsAbs(p):
		return "", fmt.Errorf("path %q: want an absolute one", p)
	case len(p) > 4095:
		return "", fmt.Errorf("path of %d bytes is too long", len(p))
	}
	if p = path.Clean(p); p == "/" {
		return "", fmt.Errorf("path is the root itself")
	}
	return p, nil
}

// below says whether p is dir or lies in it. Both are normalised.
func below(p, dir string) bool {
	return p == dir || strings.HasPrefix(p, dir+"/")
}

// nsType is a kind of namespace, by the Spec's name.
type nsType = specs.LinuxNamespaceType

const (
	pidNS    = specs.PIDNamespace
	netNS    = specs.NetworkNamespace
	ipcNS    = specs.IPCNamespace
	utsNS    = specs.UTSNamespace
	userNS   = specs.UserNamespace
	mountNS  = specs.MountNamespace
	cgroupNS = specs.CgroupNamespace
)

// namespaces are those the container has: type to path, "" for a new one.
type namespaces map[nsType]string

func namespacesOf(spec *specs.Spec) namespaces {
	ns := namespaces{}
	if spec.Linux != nil {
		for _, n := range spec.Linux.Namespaces {
			ns[n.Type] = n.Path
		}
	}
	return ns
}

func (ns namespaces) has(t nsType) bool { return has(ns, t) }

// made says whether the container gets a new namespace of type t.
func (ns namespaces) made(t nsType) bool {
	p, ok := ns[t]
	return ok && p == ""
}

func (ns namespaces) joined(t nsType) bool { return ns[t] != "" }

// owned says whether the container's root has power over its namespace of type
// t: it is new, or there is no user namespace, or both are joined, as the
// containers of a pod do.
func (ns namespaces) owned(t nsType) bool {
	user, ok := ns[userNS]
	return !ok || ns.made(t) || ns.has(t) && user != ""
}

// mapped says whether id exists in the container's user namespace.
func mapped(id uint32, maps []specs.LinuxIDMapping) bool {
	return slices.ContainsFunc(maps, func(m specs.LinuxIDMapping) bool {
		return id >= m.ContainerID && uint64(id) < uint64(m.ContainerID)+uint64(m.Size)
	})
}

// hasID says whether the user namespace has an id; maps are those of its kind.
func (b *builder) hasID(id uint32, maps []specs.LinuxIDMapping) bool {
	if len(maps) == 0 {
		return id < b.set.AutoUserns
	}
	return mapped(id, maps)
}
