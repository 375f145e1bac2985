// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"path"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/nsexec"
)

// OwnNull says whether a container has a null device that is not the host's: a node made for it in a /dev of its own. (With
// [Facts.HostNodes] it is the host's after all, and taken to no avail.)
func OwnNull(spec *specs.Spec) bool {
	dev := false
	for _, s := range spec.Mounts {
		m, err := parseMount(s)
		if err != nil {
			return false
		}
		if m.dest == "/dev" {
			dev = m.ownDev() && m.attr.set&unix.MOUNT_ATTR_NODEV == 0
		} else if below(m.dest, "/dev/null") || below("/dev", m.dest) {
			return false
		}
	}
	return dev && !slices.ContainsFunc(spec.Linux.Devices, func(d specs.LinuxDevice) bool {
		return path.Clean(d.Path) == "/dev/null" && (d.Major != 1 || d.Minor != 3)
	})
}

// addNull takes the host's null device from the payload: what it may do to a descriptor
// it may do to the node, such as change its mode (fchmod(2)) or watch it, and the host's services need that.
func (b *builder) addNull(dev nsexec.Reg) {
	if b.in.HostNull == [3]bool{} || terminal(b.spec) || !OwnNull(b.spec) {
		return
	}
	b.At("null device of its own", "the host's would be there to be changed")
	takeNull(b.Program, dev, b.in.HostNull)
}

// ExecNull does so in a container that runs already: see [OwnNull]. root is its root directory.
func ExecNull(p *nsexec.Program, root nsexec.Reg, streams [3]bool) {
	p.At("the container's null device", "the host's would be there to be changed")
	dev := p.OpenInRoot(root, "/dev", unix.O_PATH|unix.O_DIRECTORY)
	p.Close(checkNull(p, dev, unix.O_PATH))
	takeNull(p, dev, streams)
	p.Close(dev)
}

func takeNull(p *nsexec.Program, dev nsexec.Reg, streams [3]bool) {
	// Order: looked at before and after: opening another device can do something, and who
	// runs in the container may exchange it.
	null := checkNull(p, dev, unix.O_RDWR|unix.O_NOCTTY)
	for fd, host := range streams {
		if host {
			p.Dup3(null, fd)
		}
	}
	p.Close(null)
}

func checkNull(p *nsexec.Program, dev nsexec.Reg, flags int) nsexec.Reg {
	null := p.OpenInRoot(dev, "null", flags|unix.O_NOFOLLOW)
	p.CheckNode(null, "/dev/null", unix.S_IFCHR, unix.Mkdev(1, 3))
	return null
}
