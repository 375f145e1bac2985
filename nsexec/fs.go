// SPDX-License-Identifier: Apache-2.0

package nsexec

import (
	"slices"

	"golang.org/x/sys/unix"
)

// NoReg is passed where a register is optional and there is none.
const NoReg Reg = 255

// here is AT_FDCWD as the kernel wants it in a 64-bit register.
const here = Imm(^uint64(99)) // -100

const cloexec = unix.O_CLOEXEC

// Flags every lookup inside a root carries: an image's symlinks stay inside, and
// /proc's magic links lead nowhere.
const inRoot = unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS

// OpenInRoot opens path below root. Symlinks are followed as if root were "/".
func (p *Program) OpenInRoot(root Reg, path string, flags int) Reg {
	how := p.Words(uint64(flags|cloexec), 0, inRoot)
	return p.keep(p.call(unix.SYS_OPENAT2, path, root, p.String(path), how, Imm(24)))
}

// OpenBeneath opens path below dir and follows no link at all: for procfs.
func (p *Program) OpenBeneath(dir Reg, path string, flags int) Reg {
	how := p.Words(uint64(flags|cloexec), 0,
		unix.RESOLVE_BENEATH|unix.RESOLVE_NO_MAGICLINKS|unix.RESOLVE_NO_SYMLINKS|unix.RESOLVE_NO_XDEV)
	return p.keep(p.call(unix.SYS_OPENAT2, path, dir, p.String(path), how, Imm(24)))
}

// Kind is what [Program.MkPath] makes.
type Kind uint32

// The kinds of mount point.
const (
	Dir  Kind = 0
	File Kind = 1
)

// MkPath opens the mount point path inside root and makes what is missing:
// directories with mode 0755, and the last component as kind with mode. The
// result is an O_PATH descriptor. Components are resolved one by one by
// descriptor; links stay inside root.
func (p *Program) MkPath(root Reg, path string, kind Kind, mode uint32) Reg {
	if len(path) > maxPath-2 {
		p.fail("mount point of %d bytes, at most %d", len(path), maxPath-2)
	}
	return p.keep(p.add(Step{Op: OpMkPath, Object: path,
		Args: [6]Arg{root, p.String(path), Imm(kind), Imm(mode)}}))
}

// Mkdir makes a directory below dir. An existing one is fine.
func (p *Program) Mkdir(dir Reg, name string, mode uint32) {
	p.call(unix.SYS_MKDIRAT, name, dir, p.String(name), Imm(mode)).Tolerate(unix.EEXIST)
}

// Mknod makes a device, FIFO or regular file below dir. mode has the type.
func (p *Program) Mknod(dir Reg, name string, mode uint32, dev uint64) *Step {
	return p.call(unix.SYS_MKNODAT, name, dir, p.String(name), Imm(mode), Imm(dev))
}

// ChownPath changes the owner of what fd, opened with O_PATH, leads to.
func (p *Program) ChownPath(fd Reg, object string, uid, gid uint32) {
	p.call(unix.SYS_FCHOWNAT, object, fd, p.String(""), Imm(uid), Imm(gid), Imm(unix.AT_EMPTY_PATH))
}

// ChownFD changes the owner of an open descriptor.
func (p *Program) ChownFD(fd Reg, object string, uid, gid uint32) *Step {
	return p.call(unix.SYS_FCHOWN, object, fd, Imm(uid), Imm(gid))
}

// Symlink makes name below dir point to target. An existing one is fine.
func (p *Program) Symlink(target string, dir Reg, name string) {
	p.call(unix.SYS_SYMLINKAT, name, p.String(target), dir, p.String(name)).Tolerate(unix.EEXIST)
}

// Write writes content to an open descriptor in one call.
func (p *Program) Write(fd Reg, object, content string) *Step {
	d := p.Bytes([]byte(content))
	return p.call(unix.SYS_WRITE, object, fd, d, Imm(len(content)))
}

// Close closes a descriptor early (all are closed at exec anyway). Its register
// serves for a later result: from then on it is that one's, and a Close of the old one is not noticed.
func (p *Program) Close(fd Reg) {
	if fd == Control || slices.Contains(p.free, fd) {
		p.fail("Close of register %d, which is closed or the way to the parent", fd)
		return
	}
	p.call(unix.SYS_CLOSE, "", fd)
	p.free = append(p.free, fd)
}

// OpenTree clones the mount (and with recursive the mounts below it) that path
// below dir lies on: a detached bind mount. path "" is dir itself.
func (p *Program) OpenTree(dir Reg, path string, recursive bool) Reg {
	flags := Imm(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_EMPTY_PATH)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	return p.keep(p.call(unix.SYS_OPEN_TREE, path, dir, p.String(path), flags))
}

// MoveMount attaches the detached mount (or moves the attached one) at from to the O_PATH
// descriptor to.
func (p *Program) MoveMount(from, to Reg, object string) *Step {
	empty := p.String("")
	return p.call(unix.SYS_MOVE_MOUNT, object, from, empty, to, empty,
		Imm(unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH))
}

// Fsopen starts a new filesystem instance.
func (p *Program) Fsopen(fstype string) Reg {
	return p.keep(p.call(unix.SYS_FSOPEN, fstype, p.String(fstype), Imm(unix.FSOPEN_CLOEXEC)))
}

// FsconfigString sets a key of a filesystem instance to a value.
func (p *Program) FsconfigString(fs Reg, key, value string) *Step {
	return p.call(unix.SYS_FSCONFIG, key+"="+value, fs, Imm(unix.FSCONFIG_SET_STRING), p.String(key), p.String(value), Imm(0))
}

// FsconfigFlag sets a key without a value.
func (p *Program) FsconfigFlag(fs Reg, key string) *Step {
	return p.call(unix.SYS_FSCONFIG, key, fs, Imm(unix.FSCONFIG_SET_FLAG), p.String(key), Imm(0), Imm(0))
}

// Fsmount creates the instance and returns it as a detached mount with the
// MOUNT_ATTR_ flags attr.
func (p *Program) Fsmount(fs Reg, object string, attr uint64) Reg {
	p.call(unix.SYS_FSCONFIG, object, fs, Imm(unix.FSCONFIG_CMD_CREATE), Imm(0), Imm(0), Imm(0))
	return p.keep(p.call(unix.SYS_FSMOUNT, object, fs, Imm(unix.FSMOUNT_CLOEXEC), Imm(attr)))
}

// MountAttr is what [Program.MountSetattr] changes.
type MountAttr struct {
	Set, Clear  uint64 // MOUNT_ATTR_ flags
	Propagation uint64 // MS_PRIVATE, MS_SLAVE, MS_SHARED, MS_UNBINDABLE or 0
	Recursive   bool
}

// MountSetattr changes a mount by descriptor: no path can be swapped under it.
func (p *Program) MountSetattr(mount Reg, object string, a MountAttr) *Step {
	flags := Imm(unix.AT_EMPTY_PATH)
	if a.Recursive {
		flags |= unix.AT_RECURSIVE
	}
	d := p.Words(a.Set, a.Clear, a.Propagation, 0)
	return p.call(unix.SYS_MOUNT_SETATTR, object, mount, p.String(""), flags, d, Imm(32))
}

// PropagateAll sets the propagation of the whole tree at "/": the one mount(2)
// call, made before any other mount exists.
func (p *Program) PropagateAll(ms uint64) {
	p.call(unix.SYS_MOUNT, "/", p.String(""), p.String("/"), Imm(0), Imm(ms|unix.MS_REC), Imm(0))
}

// PivotRoot makes root the process's "/" and detaches the old tree from it.
func (p *Program) PivotRoot(root Reg) {
	p.call(unix.SYS_FCHDIR, "rootfs", root)
	dot := p.String(".")
	p.call(unix.SYS_PIVOT_ROOT, "rootfs", dot, dot)
	// The old root lies on top of the new one now, and is the cwd's mount.
	p.call(unix.SYS_UMOUNT2, "old root", dot, Imm(unix.MNT_DETACH))
	p.call(unix.SYS_CHDIR, "/", p.String("/"))
}

// OpenHere opens an absolute path in the process's own view. It is for the
// host's side of the program, before the root is untrusted; inside use
// [Program.OpenInRoot].
func (p *Program) OpenHere(path string, flags int) Reg {
	return p.keep(p.call(unix.SYS_OPENAT, path, here, p.String(path), Imm(flags|cloexec), Imm(0)))
}
