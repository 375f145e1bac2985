// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/rootfs"
)

// keepOthersOut refuses sources in which the container can make files that belong to ids of the
// host, where other users of the host can execute them: set-user-ID files, of root's too
// (CVE-2021-41091).
func (l *launch) keepOthersOut(ctx context.Context, sources []rootfs.Source) error {
	exposed, err := exposedWithin(ctx, sources, mayMount(l.spec.Process))
	if err != nil {
		return err
	}
	var errs []error
	for _, err := range exposed {
		if l.settings.Strict {
			errs = append(errs, err)
		} else {
			l.c.rt.warn(err.Error())
		}
	}
	return errors.Join(errs...)
}

// An exposedError is about a source that others get to.
type exposedError struct {
	source rootfs.Source
	msg    string
}

func (e *exposedError) Error() string { return e.source.For + ": " + e.msg }

// field is the warning about it for the field of the Spec that it comes from.
func (e *exposedError) field() *configs.FieldError {
	field := &configs.FieldError{Field: "root.path", Err: errors.New(e.msg), Warning: true}
	if e.source.Target != "" {
		field.Field, field.Entry = "mounts", e.source.Target
	}
	return field
}

// exposedWithin is exposures, where the filesystems answer.
func exposedWithin(ctx context.Context, sources []rootfs.Source, mayMount bool) ([]*exposedError, error) {
	return look(ctx, "look at the directories above the sources of mounts",
		func() ([]*exposedError, error) { return exposures(sources, mayMount) }, nil)
}

// exposures tells of each source that others get to. The first is the root: one that is no directory is an error, and
// no place would do for it.
func exposures(sources []rootfs.Source, mayMount bool) (list []*exposedError, err error) {
	var table []mountLine
	var layered overlays
	for i, s := range sources {
		if s.IDMap == nil {
			continue
		}
		if table == nil {
			b, err := kernel.ReadFile("/proc/self/mountinfo")
			if err != nil {
				return nil, err
			}
			table = parseMountinfo(string(b))
			layered = overlaysIn(table)
		}
		for _, h := range holdings(s, table) {
			if h.ro && !mayMount {
				continue
			}
			names := h.names(table, layered)
			at := slices.IndexFunc(names, reachable)
			if at < 0 {
				continue
			}
			if info, err := os.Stat(s.Path); err == nil && i == 0 && !info.IsDir() {
				return nil, fmt.Errorf("%s: %s: %w (want the directory with the container's files)", s.For, s.Path, unix.ENOTDIR)
			}
			list = append(list, &exposedError{s, h.exposed(names[at])})
		}
	}
	return list, nil
}

// A holding is what a mount of a source shows of a file system: where the container makes files.
type holding struct {
	point string
	ro    bool
	dev   string // as in mountinfo
	root  string // the directory or file of the file system
}

// holdings are the idmapped mounts of a source: itself, and those below it that come along. One that cannot be seen has none.
func holdings(s rootfs.Source, table []mountLine) (list []holding) {
	f, path, err := openResolved(s.Path)
	if err != nil {
		return nil
	}
	defer f.Close()
	own, err := mountOf(int(f.Fd()), "")
	if err != nil {
		return nil
	}
	for _, m := range table {
		rest, below := beneath(m.point, path)
		switch {
		case m.id == own.Mnt_id:
			rest, _ = beneath(path, m.point)
			list = append(list, holding{s.Path, s.ReadOnly || m.ro() && !s.Writable, m.dev, filepath.Join(m.root, rest)})
		case below && rest != "" && s.Recursive && s.IDMap.Recursive:
			list = append(list, holding{m.point, s.ReadOnlyBelow || m.ro() && !s.WritableBelow, m.dev, m.root})
		}
	}
	if !slices.ContainsFunc(table, func(m mountLine) bool { return m.id == own.Mnt_id }) { // outside of a chroot, or mounted just now
		list = append(list, holding{point: s.Path, ro: s.ReadOnly})
	}
	return list
}

// openResolved opens path as a handle only, and says where it lies: a path through which no link leads.
func openResolved(path string) (f *os.File, real string, err error) {
	if f, err = kernel.OpenPath(path); err != nil {
		return nil, "", err
	}
	if real, err = os.Readlink("/proc/self/fd/" + strconv.Itoa(int(f.Fd()))); err != nil {
		return nil, "", errors.Join(err, f.Close())
	}
	return f, real, nil
}

// names are the paths at which this machine has what h holds or a part of it: wherever its file system is mounted, and
// overlays with it.
func (h holding) names(table []mountLine, layered overlays) []string {
	names := []string{h.point}
	for _, h := range layered.everywhere(h) {
		for _, m := range table {
			if m.dev != h.dev {
				continue
			}
			rest, within := beneath(h.root, m.root)
			_, part := beneath(m.root, h.root)
			if name := filepath.Join(m.point, rest); (within || part) && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// exposed tells of h, where others get to it by name.
func (h holding) exposed(name string) string {
	place := h.point
	if name != h.point {
		place += ", found in whole or in part at " + name + " too,"
	}
	if h.ro {
		place = strings.TrimSuffix(place, ",") + ", which who has CAP_SYS_ADMIN makes writable,"
	}
	return fmt.Sprintf("%s lies where other users of this machine get to, and what the container makes set-user-ID there is its owner's on the host"+
		" (%s; or set idmap = false for it, or systemd.strict = false)", place, seclude(name))
}

// beneath is what of path follows dir, if it is dir or below it.
func beneath(path, dir string) (rest string, ok bool) {
	if rest, ok = strings.CutPrefix(path, strings.TrimSuffix(dir, "/")); !ok || rest != "" && rest[0] != '/' {
		return "", false
	}
	return strings.Trim(rest, "/"), true
}

// seclude says how to keep others from path. Only what is there for containers' files is to be closed: anything else may
// be what the machine needs open. Nor does it help to close the directory of another user, who opens it again.
func seclude(path string) string {
	const move = "move it below a directory of root's with mode 0700, such as " + machines
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return move
	}
	dir := filepath.Dir(path)
	info, err := os.Stat(dir)
	if err != nil || info.Mode()&os.ModeSticky != 0 || owner(info) != 0 || !isBelow(dir, machines) && (dir == "/srv" || !isBelow(dir, "/srv")) {
		return move
	}
	return "keep them out of a directory above it, as by chmod 700 " + dir
}

// machines is where systemd looks for containers' files.
const machines = "/var/lib/machines"

// mayMount says whether the payload can change its mounts. What is read-only for it is so until it says otherwise
// (mount_setattr(2)): mounts are locked for who got them from a user namespace above its own, and these are made in its own.
func mayMount(p *specs.Process) bool {
	return p.Capabilities != nil && slices.Contains(p.Capabilities.Bounding, "CAP_SYS_ADMIN")
}

// reachable says whether the directories that lead to path let others than root pass. Its own mode does
// not count: the container can change that. What cannot be seen is not reachable by others either.
func reachable(path string) bool {
	f, path, err := openResolved(path)
	if err != nil {
		return false
	}
	defer f.Close()
	for err == nil && path != "/" {
		path = filepath.Dir(path)
		var info fs.FileInfo
		if info, err = os.Stat(path); err == nil && !passable(path, info) {
			return false
		}
	}
	return err == nil
}

// passable says whether a directory lets others than root pass: its owner, who can change its mode too, everybody, its
// group, or who its ACL names, of which the bits of the group tell the most that they may (acl(5)).
func passable(path string, dir fs.FileInfo) bool {
	if owner(dir) != 0 || dir.Mode()&0o001 != 0 {
		return true
	}
	if dir.Mode()&0o010 == 0 {
		return false
	}
	st, ok := dir.Sys().(*syscall.Stat_t)
	if !ok || st.Gid != 0 {
		return true
	}
	n, err := unix.Getxattr(path, "system.posix_acl_access", nil)
	return err == nil && n > 0
}

func owner(info fs.FileInfo) uint32 {
	st, _ := info.Sys().(*syscall.Stat_t) // as of every file that os has looked at
	return st.Uid
}
