// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"maps"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/scope"
)

// ask makes of a container's Spec and settings what Update is asked for. It returns
// the properties that were asked for.
func ask(spec *specs.Spec, settings *configs.Settings, res *specs.LinuxResources, props map[string]string) (map[string]bool, error) {
	own := maps.Clone(settings.UnitProperties)
	if own == nil {
		own = map[string]string{}
	}
	asked := map[string]bool{}
	name := func(p scope.Property) {
		asked[p.Name] = true
		maps.DeleteFunc(own, func(text, v string) bool {
			o, err := scope.Parse(text, v)
			return err == nil && (o.Name == p.Name || o.Name == scope.Twin(p.Name))
		})
	}
	var sources map[string]bool
	spec.Linux.Resources, sources = overlay(spec.Linux.Resources, res)
	if len(sources) > 0 {
		settings.UnitProperties = nil // which would hide them
		plain, err := scope.Plan(spec, *settings)
		if err != nil {
			return nil, err
		}
		for _, p := range plain.Properties {
			if sources[p.Source] {
				name(p)
			}
		}
	}
	for text, v := range props {
		p, err := scope.Parse(text, v)
		if err != nil {
			return nil, err
		}
		name(p)
	}
	maps.Copy(own, props)
	settings.UnitProperties = own
	return asked, nil
}

// A layer is resources laid over others, field by field: what is not set stays, and 0
// is not set, as everywhere in a Spec. What is set wins over the file of the same meaning
// among the keys of before.
type layer struct {
	unified map[string]string
	sources map[string]bool // as scope.Property.Source has them
}

// overlay lays res over a container's resources, which it leaves alone. It
// returns where the properties come from that res is about.
func overlay(old, res *specs.LinuxResources) (*specs.LinuxResources, map[string]bool) {
	var into specs.LinuxResources
	if old != nil {
		into = *old
	}
	if res == nil {
		return &into, nil
	}
	l := &layer{unified: maps.Clone(into.Unified), sources: map[string]bool{}}
	l.memory(&into, res.Memory)
	l.cpu(&into, res.CPU)
	if res.Pids != nil && res.Pids.Limit != nil {
		into.Pids = res.Pids
		l.set("pids.limit", "pids.max")
	}
	l.blockIO(&into, res.BlockIO)
	if len(res.Devices) > 0 {
		into.Devices = res.Devices
		l.set("devices", "")
	}
	into.HugepageLimits = replaced(into.HugepageLimits, res.HugepageLimits, func(h specs.LinuxHugepageLimit) any { return h.Pagesize })
	into.Rdma = mapOver(into.Rdma, res.Rdma)
	if res.Network != nil {
		into.Network = res.Network
	}
	for key := range res.Unified {
		l.set("unified."+key, key)
	}
	into.Unified = mapOver(l.unified, res.Unified)
	return &into, l.sources
}

func (l *layer) set(source, file string) {
	l.sources["linux.resources."+source] = true
	delete(l.unified, file)
}

// put sets one field.
func put[T comparable](l *layer, source, file string, into **T, v *T) {
	var unset T
	if v != nil && *v != unset {
		*into = v
		l.set(source, file)
	}
}

func (l *layer) memory(into *specs.LinuxResources, m *specs.LinuxMemory) {
	if m == nil {
		return
	}
	all := valueOf(into.Memory)
	put(l, "memory.limit", "memory.max", &all.Limit, m.Limit)
	put(l, "memory.reservation", "memory.low", &all.Reservation, m.Reservation)
	put(l, "memory.swap", "memory.swap.max", &all.Swap, m.Swap)
	put(l, "memory.disableOOMKiller", "", &all.DisableOOMKiller, m.DisableOOMKiller)
	if m.Swappiness != nil { // an error, also 0
		all.Swappiness = m.Swappiness
	}
	into.Memory = &all
}

func (l *layer) cpu(into *specs.LinuxResources, c *specs.LinuxCPU) {
	if c == nil {
		return
	}
	all := valueOf(into.CPU)
	if c.Shares != nil && *c.Shares != 0 || c.Idle != nil {
		all.Idle = c.Idle // both are one property
		delete(l.unified, "cpu.idle")
	}
	put(l, "cpu.shares", "cpu.weight", &all.Shares, c.Shares)
	put(l, "cpu.idle", "cpu.weight", &all.Idle, c.Idle)
	put(l, "cpu.quota", "cpu.max", &all.Quota, c.Quota)
	put(l, "cpu.quota", "cpu.max", &all.Period, c.Period)
	put(l, "cpu.burst", "cpu.max.burst", &all.Burst, c.Burst)
	put(l, "cpu.realtimeRuntime", "", &all.RealtimeRuntime, c.RealtimeRuntime)
	put(l, "cpu.realtimePeriod", "", &all.RealtimePeriod, c.RealtimePeriod)
	if c.Cpus != "" {
		all.Cpus = c.Cpus
		l.set("cpu.cpus", "cpuset.cpus")
	}
	if c.Mems != "" {
		all.Mems = c.Mems
		l.set("cpu.mems", "cpuset.mems")
	}
	into.CPU = &all
}

func (l *layer) blockIO(into *specs.LinuxResources, b *specs.LinuxBlockIO) {
	if b == nil {
		return
	}
	all := valueOf(into.BlockIO)
	put(l, "blockIO.weight", "io.weight", &all.Weight, b.Weight)
	put(l, "blockIO.leafWeight", "", &all.LeafWeight, b.LeafWeight)
	if len(b.WeightDevice) > 0 {
		all.WeightDevice = replaced(all.WeightDevice, b.WeightDevice, func(d specs.LinuxWeightDevice) any { return [2]int64{d.Major, d.Minor} })
		l.set("blockIO.weightDevice", "")
	}
	for _, t := range []struct {
		name     string
		into     *[]specs.LinuxThrottleDevice
		throttle []specs.LinuxThrottleDevice
	}{
		{"throttleReadBpsDevice", &all.ThrottleReadBpsDevice, b.ThrottleReadBpsDevice},
		{"throttleWriteBpsDevice", &all.ThrottleWriteBpsDevice, b.ThrottleWriteBpsDevice},
		{"throttleReadIOPSDevice", &all.ThrottleReadIOPSDevice, b.ThrottleReadIOPSDevice},
		{"throttleWriteIOPSDevice", &all.ThrottleWriteIOPSDevice, b.ThrottleWriteIOPSDevice},
	} {
		if len(t.throttle) > 0 {
			*t.into = replaced(*t.into, t.throttle, func(d specs.LinuxThrottleDevice) any { return [2]int64{d.Major, d.Minor} })
			l.set("blockIO."+t.name, "")
		}
	}
	into.BlockIO = &all
}

func valueOf[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// replaced is a list with new entries in the place of those with the same key, as systemd
// changes its lists.
func replaced[T any](old, with []T, key func(T) any) []T {
	var all []T
	for _, o := range old {
		if !slices.ContainsFunc(with, func(n T) bool { return key(n) == key(o) }) {
			all = append(all, o)
		}
	}
	return append(all, with...)
}

func mapOver[V any](old, with map[string]V) map[string]V {
	if len(with) == 0 {
		return old
	}
	all := map[string]V{}
	maps.Copy(all, old)
	maps.Copy(all, with)
	return all
}
