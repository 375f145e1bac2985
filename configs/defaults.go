// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"path/filepath"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Capabilities of the payload of profile "app" while it is root in the container.
var appCapabilities = []string{"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
	"CAP_NET_BIND_SERVICE", "CAP_SETGID", "CAP_SETUID"}

// Those a systemd inside needs, given only with a user namespace.
var systemCapabilities = []string{"CAP_AUDIT_CONTROL", "CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE",
	"CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_IPC_OWNER", "CAP_KILL", "CAP_LEASE", "CAP_LINUX_IMMUTABLE",
	"CAP_MKNOD", "CAP_NET_ADMIN", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID",
	"CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_CHROOT", "CAP_SYS_NICE", "CAP_SYS_PTRACE",
	"CAP_SYS_RESOURCE", "CAP_SYS_TTY_CONFIG"}

// What is hidden: kernel memory, keys, other users' activity, firmware and power
// interfaces. The union of what Docker and Podman hide, and what later leaks
// showed to be missing there (CVE-2018-10892, CVE-2017-16539, CVE-2020-8694).
var maskedPaths = []string{
	"/proc/acpi", "/proc/asound", "/proc/config.gz", "/proc/interrupts", "/proc/kallsyms", "/proc/kcore",
	"/proc/keys", "/proc/kpagecgroup", "/proc/kpagecount", "/proc/kpageflags", "/proc/latency_stats",
	"/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
	"/sys/devices/virtual/powercap", "/sys/firmware", "/sys/fs/bpf", "/sys/fs/fuse", "/sys/fs/pstore", "/sys/fs/selinux",
	"/sys/kernel/debug", "/sys/kernel/notes", "/sys/kernel/security", "/sys/kernel/tracing", "/sys/kernel/vmcoreinfo",
	"/sys/power",
}

// What is shown but cannot be written, whoever the payload is.
var readonlyPaths = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}

const infinite = ^uint64(0)

// Limits every payload gets, whatever the manager's own are.
var defaultRlimits = []specs.POSIXRlimit{
	{Type: "RLIMIT_CORE", Soft: 0, Hard: infinite},
	{Type: "RLIMIT_MEMLOCK", Soft: 8 << 20, Hard: 8 << 20},
	{Type: "RLIMIT_MSGQUEUE", Soft: 819200, Hard: 819200},
	{Type: "RLIMIT_NOFILE", Soft: 1024, Hard: 524288},
	{Type: "RLIMIT_RTPRIO", Soft: 0, Hard: 0},
}

const defaultTasks = 2048

func defaultMounts() []specs.Mount {
	return []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "noexec", "mode=755", "size=64k", "nr_inodes=1024"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=64m"}},
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
		{Destination: "/sys/fs/cgroup", Type: "cgroup2", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
	}
}

// FromRootfs is the Spec of a container that has a root directory, a command,
// and the defaults of profile "app".
func FromRootfs(name, dir string, args []string) (*specs.Spec, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	c := &compiler{file: abs, dir: "/", vals: map[string]any{
		"name": name, "rootfs.path": abs, "process.args": slices.Clone(args),
	}}
	c.build()
	if len(c.problems) > 0 {
		return nil, c.problems[0]
	}
	return c.spec, nil
}

// deviceCgroup is the OCI list of devices: nothing, then what is allowed.
func deviceCgroup(policy string) []specs.LinuxDeviceCgroup {
	if policy == "auto" {
		return []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}
	}
	list := []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}
	if policy == "strict" {
		return list
	}
	for _, d := range []struct{ major, minor int64 }{
		{1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, {5, 0}, {5, 2}, // null zero full random urandom tty ptmx
	} {
		list = append(list, specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: &d.major, Minor: &d.minor, Access: "rwm"})
	}
	pts := int64(136)
	return append(list, specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: &pts, Access: "rwm"})
}

// deviceOf describes the device node at path.
func deviceOf(path string) (*specs.LinuxDevice, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return nil, err
	}
	kind := map[uint32]string{unix.S_IFCHR: "c", unix.S_IFBLK: "b"}[st.Mode&unix.S_IFMT]
	if kind == "" {
		return nil, errNoDevice
	}
	return &specs.LinuxDevice{Path: path, Type: kind, Major: int64(unix.Major(st.Rdev)), Minor: int64(unix.Minor(st.Rdev))}, nil
}
