// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sdcontainer/sdcontainer/configs"
)

func TestLimits(t *testing.T) {
	page := int64(pageSize)
	for name, c := range map[string]struct {
		in   specs.LinuxResources
		want []Limit
	}{
		"none": {specs.LinuxResources{}, nil},
		"memory": {specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(16*page + 1), Swap: ptr(16*page + 1), Reservation: ptr(int64(-1))}}, []Limit{
			{Property: "MemoryMax", File: "memory.max", Value: itoa(16 * page)}, {Property: "MemoryLow", File: "memory.low", Value: "max"}, {Property: "MemorySwapMax", File: "memory.swap.max", Value: "0"}}},
		"cpu": {specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: ptr(uint64(1024)), Quota: ptr(int64(150000)), Cpus: "0-2,4,6-7"}}, []Limit{
			{Property: "CPUWeight", File: "cpu.weight", Value: "100"}, {Property: "AllowedCPUs", File: "cpuset.cpus", Value: "0-2,4,6-7"}, {Property: "CPUQuotaPerSecUSec", File: "cpu.max", Value: "150000 100000"}}},
		"cpu rounded up": {specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(33333)), Period: ptr(uint64(50000))}}, []Limit{
			{Property: "CPUQuotaPerSecUSec", File: "cpu.max", Value: "33500 50000"}}},
		"no quota": {specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(-1)), Period: ptr(uint64(50000))}}, []Limit{
			{Property: "CPUQuotaPerSecUSec", File: "cpu.max", Value: "max 50000"}}},
		"idle":      {specs.LinuxResources{CPU: &specs.LinuxCPU{Idle: ptr(int64(1))}}, []Limit{{Property: "CPUWeight", File: "cpu.idle", Value: "1"}}},
		"tasks":     {specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(-1))}}, []Limit{{Property: "TasksMax", File: "pids.max", Value: "max"}}},
		"oom group": {specs.LinuxResources{Unified: map[string]string{"memory.oom.group": "1"}}, []Limit{{Property: "OOMPolicy", File: "memory.oom.group", Value: "1"}}},
		"no group":  {specs.LinuxResources{Unified: map[string]string{"memory.oom.group": "0"}}, []Limit{{Property: "OOMPolicy", File: "memory.oom.group", Value: "0"}}},
		"weights": {specs.LinuxResources{Unified: map[string]string{"io.weight": "default 300\n8:0 50"}}, []Limit{
			{Property: "IOWeight", File: "io.weight", Device: "default", Value: "300"}, {Property: "IOWeight", File: "io.bfq.weight", Device: "default", Value: "118"},
			{Property: "IODeviceWeight", File: "io.weight", Device: "/dev/block/8:0", Value: "50"},
			{Property: "IODeviceWeight", File: "io.bfq.weight", Device: "/dev/block/8:0", Value: "50"}}},
		"rates": {specs.LinuxResources{Unified: map[string]string{"io.max": "8:0 rbps=5 wbps=max riops=4294967295 wiops=4294967294"}}, []Limit{
			{Property: "IOReadBandwidthMax", File: "io.max", Device: "/dev/block/8:0", Field: "rbps", Value: "5"},
			{Property: "IOWriteBandwidthMax", File: "io.max", Device: "/dev/block/8:0", Field: "wbps", Value: "max"},
			{Property: "IOReadIOPSMax", File: "io.max", Device: "/dev/block/8:0", Field: "riops", Value: "max"},
			{Property: "IOWriteIOPSMax", File: "io.max", Device: "/dev/block/8:0", Field: "wiops", Value: "4294967294"}}},
		"latency": {specs.LinuxResources{Unified: map[string]string{"io.latency": "8:0 target=25000"}}, []Limit{
			{Property: "IODeviceLatencyTargetUSec", File: "io.latency", Device: "/dev/block/8:0", Field: "target", Value: "25000"}}},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(c.want, Limits(planOf(t, &c.in))); d != "" {
				t.Error(d)
			}
		})
	}
}

// While the machine starts another limit may count, and nobody can tell when it no longer does.
func TestLimitsOfTheStartAreLeftOut(t *testing.T) {
	u := Unit{Properties: []Property{{Name: "CPUWeight", Value: uint64(5)}, {Name: "StartupCPUWeight", Value: uint64(6)}, {Name: "TasksMax", Value: uint64(7)}}}
	if d := cmp.Diff([]Limit{{Property: "TasksMax", File: "pids.max", Value: "7"}}, Limits(u)); d != "" {
		t.Error(d)
	}
}

func itoa(n int64) string { return fileValue(Info{}, uint64(n)) }

// TestCPUMaxFile: systemd stretches a period in which the quota would be below the
// kernel's least, one millisecond.
func TestCPUMaxFile(t *testing.T) {
	for _, c := range []struct {
		perSecond, period uint64
		hasPeriod         bool
		want              string
	}{
		{500000, 0, false, "50000 100000"},
		{10000, 0, false, "1000 100000"},
		{10000, 1000, true, "1000 100000"},
		{500000, 1000, true, "1000 2000"},
		{4000000, 1000000, true, "4000000 1000000"},
		{math.MaxUint64, 0, false, "max 100000"},
		{10000, Infinity, true, "1000 100000"},
	} {
		if have := cpuMaxFile(c.perSecond, c.period, c.hasPeriod); have != c.want {
			t.Errorf("%d of %d: %s, want %s", c.perSecond, c.period, have, c.want)
		}
	}
}

func TestPayloadLimits(t *testing.T) {
	u := Unit{Payload: map[string]string{"misc.max": "sev 1", "cpu.max": "50000 100000", "cpu.max.burst": "5", "rdma.max": "mlx hca_handle=1", "io.cost": "a\nb",
		"cpu.uclamp.min": "10", "cpuset.cpus.exclusive": "0,1", "cpuset.cpus.partition": "root"}}
	want := []Limit{{Property: "payload", File: "cpu.max", Value: "50000 100000"}, {Property: "payload", File: "cpu.max.burst", Value: "5"}, {Property: "payload", File: "cpuset.cpus.partition", Value: "root"}}
	if d := cmp.Diff(want, PayloadLimits(u)); d != "" {
		t.Error(d)
	}
}

func TestFor(t *testing.T) {
	u := planOf(t, &specs.LinuxResources{Unified: map[string]string{"memory.zswap.max": "5", "memory.zswap.writeback": "0"}})
	for _, c := range []struct {
		version int
		dropped []string
	}{{252, []string{"MemoryZSwapMax", "MemoryZSwapWriteback"}}, {255, []string{"MemoryZSwapWriteback"}}, {256, nil}} {
		v, dropped, err := u.For(c.version)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, d := range dropped {
			names = append(names, d.Name)
		}
		if d := cmp.Diff(c.dropped, names); d != "" || len(v.Properties)+len(names) != len(u.Properties) {
			t.Errorf("%d: %s", c.version, d)
		}
		if v.Needs() > c.version {
			t.Errorf("%d: still needs %d", c.version, v.Needs())
		}
	}
	if u.Needs() != 256 {
		t.Errorf("needs %d, want 256", u.Needs())
	}
	u.Strict = true
	if _, _, err := u.For(252); err == nil || !strings.Contains(err.Error(), "MemoryZSwapWriteback") {
		t.Errorf("strict: error is %v", err)
	}
}

func TestChanges(t *testing.T) {
	pids := func(n int64) Unit {
		return planOf(t, &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &n}})
	}
	none := planOf(t, nil)
	changes, err := pids(5).Changes(pids(6), nil)
	if err != nil || len(changes) != 1 || changes[0].Name != "TasksMax" || changes[0].Value != uint64(6) {
		t.Errorf("changes %v, %v", changes, err)
	}
	if changes, err := pids(5).Changes(pids(5), nil); err != nil || len(changes) != 0 {
		t.Errorf("changes %v, %v; want none", changes, err)
	}
	other := none
	other.Properties = append([]Property(nil), none.Properties...)
	for i, p := range other.Properties {
		if p.Name == "Slice" {
			other.Properties[i].Value = "other.slice"
		}
	}
	if _, err := none.Changes(other, nil); err == nil || !strings.Contains(err.Error(), "Slice (slice) cannot change") {
		t.Errorf("error is %v", err)
	}
	if _, err := none.Changes(planOf(t, &specs.LinuxResources{Unified: map[string]string{"misc.max": "a 1"}}), nil); err == nil ||
		!strings.Contains(err.Error(), "misc.max needs a sub-cgroup") {
		t.Errorf("error is %v", err)
	}
}

// What is asked for by name is sent also where the record says the same; what would have to be taken back, which
// systemd cannot, is an error.
func TestChangesAskedFor(t *testing.T) {
	limited := func(props map[string]string) Unit {
		u, err := Plan(&specs.Spec{Linux: &specs.Linux{Resources: &specs.LinuxResources{
			Memory: &specs.LinuxMemory{Limit: ptr(int64(64 << 20))}, Pids: &specs.LinuxPids{Limit: ptr(int64(5))},
		}}}, configs.Settings{Name: "web", UnitProperties: props})
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	plain, share := limited(nil), limited(map[string]string{"MemoryMaxScale": "uint32 1000"})
	if share.Get("MemoryMax") != nil || share.Get("MemoryMaxScale") != uint32(1000) {
		t.Errorf("MemoryMax %v and MemoryMaxScale %v; want the last one alone", share.Get("MemoryMax"), share.Get("MemoryMaxScale"))
	}
	for what, c := range map[string]struct {
		u, next Unit
		asked   []string
		want    []string
	}{
		"equal":             {plain, plain, []string{"MemoryMax"}, []string{"MemoryMax"}},
		"not live":          {plain, plain, []string{"Slice"}, nil},
		"a share for it":    {plain, share, []string{"MemoryMaxScale"}, []string{"MemoryMaxScale"}},
		"it for a share":    {share, plain, nil, []string{"MemoryMax"}},
		"not what was left": {plain, share, []string{"TasksMax"}, []string{"TasksMax", "MemoryMaxScale"}},
	} {
		asked := map[string]bool{}
		for _, name := range c.asked {
			asked[name] = true
		}
		changes, err := c.u.Changes(c.next, asked)
		var names []string
		for _, p := range changes {
			names = append(names, p.Name)
		}
		if d := cmp.Diff(c.want, names); d != "" || err != nil {
			t.Errorf("%s: %v %s", what, err, d)
		}
	}
	sockets, others := limited(map[string]string{"SocketBindAllow": "[(2, 6, uint16 1, uint16 80)]"}), limited(map[string]string{"SocketBindAllow": "[]"})
	if _, err := sockets.Changes(others, nil); err == nil || !strings.Contains(err.Error(), "SocketBindAllow (property SocketBindAllow) cannot change") {
		t.Errorf("error is %v", err)
	}
	if changes, err := plain.Changes(sockets, nil); err != nil || len(changes) != 1 {
		t.Errorf("a first list: %v, %v", changes, err)
	}
	if _, err := plain.Changes(planOf(t, nil), nil); err == nil || !strings.Contains(err.Error(), "MemoryMax (linux.resources.memory.limit) cannot be taken back") {
		t.Errorf("error is %v", err)
	}
}
