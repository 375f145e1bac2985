// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"slices"
	"strings"

	"github.com/sdcontainer/sdcontainer/nsexec"
)

// A held mount is one whose descriptor stays open: what belongs below it is found
// from there.
//
// Order: from before it is attached until the last mask is made. Who can write to the
// rootfs or a directory above it, as a container that has it as a volume, can rename a
// mount point that is none in its own namespace (rename(2)): the mount goes along, and
// a path from the root would lead to something else, or to nothing that needs a mask.
type held struct {
	dest string
	fs   nsexec.Reg
}

// hold keeps mnt, which m became, if it is a filesystem of ours or the kernel's: there
// no link leads elsewhere. In a volume they may, to what is beside it.
func (b *builder) hold(m *mount, mnt nsexec.Reg) bool {
	kernel := m.dest == "/proc" || m.dest == "/sys" || !m.bind && (m.Type == "proc" || m.Type == "sysfs")
	if !kernel && !m.ownDev() {
		return false
	}
	b.held = append(b.held, held{m.dest, mnt})
	return true
}

// ownDev says whether m is a /dev that the container has for itself.
func (m *mount) ownDev() bool { return m.dest == "/dev" && m.kind == fresh && m.Type == "tmpfs" }

func (b *builder) holds(r nsexec.Reg) bool {
	return slices.ContainsFunc(b.held, func(h held) bool { return h.fs == r })
}

// forget lets go of the mounts at and below dest, which something is mounted on.
func (b *builder) forget(dest string) {
	b.held = slices.DeleteFunc(b.held, func(h held) bool {
		gone := below(h.dest, dest)
		if gone && !slices.Contains(b.late, h.fs) { // it is closed when it is sealed
			b.Close(h.fs)
		}
		return gone
	})
}

// within says from where path is looked up, and how it is called there.
func (b *builder) within(path string) (dir nsexec.Reg, rest string) {
	dir, rest = b.root, path
	for _, h := range b.held {
		if below(path, h.dest) {
			dir, rest = h.fs, "."+strings.TrimPrefix(path, h.dest)
		}
	}
	return dir, strings.TrimPrefix(rest, "./")
}
