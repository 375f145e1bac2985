// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/caps"
	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/scope"
)

// attest sets the limits only we may set, and compares the init with what was
// compiled. It can do nothing more by itself: it waits for our answer.
func (l *launch) attest(ctx context.Context) error {
	if err := l.openPipes(); err != nil {
		return err
	}
	return l.unlessGone(l.attestInit(ctx))
}

func (l *launch) attestInit(ctx context.Context) error {
	// Order: last before exec: the init itself may need more files than the payload.
	if err := l.setLimits(); err != nil {
		return err
	}
	e, err := l.expect()
	if err != nil {
		return err
	}
	_, err = look(ctx, "attest", func() (struct{}, error) {
		return struct{}{}, attest(l.pid, filepath.Join(scope.Mount(), l.c.st.Cgroup), e)
	}, nil)
	return err
}

// joins says whether the container joins a namespace that exists.
func joins(spec *specs.Spec, typ specs.LinuxNamespaceType) bool {
	return slices.ContainsFunc(spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == typ && n.Path != "" })
}

// mapsOf reads the id maps of a process's user namespace.
func mapsOf(pid int) (uids, gids []specs.LinuxIDMapping, err error) {
	u, err1 := kernel.ReadFile(fmt.Sprintf("/proc/%d/uid_map", pid))
	g, err2 := kernel.ReadFile(fmt.Sprintf("/proc/%d/gid_map", pid))
	return parseIDMap(string(u)), parseIDMap(string(g)), errors.Join(err1, err2)
}

// idMaps are those of the container's user namespace; nil where it has none.
func (l *launch) idMaps() (uids, gids []specs.LinuxIDMapping, err error) {
	switch {
	case l.plan.made(specs.UserNamespace):
		return l.spec.Linux.UIDMappings, l.spec.Linux.GIDMappings, nil
	case joins(l.spec, specs.UserNamespace):
		return mapsOf(l.pid) // that it is the right namespace is attested; its maps are its maker's
	}
	return nil, nil, nil
}

// expect says, from the Spec, what must be true of the init now.
func (l *launch) expect() (*expectation, error) {
	e, err := l.expectProcess(l.c.st.Cgroup)
	if err != nil {
		return nil, err
	}
	e.rootRO, e.shared = l.spec.Root.Readonly, sharesMounts(l.spec)
	e.kernel, e.mounts = kernelMounts(l.spec), specMounts(l.spec)
	e.masked, e.readonly = l.spec.Linux.MaskedPaths, l.spec.Linux.ReadonlyPaths
	for _, k := range namespaceKinds {
		i := slices.IndexFunc(l.spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == k.typ })
		switch {
		case i < 0 && haveNamespace(k.kind):
			e.ownNS = append(e.ownNS, k.kind)
		case i < 0:
		case l.spec.Linux.Namespaces[i].Path == "":
			e.newNS = append(e.newNS, k.kind)
		default:
			if e.joinedNS[k.kind], err = namespaceOf(k.kind, l.spec.Linux.Namespaces[i].Path); err != nil {
				return nil, err
			}
		}
	}
	e.limits, err = l.expectLimits()
	return e, err
}

// expectProcess is what holds for any process of the container.
func (l *launch) expectProcess(cgroup string) (*expectation, error) {
	y, linux := l.who, l.spec.Linux
	c, err := caps.ParseSets(l.spec.Process.Capabilities)
	if err != nil {
		return nil, err
	}
	e := &expectation{
		caps:       [5]uint64{uint64(c.Inheritable), uint64(c.Permitted), uint64(c.Effective), uint64(c.Bounding), uint64(c.Ambient)},
		noNewPrivs: l.spec.Process.NoNewPrivileges, seccomp: linux.Seccomp != nil || l.plan.settings.Seccomp == "default",
		umask: 0o022, joinedNS: map[string]string{}, cgroup: cgroup,
		rlimits: map[int][2]uint64{}, oomScore: l.spec.Process.OOMScoreAdj,
	}
	if u := l.spec.Process.User.Umask; u != nil {
		e.umask = *u
	}
	if e.uidMap, e.gidMap, err = l.idMaps(); err != nil {
		return nil, err
	}
	if e.uid, e.gid, e.groups, err = onHost(y, e.uidMap, e.gidMap); err != nil {
		return nil, err
	}
	for _, r := range y.Rlimits {
		e.rlimits[r.Resource] = [2]uint64{r.Soft, r.Hard}
	}
	return e, nil
}

// haveNamespace says whether this kernel has namespaces of that kind.
func haveNamespace(kind string) bool {
	_, err := os.Lstat("/proc/self/ns/" + kind)
	return err == nil
}

// namespaceOf is the text a link in /proc/PID/ns has for a joined namespace.
func namespaceOf(kind, path string) (string, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return "", &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return fmt.Sprintf("%s:[%d]", kind, st.Ino), nil
}

// unitLimits are the limits of the unit. What cannot change while a service runs is its unit file's, which may be
// somebody else's.
func (l *launch) unitLimits() []scope.Limit {
	return slices.DeleteFunc(scope.Limits(l.plan.unit), func(limit scope.Limit) bool {
		info, _ := scope.Lookup(limit.Property)
		return l.o.Service && !info.Live || l.countsOtherwise(limit)
	})
}

// expectLimits are the limits of the cgroup that its files must hold.
func (l *launch) expectLimits() ([]scope.Limit, error) {
	// Limits belong to the unit: of payload/, to the cgroup above.
	unit := filepath.Join(scope.Mount(), l.c.st.Cgroup)
	own := l.unitLimits()
	if scope.UnitCgroup(unit) != unit {
		for i := range own {
			own[i].File = filepath.Join("..", own[i].File)
		}
		own = append(own, scope.PayloadLimits(l.plan.unit)...)
	}
	var have []scope.Limit
	var errs []error
	disks := map[disk]map[string][]string{}
	for _, limit := range own {
		path := limit.Device
		known, err := limit.Find()
		if err != nil {
			errs = append(errs, l.c.rt.lack(l.settings.Strict, limit.Property+": "+err.Error()))
			continue
		}
		if path != limit.Device {
			on := disk{limit.File, limit.Device}
			if disks[on] == nil {
				disks[on] = map[string][]string{}
			}
			disks[on][path] = append(disks[on][path], limit.Property+"="+limit.Value)
		}
		switch err := unix.Access(filepath.Join(unit, limit.File), unix.F_OK); {
		case errors.Is(err, fs.ErrNotExist):
			errs = append(errs, l.missing(limit))
		case known:
			have = append(have, limit)
		}
	}
	for on, paths := range disks {
		if contradict(paths) {
			errs = append(errs, l.c.rt.lack(l.settings.Strict, strings.Join(slices.Sorted(maps.Keys(paths)), " and ")+
				" are on one disk, and the limits of one would undo those of the other: name it by one path"))
			have = slices.DeleteFunc(have, func(l scope.Limit) bool { return on == disk{l.File, l.Device} })
		}
	}
	return have, errors.Join(errs...)
}

// A disk has a line in a file of the cgroup.
type disk struct{ file, number string }

// contradict says whether paths on one disk have different limits: for each of them systemd writes the whole of the line.
func contradict(paths map[string][]string) bool {
	var first []string
	for _, limits := range paths {
		if first == nil {
			first = limits
		}
		if !slices.Equal(limits, first) {
			return true
		}
	}
	return false
}

// missing tells of a limit that the cgroup has no file for.
func (l *launch) missing(limit scope.Limit) error {
	if limit.Optional(filepath.Join(l.c.st.Cgroup, filepath.Dir(limit.File))) {
		return nil
	}
	return l.c.rt.lack(l.settings.Strict, fmt.Sprintf("%s: the cgroup has no %s: its controller is missing, or the kernel was built without it",
		limit.Property, filepath.Base(limit.File)))
}

// tell warns of what this systemd lacks.
func (r *Runtime) tell(dropped []scope.Dropped) {
	for _, d := range dropped {
		r.warn("not supported: " + d.String())
	}
}

// lack tells of something asked for that this machine cannot do: an error, or with systemd.strict = false a warning.
func (r *Runtime) lack(strict bool, what string) error {
	if strict {
		return fmt.Errorf("%w: %s (systemd.strict = false goes without)", ErrUnsupported, what)
	}
	r.warn(what)
	return nil
}

// sharesMounts says whether the Spec itself asks for mounts that propagate.
func sharesMounts(spec *specs.Spec) bool {
	shares := func(o string) bool {
		o = strings.TrimPrefix(o, "r")
		return o == "shared" || o == "slave"
	}
	return shares(spec.Linux.RootfsPropagation) || slices.ContainsFunc(spec.Mounts, func(m specs.Mount) bool {
		return slices.ContainsFunc(m.Options, shares)
	})
}
