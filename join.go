// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/rootfs"
)

// A join is a namespace that exists already.
type join struct {
	typ  specs.LinuxNamespaceType
	kind string // as in /proc/PID/ns
	path string
	flag uint64
	harm string // what it would be for the container to join the host's; "" is none
}

// harmIn is the harm of a container that joins the host's namespace of type typ.
func harmIn(spec *specs.Spec, typ specs.LinuxNamespaceType) string {
	switch {
	case typ == specs.MountNamespace:
		return "the container's root would take the place of its root (leave the path out)"
	case typ == specs.UserNamespace:
		return "who is in it cannot join it (a container without a user namespace has it)"
	case typ == specs.UTSNamespace && spec.Hostname+spec.Domainname != "":
		return "the container's name would be the host's (leave out the name or the path)"
	}
	for _, key := range slices.Sorted(maps.Keys(spec.Linux.Sysctl)) {
		if file, err := rootfs.SysctlFile(key); err == nil && rootfs.SysctlNamespace(file) == typ {
			return fmt.Sprintf("sysctl %s would change the host's setting (leave out the sysctl or the path)", key)
		}
	}
	return ""
}

// openJoins opens the namespaces to join, and checks their type.
func (p *plan) openJoins() ([]*os.File, error) {
	var files []*os.File
	for _, j := range p.joins {
		f, err := j.open()
		if err != nil {
			return files, err
		}
		files = append(files, f)
	}
	return files, nil
}

// unjoinable is what is wrong with a file that is no namespace to join, and will be none.
type unjoinable struct{ error }

func (j join) open() (*os.File, error) {
	other := fmt.Errorf("%s namespace: %s is not one (want a file like /proc/PID/ns/%s)", j.kind, j.path, j.kind)
	f, regular, err := openNamespace(j.path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s namespace: %w", j.kind, err)
	case f == nil && regular:
		return nil, other // yet
	case f == nil:
		return nil, unjoinable{other}
	}
	typ, err := unix.IoctlRetInt(int(f.Fd()), unix.NS_GET_NSTYPE)
	switch {
	case err != nil || uint64(typ) != j.flag:
		err = unjoinable{other}
	case j.harm != "" && (isOf(f, "self", j.kind) || isOf(f, "1", j.kind)):
		err = unjoinable{fmt.Errorf("%s namespace: %s is the host's: %s", j.typ, j.path, j.harm)}
	default:
		return f, nil
	}
	return nil, errors.Join(err, f.Close())
}

// openNamespace opens nothing but a namespace, else ns is nil: to open a device does something, and a pipe waits. On a
// regular file one may be mounted later.
func openNamespace(path string) (ns *os.File, regular bool, err error) {
	f, err := kernel.OpenPath(path)
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	var fs unix.Statfs_t
	info, err := f.Stat()
	if err := errors.Join(err, unix.Fstatfs(int(f.Fd()), &fs)); err != nil {
		return nil, false, err
	}
	if fs.Type == unix.NSFS_MAGIC {
		ns, err = kernel.Open("/proc/self/fd/"+strconv.Itoa(int(f.Fd())), unix.O_RDONLY)
	}
	return ns, info.Mode().IsRegular(), err
}

// isOf says whether a namespace is the one that a process, "self" is ours, is in.
func isOf(ns *os.File, pid, kind string) bool {
	its, err1 := os.Stat("/proc/" + pid + "/ns/" + kind)
	it, err2 := ns.Stat()
	return err1 == nil && err2 == nil && os.SameFile(its, it)
}

// checkJoinedIDs looks at the maps of the user namespace that the init has joined.
func (l *launch) checkJoinedIDs() error {
	i := slices.IndexFunc(l.plan.joins, func(j join) bool { return j.typ == specs.UserNamespace })
	if i < 0 {
		return nil
	}
	uids, gids, err := mapsOf(l.pid)
	if err != nil {
		return l.unlessGone(err)
	}
	return l.plan.joins[i].checkIDs(l.settings, uids, gids)
}

// checkIDs says what does not go with the maps of a user namespace to join.
func (j join) checkIDs(s configs.Settings, uids, gids []specs.LinuxIDMapping) error {
	err := s.CheckHostRoot(uids, gids)
	if err != nil {
		err = fmt.Errorf("user namespace: %s has id 0 of the host: %w", j.path, err)
	}
	return err
}

// mapsIn are the id maps of a user namespace, as a process that is in it shows them. Of one without a process that we may
// look at they are not known.
func mapsIn(ns *os.File) (uids, gids []specs.LinuxIDMapping) {
	dirs, _ := filepath.Glob("/proc/[0-9]*") // the pattern is right
	for _, dir := range dirs {
		name := filepath.Base(dir)
		pid, err := strconv.Atoi(name)
		if err != nil || !isOf(ns, name, "user") {
			continue
		}
		if uids, gids, err = mapsOf(pid); err == nil && isOf(ns, name, "user") { // still
			return uids, gids
		}
	}
	return nil, nil
}

// noNamespaces says why a process has none: it has ended, or runs on without its first thread. The other threads of one that
// was killed end a moment after that.
func noNamespaces(pid int) error {
	f, err := kernel.Pidfd(pid)
	if errors.Is(err, unix.ESRCH) {
		return ErrNotRunning
	}
	if err != nil {
		return err
	}
	defer f.Close()
	ctx, cancel := context.WithTimeout(context.Background(), threadsEndWithin)
	defer cancel()
	if kernel.WaitReadable(ctx, f) == nil {
		return ErrNotRunning
	}
	return fmt.Errorf("%w: process %d runs on without its first thread, which had the namespaces to join", ErrUnsupported, pid)
}

const threadsEndWithin = 100 * time.Millisecond

// foreignNamespaces are those of a process that are not ours: setns refuses to
// join a user namespace one is in already. The cgroup namespace is told apart.
func foreignNamespaces(pid int) (flags uint64, cgroup bool, err error) {
	for _, k := range namespaceKinds {
		if !haveNamespace(k.kind) { // then ENOENT is no sign of an end
			continue
		}
		theirs, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/" + k.kind)
		if errors.Is(err, unix.ENOENT) {
			return 0, false, noNamespaces(pid)
		}
		if err != nil {
			return 0, false, err
		}
		ours, err := os.Readlink("/proc/self/ns/" + k.kind)
		if err != nil {
			return 0, false, err
		}
		switch {
		case theirs == ours:
		case k.flag == unix.CLONE_NEWCGROUP:
			cgroup = true
		default:
			flags |= k.flag
		}
	}
	return flags, cgroup, nil
}
