// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"fmt"
	"math"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func (c *compiler) buildResources() {
	r := c.spec.Linux.Resources
	c.buildTasks(r)
	c.buildMemory(r)
	c.buildManagedOOM()
	c.buildCPU(r)
	c.buildIO()
	for _, k := range []struct{ key, property string }{{"network.allow", "IPAddressAllow"}, {"network.deny", "IPAddressDeny"}} {
		if nets := get(c, k.key, []netip.Prefix(nil)); len(nets) > 0 {
			c.property(k.key, k.property, addressVariant(nets))
		}
	}
	for _, size := range sortedKeys(c.table("resources.hugepages")) {
		switch n, err := bytesOf(size); {
		case err != nil || n < 1<<10:
			c.problem(join("resources.hugepages", size), `want the size of a huge page for a name, like "2MB"`)
		case size != HugePage(n):
			c.problem(join("resources.hugepages", size), "the kernel has another name for pages of this size: want %q", HugePage(n))
		}
		limit := c.table("resources.hugepages")[size].(uint64)
		r.HugepageLimits = append(r.HugepageLimits, specs.LinuxHugepageLimit{Pagesize: size, Limit: limit})
	}
	for _, file := range sortedKeys(c.table("resources.unified")) {
		at := join("resources.unified", file)
		controller, _, ok := strings.Cut(file, ".")
		if !ok || controller == "cgroup" || strings.ContainsAny(file, "/ \n\x00") {
			c.problem(at, "want a file of a cgroup v2 controller, like memory.high (those of cgroup.* steer the tree itself)")
		}
		unified(r, file, c.table("resources.unified")[file].(string))
		c.keysOf("linux.resources.unified."+file, shown(at))
	}
}

// HugePage is how the kernel names huge pages of a size in the files of cgroups.
func HugePage(size uint64) string {
	switch {
	case size >= 1<<30:
		return fmt.Sprintf("%dGB", size>>30)
	case size >= 1<<20:
		return fmt.Sprintf("%dMB", size>>20)
	}
	return fmt.Sprintf("%dKB", size>>10)
}

// unified sets a limit for which OCI has no field of its own, by its cgroup v2 file.
func unified(r *specs.LinuxResources, file, value string) {
	if r.Unified == nil {
		r.Unified = map[string]string{}
	}
	r.Unified[file] = value
}

// addressVariant writes networks as systemd's a(iayu): family, bytes, prefix length.
func addressVariant(nets []netip.Prefix) string {
	items := make([]string, len(nets))
	for i, n := range nets {
		family := 2
		if n.Addr().Is6() {
			family = 10
		}
		bytes := make([]string, 0, 16)
		for _, b := range n.Addr().AsSlice() {
			bytes = append(bytes, fmt.Sprintf("0x%02x", b))
		}
		items[i] = fmt.Sprintf("(%d, [%s], %d)", family, strings.Join(bytes, ", "), n.Bits())
	}
	return "[" + strings.Join(items, ", ") + "]"
}

// scaled is a share as systemd's ...Scale properties have it.
func scaled(p float64) string { return fmt.Sprintf("uint32 %d", Size{Percent: p}.Scale()) }

func (c *compiler) buildTasks(r *specs.LinuxResources) {
	n := get(c, "resources.tasks", Size{Bytes: Defaults(c.set.Profile).Tasks})
	if n.Percent > 0 {
		c.property("resources.tasks", "TasksMaxScale", scaled(n.Percent))
		return
	}
	limit := int64(n.Bytes)
	if n.Bytes == Infinity {
		limit = -1
	}
	r.Pids = &specs.LinuxPids{Limit: &limit}
}

func (c *compiler) buildMemory(r *specs.LinuxResources) {
	const p = "resources.memory."
	for _, m := range []struct{ key, file, property string }{
		{"max", "memory.max", "MemoryMax"}, {"high", "memory.high", "MemoryHigh"}, {"low", "memory.low", "MemoryLow"},
		{"min", "memory.min", "MemoryMin"}, {"swap_max", "memory.swap.max", "MemorySwapMax"},
	} {
		size := get(c, p+m.key, Size{})
		switch {
		case !c.has(p + m.key):
		case size.Percent > 0:
			c.property(p+m.key, m.property+"Scale", scaled(size.Percent))
		case m.key == "max" && size.Bytes == 0:
			c.problem(p+m.key, "0: no process can run without memory")
		case m.key == "high" && size.Bytes == 0:
			c.problem(p+m.key, "0: systemd wants more than 0")
		case m.key == "max" && size.Bytes != Infinity:
			limit := int64(size.Bytes)
			r.Memory = &specs.LinuxMemory{Limit: &limit}
		default:
			unified(r, m.file, limitText(size.Bytes))
		}
	}
	if c.has(p + "zswap_max") {
		unified(r, "memory.zswap.max", limitText(get(c, p+"zswap_max", uint64(0))))
	}
	c.ordered("High", "it would never take effect")
	c.ordered("Low", "it could never be used up")
	c.ordered("Min", "it could never be used up")
	policy := get(c, p+"oom_policy", Defaults(c.set.Profile).OOMPolicy)
	if _, other := c.table("resources.unified")["memory.oom.group"]; other && !c.has(p+"oom_policy") {
		policy = "" // a default does not win over what says the same in another way
	}
	if policy != "" {
		c.property(p+"oom_policy", "OOMPolicy", variantString(policy))
	}
}

// ordered reports a limit of memory above the maximum, when both are known and of the same kind.
func (c *compiler) ordered(name, why string) {
	below, a, ok1 := c.memoryLimit(name)
	above, b, ok2 := c.memoryLimit("Max")
	sameKind := (a.Percent > 0) == (b.Percent > 0)
	if ok1 && ok2 && sameKind && (a.Percent > b.Percent || a.Bytes > b.Bytes && a.Bytes != Infinity) {
		c.problem(below, "%s: is above %s, which is %s: %s", c.written(below), shown(above), c.written(above), why)
	}
}

// memoryLimit is a limit of memory by the last word of its property, and where it is: it may be given as its file, as
// a property and as a directive, too.
func (c *compiler) memoryLimit(name string) (at string, limit Size, ok bool) {
	file := "memory." + strings.ToLower(name)
	if at = "resources." + file; c.has(at) {
		return at, get(c, at, Size{}), !c.wrong(at)
	}
	for _, in := range []struct {
		table, entry string
		read         func(any) (Size, bool)
	}{
		{"resources.unified", file, sizeOfFile}, {"systemd.scope", "Memory" + name, sizeOfProperty},
		{"systemd.scope", "Memory" + name + "Scale", shareOfProperty}, {"systemd.service", "Memory" + name, sizeOfDirective},
	} {
		if v, has := c.table(in.table)[in.entry]; has {
			at = join(in.table, in.entry)
			limit, ok = in.read(v)
			return at, limit, ok && !c.wrong(at)
		}
	}
	return "", Size{}, false
}

func sizeOfFile(v any) (Size, bool) {
	text, _ := v.(string)
	if text = strings.TrimSpace(text); text == "max" {
		return Size{Bytes: Infinity}, true
	}
	n, err := strconv.ParseUint(text, 10, 63)
	return Size{Bytes: n}, err == nil
}

func sizeOfProperty(v any) (Size, bool) {
	text, _ := v.(string)
	n, err := strconv.ParseUint(strings.TrimPrefix(text, "uint64 "), 0, 64)
	return Size{Bytes: n}, err == nil
}

func shareOfProperty(v any) (Size, bool) {
	text, _ := v.(string)
	n, err := strconv.ParseUint(strings.TrimPrefix(text, "uint32 "), 0, 32)
	return Size{Percent: float64(n) * 100 / math.MaxUint32}, err == nil && n > 0
}

// sizeOfDirective is what the last value of a directive says.
func sizeOfDirective(v any) (Size, bool) {
	values, _ := v.([]string)
	if len(values) == 0 {
		return Size{}, false
	}
	text := values[len(values)-1]
	size, err := parseSize(text)
	if err != nil || strings.HasSuffix(text, "B") { // which is no size for systemd
		return Size{}, false
	}
	return size.(Size), true
}

func (c *compiler) buildManagedOOM() {
	const p = "resources.memory.managed_oom_"
	for _, m := range []struct{ key, property string }{
		{"pressure", "ManagedOOMMemoryPressure"}, {"swap", "ManagedOOMSwap"}, {"preference", "ManagedOOMPreference"},
	} {
		if v := get(c, p+m.key, ""); v != "" {
			c.property(p+m.key, m.property, variantString(v))
		}
	}
	if c.has(p + "pressure_limit") {
		c.property(p+"pressure_limit", "ManagedOOMMemoryPressureLimit", scaled(get(c, p+"pressure_limit", 0.0)))
		if get(c, p+"pressure", "") != "kill" {
			c.also(p+"pressure_limit", p+"pressure", `managed_oom_pressure = "kill"`)
		}
	}
}

// limitText is a limit as cgroup files have it.
func limitText(n uint64) string {
	if n == Infinity {
		return "max"
	}
	return strconv.FormatUint(n, 10)
}

func (c *compiler) buildCPU(r *specs.LinuxResources) {
	const p = "resources.cpu."
	cpu := specs.LinuxCPU{Cpus: get(c, p+"cpus", ""), Mems: get(c, p+"mems", "")}
	c.quota(&cpu)
	switch weight := get(c, p+"weight", uint64(0)); {
	case !c.has(p + "weight"):
	case weight == idleWeight:
		one := int64(1)
		cpu.Idle = &one
	default:
		unified(r, "cpu.weight", strconv.FormatUint(weight, 10))
	}
	if cpu != (specs.LinuxCPU{}) {
		r.CPU = &cpu
	}
}

const defaultPeriod = 100 * time.Millisecond

func (c *compiler) quota(cpu *specs.LinuxCPU) {
	const p = "resources.cpu."
	perSec := get(c, p+"quota", uint64(Infinity))
	if perSec == Infinity {
		c.also(p+"period", p+"quota", "a resources.cpu.quota")
		c.also(p+"burst", p+"quota", "a resources.cpu.quota")
		return
	}
	if c.wrong(p + "period") { // what comes to how much in it is unknown
		return
	}
	if c.has(p + "period") {
		c.keysOf("linux."+p+"period", p+"period")
	}
	d := get(c, p+"period", defaultPeriod)
	if d < time.Millisecond || d > time.Second {
		c.problem(p+"period", "%s: want 1ms to 1s", c.written(p+"period"))
		return
	}
	period := uint64(d.Microseconds())
	quota := int64(perSec * period / 1e6)
	cpu.Quota, cpu.Period = &quota, &period
	if quota < 1000 {
		c.problem(p+"quota", "%s: comes to %d µs in %v: the kernel wants at least 1000 (use a longer resources.cpu.period)", c.written(p+"quota"), quota, d)
	}
	if burst := get(c, p+"burst", time.Duration(0)); burst > 0 {
		us := uint64(burst.Microseconds())
		if us > uint64(quota) {
			c.problem(p+"burst", "%s: want at most the quota of one period, %v", c.written(p+"burst"), time.Duration(quota)*time.Microsecond)
		}
		cpu.Burst = &us
	}
}

// ioLimits are the limits that are given by device: the key, the property, the directive of unit files, and in io.max the field.
var ioLimits = []struct{ key, property, directive, field string }{
	{"read_bps", "IOReadBandwidthMax", "IOReadBandwidthMax", "rbps="}, {"write_bps", "IOWriteBandwidthMax", "IOWriteBandwidthMax", "wbps="},
	{"read_iops", "IOReadIOPSMax", "IOReadIOPSMax", "riops="}, {"write_iops", "IOWriteIOPSMax", "IOWriteIOPSMax", "wiops="},
	{"latency", "IODeviceLatencyTargetUSec", "IODeviceLatencyTargetSec", ""},
}

func (c *compiler) buildIO() {
	const p = "resources.io."
	if c.has(p + "weight") {
		unified(c.spec.Linux.Resources, "io.weight", fmt.Sprintf("default %d", get(c, p+"weight", uint64(0))))
	}
	for _, k := range ioLimits {
		var items, seen []string
		for _, name := range sortedKeys(c.table(p + k.key)) {
			at := join(p+k.key, name)
			dev := c.expanded(at, name)
			switch {
			case c.wrong(at):
			case !path.IsAbs(dev):
				c.problem(at, `want the absolute path of a device, or of a file on it: { "/dev/sda" = ... }`)
			case dev != path.Clean(dev):
				c.problem(at, "want the path in its shortest form: %s", path.Clean(dev))
			case slices.Contains(seen, dev):
				c.problem(at, "%q has a limit here already", dev)
			}
			seen = append(seen, dev)
			items = append(items, fmt.Sprintf("(%s, %d)", variantString(dev), c.ioLimit(at, c.table(p + k.key)[name])))
		}
		if items != nil {
			c.property(p+k.key, k.property, "["+strings.Join(items, ", ")+"]")
		}
	}
}

// ioLimit is a parsed limit as the properties have it.
func (c *compiler) ioLimit(at string, v any) uint64 {
	switch v := v.(type) {
	case time.Duration:
		if v == maxSpan || v <= 0 {
			c.problem(at, `want a time like "25ms"`)
		}
		return uint64(v.Microseconds())
	case int64:
		return uint64(v)
	}
	n, _ := v.(uint64) // tables of rates hold nothing else
	return n
}
