// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// What a container has unless told otherwise, written down a second time: a
// change of these is a change of what the program promises.
func TestDefaults(t *testing.T) {
	spec := compiled(t, "")
	s, err := SettingsOf(spec)
	if err != nil {
		t.Fatal(err)
	}
	if !spec.Process.NoNewPrivileges || s.Seccomp != "default" || s.AutoUserns != 65536 || !s.IdmapRootfs || !s.Strict {
		t.Errorf("no_new_privs %v, settings %+v", spec.Process.NoNewPrivileges, s)
	}
	var namespaces []string
	for _, n := range spec.Linux.Namespaces {
		namespaces = append(namespaces, string(n.Type)+n.Path)
	}
	if diff := cmp.Diff([]string{"mount", "pid", "ipc", "uts", "cgroup", "network", "user"}, namespaces); diff != "" {
		t.Error(diff)
	}
	if got := *spec.Linux.Resources.Pids.Limit; got != 2048 || s.UnitProperties["OOMPolicy"] != "'kill'" {
		t.Errorf("%d tasks, %v", got, s.UnitProperties)
	}
	if u := *spec.Process.User.Umask; u != 0o022 || spec.Linux.RootfsPropagation != "" {
		t.Errorf("umask %#o, propagation %q", u, spec.Linux.RootfsPropagation)
	}
	rlimits := map[string][2]uint64{}
	for _, r := range spec.Process.Rlimits {
		rlimits[r.Type] = [2]uint64{r.Soft, r.Hard}
	}
	want := map[string][2]uint64{"RLIMIT_NOFILE": {1024, 524288}, "RLIMIT_CORE": {0, Infinity}, "RLIMIT_MEMLOCK": {8 << 20, 8 << 20},
		"RLIMIT_MSGQUEUE": {819200, 819200}, "RLIMIT_RTPRIO": {0, 0}}
	if diff := cmp.Diff(want, rlimits); diff != "" {
		t.Error(diff)
	}
	// Nothing is allowed but what is listed, and nothing is listed.
	if d := spec.Linux.Resources.Devices; len(d) != 1 || d[0].Allow || d[0].Access != "rwm" {
		t.Errorf("devices: %+v", d)
	}
}

func TestDefaultCapabilities(t *testing.T) {
	const app = "CHOWN DAC_OVERRIDE FOWNER FSETID KILL NET_BIND_SERVICE SETGID SETUID"
	for _, tt := range []struct{ more, want string }{
		{"", app},
		{`process.user = "root"`, app},
		{`process.user = "0:5"`, app},
		{`process.user = "app"`, ""},
		{`process.user = "1000:1000"`, ""},
		{`capabilities.preset = "none"`, ""},
		{`capabilities = { drop = ["KILL"], add = ["cap_sys_nice"] }`, strings.Replace(app, "KILL ", "", 1) + " SYS_NICE"},
		{`security.profile = "system"`, `AUDIT_CONTROL AUDIT_WRITE CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID IPC_OWNER KILL LEASE
			LINUX_IMMUTABLE MKNOD NET_ADMIN NET_BIND_SERVICE NET_BROADCAST NET_RAW SETFCAP SETGID SETPCAP SETUID SYS_ADMIN SYS_BOOT
			SYS_CHROOT SYS_NICE SYS_PTRACE SYS_RESOURCE SYS_TTY_CONFIG`},
		{`security.profile = "system"` + "\n" + `process.user = "app"`, ""},
	} {
		caps := compiled(t, tt.more).Process.Capabilities
		var want []string
		for _, n := range strings.Fields(tt.want) {
			want = append(want, "CAP_"+n)
		}
		slices.Sort(want)
		for set, got := range map[string][]string{"bounding": caps.Bounding, "permitted": caps.Permitted, "effective": caps.Effective} {
			if !slices.Equal(got, want) {
				t.Errorf("%s: %s: %s", tt.more, set, cmp.Diff(want, got))
			}
		}
		if len(caps.Inheritable)+len(caps.Ambient) > 0 {
			t.Errorf("%s: inheritable %v, ambient %v: want none", tt.more, caps.Inheritable, caps.Ambient)
		}
	}
}

// What other runtimes hide is hidden here, too, and what leaked there.
func TestDefaultPaths(t *testing.T) {
	l := compiled(t, "").Linux
	for _, p := range strings.Fields(`/proc/acpi /proc/asound /proc/kcore /proc/keys /proc/latency_stats /proc/timer_list
		/proc/timer_stats /proc/sched_debug /proc/scsi /proc/kallsyms /proc/interrupts /proc/kpagecount /proc/kpageflags /proc/kpagecgroup
		/sys/firmware /sys/devices/virtual/powercap /sys/kernel/debug /sys/kernel/tracing /sys/kernel/security /sys/kernel/vmcoreinfo
		/sys/kernel/notes /sys/fs/bpf /sys/fs/pstore /sys/fs/fuse /sys/fs/selinux /sys/power`) {
		if !slices.Contains(l.MaskedPaths, p) {
			t.Errorf("%s is shown", p)
		}
	}
	if diff := cmp.Diff(strings.Fields("/proc/bus /proc/fs /proc/irq /proc/pressure /proc/sys /proc/sysrq-trigger"), l.ReadonlyPaths); diff != "" {
		t.Error(diff)
	}
	l = compiled(t, `security = { unmask = ["/proc/keys", "/proc/sys"], mask = ["/a"], read_only_paths = ["/b"] }`).Linux
	if slices.Contains(l.MaskedPaths, "/proc/keys") || slices.Contains(l.ReadonlyPaths, "/proc/sys") ||
		!slices.Contains(l.MaskedPaths, "/a") || !slices.Contains(l.ReadonlyPaths, "/b") {
		t.Errorf("%v\n%v", l.MaskedPaths, l.ReadonlyPaths)
	}
}

// The defaults' mounts: no set-uid programs and, but for /dev, no devices; the
// kernel's own are read-only but for a systemd's cgroups.
func TestDefaultMountOptions(t *testing.T) {
	for _, profile := range []string{ProfileApp, ProfileSystem} {
		for _, m := range Defaults(profile).Mounts {
			has := func(o string) bool { return slices.Contains(m.Options, o) }
			if !has("nosuid") || !has("nodev") && !strings.HasPrefix(m.Destination, "/dev") {
				t.Errorf("%s: %s: %v", profile, m.Destination, m.Options)
			}
			if ro := m.Destination == "/sys" || m.Destination == "/sys/fs/cgroup" && profile == ProfileApp; ro != has("ro") {
				t.Errorf("%s: %s: ro is %v", profile, m.Destination, has("ro"))
			}
			if limited := slices.ContainsFunc(m.Options, func(o string) bool { return strings.HasPrefix(o, "size=") }); m.Type == "tmpfs" && !limited {
				t.Errorf("%s: %s has no size", profile, m.Destination)
			}
		}
	}
	var shm specs.Mount
	for _, m := range Defaults(ProfileApp).Mounts {
		if m.Destination == "/dev/shm" {
			shm = m
		}
	}
	if !slices.Contains(shm.Options, "size=64m") || !slices.Contains(shm.Options, "noexec") {
		t.Errorf("/dev/shm: %v", shm.Options)
	}
}
