// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/journal"
	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/nsexec"
	"github.com/sdcontainer/sdcontainer/rootfs"
)

// findFacts looks at the bind sources, and with create makes those that are to be created. One that may not be seen is
// an error, or without create told to unseen and taken for a directory: root may see it.
func findFacts(spec *specs.Spec, create bool, unseen func(error)) (rootfs.Facts, error) {
	facts := rootfs.Facts{Sources: map[string]rootfs.SourceKind{}}
	if slices.ContainsFunc(spec.Mounts, func(m specs.Mount) bool { return m.Type == "overlay" }) { // asking may load its module
		facts.OverlayLowerPlus = kernel.HaveOverlayLowerPlus()
	}
	binds, err := rootfs.Binds(spec)
	if err != nil {
		return facts, err
	}
	for _, b := range binds {
		info, err := os.Stat(b.Path)
		switch {
		case errors.Is(err, fs.ErrNotExist) && b.Create != nil:
			if create {
				if err := makeSource(b.Path, b.Create); err != nil {
					return facts, err
				}
			}
			facts.Sources[b.Path] = map[bool]rootfs.SourceKind{true: rootfs.IsFile}[b.Create.Kind == nsexec.File]
		case errors.Is(err, fs.ErrNotExist):
			facts.Sources[b.Path] = rootfs.IsMissing
		case errors.Is(err, unix.EACCES) && !create:
			unseen(fmt.Errorf("%s: %w: taken for a directory", b.For, err))
		case err != nil:
			return facts, fmt.Errorf("%s: %w", b.For, err)
		case !info.IsDir():
			facts.Sources[b.Path] = rootfs.IsFile
		}
	}
	return facts, nil
}

// makeSource makes a bind source that does not exist. Its parent must. Owner and
// mode are set by descriptor: who can write to the parent could put a link in its place.
func makeSource(path string, c *rootfs.Create) error {
	flags := unix.O_CREAT | unix.O_EXCL | unix.O_WRONLY
	if c.Kind == nsexec.Dir {
		if err := os.Mkdir(path, 0o700); err != nil {
			return err
		}
		flags = unix.O_DIRECTORY | unix.O_NOFOLLOW
	}
	f, err := os.OpenFile(path, flags|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Chown(int(c.UID), int(c.GID)); err != nil {
		return err
	}
	if err := unix.Fchmod(int(f.Fd()), c.Mode); err != nil {
		return &os.PathError{Op: "fchmod", Path: path, Err: err}
	}
	return nil
}

// openSources opens what the init needs of the host, in the order it receives it:
// detached mounts, so that nothing that happens to the paths later matters.
func (l *launch) openSources(ctx context.Context) ([]*os.File, error) {
	if len(l.plan.world.Sources) == 0 {
		return nil, nil
	}
	// Whoever serves them answered a moment ago, and may not any more.
	return look(ctx, "open the sources of mounts", func() ([]*os.File, error) { return l.cloneSources(ctx) }, closeAll)
}

func (l *launch) cloneSources(ctx context.Context) (files []*os.File, err error) {
	var userns *os.File
	defer func() { _ = userns.Close() }() // nil if none was needed
	for _, s := range l.plan.world.Sources {
		if len(s.Nodes) > 0 {
			files = append(files, l.devices)
			continue
		}
		f, err := kernel.CloneMount(s.Path, s.Recursive)
		if err != nil {
			return files, fmt.Errorf("%s: %w", s.For, err)
		}
		files = append(files, f)
		if s.IDMap == nil {
			continue
		}
		ns := userns
		switch {
		case len(s.IDMap.UIDs) > 0:
			if ns, err = nsexec.NewUserns(ctx, s.IDMap.UIDs, s.IDMap.GIDs); err != nil {
				return files, fmt.Errorf("%s: %w", s.For, err)
			}
			defer ns.Close()
		case ns == nil:
			if ns, err = nsexec.UsernsFile(l.pid); err != nil {
				return files, err
			}
			userns = ns
		}
		if err := kernel.Idmap(f, s.IDMap.Recursive, ns); err != nil {
			return files, fmt.Errorf("%s: %w%s", s.For, err, idmapHint(err))
		}
	}
	return files, nil
}

// makeDevices makes those of a container whose user namespace may make none. Where we may not either, as in a container, it gets
// the host's.
func (l *launch) makeDevices() (host bool, err error) {
	nodes, err := rootfs.Nodes(l.spec)
	if err != nil || len(nodes) == 0 {
		return false, err
	}
	list := make([]kernel.Node, len(nodes))
	for i, n := range nodes {
		list[i] = kernel.Node{Name: n.Name, Mode: n.Mode, Dev: n.Dev}
		if !l.plan.made(specs.UserNamespace) { // whose ids nobody knows yet
			continue
		}
		var err1, err2 error
		list[i].UID, err1 = hostID(n.UID, l.spec.Linux.UIDMappings)
		list[i].GID, err2 = hostID(n.GID, l.spec.Linux.GIDMappings)
		if err := errors.Join(err1, err2); err != nil {
			return false, fmt.Errorf("device %s: %w", n.Path, err)
		}
	}
	l.devices, err = kernel.NodeMount(list)
	if errors.Is(err, unix.EPERM) {
		l.c.rt.warn(l.c.id + ": its devices are the host's nodes, as none may be made here (no CAP_MKNOD, a user namespace, or the unit's list of devices)")
		return true, nil
	}
	return false, err
}

// hostID is an id of the container as the host has it; for root that of the first user there is, if it has none.
func hostID(id uint32, maps []specs.LinuxIDMapping) (uint32, error) {
	host, err := mapOne(id, maps)
	if err != nil && id == 0 {
		return maps[0].HostID, nil
	}
	return host, err
}

func idmapHint(err error) string {
	if errors.Is(err, unix.EINVAL) {
		return " (the filesystem cannot be idmapped on this kernel: set idmap = false, and chown the files to the user namespace's ids)"
	}
	return ""
}

// stdio is the payload's standard streams. own are those that were opened for it.
type stdio struct {
	in, out, err *os.File
	own          []*os.File
}

func (s *stdio) close() { closeAll(s.own) }

func (s *stdio) files() []*os.File { return []*os.File{s.in, s.out, s.err} }

// fill opens /dev/null for what is missing.
func (s *stdio) fill() error {
	if s.in != nil && s.out != nil && s.err != nil {
		return nil
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	s.own = append(s.own, null)
	s.in, s.out, s.err = cmp.Or(s.in, null), cmp.Or(s.out, null), cmp.Or(s.err, null)
	return nil
}

// kinds says which are the null device, the host's, and which are pipes without a name: one that has
// a name is a file, whose mode others rely on.
func (s *stdio) kinds() (null [3]bool, pipes [3]*os.File) {
	for i, f := range s.files() {
		var st unix.Stat_t
		if unix.Fstat(int(f.Fd()), &st) != nil {
			continue
		}
		null[i] = st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == unix.Mkdev(1, 3)
		var fs unix.Statfs_t
		if st.Mode&unix.S_IFMT == unix.S_IFIFO && unix.Fstatfs(int(f.Fd()), &fs) == nil && fs.Type == unix.PIPEFS_MAGIC {
			pipes[i] = f
		}
	}
	return null, pipes
}

// openPipes lets the payload open the pipes among its standard streams by name: to open /dev/stdout is to open the pipe
// anew, which is for its owner else. Each in the direction it has here, and they keep their owner: a pipe is shared with
// whoever is at its ends, and who owns it can read what others write into it, and write what others read.
//
// Order: by the parent: the init has no right to, in a user namespace that does not know who made the pipe. And once more
// a moment later, but before Create returns, after which its caller may close them: what begins at the pipe's other end at the
// same time, as in run a | run b, may have put the mode back that it had seen.
func (l *launch) openPipes() error {
	if l.spec.Process.Terminal {
		return nil
	}
	for i, f := range l.pipes {
		if f == nil {
			continue
		}
		bits := os.FileMode(0o222)
		if i == 0 {
			bits = 0o444
		}
		// A pipe of somebody else still works by its descriptor: only to open it anew is refused.
		if err := addMode(f, bits); err != nil && !errors.Is(err, unix.EPERM) {
			return fmt.Errorf("let the payload open standard stream %d, a pipe: %w", i, err)
		}
	}
	return nil
}

func addMode(f *os.File, bits os.FileMode) error {
	info, err := f.Stat()
	if err != nil || info.Mode()&bits == bits {
		return err
	}
	return f.Chmod(info.Mode().Perm() | bits)
}

// checkStreams refuses standard streams through which the payload could leave its
// root, as through any descriptor of a directory outside (CVE-2024-21626), and those through which it could read what
// is typed to others: of one that has a terminal of its own the others do not matter.
func (l *launch) checkStreams(streams ...*os.File) error {
	for i, f := range streams {
		if f == nil {
			continue
		}
		if info, err := f.Stat(); err != nil {
			return err
		} else if info.IsDir() {
			return fmt.Errorf("standard stream %d is the directory %s: the payload could leave its root through it", i, f.Name())
		}
		if !l.spec.Process.Terminal && isTerminal(f) {
			return fmt.Errorf("standard stream %d is the terminal %s: the payload could read what is typed there (give it a pipe, or a terminal of its own)", i, f.Name())
		}
	}
	return nil
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// openStdio fills in the streams the caller did not give: output goes where the
// log settings say. With a terminal they do not matter.
func (l *launch) openStdio() (*stdio, error) {
	s := &stdio{in: l.o.Stdin, out: l.o.Stdout, err: l.o.Stderr}
	log, unit := l.settings.Log, l.c.st.Unit
	if l.o.Service { // its name is not known yet, and it does not end with the payload
		unit = ""
	}
	for _, o := range []struct {
		file  **os.File
		level int
	}{{&s.out, log.StdoutLevel}, {&s.err, log.StderrLevel}} {
		if *o.file != nil || l.spec.Process.Terminal || log.Driver == "none" {
			continue
		}
		if log.Driver == "passthrough" {
			*o.file = map[bool]*os.File{true: os.Stdout, false: os.Stderr}[o.file == &s.out]
			if f := *o.file; isTerminal(f) {
				s.close()
				return nil, fmt.Errorf(`log.driver = "passthrough" would give the payload the terminal that is our %s: redirect it, or use "journald"`, f.Name())
			}
			continue
		}
		f, err := journal.Stream(log.Identifier, unit, o.level, log.LevelPrefix)
		if err != nil {
			s.close()
			return nil, fmt.Errorf(`%w (is systemd-journald running? log.driver = "none" starts without)`, err)
		}
		*o.file, s.own = f, append(s.own, f)
	}
	err := l.checkStreams(s.files()...)
	if err == nil {
		err = s.fill()
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}
