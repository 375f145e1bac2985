// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/nsexec"
)

// The first terminal of a devpts instance: major 136, minor 0.
const firstTTY = 136 << 8

// addConsole opens the container's terminal, puts its slave side at /dev/console
// and sends the master to the parent.
func (b *builder) addConsole() {
	if !terminal(b.spec) {
		return
	}
	b.At("open terminal", "of the container's own devpts: the caller's is never passed in")
	// Order: after devpts is mounted, before the root becomes read-only. The slave
	// comes from the master's descriptor, never from a name (CVE-2025-52565).
	master, slave := b.OpenPty(b.pts)
	b.Close(b.pts)
	b.CheckNode(slave, "terminal", unix.S_IFCHR, firstTTY)
	b.Sync(nsexec.Control, SyncConsole, master)
	b.Close(master)
	b.w.slave = slave

	b.At("mount terminal on /dev/console", "where programs look for the system's console")
	in, rest := b.within("/dev")
	dev := b.OpenInRoot(in, rest, unix.O_PATH|unix.O_DIRECTORY)
	b.Mknod(dev, "console", unix.S_IFREG|0o600, 0).Tolerate(unix.EEXIST)
	place := b.OpenInRoot(dev, "console", unix.O_PATH|unix.O_NOFOLLOW)
	mnt := b.OpenTree(slave, "", false)
	b.MoveMount(mnt, place, "/dev/console")
	b.Close(mnt)
	b.Close(place)
	seen := b.OpenInRoot(dev, "console", unix.O_PATH|unix.O_NOFOLLOW)
	b.CheckNode(seen, "/dev/console", unix.S_IFCHR, firstTTY)
	b.Close(seen)
	b.Close(dev)
}

// Terminal starts the payload's session and, with a terminal, makes that its
// standard input, output and error, owned by uid. Without one the three
// descriptors stay as they are.
func (w *World) Terminal(p *nsexec.Program, uid uint32) {
	attachTerminal(p, w.slave, uid)
}

func attachTerminal(p *nsexec.Program, slave nsexec.Reg, uid uint32) {
	p.At("start session", "the payload cannot reach the caller's terminal (CVE-2017-5226)")
	// Order: before TIOCSCTTY: only a session leader without a terminal gets one.
	p.Setsid()
	if slave == nsexec.NoReg {
		return
	}
	p.At("attach terminal", "its keys send signals to the payload, and job control works")
	p.Ioctl(slave, "terminal", unix.TIOCSCTTY, 0)
	// Order: before the change of user, who may not give files away.
	p.ChownFD(slave, "terminal", uid, keepGID)
	for fd := range 3 {
		p.Dup3(slave, fd)
	}
	p.Close(slave)
}

// keepGID leaves the group as it is: devpts made it tty.
const keepGID = noID

// ExecTerminal opens a new terminal in a container that runs already, for a
// program that has joined its namespaces, sends the master to the parent and
// attaches the slave for uid. root is the container's root directory. In a user
// namespace [BecomeRoot] comes first: the terminal belongs to who opens it.
func ExecTerminal(p *nsexec.Program, root nsexec.Reg, uid uint32) {
	p.At("open terminal", "of the container's own devpts")
	pts := p.OpenInRoot(root, "/dev/pts", unix.O_PATH|unix.O_DIRECTORY)
	ptmx := p.OpenInRoot(pts, "ptmx", unix.O_PATH|unix.O_NOFOLLOW)
	p.CheckNode(ptmx, "/dev/pts/ptmx", unix.S_IFCHR, unix.Mkdev(5, 2))
	p.Close(ptmx)
	// Order: it is looked at again once it is open, before anything is asked of it: who runs in the container may have put
	// something else there meanwhile, which the parent would read from and write to.
	master, slave := p.OpenPty(pts)
	p.Close(pts)
	p.Sync(nsexec.Control, SyncConsole, master)
	p.Close(master)
	attachTerminal(p, slave, uid)
}
