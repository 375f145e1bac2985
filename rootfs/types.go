// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"sync"

	"golang.org/x/sys/unix"
)

// A kind is how a mount of the Spec is made.
type kind int

const (
	fresh   kind = iota // a filesystem of its own
	bound               // a detached mount from the parent
	cgroups             // after the gate, when the cgroup is known
)

// A fstype is a filesystem a container may have a new instance of. Filesystems
// on disks are not among them: the host mounts those, and a bind brings them in.
type fstype struct {
	keys []string // its own options
	safe uint64   // attributes it always has unless the options clear them
	host bool     // the kernel makes it outside of user namespaces only
}

const noFiles = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC

var tmpfsKeys = []string{"size", "nr_inodes", "nr_blocks", "mode", "uid", "gid", "huge", "mpol",
	"noswap", "inode32", "inode64", "context", "rootcontext"}

var fstypes = sync.OnceValue(func() map[string]fstype {
	return map[string]fstype{
		"proc":   {keys: []string{"hidepid", "gid", "subset"}, safe: noFiles},
		"sysfs":  {safe: noFiles},
		"mqueue": {safe: noFiles},
		"devpts": {keys: []string{"newinstance", "mode", "ptmxmode", "uid", "gid", "max", "context"},
			safe: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC},
		"tmpfs": {keys: tmpfsKeys},
		"ramfs": {keys: []string{"mode"}},
		"overlay": {keys: []string{"lowerdir", "upperdir", "workdir", "redirect_dir", "index", "uuid", "nfs_export",
			"xino", "metacopy", "verity", "volatile", "userxattr", "default_permissions", "context"}},
		"hugetlbfs":   {keys: []string{"uid", "gid", "mode", "size", "min_size", "nr_inodes", "pagesize"}, host: true},
		"bpf":         {keys: []string{"mode", "uid", "gid", "delegate_cmds", "delegate_maps", "delegate_progs", "delegate_attachs"}, host: true, safe: noFiles},
		"binfmt_misc": {safe: noFiles},
		"securityfs":  {safe: noFiles, host: true},
		"debugfs":     {keys: []string{"mode", "uid", "gid"}, host: true, safe: noFiles},
		"tracefs":     {keys: []string{"mode", "uid", "gid"}, host: true, safe: noFiles},
		"configfs":    {safe: noFiles, host: true},
		"fusectl":     {safe: noFiles, host: true},
		"efivarfs":    {safe: noFiles, host: true},
		"cgroup":      {keys: cgroupKeys, safe: noFiles},
		"cgroup2":     {keys: cgroupKeys, safe: noFiles},
	}
})

// The options of a cgroup mount belong to the whole hierarchy, which is the
// host's: a mount in a cgroup namespace cannot change them. Engines write them.
var cgroupKeys = []string{"nsdelegate", "memory_recursiveprot", "memory_localevents", "favordynmods"}

// names of filesystems whose instance shows a namespace: to make one, that
// namespace must belong to our user namespace.
var shows = map[string]nsType{"proc": pidNS, "sysfs": netNS, "mqueue": ipcNS}

// hostOptions are what the kernel gives to no user namespace, or has no effect there (ovl_fs_params_verify, shmem_parse_one),
// with the values that any may have. Those of an overlay are about trusted xattrs: "userxattr" is without them.
var hostOptions = map[string][]string{"redirect_dir": {"nofollow"}, "metacopy": {"off"}, "verity": {"off"}, "noswap": nil}
