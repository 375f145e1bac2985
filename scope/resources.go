// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sdcontainer/sdcontainer/configs"
)

// resources turns linux.resources into properties and payload files. Unified
// keys name cgroup files exactly and win over the general fields.
func (p *planner) resources(r *specs.LinuxResources) {
	const at = "linux.resources."
	if r.Memory != nil {
		p.memory(at+"memory.", r.Memory)
	}
	if r.CPU != nil {
		p.cpu(at+"cpu.", r.CPU)
	}
	if r.Pids != nil && r.Pids.Limit != nil {
		p.pids(at+"pids.limit", *r.Pids.Limit)
	}
	if r.BlockIO != nil {
		p.blockIO(at+"blockIO.", r.BlockIO)
	}
	p.huge(at+"hugepageLimits", r.HugepageLimits)
	p.rdma(at+"rdma", r.Rdma)
	if r.Network != nil && (r.Network.ClassID != nil || len(r.Network.Priorities) > 0) {
		p.fail("%snetwork: cgroup v2 has no traffic classes (match the cgroup in nftables instead)", at)
	}
	p.devices(r.Devices)
	for _, key := range slices.Sorted(maps.Keys(r.Unified)) {
		p.unified(unifiedField+"."+key, key, r.Unified[key])
	}
	if burst, ok := r.Unified["cpu.max.burst"]; ok && burst != "0" {
		p.unifiedBurst(unifiedField+".cpu.max.burst", r.Unified["cpu.max"], burst)
	}
}

func (p *planner) memory(at string, m *specs.LinuxMemory) {
	limit := int64(0)
	if m.Limit != nil {
		limit = *m.Limit
	}
	if limit != 0 {
		p.set(at+"limit", "MemoryMax", unlimited(limit))
	}
	if m.Reservation != nil && *m.Reservation != 0 {
		p.set(at+"reservation", "MemoryLow", unlimited(*m.Reservation))
	}
	if m.Swap != nil && *m.Swap != 0 {
		p.swap(at+"swap", limit, *m.Swap)
	}
	if m.Swappiness != nil {
		p.fail("%sswappiness %d: cgroup v2 has none (leave it out)", at, *m.Swappiness)
	}
	if m.DisableOOMKiller != nil && *m.DisableOOMKiller {
		p.fail("%sdisableOOMKiller: cgroup v2 cannot (leave it out)", at)
	}
}

// swap is memory and swap together in OCI and swap alone in cgroup v2. Equal ones
// mean no swap at all, and that zero is sent: systemd's own default is no limit.
func (p *planner) swap(at string, limit, total int64) {
	switch {
	case total < 0:
		p.set(at, "MemorySwapMax", uint64(Infinity))
	case limit <= 0:
		p.fail("%s %d: want a memory limit too (it counts memory and swap together)", at, total)
	case total < limit:
		p.fail("%s %d: want at least the memory limit %d (it counts memory and swap together)", at, total, limit)
	default:
		p.set(at, "MemorySwapMax", uint64(total-limit))
	}
}

func unlimited(n int64) uint64 {
	if n < 0 {
		return Infinity
	}
	return uint64(n)
}

func (p *planner) cpu(at string, c *specs.LinuxCPU) {
	if c.Shares != nil && *c.Shares != 0 {
		p.set(at+"shares", "CPUWeight", weightOfShares(*c.Shares))
	}
	if c.Idle != nil && *c.Idle != 0 {
		p.idle(at+"idle", *c.Idle)
	}
	p.quota(at, c)
	if c.Cpus != "" {
		p.cpuSet(at+"cpus", "AllowedCPUs", c.Cpus)
	}
	if c.Mems != "" {
		p.cpuSet(at+"mems", "AllowedMemoryNodes", c.Mems)
	}
	if c.RealtimeRuntime != nil && *c.RealtimeRuntime != 0 || c.RealtimePeriod != nil && *c.RealtimePeriod != 0 {
		p.fail("%srealtimeRuntime, realtimePeriod: cgroup v2 has none (leave them out)", at)
	}
}

func (p *planner) idle(at string, v int64) {
	if v != 1 {
		p.wrong(at, "%d: want 0 or 1", v)
		return
	}
	p.set(at, "CPUWeight", uint64(0)) // systemd's word for the idle class
}

// weightOfShares maps 2..262144 (1024 normal) to 1..10000 (100 normal) by the curve
// that runc, crun and the runtime specification agreed on.
func weightOfShares(shares uint64) uint64 {
	switch {
	case shares <= 2:
		return 1
	case shares >= 1<<18:
		return 10000
	}
	l := math.Log2(float64(shares))
	return uint64(math.Ceil(math.Pow(10, (l*l+125*l)/612-7.0/34)))
}

const (
	defaultPeriod = 100_000 // µs, the kernel's
	minPeriod     = 1_000
	maxPeriod     = 1_000_000
	second        = 1_000_000
	quotaStep     = 10_000 // 1 % of a CPU
)

func (p *planner) quota(at string, c *specs.LinuxCPU) {
	period := uint64(0)
	if c.Period != nil {
		period = *c.Period
	}
	quota := int64(0)
	if c.Quota != nil {
		quota = *c.Quota
	}
	if period != 0 && (period < minPeriod || period > maxPeriod) {
		p.fail("%speriod %d: want %d to %d (microseconds)", at, period, minPeriod, maxPeriod)
		return
	}
	if c.Burst != nil && *c.Burst != 0 {
		p.burst(at+"burst", quota, period, *c.Burst)
		return
	}
	if quota != 0 || period != 0 {
		p.bandwidth(at+"quota", at+"period", quota, period)
	}
}

// bandwidth limits CPU time. systemd keeps whole percents in the unit's file, cut off, and reads
// that back at daemon-reload: what is finer would change then, and
// less than one percent would be no limit. So it is rounded up to whole percents here.
func (p *planner) bandwidth(at, periodAt string, quota int64, period uint64) {
	perSecond := uint64(Infinity)
	if quota > 0 {
		perSecond = wholePercent(uint64(quota), cmp.Or(period, defaultPeriod))
	}
	p.set(at, "CPUQuotaPerSecUSec", perSecond)
	if period != 0 {
		p.set(periodAt, "CPUQuotaPeriodUSec", period)
	}
}

func wholePercent(quota, period uint64) uint64 {
	if quota > math.MaxInt64/second { // no machine has that many CPUs
		return Infinity
	}
	percent := quotaStep * period
	return (quota*second + percent - 1) / percent * quotaStep
}

// burst is unknown to systemd. It has an effect only in the cgroup that
// has the quota, so both go to the payload's and the unit has no quota.
func (p *planner) burst(at string, quota int64, period, burst uint64) {
	if quota <= 0 || burst > uint64(quota) {
		p.wrong(at, "%d: want at most the quota (it is %d)", burst, quota)
		return
	}
	p.unit.Payload["cpu.max"] = fmt.Sprintf("%d %d", quota, cmp.Or(period, defaultPeriod))
	p.unit.Payload["cpu.max.burst"] = strconv.FormatUint(burst, 10)
}

func (p *planner) pids(at string, limit int64) {
	switch {
	case limit < 0:
		p.set(at, "TasksMax", uint64(Infinity))
	case limit == 0: // systemd refuses 0; with the one task there is, 1 is the same
		p.set(at, "TasksMax", uint64(1))
	default:
		p.set(at, "TasksMax", uint64(limit))
	}
}

// cpuSet turns a list such as "0-3, 8" into the mask systemd wants.
func (p *planner) cpuSet(at, name, list string) {
	parts := strings.Split(list, ",")
	for i, part := range parts {
		parts[i] = strings.TrimSpace(part)
	}
	mask, err := configs.CPUMask(strings.Join(parts, ","))
	if err != nil {
		p.wrong(at, "%q: %w", list, err)
		return
	}
	p.set(at, name, mask)
}

// huge and rdma limits are the payload cgroup's: systemd has no properties for them.
func (p *planner) huge(at string, limits []specs.LinuxHugepageLimit) {
	for _, l := range limits {
		file := "hugetlb." + l.Pagesize + ".max"
		if err := checkFile(file); err != nil || l.Pagesize == "" {
			p.fail("%s: page size %q: want a size such as 2MB", at, l.Pagesize)
			continue
		}
		value := strconv.FormatUint(l.Limit, 10)
		if l.Limit == Infinity {
			value = "max"
		}
		p.unit.Payload[file] = value
	}
}

func (p *planner) rdma(at string, limits map[string]specs.LinuxRdma) {
	var lines []string
	for _, dev := range slices.Sorted(maps.Keys(limits)) {
		if dev == "" || strings.ContainsFunc(dev, func(r rune) bool { return r <= ' ' || r == '=' }) {
			p.fail("%s: device %q: want a name such as mlx5_0", at, dev)
			continue
		}
		line := dev
		if limits[dev].HcaHandles == nil && limits[dev].HcaObjects == nil {
			p.fail("%s: device %q: want hcaHandles, hcaObjects or both", at, dev)
			continue
		}
		if n := limits[dev].HcaHandles; n != nil {
			line += fmt.Sprintf(" hca_handle=%d", *n)
		}
		if n := limits[dev].HcaObjects; n != nil {
			line += fmt.Sprintf(" hca_object=%d", *n)
		}
		lines = append(lines, line)
	}
	if len(lines) > 0 {
		p.unit.Payload["rdma.max"] = strings.Join(lines, "\n")
	}
}
