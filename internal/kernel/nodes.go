// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// A Node is a device in the filesystem of [NodeMount].
type Node struct {
	Name     string
	Mode     uint32 // with the type
	Dev      uint64
	UID, GID uint32
}

// NodeMount makes a filesystem of nothing but these devices and returns it as a detached mount, nosuid and noexec.
// Errors: EPERM where no devices may be made, as in a user namespace.
func NodeMount(nodes []Node) (mount *os.File, err error) {
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("fsopen tmpfs", err)
	}
	defer unix.Close(fs)
	// Twice as many inodes: the labels of a security module count too (tmpfs, Linux 6.6).
	for _, o := range [][2]string{{"size", "4k"}, {"nr_inodes", strconv.Itoa(2*len(nodes) + 4)}, {"mode", "0555"}} {
		if err := unix.FsconfigSetString(fs, o[0], o[1]); err != nil {
			return nil, os.NewSyscallError("fsconfig "+o[0]+"="+o[1], err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, os.NewSyscallError("fsconfig", err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("fsmount", err)
	}
	mount = os.NewFile(uintptr(fd), "devices")
	for _, n := range nodes {
		err := unix.Mknodat(fd, n.Name, n.Mode, int(n.Dev))
		if err == nil { // whatever the umask is
			err = errors.Join(unix.Fchmodat(fd, n.Name, n.Mode&0o777, 0), unix.Fchownat(fd, n.Name, int(n.UID), int(n.GID), unix.AT_SYMLINK_NOFOLLOW))
		}
		if err != nil {
			mount.Close()
			return nil, fmt.Errorf("mknod %d:%d: %w", unix.Major(n.Dev), unix.Minor(n.Dev), err)
		}
	}
	return mount, nil
}
