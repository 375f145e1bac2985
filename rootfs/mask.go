// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"errors"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/nsexec"
)

// parsePaths normalises maskedPaths or readonlyPaths.
func (b *builder) parsePaths(field string, list []string) (out []string, errs []error) {
	seen := map[string]bool{}
	for _, p := range list {
		clean, err := inside(p)
		if err == nil && slices.ContainsFunc(b.mounts, func(m *mount) bool { return m.kind == cgroups && below(clean, m.dest) }) {
			err = errors.New("lies in the cgroup mount, which is made last and has its own ro option")
		}
		if err == nil && field == "linux.maskedPaths" && (clean == "/proc" || clean == "/sys") {
			err = errors.New("is looked at before the payload starts (want a path below it)")
		}
		if err == nil && field == "linux.readonlyPaths" && below("/dev/pts", clean) {
			// The owner of a terminal could not be set, and /dev/shm would be read-only with /dev.
			err = errors.New("exec could not have a terminal there (a mount on /dev has its own ro option)")
		}
		if err != nil {
			errs = append(errs, &configs.FieldError{Field: field, Entry: p, Err: err})
			continue
		}
		if !seen[clean] {
			out = append(out, clean)
		}
		seen[clean] = true
	}
	return out, errs
}

// The two entries of the filesystem masks are made of.
const (
	maskDir  = "dir"
	maskFile = "file"
)

// makeMask makes the filesystem that masks are clones of: ours alone, so that
// nothing in an image can stand in for it (CVE-2025-31133).
func (b *builder) makeMask() {
	b.At("prepare masks", "an empty directory and an empty file, in a filesystem no image can reach")
	fs := b.Fsopen("tmpfs")
	b.FsconfigString(fs, "size", "4k")
	b.FsconfigString(fs, "nr_inodes", "4")
	b.FsconfigString(fs, "mode", "0555")
	b.mask = b.Fsmount(fs, "masks", noFiles)
	b.Close(fs)
	b.Mkdir(b.mask, maskDir, 0o555)
	b.Mknod(b.mask, maskFile, unix.S_IFREG, 0)
	b.MountSetattr(b.mask, "masks", nsexec.MountAttr{Set: unix.MOUNT_ATTR_RDONLY})
	b.park(b.mask, "masks")
}

// park gives a mount that clones are to be made of a place.
//
// Order: before it is cloned: open_tree of a detached mount is refused before Linux 6.15. Any directory of the old root will do:
// it goes with it.
func (b *builder) park(mount nsexec.Reg, object string) {
	over := b.OpenHere("/dev", unix.O_PATH|unix.O_DIRECTORY)
	b.MoveMount(mount, over, object)
	b.Close(over)
}

// addMasks makes paths read-only, then hides others.
func (b *builder) addMasks() {
	// Order: readonlyPaths, then maskedPaths, after every other mount: nothing may
	// be mounted over them, and kernel settings below /proc/sys are written.
	for _, path := range b.ro {
		b.At("make "+path+" read-only", "readonlyPaths")
		b.skippable(func() { b.readOnlyPath(path) }, unix.ENOENT)
	}
	if len(b.masks) == 0 {
		return
	}
	b.makeMask()
	for _, path := range b.masks {
		b.At("mask "+path, "maskedPaths")
		b.skippable(func() { b.maskPath(path) }, unix.ENOENT)
	}
	b.Close(b.mask)
}

// skippable adds the steps of body; when the first fails with one of errs the
// others are skipped.
func (b *builder) skippable(body func(), errs ...unix.Errno) {
	first := len(b.Steps())
	body()
	b.skipFrom(first, errs...)
}

// skipFrom makes step n, when it fails with one of errs, go on after the last
// step there is now. A program that is full has no step n: Encode tells.
func (b *builder) skipFrom(n int, errs ...unix.Errno) {
	if steps := b.Steps(); n < len(steps) {
		steps[n].OrSkip(len(steps)-n-1, errs...)
	}
}

func (b *builder) readOnlyPath(path string) {
	dir, rest := b.within(path)
	place := b.OpenInRoot(dir, rest, unix.O_PATH)
	mnt := b.OpenTree(place, "", true)
	b.MountSetattr(mnt, path, nsexec.MountAttr{Set: unix.MOUNT_ATTR_RDONLY, Propagation: unix.MS_PRIVATE, Recursive: true})
	b.MoveMount(mnt, place, path)
	b.Close(place)
	top := rest == "."
	b.forget(path)
	if top { // masks go on what lies uppermost
		b.held = append(b.held, held{path, mnt})
	} else {
		b.Close(mnt)
	}
}

// maskPath hides a path that is a directory or a file: only the kernel knows.
func (b *builder) maskPath(path string) {
	in, rest := b.within(path)
	place := b.OpenInRoot(in, rest, unix.O_PATH)
	test := len(b.Steps())
	// By its path, not by "." in it: /sys/fs/bpf is mode 0700, and as soon as a user
	// namespace does not map its owner nobody may look into it.
	dir := b.OpenInRoot(in, rest, unix.O_PATH|unix.O_DIRECTORY)
	b.putMask(maskDir, dir, path)
	b.Close(dir)
	done := len(b.Steps())
	b.Jump(0)
	b.skipFrom(test, unix.ENOTDIR)
	b.putMask(maskFile, place, path)
	b.skipFrom(done, unix.EBADF)
	b.Close(place)
}

func (b *builder) putMask(entry string, place nsexec.Reg, path string) {
	mnt := b.OpenTree(b.mask, entry, false)
	b.MoveMount(mnt, place, path)
	b.Close(mnt)
}
