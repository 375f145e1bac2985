// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func (c *compiler) buildMounts() {
	c.spec.Mounts = defaultMounts()
	if c.set.Profile == "system" {
		// What systemd's container interface asks for: /run and /tmp its own, and a
		// cgroup tree it may write.
		for i, m := range c.spec.Mounts {
			if m.Destination == "/sys/fs/cgroup" {
				c.spec.Mounts[i].Options = []string{"nosuid", "noexec", "nodev", "rw"}
			}
		}
		c.spec.Mounts = append(c.spec.Mounts,
			specs.Mount{Destination: "/run", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "nodev", "mode=755", "size=20%"}},
			specs.Mount{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "nodev", "mode=1777", "size=20%"}})
	}
	for i := range c.mounts {
		c.mount("mount[" + strconv.Itoa(i) + "].")
	}
	if c.set.Notify != "" && get(c, "systemd.notify", "started") == "container" {
		c.set.Notify = "container"
	}
}

// only reports the keys of a mount that do not go with its type.
func (c *compiler) only(at, typ string, allowed ...string) {
	for _, k := range []string{"source", "recursive", "idmap", "optional", "create", "propagation", "size", "mode", "lower", "upper", "work", "fstype", "read_only"} {
		if c.has(at+k) && !slices.Contains(allowed, k) {
			c.problem(at+k, "does not go with type %q", typ)
		}
	}
}

func (c *compiler) mount(at string) {
	typ := get(c, at+"type", "bind")
	m := specs.Mount{Destination: c.text(at + "target"), Options: []string{"nosuid", "nodev"}}
	if !path.IsAbs(m.Destination) || path.Clean(m.Destination) == "/" {
		if !c.wrong(at + "target") {
			c.problem(at+"target", "%q: want an absolute path below /", m.Destination)
		}
		return
	}
	ro := get(c, at+"read_only", false)
	switch typ {
	case "bind":
		c.only(at, typ, "source", "recursive", "idmap", "optional", "create", "propagation", "read_only")
		c.bind(at, &m, ro)
		ro = false
	case "tmpfs":
		c.only(at, typ, "size", "mode", "read_only")
		m.Type, m.Source = "tmpfs", "tmpfs"
		m.Options = append(m.Options, c.tmpfs(at)...)
	case "overlay":
		c.only(at, typ, "lower", "upper", "work", "read_only")
		m.Type, m.Source = "overlay", "overlay"
		m.Options = append(m.Options, c.overlay(at)...)
	case "raw":
		c.only(at, typ, "source", "fstype", "read_only")
		m.Type, m.Source = get(c, at+"fstype", ""), get(c, at+"source", get(c, at+"fstype", ""))
		if m.Type == "" {
			c.problem(at+"fstype", "missing: a raw mount needs the filesystem's name")
		}
	}
	if ro {
		m.Options = append(m.Options, "ro")
	}
	m.Options = append(m.Options, get(c, at+"options", []string(nil))...)
	c.spec.Mounts = append(c.spec.Mounts, m)
}

func (c *compiler) bind(at string, m *specs.Mount, ro bool) {
	m.Type, m.Source = "bind", c.path(at+"source")
	if m.Source == "" && !c.wrong(at+"source") {
		c.problem(at+"source", "missing: what to mount on %s", m.Destination)
	}
	recursive := get(c, at+"recursive", true)
	m.Options = append(m.Options, map[bool]string{true: "rbind", false: "bind"}[recursive], get(c, at+"propagation", "rprivate"))
	if ro {
		m.Options = append(m.Options, map[bool]string{true: "rro", false: "ro"}[recursive])
	}
	if get(c, at+"idmap", false) {
		if get(c, "userns.mode", "auto") == "none" {
			c.problem(at+"idmap", `needs a user namespace, userns.mode is "none"`)
		}
		m.Options = append(m.Options, map[bool]string{true: "ridmap", false: "idmap"}[recursive])
	}
	if get(c, at+"optional", false) {
		m.Options = append(m.Options, "x-sdc.optional")
	}
	if create := get(c, at+"create", ""); create != "" {
		kind, rest, _ := strings.Cut(create, ":")
		if kind != "dir" && kind != "file" || strings.Trim(rest, "0123456789:") != "" {
			c.problem(at+"create", `%q: want "dir", "file", "dir:MODE" or "dir:MODE:UID:GID"`, create)
		}
		m.Options = append(m.Options, "x-sdc.create="+create)
	}
}

func (c *compiler) tmpfs(at string) []string {
	opts := []string{fmt.Sprintf("mode=%04o", get(c, at+"mode", uint32(0o1777)))}
	switch size := get(c, at+"size", Size{Percent: 10}); {
	case size.Percent > 0:
		opts = append(opts, fmt.Sprintf("size=%g%%", size.Percent))
	case size.Bytes != Infinity:
		opts = append(opts, fmt.Sprintf("size=%d", size.Bytes))
	default:
		c.problem(at+"size", "infinity: want a limit")
	}
	return opts
}

func (c *compiler) overlay(at string) []string {
	var opts []string
	for _, dir := range get(c, at+"lower", []string(nil)) {
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(c.dir, dir)
		}
		opts = append(opts, "lowerdir+="+dir)
	}
	if opts == nil {
		c.problem(at+"lower", "missing: an overlay needs lower directories")
	}
	if c.has(at+"upper") != c.has(at+"work") {
		c.problem(at+"upper", "upper and work go together")
	}
	if c.has(at + "upper") {
		opts = append(opts, "upperdir="+c.path(at+"upper"), "workdir="+c.path(at+"work"))
	}
	return opts
}

func (c *compiler) buildDevices() {
	policy := get(c, "security.device_policy", "closed")
	r := &specs.LinuxResources{Devices: deviceCgroup(policy)}
	c.spec.Linux.Resources = r
	for i := range c.devices {
		at := "device[" + strconv.Itoa(i) + "]."
		file := c.text(at + "path")
		if file == "" {
			c.problem(at+"path", "missing: the device's path on the host")
			continue
		}
		d, err := deviceOf(file)
		if err != nil {
			c.problem(at+"path", "%q: %s", file, reason(err))
			continue
		}
		access := get(c, at+"access", "rw")
		r.Devices = append(r.Devices, specs.LinuxDeviceCgroup{Allow: true, Type: d.Type, Major: &d.Major, Minor: &d.Minor, Access: access})
		if t := get(c, at+"target", ""); t != "" {
			if !path.IsAbs(t) {
				c.problem(at+"target", "%q: want an absolute path", t)
			}
			d.Path = t
		}
		c.spec.Linux.Devices = append(c.spec.Linux.Devices, *d)
	}
}

func (c *compiler) buildSecurity() {
	l := c.spec.Linux
	shown := get(c, "security.unmask", []string(nil))
	keep := func(list, more []string) []string {
		out := slices.DeleteFunc(slices.Concat(list, more), func(p string) bool { return slices.Contains(shown, p) })
		slices.Sort(out)
		return slices.Compact(out)
	}
	for _, k := range []string{"security.mask", "security.unmask", "security.read_only_paths"} {
		for _, p := range get(c, k, []string(nil)) {
			if !path.IsAbs(p) || path.Clean(p) != p {
				c.problem(k, "%q: want a clean absolute path", p)
			}
		}
	}
	l.MaskedPaths = keep(maskedPaths, get(c, "security.mask", []string(nil)))
	l.ReadonlyPaths = keep(readonlyPaths, get(c, "security.read_only_paths", []string(nil)))
	l.Sysctl = get(c, "security.sysctl", map[string]string(nil))
	c.set.Seccomp = get(c, "security.seccomp", "default")
	if c.set.Seccomp == "default" || c.set.Seccomp == "unconfined" {
		return
	}
	file := c.path("security.seccomp")
	c.set.Seccomp = ""
	b, err := os.ReadFile(file)
	if err == nil {
		l.Seccomp = &specs.LinuxSeccomp{}
		err = json.Unmarshal(b, l.Seccomp)
	}
	if err != nil {
		c.problem("security.seccomp", `%s: %s (want "default", "unconfined" or a file with an OCI seccomp profile)`, file, reason(err))
	}
}

func (c *compiler) buildCapabilities() {
	p := "capabilities."
	sets := &specs.LinuxCapabilities{}
	explicit := []struct {
		key string
		set *[]string
	}{{"bounding", &sets.Bounding}, {"effective", &sets.Effective}, {"permitted", &sets.Permitted}, {"inheritable", &sets.Inheritable}}
	for _, e := range explicit {
		if c.has(p + e.key) {
			for _, k := range []string{"preset", "add", "drop"} {
				if c.has(p + k) {
					c.problem(p+k, "does not go with capabilities.%s, which gives the set itself", e.key)
				}
			}
		}
	}
	list := c.presetCapabilities()
	for _, name := range c.capNames(p + "add") {
		if !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	drop := c.capNames(p + "drop")
	list = slices.DeleteFunc(list, func(n string) bool { return slices.Contains(drop, n) })
	slices.Sort(list)
	sets.Bounding, sets.Permitted, sets.Effective = list, list, list
	for _, e := range explicit {
		if c.has(p + e.key) {
			*e.set = c.capNames(p + e.key)
		}
	}
	sets.Ambient = c.capNames(p + "ambient")
	if len(sets.Ambient) > 0 && !c.has(p+"inheritable") {
		sets.Inheritable = sets.Ambient // ambient must be inheritable (capabilities(7))
	}
	c.spec.Process.Capabilities = sets
}

func (c *compiler) presetCapabilities() []string {
	switch preset := get(c, "capabilities.preset", "default"); {
	case preset == "all":
		return slices.Clone(capabilityNames)
	case preset == "none":
		return nil
	case c.set.Profile == "system":
		return slices.Clone(systemCapabilities)
	case isRoot(c.spec.Process.User):
		return slices.Clone(appCapabilities)
	}
	return nil
}

func (c *compiler) capNames(path string) []string {
	var out []string
	for _, n := range get(c, path, []string(nil)) {
		full := "CAP_" + strings.TrimPrefix(strings.ToUpper(n), "CAP_")
		if !slices.Contains(capabilityNames, full) {
			hint := ""
			if near := nearest(full, slices.Clone(capabilityNames)); near != "" {
				hint = "; did you mean " + near + "?"
			}
			c.problem(path, "%q: no such capability%s", n, hint)
			continue
		}
		out = append(out, full)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

var capabilityNames = strings.Fields(`CAP_AUDIT_CONTROL CAP_AUDIT_READ CAP_AUDIT_WRITE CAP_BLOCK_SUSPEND CAP_BPF
	CAP_CHECKPOINT_RESTORE CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_IPC_LOCK CAP_IPC_OWNER
	CAP_KILL CAP_LEASE CAP_LINUX_IMMUTABLE CAP_MAC_ADMIN CAP_MAC_OVERRIDE CAP_MKNOD CAP_NET_ADMIN CAP_NET_BIND_SERVICE
	CAP_NET_BROADCAST CAP_NET_RAW CAP_PERFMON CAP_SETFCAP CAP_SETGID CAP_SETPCAP CAP_SETUID CAP_SYSLOG CAP_SYS_ADMIN
	CAP_SYS_BOOT CAP_SYS_CHROOT CAP_SYS_MODULE CAP_SYS_NICE CAP_SYS_PACCT CAP_SYS_PTRACE CAP_SYS_RAWIO CAP_SYS_RESOURCE
	CAP_SYS_TIME CAP_SYS_TTY_CONFIG CAP_WAKE_ALARM`)

func (c *compiler) buildResources() {
	r := c.spec.Linux.Resources
	c.buildTasks(r)
	c.buildMemory(r)
	c.buildCPU(r)
	c.buildIO()
	for key, prop := range map[string]string{"network.allow": "IPAddressAllow", "network.deny": "IPAddressDeny"} {
		if nets := get(c, key, []netip.Prefix(nil)); nets != nil {
			c.property(prop, addressVariant(nets))
		}
	}
	for key, prop := range map[string]string{
		"resources.memory.oom_policy": "OOMPolicy", "security.device_policy": "DevicePolicy",
		"resources.memory.managed_oom_pressure": "ManagedOOMMemoryPressure", "resources.memory.managed_oom_swap": "ManagedOOMSwap",
	} {
		if v := get(c, key, ""); v != "" {
			c.property(prop, variantString(v))
		}
	}
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
func scaled(p float64) string { return fmt.Sprintf("uint32 %d", uint32(p/100*(1<<32-1))) }

func (c *compiler) buildTasks(r *specs.LinuxResources) {
	n := get(c, "resources.tasks", Size{Bytes: defaultTasks})
	if n.Percent > 0 {
		c.property("TasksMaxScale", scaled(n.Percent))
		return
	}
	limit := int64(n.Bytes)
	if n.Bytes == Infinity {
		limit = -1
	}
	r.Pids = &specs.LinuxPids{Limit: &limit}
}

func (c *compiler) buildMemory(r *specs.LinuxResources) {
	p := "resources.memory."
	for _, m := range []struct{ key, file, property string }{
		{"max", "memory.max", "MemoryMax"}, {"high", "memory.high", "MemoryHigh"}, {"low", "memory.low", "MemoryLow"},
		{"min", "memory.min", "MemoryMin"}, {"swap_max", "memory.swap.max", "MemorySwapMax"}, {"zswap_max", "memory.zswap.max", "MemoryZSwapMax"},
	} {
		if !c.has(p + m.key) {
			continue
		}
		size := get(c, p+m.key, Size{})
		switch {
		case size.Percent > 0 && m.key == "zswap_max":
			c.problem(p+m.key, "want bytes, not a share")
		case size.Percent > 0:
			c.property(m.property+"Scale", scaled(size.Percent))
		case m.key == "max" && size.Bytes != Infinity:
			limit := int64(size.Bytes)
			r.Memory = &specs.LinuxMemory{Limit: &limit}
		default:
			if r.Unified == nil {
				r.Unified = map[string]string{}
			}
			r.Unified[m.file] = count(size.Bytes)
		}
	}
	low, high, limit := get(c, p+"low", Size{}), get(c, p+"high", Size{}), get(c, p+"max", Size{})
	if high.Bytes > 0 && limit.Bytes > 0 && high.Bytes != Infinity && high.Bytes > limit.Bytes {
		c.problem(p+"high", "is above resources.memory.max and would never take effect")
	}
	if low.Bytes > 0 && limit.Bytes > 0 && low.Bytes > limit.Bytes {
		c.problem(p+"low", "is above resources.memory.max")
	}
}

func count(n uint64) string {
	if n == Infinity {
		return "max"
	}
	return strconv.FormatUint(n, 10)
}

func (c *compiler) buildCPU(r *specs.LinuxResources) {
	p := "resources.cpu."
	cpu := specs.LinuxCPU{Cpus: get(c, p+"cpus", ""), Mems: get(c, p+"mems", "")}
	if c.has(p + "quota") {
		period := get(c, p+"period", maxSpan)
		if period == maxSpan {
			period = 100e6
		}
		us := uint64(period.Microseconds())
		if us < 1000 || us > 1e6 {
			c.problem(p+"period", "want 1ms to 1s")
		}
		quota := int64(-1)
		if perSec := get(c, p+"quota", uint64(Infinity)); perSec != Infinity {
			quota = int64(perSec * us / 1e6)
		}
		cpu.Quota, cpu.Period = &quota, &us
	} else if c.has(p + "period") {
		c.problem(p+"period", "goes with resources.cpu.quota")
	}
	if cpu != (specs.LinuxCPU{}) {
		r.CPU = &cpu
	}
	if c.has(p + "weight") {
		c.property("CPUWeight", fmt.Sprintf("uint64 %d", get(c, p+"weight", uint64(100))))
	}
}

func (c *compiler) buildIO() {
	p := "resources.io."
	if c.has(p + "weight") {
		c.property("IOWeight", fmt.Sprintf("uint64 %d", get(c, p+"weight", uint64(100))))
	}
	for _, k := range []struct {
		key, property string
		parse         func(string) (uint64, error)
		want          string
	}{
		{"read_bps", "IOReadBandwidthMax", bytesOf, wantSize}, {"write_bps", "IOWriteBandwidthMax", bytesOf, wantSize},
		{"read_iops", "IOReadIOPSMax", operations, "a number"}, {"write_iops", "IOWriteIOPSMax", operations, "a number"},
		{"latency", "IODeviceLatencyTargetUSec", microseconds, wantSpan},
	} {
		var items []string
		table := get(c, p+k.key, map[string]string(nil))
		for dev, text := range table {
			n, err := k.parse(text)
			if err != nil || !path.IsAbs(dev) {
				c.problem(join(p+k.key, dev), `%q: want { "/dev/NAME" = %s }`, text, k.want)
				continue
			}
			items = append(items, fmt.Sprintf("(%s, %d)", variantString(dev), n))
		}
		if items != nil {
			slices.Sort(items)
			c.property(k.property, "["+strings.Join(items, ", ")+"]")
		}
	}
}

func operations(s string) (uint64, error) { return strconv.ParseUint(s, 10, 63) }

func microseconds(s string) (uint64, error) {
	d, ok := spanOf(s)
	if !ok || d == maxSpan {
		return 0, errNoDevice
	}
	return uint64(d.Microseconds()), nil
}
