// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
)

func planOf(t *testing.T, r *specs.LinuxResources) Unit {
	t.Helper()
	u, err := Plan(&specs.Spec{Linux: &specs.Linux{Resources: r}}, configs.Settings{Name: "web"})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// values is the unit's properties by name.
func values(u Unit) map[string]any {
	m := map[string]any{}
	for _, p := range u.Properties {
		m[p.Name] = p.Value
	}
	return m
}

// added is what resources bring about: properties, or payload files under "file ".
func added(t *testing.T, r *specs.LinuxResources) map[string]any {
	t.Helper()
	base, u := values(planOf(t, nil)), planOf(t, r)
	m := map[string]any{}
	for name, v := range values(u) {
		if !reflect.DeepEqual(v, base[name]) {
			m[name] = v
		}
	}
	for file, v := range u.Payload {
		m["file "+file] = v
	}
	return m
}

func TestPlanIdentity(t *testing.T) {
	u, err := Plan(&specs.Spec{}, configs.Settings{
		Name: "web@1", Description: "A web server", Slice: "a-b.slice", StopSignal: "SIGINT", StopTimeout: 5 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := `sdc-web\x401.scope`; u.Name != want {
		t.Errorf("name is %s, want %s", u.Name, want)
	}
	have := values(u)
	delete(have, "DeviceAllow") // has its own test
	want := map[string]any{
		"Description": "A web server", "Slice": "a-b.slice", "Delegate": true, "CollectMode": "inactive-or-failed",
		"CPUAccounting": true, "IOAccounting": true, "MemoryAccounting": true, "TasksAccounting": true,
		"TimeoutStopUSec": uint64(5000000), "KillSignal": int32(2), "DevicePolicy": "strict",
	}
	if d := cmp.Diff(want, have); d != "" {
		t.Error(d)
	}
	if len(u.Payload) != 0 {
		t.Errorf("payload %v, want none", u.Payload)
	}
}

func ptr[T any](v T) *T { return &v }

func TestPlanMemory(t *testing.T) {
	type m = specs.LinuxMemory
	inf := uint64(math.MaxUint64)
	for name, c := range map[string]struct {
		in   m
		want map[string]any
	}{
		"nothing":          {m{}, map[string]any{}},
		"zero is unset":    {m{Limit: ptr(int64(0)), Swap: ptr(int64(0))}, map[string]any{}},
		"limit":            {m{Limit: ptr(int64(64 << 20))}, map[string]any{"MemoryMax": uint64(64 << 20)}},
		"unlimited":        {m{Limit: ptr(int64(-1)), Swap: ptr(int64(-1))}, map[string]any{"MemoryMax": inf, "MemorySwapMax": inf}},
		"reservation":      {m{Reservation: ptr(int64(4096))}, map[string]any{"MemoryLow": uint64(4096)}},
		"no swap":          {m{Limit: ptr(int64(100)), Swap: ptr(int64(100))}, map[string]any{"MemoryMax": uint64(100), "MemorySwapMax": uint64(0)}},
		"swap is a total":  {m{Limit: ptr(int64(100)), Swap: ptr(int64(150))}, map[string]any{"MemoryMax": uint64(100), "MemorySwapMax": uint64(50)}},
		"oom killer stays": {m{DisableOOMKiller: ptr(false)}, map[string]any{}},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(c.want, added(t, &specs.LinuxResources{Memory: &c.in})); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestPlanCPU(t *testing.T) {
	type c = specs.LinuxCPU
	for name, tc := range map[string]struct {
		in   c
		want map[string]any
	}{
		"shares":           {c{Shares: ptr(uint64(1024))}, map[string]any{"CPUWeight": uint64(100)}},
		"least shares":     {c{Shares: ptr(uint64(2))}, map[string]any{"CPUWeight": uint64(1)}},
		"most shares":      {c{Shares: ptr(uint64(262144))}, map[string]any{"CPUWeight": uint64(10000)}},
		"shares unset":     {c{Shares: ptr(uint64(0))}, map[string]any{}},
		"idle wins":        {c{Shares: ptr(uint64(512)), Idle: ptr(int64(1))}, map[string]any{"CPUWeight": uint64(0)}},
		"half":             {c{Quota: ptr(int64(50000))}, map[string]any{"CPUQuotaPerSecUSec": uint64(500000)}},
		"rounded up":       {c{Quota: ptr(int64(33333)), Period: ptr(uint64(100000))}, map[string]any{"CPUQuotaPerSecUSec": uint64(340000), "CPUQuotaPeriodUSec": uint64(100000)}},
		"below 1 %":        {c{Quota: ptr(int64(1000)), Period: ptr(uint64(1000000))}, map[string]any{"CPUQuotaPerSecUSec": uint64(10000), "CPUQuotaPeriodUSec": uint64(1000000)}},
		"no quota":         {c{Quota: ptr(int64(-1)), Period: ptr(uint64(50000))}, map[string]any{"CPUQuotaPerSecUSec": uint64(math.MaxUint64), "CPUQuotaPeriodUSec": uint64(50000)}},
		"burst":            {c{Quota: ptr(int64(50000)), Burst: ptr(uint64(1000))}, map[string]any{"file cpu.max": "50000 100000", "file cpu.max.burst": "1000"}},
		"cpus":             {c{Cpus: "0-2,9", Mems: "0"}, map[string]any{"AllowedCPUs": []byte{7, 2}, "AllowedMemoryNodes": []byte{1}}},
		"cpus in order":    {c{Cpus: "9,0-2"}, map[string]any{"AllowedCPUs": []byte{7, 2}}},
		"cpus with spaces": {c{Cpus: "0-2, 9"}, map[string]any{"AllowedCPUs": []byte{7, 2}}},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(tc.want, added(t, &specs.LinuxResources{CPU: &tc.in})); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestPlanOthers(t *testing.T) {
	type r = specs.LinuxResources
	device := func(rate uint64) specs.LinuxThrottleDevice {
		d := specs.LinuxThrottleDevice{Rate: rate}
		d.Major, d.Minor = 8, 16
		return d
	}
	for name, c := range map[string]struct {
		in   r
		want map[string]any
	}{
		"pids":           {r{Pids: &specs.LinuxPids{Limit: ptr(int64(7))}}, map[string]any{"TasksMax": uint64(7)}},
		"pids unlimited": {r{Pids: &specs.LinuxPids{Limit: ptr(int64(-1))}}, map[string]any{"TasksMax": uint64(math.MaxUint64)}},
		"pids 0":         {r{Pids: &specs.LinuxPids{Limit: ptr(int64(0))}}, map[string]any{"TasksMax": uint64(1)}},
		"pids nil":       {r{Pids: &specs.LinuxPids{}}, map[string]any{}},
		"throttle": {r{BlockIO: &specs.LinuxBlockIO{
			ThrottleReadBpsDevice: []specs.LinuxThrottleDevice{device(1)}, ThrottleWriteIOPSDevice: []specs.LinuxThrottleDevice{device(2)},
		}}, map[string]any{"IOReadBandwidthMax": []PathValue{{"/dev/block/8:16", 1}}, "IOWriteIOPSMax": []PathValue{{"/dev/block/8:16", 2}}}},
		"weight": {r{BlockIO: &specs.LinuxBlockIO{Weight: ptr(uint16(500))}}, map[string]any{"IOWeight": uint64(4500)}},
		"least":  {r{BlockIO: &specs.LinuxBlockIO{Weight: ptr(uint16(10))}}, map[string]any{"IOWeight": uint64(10)}},
		"normal": {r{BlockIO: &specs.LinuxBlockIO{Weight: ptr(uint16(100))}}, map[string]any{"IOWeight": uint64(100)}},
		"huge":   {r{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 4}}}, map[string]any{"file hugetlb.2MB.max": "4"}},
		"rdma":   {r{Rdma: map[string]specs.LinuxRdma{"mlx5_1": {HcaHandles: ptr(uint32(3)), HcaObjects: ptr(uint32(4))}}}, map[string]any{"file rdma.max": "mlx5_1 hca_handle=3 hca_object=4"}},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(c.want, added(t, &c.in)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestPlanUnified(t *testing.T) {
	for name, c := range map[string]struct {
		in   map[string]string
		want map[string]any
	}{
		"memory": {map[string]string{"memory.min": "1", "memory.low": "2", "memory.high": "3", "memory.max": "max", "memory.swap.max": "0", "memory.zswap.max": "5"},
			map[string]any{"MemoryMin": uint64(1), "MemoryLow": uint64(2), "MemoryHigh": uint64(3), "MemoryMax": uint64(math.MaxUint64), "MemorySwapMax": uint64(0), "MemoryZSwapMax": uint64(5)}},
		"oom group":        {map[string]string{"memory.oom.group": "1"}, map[string]any{"OOMPolicy": "kill"}},
		"cpu":              {map[string]string{"cpu.weight": "200", "cpu.max": "50000 200000"}, map[string]any{"CPUWeight": uint64(200), "CPUQuotaPerSecUSec": uint64(250000), "CPUQuotaPeriodUSec": uint64(200000)}},
		"cpu max":          {map[string]string{"cpu.max": "max"}, map[string]any{"CPUQuotaPerSecUSec": uint64(math.MaxUint64)}},
		"cpu idle":         {map[string]string{"cpu.idle": "1"}, map[string]any{"CPUWeight": uint64(0)}},
		"burst with quota": {map[string]string{"cpu.max": "50000 100000", "cpu.max.burst": "10000"}, map[string]any{"file cpu.max": "50000 100000", "file cpu.max.burst": "10000"}},
		"cpuset":           {map[string]string{"cpuset.cpus": "1", "cpuset.mems": "0-1"}, map[string]any{"AllowedCPUs": []byte{2}, "AllowedMemoryNodes": []byte{3}}},
		"pids":             {map[string]string{"pids.max": "12\n"}, map[string]any{"TasksMax": uint64(12)}},
		"io.weight":        {map[string]string{"io.weight": "default 50\n8:0 60"}, map[string]any{"IOWeight": uint64(50), "IODeviceWeight": []PathValue{{"/dev/block/8:0", 60}}}},
		"io.max": {map[string]string{"io.max": "8:0 rbps=5 wiops=max\n8:16 rbps=6"}, map[string]any{
			"IOReadBandwidthMax": []PathValue{{"/dev/block/8:0", 5}, {"/dev/block/8:16", 6}}, "IOWriteIOPSMax": []PathValue{{"/dev/block/8:0", math.MaxUint64}}}},
		"others": {map[string]string{"hugetlb.1GB.max": "0", "misc.max": "sev 1", "dmem.max": "drm/0 4M", "cpu.uclamp.min": "10"},
			map[string]any{"file hugetlb.1GB.max": "0", "file misc.max": "sev 1", "file dmem.max": "drm/0 4M", "file cpu.uclamp.min": "10"}},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(c.want, added(t, &specs.LinuxResources{Unified: c.in})); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestPlanErrors(t *testing.T) {
	type r = specs.LinuxResources
	for name, c := range map[string]struct {
		in   r
		want string
	}{
		"swap without limit": {r{Memory: &specs.LinuxMemory{Swap: ptr(int64(5))}}, "want a memory limit too"},
		"swap below limit":   {r{Memory: &specs.LinuxMemory{Limit: ptr(int64(9)), Swap: ptr(int64(5))}}, "want at least the memory limit 9"},
		"swappiness":         {r{Memory: &specs.LinuxMemory{Swappiness: ptr(uint64(60))}}, "swappiness"},
		"oom killer off":     {r{Memory: &specs.LinuxMemory{DisableOOMKiller: ptr(true)}}, "disableOOMKiller"},
		"realtime":           {r{CPU: &specs.LinuxCPU{RealtimeRuntime: ptr(int64(1))}}, "realtimeRuntime"},
		"period":             {r{CPU: &specs.LinuxCPU{Period: ptr(uint64(999))}}, "period 999: want 1000 to 1000000"},
		"burst alone":        {r{CPU: &specs.LinuxCPU{Burst: ptr(uint64(1))}}, "burst: 1: want at most the quota"},
		"cpus":               {r{CPU: &specs.LinuxCPU{Cpus: "3-1"}}, `cpus: "3-1": want numbers and ranges`},
		"cpus too high":      {r{CPU: &specs.LinuxCPU{Cpus: "8192"}}, "up to 8191"},
		"network class":      {r{Network: &specs.LinuxNetwork{ClassID: ptr(uint32(1))}}, "network"},
		"page size":          {r{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "../2MB"}}}, "page size"},
		"rdma device":        {r{Rdma: map[string]specs.LinuxRdma{"a b": {}}}, `device "a b"`},
		"rdma nothing":       {r{Rdma: map[string]specs.LinuxRdma{"mlx": {}}}, "hcaHandles"},
		"tree file":          {r{Unified: map[string]string{"cgroup.procs": "1"}}, `linux.resources.unified "cgroup.procs": want one of a cgroup v2`},
		"path":               {r{Unified: map[string]string{"memory.x/../../y": "1"}}, "want one of a cgroup v2 controller"},
		"cpu.max":            {r{Unified: map[string]string{"cpu.max": "1 2 3"}}, "want QUOTA PERIOD"},
		"no memory":          {r{Unified: map[string]string{"memory.max": "0"}}, `linux.resources.unified "memory.max": value 0: want more than 0`},
		"slow at once":       {r{Unified: map[string]string{"memory.high": "0"}}, `linux.resources.unified "memory.high": value 0: want more than 0`},
		"no reads":           {r{Unified: map[string]string{"io.max": "8:0 rbps=0"}}, `linux.resources.unified "io.max": "rbps=0": want rbps, wbps, riops or wiops = a number above 0 or max`},
		"told":               {r{Unified: map[string]string{"memory.stat": "0"}}, `linux.resources.unified "memory.stat": is no setting: the kernel tells something there`},
		"told below":         {r{Unified: map[string]string{"hugetlb.2MB.events.local": "0"}}, `linux.resources.unified "hugetlb.2MB.events.local": is no setting: the kernel tells`},
		"told of CPUs":       {r{Unified: map[string]string{"cpuset.cpus.effective": "0"}}, `linux.resources.unified "cpuset.cpus.effective": is no setting: the kernel tells`},
		"done once":          {r{Unified: map[string]string{"memory.reclaim": "1M"}}, `linux.resources.unified "memory.reclaim": is no setting: what is written there is for that moment`},
		"pressure":           {r{Unified: map[string]string{"io.pressure": "some 1 2"}}, `linux.resources.unified "io.pressure": is no setting: what is written`},
		"cpuset.cpus":        {r{Unified: map[string]string{"cpuset.cpus": "x"}}, `linux.resources.unified "cpuset.cpus": "x": want numbers and ranges`},
		"burst":              {r{Unified: map[string]string{"cpu.max": "5000 10000", "cpu.max.burst": "6000"}}, `linux.resources.unified "cpu.max.burst": 6000: want at most the quota`},
		"huge pages":         {r{Unified: map[string]string{"hugetlb.2MB.max": "abc"}}, `linux.resources.unified "hugetlb.2MB.max": "abc": want bytes or max`},
		"huge, reserved":     {r{Unified: map[string]string{"hugetlb.2MB.rsvd.max": "2M"}}, `"2M": want bytes or max`},
		"huge, nothing":      {r{Unified: map[string]string{"hugetlb.2MB.max": " "}}, `"": want a value`},
		"swap high":          {r{Unified: map[string]string{"memory.swap.high": "-1"}}, `"-1": want bytes or max`},
		"misc":               {r{Unified: map[string]string{"misc.max": "sev 1\nabc"}}, `"abc": want NAME and a number or max`},
		"misc unit":          {r{Unified: map[string]string{"misc.max": "sev 1M"}}, `"sev 1M": want NAME and a number or max`},
		"dmem":               {r{Unified: map[string]string{"dmem.max": "zz"}}, `"zz": want REGION and bytes or max`},
		"dmem unit":          {r{Unified: map[string]string{"dmem.low": "drm/0 1Q"}}, `"drm/0 1Q": want REGION and bytes or max`},
		"rdma max":           {r{Unified: map[string]string{"rdma.max": "abc"}}, `"abc": want a device with hca_handle=`},
		"rdma key":           {r{Unified: map[string]string{"rdma.max": "mlx hca_handles=1"}}, `"mlx hca_handles=1": want a device with hca_handle=`},
		"uclamp":             {r{Unified: map[string]string{"cpu.uclamp.min": "10%"}}, `"10%": want a percentage from 0 to 100`},
		"nice":               {r{Unified: map[string]string{"cpu.weight.nice": "20"}}, `"20": want -20 to 19`},
		"exclusive":          {r{Unified: map[string]string{"cpuset.cpus.exclusive": "a"}}, `"a": want numbers and ranges`},
		"partition":          {r{Unified: map[string]string{"cpuset.cpus.partition": "no"}}, `"no": want one of member, root, isolated`},
		"I/O class":          {r{Unified: map[string]string{"io.prio.class": "rt"}}, `"rt": want one of no-change,`},
		"weight":             {r{Unified: map[string]string{"cpu.weight": "0"}}, "want 1 to 10000"},
		"io weight":          {r{BlockIO: &specs.LinuxBlockIO{Weight: ptr(uint16(9))}}, "want 10 to 1000"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Plan(&specs.Spec{Linux: &specs.Linux{Resources: &c.in}}, configs.Settings{Name: "web"})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want %q in it", err, c.want)
			}
		})
	}
}

// How a payload is stopped is what the unit has in the end, whoever gave it.
func TestUnitStop(t *testing.T) {
	for name, c := range map[string]struct {
		set  configs.Settings
		sig  unix.Signal
		span time.Duration
	}{
		"neither":   {configs.Settings{}, unix.SIGTERM, 0},
		"settings":  {configs.Settings{StopSignal: "SIGRTMIN+3", StopTimeout: time.Minute}, 37, time.Minute},
		"by name":   {configs.Settings{StopSignal: "SIGHUP", StopTimeout: time.Minute, UnitProperties: map[string]string{"KillSignal": "10", "TimeoutStopSec": "3"}}, unix.SIGUSR1, 3 * time.Second},
		"no end":    {configs.Settings{StopTimeout: math.MaxInt64}, unix.SIGTERM, math.MaxInt64},
		"for ever":  {configs.Settings{UnitProperties: map[string]string{"TimeoutStopUSec": "18446744073709551615"}}, unix.SIGTERM, math.MaxInt64},
		"too long":  {configs.Settings{UnitProperties: map[string]string{"TimeoutStopUSec": "9223372036854776"}}, unix.SIGTERM, math.MaxInt64},
		"very long": {configs.Settings{UnitProperties: map[string]string{"TimeoutStopUSec": "9223372036854775"}}, unix.SIGTERM, 9223372036854775 * time.Microsecond},
	} {
		c.set.Name = "web"
		u, err := Plan(&specs.Spec{}, c.set)
		if sig, span := u.Stop(); err != nil || sig != c.sig || span != c.span {
			t.Errorf("%s: %v after %v, %v, want %v after %v", name, sig, span, err, c.sig, c.span)
		}
		if want := uint64(Infinity); name == "no end" && u.Get("TimeoutStopUSec") != want {
			t.Errorf("%s: TimeoutStopUSec is %v, want %d", name, u.Get("TimeoutStopUSec"), want)
		}
	}
}

// CPUs for exec are compared with those of the container, wherever it has these from.
func TestExecCPUs(t *testing.T) {
	for name, c := range map[string]struct {
		resources specs.LinuxResources
		property  string
		refused   bool
	}{
		"all there are": {}, "cpus": {specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "0,2-3"}}, "", true},
		"file of the cgroup": {specs.LinuxResources{Unified: map[string]string{"cpuset.cpus": "8"}}, "", true},
		"property":           {specs.LinuxResources{}, "[byte 1]", true}, "one of them": {specs.LinuxResources{}, "[byte 3]", false},
		"property that wins": {specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "0"}}, "[byte 2]", false}, "empty": {specs.LinuxResources{}, "[byte 0]", false},
	} {
		t.Run(name, func(t *testing.T) {
			spec := &specs.Spec{Process: &specs.Process{ExecCPUAffinity: &specs.CPUAffinity{Final: "1"}}, Linux: &specs.Linux{Resources: &c.resources}}
			set := configs.Settings{Name: "web"}
			if c.property != "" {
				set.UnitProperties = map[string]string{"AllowedCPUs": c.property}
			}
			_, err := Plan(spec, set)
			var field *configs.FieldError
			if errors.As(err, &field) != c.refused || c.refused && field.Field != "process.execCPUAffinity" {
				t.Errorf("%v; want it refused: %t", err, c.refused)
			}
		})
	}
}
