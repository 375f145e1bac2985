// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"fmt"
	"os"
	"path/filepath"
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
	l = compiled(t, "userns.mode = 'none'").Linux
	if !slices.Contains(l.ReadonlyPaths, "/proc/dynamic_debug") {
		t.Errorf("%v lacks what only the host's root may open", l.ReadonlyPaths)
	}
	l = compiled(t, `security = { unmask = ["/proc/keys", "/proc/sys"], mask = ["/a"], read_only_paths = ["/b"] }`).Linux
	if slices.Contains(l.MaskedPaths, "/proc/keys") || slices.Contains(l.ReadonlyPaths, "/proc/sys") ||
		!slices.Contains(l.MaskedPaths, "/a") || !slices.Contains(l.ReadonlyPaths, "/b") {
		t.Errorf("%v\n%v", l.MaskedPaths, l.ReadonlyPaths)
	}
}

// The defaults' mounts: no set-uid programs and, but for /dev, no devices; the
// kernel's own and /dev are read-only but for a systemd's cgroups and /dev. None can be
// filled without end, by bytes or by files.
func TestDefaultMountOptions(t *testing.T) {
	for _, profile := range []string{ProfileApp, ProfileSystem} {
		for _, m := range Defaults(profile).Mounts {
			has := func(o string) bool { return slices.Contains(m.Options, o) }
			if !has("nosuid") || !has("nodev") && !strings.HasPrefix(m.Destination, "/dev") {
				t.Errorf("%s: %s: %v", profile, m.Destination, m.Options)
			}
			app := profile == ProfileApp && slices.Contains([]string{"/dev", "/sys/fs/cgroup"}, m.Destination)
			if ro := m.Destination == "/sys" || app; ro != has("ro") {
				t.Errorf("%s: %s: ro is %v", profile, m.Destination, has("ro"))
			}
			for _, limit := range []string{"size=", "nr_inodes="} {
				if m.Type == "tmpfs" && !slices.ContainsFunc(m.Options, func(o string) bool { return strings.HasPrefix(o, limit) }) {
					t.Errorf("%s: %s: %v: no %s", profile, m.Destination, m.Options, limit)
				}
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

// Everybody in the container may ping, in a network of its own: the groups are those the
// user namespace has, in the order of the host's, or the kernel refuses them.
func TestDefaultPingGroups(t *testing.T) {
	const manual = `userns = { mode = "manual", uid_map = ["0:1000:65536"], gid_map = [%s] }`
	const all, key = "0 2147483647", "net.ipv4.ping_group_range"
	for _, tt := range []struct{ more, want string }{
		{"", "0 65535"},
		{`security.profile = "system"`, "0 65535"},
		{`userns.size = 1000`, "0 999"},
		{`userns.size = 2147483648`, all},
		{`userns.mode = "none"`, all},
		{fmt.Sprintf(manual, `"0:1000:1", "1:100000:65535"`), "0 65535"},
		{fmt.Sprintf(manual, `"1:100000:10", "0:1000:1"`), "0 10"},
		{fmt.Sprintf(manual, `"0:300000:10", "10:100000:10"`), ""}, // the last has a lower group than the first
		{fmt.Sprintf(manual, `"0:0:4294967294"`), all},
		{`userns.mode = "path:/run/u"`, ""},
		{`network.mode = "host"`, ""},
		{`namespaces.pid = "host"`, ""},
		{`network.mode = "path:/run/n"`, ""},
		{`security.sysctl = { "net.ipv4.ping_group_range" = "5 6" }`, "5 6"},
		{`security.sysctl = { "net/ipv4/ip_forward" = "1" }`, "0 65535"},
	} {
		if got := compiled(t, tt.more).Linux.Sysctl[key]; got != tt.want {
			t.Errorf("%s: %q, want %q", tt.more, got, tt.want)
		}
	}
	defer func(f func() int64) { groupsHere = f }(groupsHere)
	groupsHere = func() int64 { return 70000 }
	if got := compiled(t, `userns.mode = "none"`).Linux.Sysctl[key]; got != "0 69999" {
		t.Errorf("in a container that has groups up to 69999: %q", got)
	}
	if set := compiled(t, `security.sysctl = { "net/ipv4/ping_group_range" = "5 6" }`).Linux.Sysctl; len(set) != 1 {
		t.Errorf("set twice: %v", set)
	}
}

// The rights over one device at two places are those of both: of two entries systemd takes the last.
func TestDeviceAtTwoPlaces(t *testing.T) {
	entry := `{ path = "/dev/x", target = "/dev/%s", type = "b", major = 8, minor = 1, access = "%s" }`
	text := fmt.Sprintf("device = ["+entry+", "+entry+"]\nuserns.mode = 'none'\nsecurity.device_policy = 'strict'", "a", "w", "b", "r")
	s, err := SettingsOf(compiled(t, text))
	if want := "@a(ss) [('/dev/block/8:1', 'wr')]"; err != nil || s.UnitProperties["DeviceAllow"] != want {
		t.Errorf("%q, %v, want %q", s.UnitProperties["DeviceAllow"], err, want)
	}
}

// Rights over a standard device that every container has are told to be in vain.
func TestAccessToStandardDevices(t *testing.T) {
	for text, want := range map[string]int{
		`device = [{ path = "/dev/null", access = "r" }]`: 1, `device = [{ path = "/dev/null", access = "wrm" }]`: 0, `device = [{ path = "/dev/null" }]`: 0,
		"device = [{ path = '/dev/null', access = 'r' }]\nsecurity.device_policy = 'strict'":    1,
		"device = [{ path = '/dev/null', access = 'rw' }]\nsecurity.device_policy = 'strict'":   0,
		"device = [{ path = '/dev/zero', access = 'r' }]\nsecurity.device_policy = 'strict'":    0,
		`device = [{ path = "/dev/x", type = "c", major = 10, minor = 200, access = "r" }]`:     0,
		`device = [{ path = "/dev/pts/9", type = "c", major = 136, minor = 9, access = "rw" }]`: 1,
	} {
		file := filepath.Join(t.TempDir(), "x.toml")
		if err := os.WriteFile(file, []byte("version = 1\nrootfs.path = '/srv'\nprocess.args = ['x']\n"+text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		var warned []Problem
		if _, err := Load(file, LoadOptions{Warn: func(p Problem) { warned = append(warned, p) }}); err != nil || len(warned) != want {
			t.Errorf("%s: %v, %v, want %d warnings", text, err, warned, want)
		}
	}
}
