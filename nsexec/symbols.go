// SPDX-License-Identifier: Apache-2.0

package nsexec

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// How the arguments of a call read: as strace(1) would show them. A number that is here by no name is shown as it is.

// A symbol is a flag or value of the kernel's, by its name there.
type symbol struct {
	value uint64
	name  string
}

// A notation is how one number reads.
type notation func(v uint64) string

// flags are values that are or-ed together; zero is what none of them reads.
func flags(zero string, list []symbol) notation {
	return func(v uint64) string {
		var names []string
		for _, s := range list {
			if v&s.value == s.value {
				names, v = append(names, s.name), v&^s.value
			}
		}
		if v != 0 {
			names = append(names, immHex(v))
		}
		if len(names) == 0 {
			return zero
		}
		return strings.Join(names, "|")
	}
}

// one of the values, whole.
func one(list []symbol) notation {
	return func(v uint64) string {
		for _, s := range list {
			if s.value == v {
				return s.name
			}
		}
		return immText(Imm(v))
	}
}

func octal(v uint64) string { return fmt.Sprintf("%#03o", v) }

// number is an id or a length: never a flag. The highest ids mean none.
func number(v uint64) string {
	if v == uint64(^uint32(0)) || v == ^uint64(0) {
		return "-1"
	}
	return strconv.FormatUint(v, 10)
}

func node(v uint64) string {
	name := one(fileTypes)(v & unix.S_IFMT)
	if v&^unix.S_IFMT == 0 {
		return name
	}
	return name + "|" + octal(v&^unix.S_IFMT)
}

func device(v uint64) string {
	return fmt.Sprintf("makedev(%d, %d)", unix.Major(v), unix.Minor(v))
}

func signalName(v uint64) string {
	if name := unix.SignalName(unix.Signal(v)); name != "" {
		return name
	}
	return number(v)
}

// open has the access mode first: reading is no bit.
func open(v uint64) string {
	access := one([]symbol{{unix.O_RDONLY, "O_RDONLY"}, {unix.O_WRONLY, "O_WRONLY"}, {unix.O_RDWR, "O_RDWR"}})(v & unix.O_ACCMODE)
	rest := flags("", openFlags)(v &^ unix.O_ACCMODE)
	switch {
	case v&unix.O_PATH != 0:
		return rest
	case rest == "":
		return access
	}
	return access + "|" + rest
}

var (
	openFlags = []symbol{{unix.O_PATH, "O_PATH"}, {unix.O_NOCTTY, "O_NOCTTY"}, {unix.O_NOFOLLOW, "O_NOFOLLOW"},
		{unix.O_DIRECTORY, "O_DIRECTORY"}, {unix.O_CLOEXEC, "O_CLOEXEC"}}
	fileTypes = []symbol{{unix.S_IFCHR, "S_IFCHR"}, {unix.S_IFBLK, "S_IFBLK"}, {unix.S_IFIFO, "S_IFIFO"},
		{unix.S_IFREG, "S_IFREG"}, {unix.S_IFDIR, "S_IFDIR"}}
)

// named is a notation for one value with a name.
func named(value uint64, name string) notation { return one([]symbol{{value, name}}) }

// A table says how steps are written.
type table struct {
	arguments map[string]map[int]notation              // of those of each call that are more than a number
	words     map[string][]notation                    // of a structure that an argument points to
	shapes    map[string]map[int]func(b []byte) string // of data that is no string and no row of 64-bit words
	ambient   notation
}

// symbols are made when something is told, not at every start.
var symbols = sync.OnceValue(func() *table {
	fd := one([]symbol{{0, "STDIN_FILENO"}, {1, "STDOUT_FILENO"}, {2, "STDERR_FILENO"}})
	resolve := flags("0", []symbol{{unix.RESOLVE_IN_ROOT, "RESOLVE_IN_ROOT"}, {unix.RESOLVE_BENEATH, "RESOLVE_BENEATH"},
		{unix.RESOLVE_NO_XDEV, "RESOLVE_NO_XDEV"}, {unix.RESOLVE_NO_SYMLINKS, "RESOLVE_NO_SYMLINKS"},
		{unix.RESOLVE_NO_MAGICLINKS, "RESOLVE_NO_MAGICLINKS"}})
	namespace := flags("0", []symbol{{unix.CLONE_NEWTIME, "CLONE_NEWTIME"}, {unix.CLONE_NEWNS, "CLONE_NEWNS"},
		{unix.CLONE_NEWCGROUP, "CLONE_NEWCGROUP"}, {unix.CLONE_NEWUTS, "CLONE_NEWUTS"}, {unix.CLONE_NEWIPC, "CLONE_NEWIPC"},
		{unix.CLONE_NEWUSER, "CLONE_NEWUSER"}, {unix.CLONE_NEWPID, "CLONE_NEWPID"}, {unix.CLONE_NEWNET, "CLONE_NEWNET"},
		{unix.CLONE_PIDFD, "CLONE_PIDFD"}, {unix.CLONE_PARENT, "CLONE_PARENT"}, {unix.CLONE_INTO_CGROUP, "CLONE_INTO_CGROUP"}})
	mountFlags := flags("0", []symbol{{unix.MS_REC, "MS_REC"}, {unix.MS_PRIVATE, "MS_PRIVATE"}, {unix.MS_SLAVE, "MS_SLAVE"},
		{unix.MS_SHARED, "MS_SHARED"}, {unix.MS_UNBINDABLE, "MS_UNBINDABLE"}})
	mountAttr := flags("0", []symbol{{unix.MOUNT_ATTR_RDONLY, "MOUNT_ATTR_RDONLY"}, {unix.MOUNT_ATTR_NOSUID, "MOUNT_ATTR_NOSUID"},
		{unix.MOUNT_ATTR_NODEV, "MOUNT_ATTR_NODEV"}, {unix.MOUNT_ATTR_NOEXEC, "MOUNT_ATTR_NOEXEC"}, {unix.MOUNT_ATTR__ATIME, "MOUNT_ATTR__ATIME"},
		{unix.MOUNT_ATTR_NOATIME, "MOUNT_ATTR_NOATIME"}, {unix.MOUNT_ATTR_STRICTATIME, "MOUNT_ATTR_STRICTATIME"},
		{unix.MOUNT_ATTR_NODIRATIME, "MOUNT_ATTR_NODIRATIME"}, {unix.MOUNT_ATTR_NOSYMFOLLOW, "MOUNT_ATTR_NOSYMFOLLOW"},
		{unix.MOUNT_ATTR_IDMAP, "MOUNT_ATTR_IDMAP"}})
	at := flags("0", []symbol{{unix.AT_EMPTY_PATH, "AT_EMPTY_PATH"}, {unix.AT_RECURSIVE, "AT_RECURSIVE"}})
	cloned := flags("0", []symbol{{unix.OPEN_TREE_CLONE, "OPEN_TREE_CLONE"}, {unix.OPEN_TREE_CLOEXEC, "OPEN_TREE_CLOEXEC"},
		{unix.AT_EMPTY_PATH, "AT_EMPTY_PATH"}, {unix.AT_RECURSIVE, "AT_RECURSIVE"}})
	moved := flags("0", []symbol{{unix.MOVE_MOUNT_F_EMPTY_PATH, "MOVE_MOUNT_F_EMPTY_PATH"},
		{unix.MOVE_MOUNT_T_EMPTY_PATH, "MOVE_MOUNT_T_EMPTY_PATH"}})
	config := one([]symbol{{unix.FSCONFIG_SET_FLAG, "FSCONFIG_SET_FLAG"}, {unix.FSCONFIG_SET_STRING, "FSCONFIG_SET_STRING"},
		{unix.FSCONFIG_CMD_CREATE, "FSCONFIG_CMD_CREATE"}})
	control := one([]symbol{{unix.TIOCSPTLCK, "TIOCSPTLCK"}, {unix.TIOCGPTPEER, "TIOCGPTPEER"}, {unix.TIOCSCTTY, "TIOCSCTTY"},
		{unix.SIOCSIFFLAGS, "SIOCSIFFLAGS"}})
	prctls := one([]symbol{{unix.PR_SET_PDEATHSIG, "PR_SET_PDEATHSIG"}, {unix.PR_SET_DUMPABLE, "PR_SET_DUMPABLE"},
		{unix.PR_SET_KEEPCAPS, "PR_SET_KEEPCAPS"}, {unix.PR_CAPBSET_DROP, "PR_CAPBSET_DROP"}, {unix.PR_SET_NO_NEW_PRIVS, "PR_SET_NO_NEW_PRIVS"},
		{unix.PR_CAP_AMBIENT, "PR_CAP_AMBIENT"}})
	ambient := one([]symbol{{unix.PR_CAP_AMBIENT_RAISE, "PR_CAP_AMBIENT_RAISE"}, {unix.PR_CAP_AMBIENT_CLEAR_ALL, "PR_CAP_AMBIENT_CLEAR_ALL"}})
	filters := flags("0", []symbol{{unix.SECCOMP_FILTER_FLAG_TSYNC, "SECCOMP_FILTER_FLAG_TSYNC"},
		{unix.SECCOMP_FILTER_FLAG_LOG, "SECCOMP_FILTER_FLAG_LOG"}, {unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW, "SECCOMP_FILTER_FLAG_SPEC_ALLOW"}})
	sockets := flags("0", []symbol{{unix.SOCK_DGRAM, "SOCK_DGRAM"}, {unix.SOCK_CLOEXEC, "SOCK_CLOEXEC"}})
	reboots := one([]symbol{{unix.LINUX_REBOOT_MAGIC1, "LINUX_REBOOT_MAGIC1"}, {unix.LINUX_REBOOT_MAGIC2, "LINUX_REBOOT_MAGIC2"},
		{unix.LINUX_REBOOT_CMD_POWER_OFF, "LINUX_REBOOT_CMD_POWER_OFF"}})
	return &table{ambient: ambient, arguments: map[string]map[int]notation{
		"openat": {2: open}, "setns": {1: namespace}, "unshare": {0: namespace}, "mount": {3: mountFlags},
		"umount2": {1: named(unix.MNT_DETACH, "MNT_DETACH")}, "mount_setattr": {2: at, 4: number}, "move_mount": {4: moved},
		"fsopen": {1: named(unix.FSOPEN_CLOEXEC, "FSOPEN_CLOEXEC")}, "fsconfig": {1: config},
		"fsmount": {1: named(unix.FSMOUNT_CLOEXEC, "FSMOUNT_CLOEXEC"), 2: mountAttr}, "open_tree": {2: cloned},
		"ioctl": {1: control}, "socket": {0: named(unix.AF_INET, "AF_INET"), 1: sockets}, "prctl": {0: prctls},
		"keyctl": {0: named(unix.KEYCTL_JOIN_SESSION_KEYRING, "KEYCTL_JOIN_SESSION_KEYRING")}, "reboot": {0: reboots, 1: reboots, 2: reboots},
		"faccessat2": {2: named(unix.X_OK, "X_OK"), 3: named(unix.AT_EACCESS, "AT_EACCESS")},
		"seccomp":    {0: named(unix.SECCOMP_SET_MODE_FILTER, "SECCOMP_SET_MODE_FILTER"), 1: filters},
		"dup3":       {1: fd}, "close_range": {0: number, 1: named(uint64(^uint32(0)), "~0U")},
		"mkdirat": {2: octal}, "mknodat": {2: node, 3: device}, "umask": {0: octal},
		"mkpath": {2: one([]symbol{{uint64(Dir), "directory"}, {uint64(File), "file"}}), 3: octal},
		"check":  {1: node, 2: number, 3: number}, "fchownat": {2: number, 3: number, 4: at}, "fchown": {1: number, 2: number},
		"setresgid": {0: number, 1: number, 2: number}, "setresuid": {0: number, 1: number, 2: number},
		"write": {2: number}, "sethostname": {1: number}, "setdomainname": {1: number}, "setgroups": {0: number},
		"sched_setaffinity": {1: number},
	}, words: map[string][]notation{
		"openat2":       {open, nil, resolve},
		"mount_setattr": {mountAttr, mountAttr, mountFlags},
		"fork":          {namespace, nil, nil, nil, signalName},
		"seccomp":       {number, named(0, "filter")},
		"capset":        {named(unix.LINUX_CAPABILITY_VERSION_3, "_LINUX_CAPABILITY_VERSION_3")},
	}, shapes: map[string]map[int]func(b []byte) string{
		"capset":            {1: capabilities},
		"setgroups":         {1: groups},
		"ioctl":             {2: request},
		"sched_setaffinity": {2: processors},
	}}
})

// capabilities are struct __user_cap_data_struct[2]: lower halves first.
func capabilities(b []byte) string {
	if len(b) != 24 {
		return wordsText(b, nil)
	}
	half := func(at int) uint64 { return uint64(le.Uint32(b[at:])) }
	set := func(at int) string { return immHex(half(at) | half(at+12)<<32) }
	return fmt.Sprintf("{effective %s, permitted %s, inheritable %s}", set(0), set(4), set(8))
}

// processors are a cpu_set_t.
func processors(b []byte) string {
	if bytes.Count(b, []byte{0xff}) == len(b) {
		return fmt.Sprintf("{all %d}", 8*len(b))
	}
	return wordsText(b, nil)
}

func groups(b []byte) string {
	var list []string
	for ; len(b) >= 4; b = b[4:] {
		list = append(list, number(uint64(le.Uint32(b))))
	}
	return "[" + strings.Join(list, ", ") + "]"
}

// request is a struct ifreq, or the int of TIOCSPTLCK.
func request(b []byte) string {
	name, _, _ := bytes.Cut(b[:min(len(b), unix.IFNAMSIZ)], []byte{0})
	if len(b) < unix.IFNAMSIZ+2 || !printable(string(name)) {
		return wordsText(b, nil)
	}
	up := flags("0", []symbol{{unix.IFF_UP, "IFF_UP"}, {unix.IFF_LOOPBACK, "IFF_LOOPBACK"}, {unix.IFF_RUNNING, "IFF_RUNNING"}})
	return fmt.Sprintf("{%q, %s}", name, up(uint64(le.Uint16(b[unix.IFNAMSIZ:]))))
}

func immHex(v uint64) string {
	if v == 0 {
		return "0"
	}
	return "0x" + strconv.FormatUint(v, 16)
}

// text is argument i of a step, which is a number.
func (s Step) text(i int, v uint64) string {
	switch call := s.Call(); {
	case call == "prctl" && i == 1 && s.Args[0] == Imm(unix.PR_SET_PDEATHSIG):
		return signalName(v)
	case call == "prctl" && i == 1 && s.Args[0] == Imm(unix.PR_CAP_AMBIENT):
		return symbols().ambient(v)
	case call == "prctl" && i == 1 && s.Args[0] == Imm(unix.PR_CAPBSET_DROP),
		call == "prctl" && i == 2 && s.Args[0] == Imm(unix.PR_CAP_AMBIENT) && s.Args[1] == Imm(unix.PR_CAP_AMBIENT_RAISE):
		return s.Object // the capability
	case call == "ioctl" && i == 2 && s.Args[1] == Imm(unix.TIOCGPTPEER):
		return open(v)
	case symbols().arguments[call][i] != nil:
		return symbols().arguments[call][i](v)
	}
	return immText(Imm(v))
}

// operand is what a step that is no call does more than its kind says.
func (s Step) operand() string {
	switch {
	case s.Op == OpCheck:
		return map[uint32]string{CheckCwd: "working directory", CheckNode: "node"}[s.NR]
	case s.Op == OpCall || s.NR == 0:
		return ""
	}
	return strconv.Itoa(int(s.NR))
}
