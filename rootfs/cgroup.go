// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/nsexec"
)

// EnterMounts adds what had to wait for the gate: the cgroup namespace and the
// mount that shows it. p is the program after World.Program.
func (w *World) EnterMounts(p *nsexec.Program) {
	if w.ns.made(cgroupNS) {
		p.At("new cgroup namespace", "its root is the container's cgroup")
		// Order: after the process was put into its final cgroup: the namespace's root is
		// the cgroup of this moment (cgroup_namespaces(7)).
		p.Unshare("cgroup namespace", unix.CLONE_NEWCGROUP)
	}
	if w.group == nil {
		return
	}
	w.group.shut()
	p.At("mount cgroup2 on "+w.group.dest, "onto the place kept open: no path is resolved again")
	// Order: after the cgroup namespace: the mount shows the root of the namespace
	// it is made in.
	fs := p.Fsopen("cgroup2")
	mnt := p.Fsmount(fs, "cgroup2", w.group.attr.set)
	p.Close(fs)
	p.MoveMount(mnt, w.place, w.group.dest)
	p.Close(mnt)
	p.Close(w.place)
}
