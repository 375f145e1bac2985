// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/scope"
	"github.com/sdcontainer/sdcontainer/unitgen"
)

// everyLimit has each key of a configuration that is a limit of the unit, none with its default.
const everyLimit = `
[network]
allow = ["10.0.0.0/8", "localhost", "2001:db8::/32"]
deny = ["any"]
[resources]
tasks = 99
[resources.memory]
max = "64M"
high = "48M"
low = "2M"
min = "4M"
swap_max = "16M"
zswap_max = "8M"
oom_policy = "continue"
managed_oom_pressure = "kill"
managed_oom_swap = "kill"
managed_oom_pressure_limit = "60%"
managed_oom_preference = "avoid"
[resources.cpu]
quota = "150%"
period = "20ms"
weight = 250
cpus = "0"
mems = "0"
[resources.io]
weight = 300
read_bps = { "/" = "20M" }
write_bps = { "/" = "10M" }
read_iops = { "/" = 500 }
write_iops = { "/" = 400 }
latency = { "/" = "25ms" }
[systemd]
strict = false
stop_timeout = "7s"
runtime_max = "5min"
[systemd.scope]
SocketBindDeny = "[(2, 6, 1, 80)]"
[log]
driver = "none"
`

// everyShown is what systemctl show has of them.
var everyShown = []string{
	"IPAddressAllow=10.0.0.0/8 ::1/128 127.0.0.0/8 2001:db8::/32", "IPAddressDeny=::/0 0.0.0.0/0", "TasksMax=99",
	"MemoryMax=67108864", "MemoryHigh=50331648", "MemoryLow=2097152", "MemoryMin=4194304", "MemorySwapMax=16777216", "MemoryZSwapMax=8388608",
	"OOMPolicy=continue", "ManagedOOMMemoryPressure=kill", "ManagedOOMSwap=kill", "ManagedOOMMemoryPressureLimit=2576980377", "ManagedOOMPreference=avoid",
	"CPUQuotaPerSecUSec=1.500000s", "CPUQuotaPeriodUSec=20ms", "CPUWeight=250", "AllowedCPUs=0", "AllowedMemoryNodes=0",
	"IOWeight=300", "IOReadBandwidthMax=/ 20971520", "IOWriteBandwidthMax=/ 10485760", "IOReadIOPSMax=/ 500",
	"IOWriteIOPSMax=/ 400", "IODeviceLatencyTargetUSec=/ 25ms", "TimeoutStopUSec=7s", "RuntimeMaxUSec=5min", "SocketBindDeny=ipv4:tcp80",
}

// shows compares what systemd says of a unit. What this version lacks must have been told.
func shows(t *testing.T, unit string, want, told []string) {
	t.Helper()
	out, err := exec.Command("systemctl", "show", unit).Output()
	if err != nil {
		t.Fatal(err)
	}
	have := strings.Split(string(out), "\n")
	for i, line := range have {
		have[i] = sorted(line)
	}
	for _, line := range want {
		name, _, _ := strings.Cut(line, "=")
		known := slices.ContainsFunc(have, func(l string) bool { return strings.HasPrefix(l, name+"=") })
		said := slices.ContainsFunc(told, func(l string) bool { return strings.Contains(l, name) && strings.Contains(l, "needs systemd") })
		if known == said || known && !slices.Contains(have, sorted(line)) {
			t.Errorf("%s: %s: known %v, said to be lacking %v:\n%s", unit, line, known, said, strings.Join(matching(have, name), "\n"))
		}
	}
}

// sorted has the values of a list in an order that all versions of systemd have.
func sorted(line string) string {
	name, values, _ := strings.Cut(line, "=")
	if !strings.HasPrefix(name, "IPAddress") {
		return line
	}
	return name + "=" + strings.Join(slices.Sorted(strings.FieldsSeq(values)), " ")
}

func matching(lines []string, prefix string) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return !strings.HasPrefix(l, prefix) })
}

// settings are the kernel's files that can be set, in a cgroup and those below it.
func settings(t *testing.T, cgroup string) map[string]string {
	t.Helper()
	found := map[string]string{}
	top := filepath.Join(scope.Mount(), cgroup)
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		const readWrite = 0o600
		if name := d.Name(); err != nil || info.Mode()&readWrite != readWrite || strings.HasSuffix(name, ".pressure") || strings.HasSuffix(name, ".peak") ||
			name == "cgroup.procs" || name == "cgroup.threads" {
			return err
		}
		b, err := os.ReadFile(path)
		found[strings.TrimPrefix(path, top)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// E9: each limit of a configuration is the unit's, of a scope and of a service alike, and still is after systemd has reloaded.
func TestEveryLimitIsTheUnits(t *testing.T) {
	if !sdtest.InsideAll(t) {
		return
	}
	w := newWorld(t)
	spec, s := configured(t, "rootfs.path = '"+w.root+"'\nprocess.args = ['/bin/sleep', '60']\n"+everyLimit)
	// A unit that it is to watch starts systemd-oomd, where that is installed.
	oomd := func() string {
		out, _ := exec.Command("systemctl", "is-active", "systemd-oomd.service").Output() // its status is the state
		return strings.TrimSpace(string(out))
	}
	if oomd() == "inactive" {
		t.Cleanup(func() {
			if oomd() == "inactive" {
				return
			}
			if out, err := exec.Command("systemctl", "stop", "systemd-oomd.socket", "systemd-oomd.service").CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	var told []string
	w.Warn = func(msg string) { told = append(told, msg) }
	c, err := w.startSpec("every", spec, CreateOptions{Detach: true})
	if err != nil {
		t.Fatal(err)
	}
	systemctl := func(verb string) {
		t.Helper()
		if out, err := exec.Command("systemctl", verb).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", verb, err, out)
		}
	}
	shows(t, scope.UnitName("every"), everyShown, told)
	cgroup := strings.TrimSuffix(c.st.Cgroup, "/payload")
	before := settings(t, cgroup)
	if len(before) == 0 {
		t.Fatal("no file of the cgroup can be set: the test shows nothing")
	}
	for _, verb := range []string{"daemon-reload", "daemon-reexec"} {
		systemctl(verb)
		shows(t, scope.UnitName("every"), everyShown, told)
		if diff := cmp.Diff(before, settings(t, cgroup)); diff != "" {
			t.Errorf("%s: -before +after\n%s", verb, diff)
		}
	}

	service, err := unitgen.Service(spec, s, unitgen.Options{Version: versionOf(t)})
	if err != nil {
		t.Fatal(err)
	}
	unit := "/run/systemd/system/every.service"
	if err := os.MkdirAll(filepath.Dir(unit), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(unit, []byte(service), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(unit); systemctl("daemon-reload") })
	systemctl("daemon-reload")
	shows(t, "every.service", everyShown, told)
}

// The networks that a container may not talk to are kept from it by the kernel; allow wins.
func TestNetworksAreDenied(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	const every, loopback = "[(2, [0, 0, 0, 0], 0)]", "[(2, [0x7f, 0, 0, 0], 8)]"
	for id, c := range map[string]struct {
		properties map[string]string
		want       string
	}{
		"free": {nil, " 0% packet loss"}, "denied": {map[string]string{"IPAddressDeny": loopback}, "sendto: Operation not permitted"},
		"allowed": {map[string]string{"IPAddressDeny": every, "IPAddressAllow": loopback}, " 0% packet loss"},
	} {
		spec := w.spec(id, "/bin/ping", "-c", "1", "-W", "1", "127.0.0.1")
		s, err := configs.SettingsOf(spec)
		if err != nil {
			t.Fatal(err)
		}
		s.UnitProperties = c.properties
		s.Annotate(spec)
		sets := spec.Process.Capabilities
		sets.Bounding = append(sets.Bounding, "CAP_NET_RAW")
		sets.Permitted, sets.Effective = sets.Bounding, sets.Bounding
		if out, e := w.outputOf(id, spec); !strings.Contains(out, c.want) {
			t.Errorf("%s: %+v, want %q: %s", id, e, c.want, out)
		}
	}
}

func versionOf(t *testing.T) int {
	t.Helper()
	conn, err := scope.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	v, err := conn.Version(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// A limit for which the administrator's files say what it is while the machine starts, or the other half of a quota, is not attested.
func TestLimitsThatCountOtherwise(t *testing.T) {
	l := &launch{c: &Container{rt: &Runtime{}}, o: CreateOptions{Service: true}, plan: &plan{unit: scope.Unit{Properties: []scope.Property{
		{Name: "MemoryMax", Value: uint64(1 << 30)}, {Name: "TasksMax", Value: uint64(9)}, {Name: "CPUQuotaPerSecUSec", Value: uint64(500000)},
	}}}}
	for set, want := range map[string]string{"": "memory.max pids.max cpu.max", "StartupMemoryMax": "pids.max cpu.max", "CPUQuotaPeriodUSec": "memory.max pids.max"} {
		l.theirs = nil
		if set != "" {
			l.theirs = func(property string) bool { return property == set }
		}
		var files []string
		for _, limit := range l.unitLimits() {
			files = append(files, limit.File)
		}
		if got := strings.Join(files, " "); got != want {
			t.Errorf("%q: %s, want %s", set, got, want)
		}
	}
}
