// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// inside is what a payload sees and can do, as text that is the same each time.
// host are the links in /proc/self/ns outside.
func inside(host []string) string {
	var b bytes.Buffer
	for _, part := range []struct {
		title string
		lines []string
	}{
		{"status", status()}, {"namespaces", namespaces(host)}, {"id maps", idMaps()}, {"open files", openFiles()}, {"environment", environment()},
		{"limits", limits()}, {"mounts", mounts()}, {"devices", devices()}, {"network", network()}, {"sockets of the file system", socketFiles()}, {"kernel files that can be read", leaks()},
		{"files of /proc and /sys that can be opened for writing", writable()}, {"system calls", calls()},
		{"other ABIs", otherABIs()}, {"all system call numbers", table()},
	} {
		fmt.Fprintf(&b, "# %s\n", part.title)
		for _, l := range part.lines {
			fmt.Fprintln(&b, l)
		}
	}
	return b.String()
}

func lines(file string) []string {
	b, err := os.ReadFile(file)
	if err != nil {
		return []string{result(err)}
	}
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
}

func result(err error) string {
	var errno unix.Errno
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &errno) && errno == 0:
		return "ok"
	case errors.As(err, &errno):
		return unix.ErrnoName(errno)
	}
	return err.Error()
}

func status() []string {
	keep := regexp.MustCompile(`^(Uid|Gid|Groups|Umask|Cap\w+|NoNewPrivs|Seccomp\w*|TracerPid|NSpid):`)
	out := slices.DeleteFunc(lines("/proc/self/status"), func(l string) bool { return !keep.MatchString(l) })
	for i := range out {
		out[i] = strings.Join(strings.Fields(out[i]), " ")
	}
	return append(out, "label "+strings.Join(lines("/proc/self/attr/current"), " "), "terminal "+terminal())
}

// terminal is the device of the controlling one: who has one of another container or
// of the host could type into it.
func terminal() string {
	_, stat, _ := strings.Cut(lines("/proc/self/stat")[0], ") ") // after the name
	f := strings.Fields(stat)
	if len(f) < 5 {
		return "unreadable"
	}
	nr, err := strconv.ParseUint(f[4], 10, 32)
	if err != nil || nr == 0 {
		return "none"
	}
	return fmt.Sprintf("%d:%d", unix.Major(nr), unix.Minor(nr))
}

func namespaces(host []string) []string {
	var out []string
	for _, kind := range []string{"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"} {
		own, err := os.Readlink("/proc/self/ns/" + kind)
		what := "its own"
		if err != nil {
			what = result(err)
		} else if slices.Contains(host, own) {
			what = "the host's"
		}
		out = append(out, kind+" "+what)
	}
	return append(out, "cgroup path "+strings.Join(lines("/proc/self/cgroup"), " "))
}

func idMaps() []string {
	var out []string
	for _, name := range []string{"uid_map", "gid_map"} {
		for _, l := range lines("/proc/self/" + name) {
			f := strings.Fields(l)
			if len(f) == 3 && f[1] != "0" {
				f[1] = "N"
			}
			out = append(out, name+" "+strings.Join(f, " "))
		}
	}
	return append(out, "setgroups "+strings.Join(lines("/proc/self/setgroups"), " "))
}

func openFiles() []string {
	var out []string
	list, _ := os.ReadDir("/proc/self/fd") // its own is the last
	for _, e := range list {
		to, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil || strings.HasPrefix(to, "anon_inode:[event") {
			continue
		}
		out = append(out, e.Name()+" "+regexp.MustCompile(`[0-9]+`).ReplaceAllString(to, "N"))
	}
	return out
}

func environment() []string {
	env := slices.Sorted(slices.Values(os.Environ()))
	return env
}

func limits() []string {
	var out []string
	for _, l := range lines("/proc/self/limits") {
		if strings.HasPrefix(l, "Max open") || strings.HasPrefix(l, "Max core") || strings.HasPrefix(l, "Max locked") ||
			strings.HasPrefix(l, "Max msgqueue") || strings.HasPrefix(l, "Max realtime p") {
			out = append(out, strings.Join(strings.Fields(l), " "))
		}
	}
	for _, f := range []string{"pids.max", "memory.max", "cpu.max", "cgroup.procs"} {
		got := lines("/sys/fs/cgroup/" + f)
		out = append(out, f+" "+got[0])
	}
	fd, err := unix.Open("/sys/fs/cgroup/pids.max", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		_ = unix.Close(fd) // only the answer matters
	}
	return append(out, "open pids.max for writing "+result(err), "mkdir in the cgroup "+result(removed("/sys/fs/cgroup/x", os.Mkdir("/sys/fs/cgroup/x", 0o755))))
}

func removed(path string, err error) error {
	if err == nil {
		_ = os.Remove(path) // only the answer matters
	}
	return err
}

func mounts() []string {
	var out []string
	for _, l := range lines("/proc/self/mountinfo") {
		left, right, _ := strings.Cut(l, " - ")
		f, r := strings.Fields(left), strings.Fields(right)
		out = append(out, fmt.Sprintf("%s %s %s %s", f[4], r[0], f[5], strings.Join(f[6:], " ")))
	}
	return out
}

func devices() []string {
	var out []string
	err := filepath.WalkDir("/dev", func(path string, d fs.DirEntry, err error) error {
		var st unix.Stat_t
		if err != nil || unix.Lstat(path, &st) != nil || d.IsDir() {
			return nil
		}
		if d.Type()&fs.ModeSymlink != 0 {
			to, _ := os.Readlink(path)
			out = append(out, path+" -> "+to)
			return nil
		}
		fd, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		if err == nil {
			_ = unix.Close(fd) // only the answer matters
		}
		out = append(out, fmt.Sprintf("%s %o %d:%d open %s", path, st.Mode, unix.Major(st.Rdev), unix.Minor(st.Rdev), result(err)))
		return nil
	})
	if err != nil {
		out = append(out, result(err))
	}
	for _, dev := range [][2]uint32{{8, 0}, {1, 1}, {10, 229}} {
		err := unix.Mknod("/dev/shm/node", unix.S_IFBLK|0o666, int(unix.Mkdev(dev[0], dev[1])))
		out = append(out, fmt.Sprintf("mknod %d:%d %s", dev[0], dev[1], result(removed("/dev/shm/node", err))))
	}
	return out
}

func network() []string {
	var out []string
	list, err := os.ReadDir("/sys/class/net")
	if err != nil {
		out = append(out, result(err))
	}
	for _, e := range list {
		out = append(out, e.Name())
	}
	return append(out, fmt.Sprintf("routes %d", len(lines("/proc/net/route"))-1), fmt.Sprintf("unix sockets %d", len(lines("/proc/net/unix"))-1))
}

func socketFiles() []string {
	var out []string
	err := filepath.WalkDir("/", func(path string, d fs.DirEntry, err error) error {
		switch {
		case path == "/proc" || path == "/sys": // have none
			return fs.SkipDir
		case err != nil && d != nil && d.IsDir():
			out = append(out, path+" "+result(err))
			return fs.SkipDir
		case err == nil && d.Type()&fs.ModeSocket != 0:
			out = append(out, path)
		}
		return nil
	})
	if err != nil {
		out = append(out, result(err))
	}
	return out
}

func leaks() []string {
	var out []string
	for _, f := range []string{"/proc/kallsyms", "/proc/kcore", "/proc/keys", "/proc/key-users", "/proc/timer_list", "/proc/sched_debug", "/proc/kmsg",
		"/proc/config.gz", "/proc/interrupts", "/proc/kpagecount", "/proc/vmallocinfo", "/proc/slabinfo", "/proc/pagetypeinfo", "/proc/iomem",
		"/proc/modules", "/proc/version", "/proc/cmdline", "/proc/1/environ", "/sys/kernel/notes", "/sys/kernel/vmcoreinfo", "/sys/power/state"} {
		// Not to wait: others put a FIFO in the place of /proc/kmsg.
		fd, err := unix.Open(f, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		n := 0
		if err == nil {
			n, _ = unix.Read(fd, make([]byte, 1)) // an error is nothing read
			_ = unix.Close(fd)                    // only the answer matters
		}
		out = append(out, fmt.Sprintf("%s %s %v", f, result(err), n > 0))
	}
	for _, d := range []string{"/sys/firmware", "/sys/kernel/debug", "/sys/kernel/tracing", "/sys/kernel/security", "/sys/fs/bpf", "/proc/acpi", "/proc/scsi"} {
		list, err := os.ReadDir(d)
		out = append(out, fmt.Sprintf("%s %s %d", d, result(err), len(list)))
	}
	_, err := unix.Klogctl(3, make([]byte, 10)) // SYSLOG_ACTION_READ_ALL
	return append(out, "kernel log "+result(err))
}

// writable walks /proc and /sys. Nothing is written.
func writable() []string {
	var out []string
	number := regexp.MustCompile(`^/proc/[0-9]+$`) // a process's own files are its own
	for _, top := range []string{"/proc", "/sys"} {
		_ = filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil && d != nil && d.IsDir():
				return fs.SkipDir
			case err != nil:
				return nil
			case d.IsDir() && number.MatchString(path):
				return fs.SkipDir
			case !d.Type().IsRegular():
				return nil
			}
			fd, err := unix.Open(path, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
			if err == nil {
				_ = unix.Close(fd) // only the answer matters
				out = append(out, path)
			}
			return nil
		})
	}
	return out
}

// writes writes a byte to each file.
func writes(files []string) (out []string) {
	for _, f := range files {
		fd, err := unix.Open(f, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err == nil {
			_, err = unix.Write(fd, []byte{'0'})
			_ = unix.Close(fd) // only the answer matters
		}
		out = append(out, f+" "+result(err))
	}
	return out
}

// calls makes system calls with arguments that do no harm where they are allowed.
func calls() []string {
	var out []string
	try := func(name string, nr uintptr, a ...uintptr) {
		var args [6]uintptr
		copy(args[:], a)
		r, _, errno := unix.RawSyscall6(nr, args[0], args[1], args[2], args[3], args[4], args[5])
		if errno == 0 && (strings.HasPrefix(name, "socket") || name == "fsopen" || name == "open_tree" || name == "userfaultfd") {
			_ = unix.Close(int(r)) // only the answer matters
		}
		out = append(out, name+" "+result(errno))
	}
	none := uintptr(unsafe.Pointer(&[]byte("/no-such-file\x00")[0]))
	tmpfs := uintptr(unsafe.Pointer(&[]byte("tmpfs\x00")[0]))
	bad := uintptr(unsafe.Pointer(&[2]int64{-1, -1}))
	const at = ^uintptr(99) // AT_FDCWD
	try("mount", unix.SYS_MOUNT, tmpfs, none, tmpfs, 0, 0)
	try("umount2", unix.SYS_UMOUNT2, none, 0)
	try("pivot_root", unix.SYS_PIVOT_ROOT, none, none)
	try("chroot", unix.SYS_CHROOT, none)
	try("fsopen", unix.SYS_FSOPEN, tmpfs, unix.FSOPEN_CLOEXEC)
	try("open_tree", unix.SYS_OPEN_TREE, at, none, unix.OPEN_TREE_CLOEXEC)
	try("move_mount", unix.SYS_MOVE_MOUNT, at, none, at, none, 0)
	try("mount_setattr", unix.SYS_MOUNT_SETATTR, at, none, 0, 0, 0)
	for _, ns := range []struct {
		name string
		flag uintptr
	}{{"user", unix.CLONE_NEWUSER}, {"mnt", unix.CLONE_NEWNS}, {"net", unix.CLONE_NEWNET}} {
		try("setns bad descriptor "+ns.name, unix.SYS_SETNS, ^uintptr(0), ns.flag)
	}
	try("unshare bad flag", unix.SYS_UNSHARE, 0x80000000)
	try("unshare files and user", unix.SYS_UNSHARE, unix.CLONE_NEWUSER|unix.CLONE_SIGHAND) // several threads: EINVAL where allowed
	try("clone3", unix.SYS_CLONE3, 0, 0)
	try("bpf", unix.SYS_BPF, 0, 0, 0)
	try("perf_event_open", unix.SYS_PERF_EVENT_OPEN, 0, 0, 0, 0, 0)
	try("userfaultfd", unix.SYS_USERFAULTFD, unix.O_CLOEXEC)
	try("io_uring_setup", unix.SYS_IO_URING_SETUP, 0, 0)
	try("keyctl", unix.SYS_KEYCTL, 0, ^uintptr(2), 0)
	try("add_key", unix.SYS_ADD_KEY, 0, 0, 0, 0, 0)
	try("request_key", unix.SYS_REQUEST_KEY, 0, 0, 0, 0)
	try("open_by_handle_at", unix.SYS_OPEN_BY_HANDLE_AT, at, 0, 0)
	try("name_to_handle_at", unix.SYS_NAME_TO_HANDLE_AT, at, none, 0, 0, 0)
	try("kexec_load", unix.SYS_KEXEC_LOAD, 0, 0, 0, 0)
	try("init_module", unix.SYS_INIT_MODULE, 0, 0, 0)
	try("delete_module", unix.SYS_DELETE_MODULE, none, unix.O_NONBLOCK)
	try("swapon", unix.SYS_SWAPON, none, 0)
	try("acct", unix.SYS_ACCT, none)
	try("quotactl", unix.SYS_QUOTACTL, 0xffffffff, 0, 0, 0)
	try("reboot", unix.SYS_REBOOT, 0, 0, 0)
	try("settimeofday", unix.SYS_SETTIMEOFDAY, bad, 0)
	try("clock_settime", unix.SYS_CLOCK_SETTIME, 0, bad)
	try("adjtimex query", unix.SYS_ADJTIMEX, uintptr(unsafe.Pointer(&unix.Timex{})))
	try("adjtimex no tick", unix.SYS_ADJTIMEX, uintptr(unsafe.Pointer(&unix.Timex{Modes: unix.ADJ_TICK})))
	try("sethostname too long", unix.SYS_SETHOSTNAME, none, 1000)
	try("process_vm_readv", unix.SYS_PROCESS_VM_READV, 1, 0, 0, 0, 0, 0)
	try("ptrace bad request", unix.SYS_PTRACE, 0xffff, 1)
	try("vmsplice", unix.SYS_VMSPLICE, ^uintptr(0), 0, 0, 0)
	try("personality", unix.SYS_PERSONALITY, 0xffffffff)
	try("personality of a compat ABI", unix.SYS_PERSONALITY, 8)
	try("fanotify_init", unix.SYS_FANOTIFY_INIT, 0xffffffff, 0)
	try("unknown call", 1000)
	for _, s := range []struct {
		name        string
		family, typ uintptr
		proto       uintptr
	}{{"inet", unix.AF_INET, unix.SOCK_STREAM, 0}, {"raw", unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP}, {"packet", unix.AF_PACKET, unix.SOCK_RAW, 0},
		{"alg", unix.AF_ALG, unix.SOCK_SEQPACKET, 0}, {"vsock", unix.AF_VSOCK, unix.SOCK_STREAM, 0}, {"vsock with a high word", unix.AF_VSOCK | 1<<32, unix.SOCK_STREAM, 0},
		{"route netlink", unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE}, {"audit netlink", unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_AUDIT}} {
		try("socket "+s.name, unix.SYS_SOCKET, s.family, s.typ|unix.SOCK_CLOEXEC, s.proto)
	}
	c := uintptr(unsafe.Pointer(&[]byte{'x'}[0]))
	try("TIOCSTI", unix.SYS_IOCTL, 0, unix.TIOCSTI, c)
	try("TIOCSTI with a high word", unix.SYS_IOCTL, 0, unix.TIOCSTI|1<<32, c)
	try("TIOCLINUX", unix.SYS_IOCTL, 0, 0x541c, c)
	return out
}
