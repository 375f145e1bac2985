// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What a key and an entry of the tables of any names both set is an error at the entry.
func TestSetTwice(t *testing.T) {
	const twice = "(leave one out)"
	for more, want := range map[string]string{
		"resources.memory.max = '64M'\nsystemd.scope.MemoryMax = 1073741824":                                        "5:15: systemd.scope.MemoryMax: contradicts resources.memory.max, which sets MemoryMax= too " + twice,
		"systemd.scope.MemoryMax = 67108864\nresources.memory.max = '64M'":                                          "4:15: systemd.scope.MemoryMax: contradicts resources.memory.max, which sets MemoryMax= too " + twice,
		"resources.memory.max = '50%'\nsystemd.scope.MemoryMax = 5":                                                 "5:15: systemd.scope.MemoryMax: contradicts resources.memory.max, which sets MemoryMax= too " + twice,
		"resources.memory.max = '64M'\nsystemd.scope.MemoryMaxScale = 'uint32 5'":                                   "5:15: systemd.scope.MemoryMaxScale: contradicts resources.memory.max, which sets MemoryMax= too " + twice,
		"resources.memory.max = '64M'\nresources.unified = { 'memory.max' = '5' }":                                  "5:23: resources.unified.memory.max: contradicts resources.memory.max, which sets MemoryMax= too " + twice,
		"resources.memory.max = '64M'\nsystemd.service.MemoryMax = '1G'":                                            "5:17: systemd.service.MemoryMax: contradicts resources.memory.max, which sets MemoryMax= too " + twice,
		"resources.memory.oom_policy = 'kill'\nresources.unified = { 'memory.oom.group' = 0 }":                      "5:23: resources.unified.memory.oom.group: contradicts resources.memory.oom_policy, which sets OOMPolicy= too " + twice,
		"resources.tasks = 5\nresources.unified = { 'pids.max' = 6 }":                                               "5:23: resources.unified.pids.max: contradicts resources.tasks, which sets TasksMax= too " + twice,
		"resources.tasks = 5\nsystemd.scope.TasksMaxScale = 'uint32 5'":                                             "5:15: systemd.scope.TasksMaxScale: contradicts resources.tasks, which sets TasksMax= too " + twice,
		"resources.cpu.quota = '50%'\nsystemd.scope.CPUQuotaPerSecUSec = 5":                                         "5:15: systemd.scope.CPUQuotaPerSecUSec: contradicts resources.cpu.quota, which sets CPUQuota= too " + twice,
		"resources.cpu.quota = '50%'\nsystemd.service.CPUQuota = '5%'":                                              "5:17: systemd.service.CPUQuota: contradicts resources.cpu.quota, which sets CPUQuota= too " + twice,
		"resources.cpu.quota = '50%'\nresources.unified = { 'cpu.max' = 'max' }":                                    "5:23: resources.unified.cpu.max: contradicts resources.cpu.quota, which sets CPUQuota= too " + twice,
		"resources.cpu = { quota = '50%', burst = '1ms' }\nresources.unified = { 'cpu.max.burst' = 5 }":             "5:23: resources.unified.cpu.max.burst: contradicts resources.cpu.burst, which sets cpu.max.burst too " + twice,
		"resources.cpu.weight = 'idle'\nresources.unified = { 'cpu.weight' = 5 }":                                   "5:23: resources.unified.cpu.weight: contradicts resources.cpu.weight, which sets CPUWeight= too " + twice,
		"resources.cpu.cpus = '0'\nresources.unified = { 'cpuset.cpus' = 1 }":                                       "5:23: resources.unified.cpuset.cpus: contradicts resources.cpu.cpus, which sets AllowedCPUs= too " + twice,
		"resources.io.weight = 5\nresources.unified = { 'io.weight' = 6 }":                                          "5:23: resources.unified.io.weight: contradicts resources.io.weight, which sets IOWeight= too " + twice,
		"resources.io.latency = { '/dev/sda' = '5ms' }\nsystemd.service.IODeviceLatencyTargetSec = '/dev/sda 9ms'":  "5:17: systemd.service.IODeviceLatencyTargetSec: contradicts resources.io.latency, which sets IODeviceLatencyTargetSec= too " + twice,
		"resources.io.read_bps = { '/dev/sda' = 5 }\nresources.unified = { 'io.max' = '8:0 wbps=1 rbps=5' }":        "5:23: resources.unified.io.max: contradicts resources.io.read_bps, which sets IOReadBandwidthMax= too " + twice,
		"resources.hugepages = { 2MB = '2M' }\nresources.unified = { 'hugetlb.2MB.max' = 5 }":                       "5:23: resources.unified.hugetlb.2MB.max: contradicts resources.hugepages.2MB, which sets hugetlb.2MB.max too " + twice,
		"resources.unified = { 'memory.high' = 5 }\nsystemd.scope.MemoryHigh = 6":                                   "5:15: systemd.scope.MemoryHigh: contradicts resources.unified.memory.high, which sets MemoryHigh= too " + twice,
		"systemd.scope = { MemoryHigh = 5, MemoryHighScale = 'uint32 6' }":                                          "4:35: systemd.scope.MemoryHighScale: contradicts systemd.scope.MemoryHigh, which sets MemoryHigh= too " + twice,
		"systemd.scope = { RuntimeMaxSec = 5, RuntimeMaxUSec = 6 }":                                                 "4:38: systemd.scope.RuntimeMaxUSec: contradicts systemd.scope.RuntimeMaxSec, which sets RuntimeMaxSec= too " + twice,
		"systemd.binds_to = ['a.mount']\nsystemd.unit.BindTo = 'b.mount'":                                           "5:14: systemd.unit.BindTo: contradicts systemd.binds_to, which sets BindsTo= too " + twice,
		"systemd.scope.MemoryHigh = 5\nsystemd.service.MemoryHigh = 6":                                              "5:17: systemd.service.MemoryHigh: contradicts systemd.scope.MemoryHigh, which sets MemoryHigh= too " + twice,
		"network.allow = ['10.0.0.0/8']\nsystemd.service.IPAddressAllow = ''":                                       "5:17: systemd.service.IPAddressAllow: contradicts network.allow, which sets IPAddressAllow= too " + twice,
		"network.deny = ['any']\nsystemd.scope.IPAddressDeny = '@a(iayu) []'":                                       "5:15: systemd.scope.IPAddressDeny: contradicts network.deny, which sets IPAddressDeny= too " + twice,
		"resources.io.read_iops = { '/dev/sda' = 5 }\nsystemd.service.IOReadIOPSMax = ['/dev/sdb 6', '/dev/sda 7']": "5:17: systemd.service.IOReadIOPSMax: contradicts resources.io.read_iops, which sets IOReadIOPSMax= too " + twice,
		"resources.io.read_iops = { '/dev/sda' = 5 }\nsystemd.scope.IOReadIOPSMax = '[(\"/dev/sda\", 7)]'":          "5:15: systemd.scope.IOReadIOPSMax: contradicts resources.io.read_iops, which sets IOReadIOPSMax= too " + twice,
		"security.device_policy = 'strict'\nsystemd.scope.DevicePolicy = 'auto'":                                    "5:15: systemd.scope.DevicePolicy: contradicts security.device_policy, which sets DevicePolicy= too " + twice,
		"security.device_policy = 'strict'\nsystemd.scope.DeviceAllow = '@a(ss) []'":                                "5:15: systemd.scope.DeviceAllow: contradicts security.device_policy, which sets DeviceAllow= too " + twice,
		"log.identifier = 'a'\nsystemd.service.SyslogIdentifier = 'b'":                                              "5:17: systemd.service.SyslogIdentifier: contradicts log.identifier, which sets SyslogIdentifier= too " + twice,
		"process.nice = 5\nsystemd.service.Nice = 6":                                                                "5:17: systemd.service.Nice: contradicts process.nice, which sets Nice= too " + twice,
		"process.io_class = 'idle'\nsystemd.service.IOSchedulingClass = 'idle'":                                     "5:17: systemd.service.IOSchedulingClass: contradicts process.io_class, which sets IOSchedulingClass= too " + twice,
		"process.scheduler = 'idle'\nsystemd.service.CPUSchedulingPolicy = 'batch'":                                 "5:17: systemd.service.CPUSchedulingPolicy: contradicts process.scheduler, which sets CPUSchedulingPolicy= too " + twice,
		"description = 'a'\nsystemd.unit.Description = 'b'":                                                         "5:14: systemd.unit.Description: contradicts description, which sets Description= too " + twice,
		"process.stop_signal = 'SIGINT'\nsystemd.scope.KillSignal = 'int32 1'":                                      "5:15: systemd.scope.KillSignal: contradicts process.stop_signal, which sets KillSignal= too " + twice,
		"process.stop_signal = 'SIGINT'\nsystemd.service.KillSignal = 'SIGHUP'":                                     "5:17: systemd.service.KillSignal: contradicts process.stop_signal, which sets KillSignal= too " + twice,
		"systemd = { stop_timeout = 5, service = { TimeoutStopSec = '9s' } }":                                       "4:43: systemd.service.TimeoutStopSec: contradicts systemd.stop_timeout, which sets TimeoutStopSec= too " + twice,
		"systemd = { stop_timeout = 5, service = { TimeoutSec = '9s' } }":                                           "4:43: systemd.service.TimeoutSec: contradicts systemd.stop_timeout, which sets TimeoutStopSec= too " + twice,
		"systemd = { stop_timeout = 5, scope = { TimeoutStopUSec = 9 } }":                                           "4:41: systemd.scope.TimeoutStopUSec: contradicts systemd.stop_timeout, which sets TimeoutStopSec= too " + twice,
		"systemd = { runtime_max = 5, scope = { RuntimeMaxSec = 6 } }":                                              "4:40: systemd.scope.RuntimeMaxSec: contradicts systemd.runtime_max, which sets RuntimeMaxSec= too " + twice,
		"systemd = { runtime_max = 5, service = { RuntimeMaxSec = 6 } }":                                            "4:42: systemd.service.RuntimeMaxSec: contradicts systemd.runtime_max, which sets RuntimeMaxSec= too " + twice,
		"systemd = { start_limit = '5/10s', unit = { StartLimitBurst = 6 } }":                                       "4:45: systemd.unit.StartLimitBurst: contradicts systemd.start_limit, which sets StartLimitBurst= too " + twice,
		"systemd = { after = ['a.service'], unit = { After = 'b.service' } }":                                       "4:45: systemd.unit.After: contradicts systemd.after, which sets After= too " + twice,
		"systemd = { wanted_by = ['a.target'], install = { WantedBy = 'b.target' } }":                               "4:51: systemd.install.WantedBy: contradicts systemd.wanted_by, which sets WantedBy= too " + twice,
		// These say different things, or both add to a list.
		"resources.memory.max = '64M'\nsystemd.scope.MemoryHigh = 5\nresources.unified = { 'memory.low' = 5 }":     "",
		"resources.io.write_bps = { '/dev/sda' = 5 }\nresources.unified = { 'io.max' = '8:0 rbps=5' }":             "",
		"resources.io.weight = 5\nresources.unified = { 'io.weight' = '8:0 5' }":                                   "",
		"network.allow = ['10.0.0.0/8']\nsystemd.service.IPAddressAllow = 'any'":                                   "",
		"network.deny = ['any']\nsystemd.scope.IPAddressDeny = '[(2, [1, 2, 3, 4], 32)]'":                          "",
		"resources.io.latency = { '/dev/sda' = '5ms' }\nsystemd.service.IODeviceLatencyTargetSec = '/dev/sdb 9ms'": "",
		"resources.io.read_iops = { '/dev/sda' = 5 }\nsystemd.scope.IOReadIOPSMax = '[(\"/dev/sdb\", 7)]'":         "",
		"resources.unified = { 'cpu.weight' = 5, 'cpu.idle' = 0 }":                                                 "",
		"log.fields = { A = 'x' }\nsystemd.service.LogExtraFields = 'B=x'":                                         "",
		"systemd = { after = ['a.service'], scope = { After = ['b.service'] } }":                                   "",
		"systemd = { unit = { After = 'a.service' }, scope = { After = ['b.service'] } }":                          "",
		"security.profile = 'system'\nsystemd.service = { KillSignal = 'SIGHUP', TimeoutStopSec = 5 }":             "",
		"systemd = { scope = { OOMPolicy = \"'stop'\", TasksMax = 5 }, service = { TimeoutStopSec = 5 } }":         "",
	} {
		got := problemsOf(t, "x.toml", minimal+more+"\n")
		if want != "" {
			want = "x.toml:" + want
		}
		if strings.Join(got, "\n") != want {
			t.Errorf("%s:\n got %q\nwant %q", more, got, want)
		}
	}
}

// A drop-in may change a key, and contradict none.
func TestSetTwiceInDropIns(t *testing.T) {
	got := problemsOf(t, "x.toml", minimal+"resources.memory.max = '64M'\nsystemd.scope.MemoryHigh = 5\n",
		"x.toml.d/a.toml", "resources.memory.max = '65M'\nsystemd.scope.MemoryHigh = 6\n", "x.toml.d/b.toml", "systemd.scope.MemoryMax = 5\n")
	want := []string{"x.toml.d/b.toml:1:15: systemd.scope.MemoryMax: contradicts resources.memory.max, which sets MemoryMax= too (leave one out)"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// What is given outside the files wins over what they say in another way.
func TestSettingWins(t *testing.T) {
	dir := write(t, "x.toml", minimal+"[systemd.scope]\nMemoryMax = 5\nTasksMax = 6\n[systemd.service]\nMemoryMax = '7'\n"+
		"[resources.unified]\n'cpu.max' = '50000 100000'\n")
	spec, err := Load(filepath.Join(dir, "x.toml"), LoadOptions{Set: []Setting{
		{Flag: "--memory", Key: "resources.memory.max", Value: "64M"}, {Flag: "--cpus", Key: "resources.cpu.quota", Value: "150%"}}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := SettingsOf(spec)
	if err != nil {
		t.Fatal(err)
	}
	r := spec.Linux.Resources
	got := []any{*r.Memory.Limit, *r.CPU.Quota, len(r.Unified), s.UnitProperties["MemoryMax"], s.UnitProperties["TasksMax"], len(s.Service)}
	if diff := cmp.Diff([]any{int64(64 << 20), int64(150000), 0, "", "6", 0}, got); diff != "" {
		t.Error(diff)
	}
}

// A default gives way to an entry that sets the same.
func TestDefaultGivesWay(t *testing.T) {
	s, err := SettingsOf(load1(t, "x.toml", minimal+"resources.unified = { 'memory.oom.group' = 0 }\n"))
	if v, ok := s.UnitProperties["OOMPolicy"]; ok || err != nil {
		t.Errorf("OOMPolicy is %s, %v", v, err)
	}
}

// What adds up is one list of the unit's.
func TestEntriesAddUp(t *testing.T) {
	s, err := SettingsOf(load1(t, "x.toml", minimal+`resources.io.read_iops = { "/dev/sda" = 5 }
resources.io.latency = { "/dev/sda" = "5ms" }
network.allow = ["10.0.0.0/8"]
[systemd.scope]
IOReadIOPSMax = "@a(st) [('/dev/sdb', 6)]"
IODeviceLatencyTargetUSec = "[('/dev/sdc', 7)]"
IPAddressAllow = "[(2, [1, 2, 3, 4], 32)]"
`))
	got := []string{s.UnitProperties["IOReadIOPSMax"], s.UnitProperties["IODeviceLatencyTargetUSec"], s.UnitProperties["IPAddressAllow"]}
	want := []string{"[('/dev/sda', 5), ('/dev/sdb', 6)]", "[('/dev/sda', 5000), ('/dev/sdc', 7)]", "[(2, [0x0a, 0x00, 0x00, 0x00], 8), (2, [1, 2, 3, 4], 32)]"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
}
