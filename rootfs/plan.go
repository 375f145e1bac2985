// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"errors"
	"fmt"
	"path"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/nsexec"
)

// Facts is what a plan depends on besides the Spec. The caller finds them out;
// the planner looks at nothing.
type Facts struct {
	// Spawn is the program the same process ran before, or nil.
	Spawn *nsexec.Program
	// Sources says what each bind source of [Binds] is. One that is not there is a directory.
	Sources map[string]SourceKind
	// OverlayLowerPlus says that overlayfs takes its lower directories one by one
	// (Linux 6.7).
	OverlayLowerPlus bool
	// HostNull says which standard streams are the host's null device.
	HostNull [3]bool
	// HostNodes says that the parent may make no devices either: those of a user namespace are the host's then.
	HostNodes bool
}

// SourceKind is what a bind source is.
type SourceKind uint8

// The kinds of bind source.
const (
	IsDir SourceKind = iota
	IsFile
	IsMissing
)

// SyncConsole is the [nsexec.Program.Sync] that brings the master side of the container's terminal.
const SyncConsole uint32 = 0x101

// A World is the plan of what a container sees.
type World struct {
	// Program makes it. Its name is "build".
	Program *nsexec.Program
	// Sources are the mounts to be opened and sent with the program, in order.
	Sources []Source
	// Root is the container's root directory.
	Root nsexec.Reg

	ns    namespaces
	group *mount     // the cgroup mount that waits for the gate
	place nsexec.Reg // where it goes
	slave nsexec.Reg // the terminal's, or NoReg
}

// A builder carries what the steps of one plan share.
type builder struct {
	*nsexec.Program
	spec   *specs.Spec
	linux  *specs.Linux
	set    configs.Settings
	in     Facts
	w      *World
	ns     namespaces
	mounts []*mount
	nodes  []node
	masks  []string
	ro     []string
	sysctl []sysctl

	root    nsexec.Reg   // the container's "/"
	devices nsexec.Reg   // the filesystem with those that the parent made
	mask    nsexec.Reg   // the filesystem masks are made of
	pts     nsexec.Reg   // the container's devpts
	late    []nsexec.Reg // made read-only when everything in them is there
	names   []string     // of late, for messages
	held    []held       // what is below these is made by their descriptors
}

// Plan compiles the first phase of a container's start: everything that does not
// depend on its cgroup. It ends at the gate; [World.EnterMounts] and
// [World.Terminal] add the rest to the program after it.
func Plan(spec *specs.Spec, set configs.Settings, in Facts) (*World, error) {
	b, err := newBuilder(spec, set, in)
	if err != nil {
		return nil, err
	}
	b.receive()
	b.becomeRoot()
	b.enterRoot()
	for _, m := range b.mounts {
		b.addMount(m)
	}
	b.addDevices()
	b.addConsole()
	b.addDirectory()
	b.addNames()
	b.addSysctls()
	b.readOnly()
	b.addMasks()
	b.At("let go of mounts", "nothing more is made in what was held open")
	b.forget("")
	b.changeRoot()
	b.At("gate", "what follows needs the cgroup")
	b.End()
	if _, err := b.Encode(); err != nil {
		return nil, fmt.Errorf("rootfs: %w", err)
	}
	return b.w, nil
}

func newBuilder(spec *specs.Spec, set configs.Settings, in Facts) (*builder, error) {
	b := &builder{spec: spec, linux: spec.Linux, set: set, in: in, ns: namespacesOf(spec),
		root: nsexec.NoReg, devices: nsexec.NoReg, mask: nsexec.NoReg, pts: nsexec.NoReg}
	if b.linux == nil {
		b.linux = &specs.Linux{}
	}
	b.Program = nsexec.New("build")
	if in.Spawn != nil {
		b.Program = nsexec.Next("build", in.Spawn)
	}
	b.Grow(512, 8<<10) // a container with the usual mounts and masks has 450 steps
	b.w = &World{Program: b.Program, ns: b.ns, place: nsexec.NoReg, slave: nsexec.NoReg}
	return b, b.parse()
}

// Check says what is wrong with a Spec, as far as [Plan] can tell from nothing else. All
// problems are reported at once; those of one entry are a [configs.FieldError].
func Check(spec *specs.Spec, set configs.Settings) error {
	_, err := newBuilder(spec, set, Facts{})
	return err
}

// parse understands the whole Spec before the first step is added, or says all that is
// wrong with it.
func (b *builder) parse() error {
	errs := b.checkRoot()
	add := func(more []error) { errs = append(errs, more...) }
	var more []error
	b.mounts, more = parseMounts(b.spec)
	add(more)
	add(b.checkMounts())
	b.nodes, more = b.parseDevices()
	add(more)
	add(b.checkNodes())
	b.sysctl, more = b.parseSysctls()
	add(more)
	b.masks, more = b.parsePaths("linux.maskedPaths", b.linux.MaskedPaths)
	add(more)
	b.ro, more = b.parsePaths("linux.readonlyPaths", b.linux.ReadonlyPaths)
	add(more)
	return joined(errs)
}

// joined is all errors there are, each with the name of this package.
func joined(errs []error) error {
	for i, err := range errs {
		if err != nil {
			errs[i] = fmt.Errorf("rootfs: %w", err)
		}
	}
	return errors.Join(errs...)
}

var errLongName = errors.New("longer than the kernel's 64 bytes")

func (b *builder) checkRoot() []error {
	switch {
	case !b.ns.has(mountNS):
		return []error{errors.New("the container has no mount namespace: its root would be the host's")}
	case b.ns.joined(mountNS) && !b.ns.owned(mountNS):
		err := fmt.Errorf("a container with a user namespace of its own has no power over another mount namespace: %s", b.orJoin())
		return []error{&configs.FieldError{Field: "linux.namespaces", Entry: string(mountNS), Err: err}}
	case b.spec.Root == nil || !path.IsAbs(b.spec.Root.Path):
		return []error{errors.New("root.path: want an absolute path")}
	case b.spec.Hostname != "" && !b.ns.has(utsNS):
		return []error{fmt.Errorf("hostname %q: the container has no UTS namespace", b.spec.Hostname)}
	case b.spec.Domainname != "" && !b.ns.has(utsNS):
		return []error{fmt.Errorf("domainname %q: the container has no UTS namespace", b.spec.Domainname)}
	}
	var errs []error
	if len(b.spec.Hostname) > 64 {
		errs = append(errs, &configs.FieldError{Field: "hostname", Err: errLongName})
	}
	if len(b.spec.Domainname) > 64 {
		errs = append(errs, &configs.FieldError{Field: "domainname", Err: errLongName})
	}
	p := strings.TrimPrefix(b.linux.RootfsPropagation, "r")
	if p != "" && !has(propagations, p) {
		errs = append(errs, fmt.Errorf("rootfsPropagation %q: want private, slave, shared or unbindable", b.linux.RootfsPropagation))
	}
	return errs
}

// replace turns a mount that only the owner of a namespace may make into a copy
// of the host's, unless that could not have its options.
func (b *builder) replace(m *mount) error {
	host := map[string]string{"proc": "/proc", "sysfs": "/sys", "mqueue": "/dev/mqueue"}[m.Type]
	t, shows := shows[m.Type]
	switch {
	case m.kind == fresh && shows && !b.ns.owned(t):
		if o := m.lost(); o != "" {
			err := fmt.Errorf("option %q: without a %s namespace of its own the container has a copy of the host's %s, which this cannot change (leave it out)", o, t, m.Type)
			return &configs.FieldError{Field: "mounts", Entry: m.dest, Option: o, Err: err}
		}
	case m.kind == cgroups && !(b.ns.has(cgroupNS) && b.ns.owned(cgroupNS)):
		// In the host's cgroup namespace a new mount would change the options of the
		// host's hierarchy (nsdelegate), so it must be a copy; in one that is joined and
		// another user namespace's there may be none.
		host = "/sys/fs/cgroup"
		m.shut()
	default:
		return nil
	}
	if m.Type == "sysfs" {
		m.attr.add(attributes()["ro"])
	}
	m.kind, m.Source, m.recursive, m.params, m.super = bound, host, true, nil, nil
	m.below, m.attr = m.attr, change{}
	return nil
}

// lost is an option that a copy of the host's proc, sysfs or mqueue does not have, "" if it can have all. Its sysfs is read-only.
func (m *mount) lost() string {
	switch {
	case len(m.params) > 0:
		return m.params[0].String()
	case len(m.super) > 0:
		return m.super[0]
	case m.Type == "sysfs" && m.attr.clear&unix.MOUNT_ATTR_RDONLY != 0:
		return "rw"
	}
	return ""
}

// shut makes a mount read-only unless its options say otherwise.
func (m *mount) shut() {
	if m.top().clear&unix.MOUNT_ATTR_RDONLY == 0 {
		m.attr.add(attributes()["ro"])
	}
}

// at returns the last mount of type typ at dest.
func (b *builder) at(dest, typ string) *mount {
	var found *mount
	for _, m := range b.mounts {
		if m.dest == dest {
			found = m
		}
	}
	if found == nil || found.kind != fresh || found.Type != typ {
		return nil
	}
	return found
}

// becomeRoot takes the container's root for the work.
func (b *builder) becomeRoot() {
	b.At("work", "modes of files and directories are those asked for")
	b.Umask(0)
	if b.ns.has(userNS) {
		BecomeRoot(b.Program, b.linux)
	}
}

// BecomeRoot makes a process that has entered the container's user namespace its
// root, or the first user there is if that has none. l has the id maps.
func BecomeRoot(p *nsexec.Program, l *specs.Linux) {
	id := func(maps []specs.LinuxIDMapping) uint32 {
		if len(maps) == 0 || mapped(0, maps) {
			return 0
		}
		return maps[0].ContainerID
	}
	p.At("become root of the user namespace", "what is made belongs to somebody there")
	// Order: after the id maps are written, before any file or terminal is made: an
	// id that is not mapped owns nothing (user_namespaces(7)).
	p.Setgroups(nil).Tolerate(unix.EPERM)
	p.Setgid(id(l.GIDMappings))
	p.Dumpable(false)
	p.Setuid(id(l.UIDMappings))
	// Order: both after the change of ids, with which the kernel forgets them
	// (prctl(2); fs.suid_dumpable in proc(5), CVE-2016-9962).
	p.Dumpable(false)
	p.DeathSignal(unix.SIGKILL)
}

// addDirectory makes the working directory, as other runtimes do.
func (b *builder) addDirectory() {
	if b.spec.Process == nil || !path.IsAbs(b.spec.Process.Cwd) || path.Clean(b.spec.Process.Cwd) == "/" {
		return
	}
	cwd := path.Clean(b.spec.Process.Cwd)
	b.At("working directory "+cwd, "made if it is missing; no link leads out of the root")
	// Order: before the root becomes read-only.
	b.Close(b.MkPath(b.root, cwd, nsexec.Dir, 0o755))
}

// enterRoot puts the container's root over the host's.
func (b *builder) enterRoot() {
	b.At("the mount namespace's root", "pivot_root replaces it only for who has it")
	// Order: first of all. Of a command that was changed into another root (chroot(2)), "/" is
	// not the root of the mount namespace: that would stay behind the container's, and
	// setns(2), of exec or of the payload, leads to it.
	own := b.OpenHere("/proc/self/ns/mnt", unix.O_RDONLY)
	b.Setns(own, "own mount namespace", unix.CLONE_NEWNS)
	b.Close(own)
	b.At("leave the host's mounts", "nothing mounted from here on appears on the host")
	// Order: first of all mounts. A mount made in a shared tree would appear on the
	// host, and pivot_root refuses a shared parent (pivot_root(2)).
	b.PropagateAll(unix.MS_PRIVATE)
	b.At("mount rootfs", "the container's root, still beside the host's")
	// Order: private before it is attached: the parent's clone is a peer of the
	// host's mount if that is shared.
	came := nsexec.MountAttr{Propagation: b.arrival(), Recursive: true}
	if b.noNodesInRoot() {
		// Order: while nothing but what came with the root is mounted below it: devices are on mounts of our own.
		came.Set = unix.MOUNT_ATTR_NODEV
	}
	b.MountSetattr(b.root, "rootfs", came)
	// Order: nothing else may be mounted on "/", now or later: after the change of
	// root, umount2(".") takes away the topmost mount there, which must be the old root.
	over := b.OpenHere("/", unix.O_PATH|unix.O_DIRECTORY)
	b.MoveMount(b.root, over, "rootfs")
	b.Close(over)
}

// arrival is the propagation the root's mounts get first: only a slave hears of
// the host's later mounts.
func (b *builder) arrival() uint64 {
	if strings.TrimPrefix(b.linux.RootfsPropagation, "r") == "slave" {
		return unix.MS_SLAVE
	}
	return unix.MS_PRIVATE
}

// readOnly seals what was writable only to be filled.
func (b *builder) readOnly() {
	ro := nsexec.MountAttr{Set: unix.MOUNT_ATTR_RDONLY}
	// Order: after every mount point, node and link was made in them.
	for i, r := range b.late {
		b.At("seal "+b.names[i], "everything in it is there")
		b.MountSetattr(r, b.names[i], ro)
		if !b.holds(r) {
			b.Close(r)
		}
	}
	b.late = nil
	if b.spec.Root.Readonly {
		b.At("seal rootfs", "by descriptor: no path of the image's can lead elsewhere")
		b.MountSetattr(b.root, "rootfs", ro)
	}
}

// changeRoot makes the root the container's only one.
func (b *builder) changeRoot() {
	b.At("change root", "the host's files can no longer be named")
	// Order: after all mounts and masks: they come from the host's side. The
	// mask filesystem and every other trace of the host goes with the old root.
	b.PivotRoot(b.root)
	p := b.linux.RootfsPropagation
	ms := propagations[strings.TrimPrefix(p, "r")]
	if ms == 0 || ms == unix.MS_PRIVATE || ms == unix.MS_SLAVE {
		return
	}
	b.At("propagate rootfs", "rootfsPropagation "+p)
	// Order: after the change of root, which refuses a shared one.
	b.MountSetattr(b.root, "rootfs", nsexec.MountAttr{Propagation: ms, Recursive: strings.HasPrefix(p, "r")})
}

func terminal(spec *specs.Spec) bool { return spec.Process != nil && spec.Process.Terminal }
