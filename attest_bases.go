// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
)

// Filesystems that show the kernel, by how statfs tells them.
var kernelTypes = map[string]int64{"proc": unix.PROC_SUPER_MAGIC, "sysfs": unix.SYSFS_MAGIC}

// A kernelMount is one of these that the Spec asks for.
type kernelMount struct{ dest, typ string }

// kernelMounts are those that nothing else is mounted over.
func kernelMounts(spec *specs.Spec) (list []kernelMount) {
	for _, m := range spec.Mounts {
		dest := filepath.Clean(m.Destination)
		list = slices.DeleteFunc(list, func(k kernelMount) bool { return isBelow(k.dest, dest) })
		bind := slices.Contains(m.Options, "bind") || slices.Contains(m.Options, "rbind")
		if _, ok := kernelTypes[m.Type]; ok && !bind {
			list = append(list, kernelMount{dest, m.Type})
		}
	}
	return list
}

func isBelow(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

// A base is a kernelMount found, from which paths below it are looked up: a name above
// it may lead elsewhere at every look, since who shares the rootfs can rename.
type base struct {
	dest string
	dir  *os.File // nil: it is not what it should be
	id   uint64   // of the mount
}

// findBases opens each and makes sure that it is the filesystem it should be.
func (w *witness) findBases(list []kernelMount) {
	for _, k := range list {
		b := base{dest: k.dest}
		if err := w.findBase(k, &b); err != nil {
			w.diffs = append(w.diffs, err)
		}
		w.bases = append(w.bases, b)
	}
}

func (w *witness) findBase(k kernelMount, b *base) error {
	root := w.openRoot()
	if root == nil {
		return nil // that was told
	}
	dir, err := kernel.OpenIn(root, k.dest, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	var fs unix.Statfs_t
	st, err := mountOf(int(dir.Fd()), "")
	if err == nil {
		err = os.NewSyscallError("fstatfs", unix.Fstatfs(int(dir.Fd()), &fs))
	}
	switch {
	case err != nil:
	case int64(fs.Type) != kernelTypes[k.typ] || st.Attributes&unix.STATX_ATTR_MOUNT_ROOT == 0:
		w.differ("filesystem on "+k.dest, "another", k.typ)
	default:
		b.dir, b.id = dir, st.Mnt_id
		return nil
	}
	_ = dir.Close() // only looked at
	return err
}

// baseOf is the base path lies in, or nil.
func (w *witness) baseOf(path string) (found *base) {
	for i, b := range w.bases {
		if isBelow(path, b.dest) {
			found = &w.bases[i]
		}
	}
	return found
}

// within says whether m is the mount id or lies in it, however deep.
func (t mountTable) within(m mountLine, id uint64) bool {
	for range len(t.byID) {
		if m.id == id {
			return true
		}
		m = t.byID[m.parent]
	}
	return false
}
