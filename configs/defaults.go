// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"maps"
	"path/filepath"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// The profiles: what a container is for decides what it begins with.
const (
	ProfileApp    = "app"    // a program
	ProfileSystem = "system" // a systemd with services of its own
)

// A Profile is what a container has unless its configuration says otherwise.
type Profile struct {
	Capabilities []string // of a payload that is root in the container; others have none
	Masked       []string // hidden paths
	ReadOnly     []string // paths that can be read only
	Rlimits      []specs.POSIXRlimit
	Mounts       []specs.Mount
	Tasks        uint64
	OOMPolicy    string // "" is systemd's own
	StopSignal   string
}

// Defaults is the profile of that name; ProfileApp for a name there is not.
func Defaults(name string) Profile {
	p := Profile{
		Capabilities: appCapabilities, Masked: maskedPaths, ReadOnly: readonlyPaths, Rlimits: defaultRlimits,
		Mounts: defaultMounts(), Tasks: 2048, OOMPolicy: "kill", StopSignal: "SIGTERM",
	}
	if name != ProfileSystem {
		return p
	}
	p.Capabilities, p.Tasks, p.OOMPolicy, p.StopSignal = systemCapabilities, 16384, "continue", "SIGRTMIN+3"
	// What systemd's container interface asks for: /run and /tmp of its own, a /dev and a
	// cgroup tree it may write. As many files as systemd allows in its own /run.
	for i, m := range p.Mounts {
		if m.Destination == "/sys/fs/cgroup" || m.Destination == "/dev" {
			p.Mounts[i].Options[slices.Index(m.Options, "ro")] = "rw"
		}
	}
	p.Mounts = append(p.Mounts,
		specs.Mount{Destination: "/run", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "nodev", "mode=755", "size=20%", "nr_inodes=800k"}},
		specs.Mount{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "nodev", "mode=1777", "size=20%", "nr_inodes=800k"}})
	return p
}

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
// showed to be missing there (CVE-2018-10892, CVE-2017-16539, CVE-2020-8694); but for
// the thermal_throttle of each CPU, of which there may be hundreds (SECURITY.md).
var maskedPaths = []string{
	"/proc/acpi", "/proc/asound", "/proc/config.gz", "/proc/interrupts", "/proc/kallsyms", "/proc/kcore",
	"/proc/keys", "/proc/kpagecgroup", "/proc/kpagecount", "/proc/kpageflags", "/proc/latency_stats",
	"/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
	"/sys/devices/virtual/powercap", "/sys/firmware", "/sys/fs/bpf", "/sys/fs/fuse", "/sys/fs/pstore", "/sys/fs/selinux",
	"/sys/kernel/debug", "/sys/kernel/notes", "/sys/kernel/security", "/sys/kernel/tracing", "/sys/kernel/vmcoreinfo",
	"/sys/power",
}

// What is shown but cannot be written, whoever the payload is. Anybody may write to
// /proc/pressure, and so keep the host's kernel at work for triggers of its own.
var readonlyPaths = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/pressure", "/proc/sys", "/proc/sysrq-trigger"}

// readonlyForRoot is besides where the payload's root may be the host's: that needs no capability to tell the kernel
// there what to log. Elsewhere nobody may open it, and a start need not look for it.
const readonlyForRoot = "/proc/dynamic_debug"

// Limits every payload gets, whatever the manager's own are.
var defaultRlimits = []specs.POSIXRlimit{
	{Type: "RLIMIT_CORE", Soft: 0, Hard: Infinity},
	{Type: "RLIMIT_MEMLOCK", Soft: 8 << 20, Hard: 8 << 20},
	{Type: "RLIMIT_MSGQUEUE", Soft: 819200, Hard: 819200},
	{Type: "RLIMIT_NOFILE", Soft: 1024, Hard: 524288},
	{Type: "RLIMIT_RTPRIO", Soft: 0, Hard: 0},
}

// defaultUserns is the number of ids of an automatic user namespace range.
const defaultUserns = 65536

// defaultMounts are those of profile "app". Each tmpfs has a limit of files, too: an empty one
// costs the kernel memory that no size counts. In /dev/shm it is one for each page.
func defaultMounts() []specs.Mount {
	return []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "noexec", "ro", "mode=755", "size=64k", "nr_inodes=1024"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=64m", "nr_inodes=16k"}},
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
		{Destination: "/sys/fs/cgroup", Type: "cgroup2", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
	}
}

// FromRootfs is the Spec of a container that has a root directory, a command,
// the settings, and the defaults of profile "app" for the rest. Nothing is expanded.
func FromRootfs(name, dir string, args []string, set ...Setting) (*specs.Spec, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	c := newCompiler(abs, LoadOptions{})
	c.source, c.raw = "", true
	if len(set) > 0 { // else the table of keys need not be made
		c.doc = map[string]any{}
		c.lay(set)
		c.walk("", "", c.doc)
	}
	c.flagged("rootfs.path", Setting{Flag: "--rootfs"})
	maps.Copy(c.vals, map[string]any{"name": name, "rootfs.path": abs, "process.args": slices.Clone(args)})
	c.build()
	return c.result()
}
