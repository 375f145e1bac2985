// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

var errNoDevice = errors.New("not a device")

// build makes the Spec out of the parsed values.
func (c *compiler) build() {
	name := get(c, "name", strings.TrimSuffix(filepath.Base(c.file), ".toml"))
	c.expand = specifiers(name)
	c.set = DefaultSettings()
	c.set.Name, c.set.Source = name, c.source()
	c.set.Description = c.text("description")
	c.set.Profile = get(c, "security.profile", "app")
	c.spec = &specs.Spec{
		Version: specs.Version, Hostname: c.hostname(name), Domainname: c.text("network.domainname"),
		Root: &specs.Root{}, Process: &specs.Process{}, Linux: &specs.Linux{},
	}
	c.buildRoot()
	c.buildProcess()
	c.buildCapabilities()
	c.buildNamespaces()
	c.buildMounts()
	c.buildDevices()
	c.buildSecurity()
	c.buildResources()
	c.buildUnit()
	c.buildLog()
	c.set.fill()
	c.set.Annotate(c.spec)
}

func (c *compiler) source() string {
	if c.dir == "/" && !strings.HasSuffix(c.file, ".toml") {
		return ""
	}
	return c.file
}

// hostname is the container's name, cut to what the kernel takes, unless given.
func (c *compiler) hostname(name string) string {
	h := c.text("network.hostname")
	if h == "" && get(c, "namespaces.uts", "private") == "private" {
		h = name
	}
	if len(h) > 64 {
		c.problem("network.hostname", "%q: want at most 64 bytes", h)
	}
	return h
}

// text is a string key with its specifiers expanded.
func (c *compiler) text(path string) string {
	s, err := c.expand(get(c, path, ""))
	if err != nil {
		c.problem(path, "%v", err)
	}
	return s
}

// file is a path key: expanded, and relative to the configuration's directory.
func (c *compiler) path(path string) string {
	s := c.text(path)
	if s == "" || filepath.IsAbs(s) {
		return s
	}
	return filepath.Join(c.dir, s)
}

func (c *compiler) buildRoot() {
	if !c.has("rootfs.path") {
		if !c.wrong("rootfs.path") {
			c.problem("rootfs.path", "missing: the directory with the container's files")
		}
		return
	}
	c.spec.Root.Path = filepath.Clean(c.path("rootfs.path"))
	c.spec.Root.Readonly = get(c, "rootfs.read_only", false)
	c.spec.Linux.RootfsPropagation = get(c, "rootfs.propagation", "")
}

// wrong says whether a problem with that key is known already: a missing value
// must not be reported twice.
func (c *compiler) wrong(path string) bool {
	return slices.ContainsFunc(c.problems, func(p Problem) bool { return p.Key == plain(path) })
}

func (c *compiler) buildProcess() {
	p := c.spec.Process
	p.Args = get(c, "process.args", []string(nil))
	for i := range p.Args {
		var err error
		if p.Args[i], err = c.expand(p.Args[i]); err != nil {
			c.problem("process.args", "%v", err)
		}
	}
	if (len(p.Args) == 0 || p.Args[0] == "") && !c.wrong("process.args") {
		c.problem("process.args", `missing: the command, like ["/bin/sh"]`)
	}
	p.Cwd = get(c, "process.cwd", "/")
	if !filepath.IsAbs(p.Cwd) {
		c.problem("process.cwd", "%q: want an absolute path", p.Cwd)
	}
	p.User = c.user()
	umask := get(c, "process.umask", uint32(0o022))
	p.User.Umask = &umask
	p.User.AdditionalGids = get(c, "process.groups", []uint32(nil))
	p.Terminal = get(c, "process.terminal", false)
	p.NoNewPrivileges = get(c, "process.no_new_privileges", true)
	if c.has("process.oom_score_adj") {
		n := int(get(c, "process.oom_score_adj", int64(0)))
		p.OOMScoreAdj = &n
	}
	p.Env = c.environment()
	p.Rlimits = c.rlimits()
	c.schedule(p)
	c.set.Init = get(c, "process.init", false)
	c.set.ParentDeathSignal = get(c, "process.parent_death_signal", "")
	c.set.StopSignal = get(c, "process.stop_signal", map[bool]string{true: "SIGRTMIN+3"}[c.set.Profile == "system"])
}

// user understands numbers; names wait for the container's files.
func (c *compiler) user() specs.User {
	text := get(c, "process.user", "0")
	name, group, hasGroup := strings.Cut(text, ":")
	if name == "" || hasGroup && group == "" || strings.ContainsAny(text, " \t\n/") || strings.Count(text, ":") > 1 {
		c.problem("process.user", `%q: want NAME, UID, NAME:GROUP or UID:GID`, text)
		return specs.User{}
	}
	uid, err1 := strconv.ParseUint(name, 10, 32)
	gid, err2 := strconv.ParseUint(group, 10, 32)
	for _, n := range []string{name, group} {
		if n != "" && strings.Trim(n, "0123456789") == "" {
			if id, err := strconv.ParseUint(n, 10, 32); err != nil || id == 1<<32-1 {
				c.problem("process.user", "%q: want ids up to 4294967294", text)
			}
		}
	}
	if err1 == nil && !hasGroup && uid == 0 {
		return specs.User{}
	}
	if err1 == nil && err2 == nil {
		return specs.User{UID: uint32(uid), GID: uint32(gid)}
	}
	return specs.User{Username: text}
}

// isRoot says whether the payload begins as root in the container.
func isRoot(u specs.User) bool {
	if u.Username == "" {
		return u.UID == 0
	}
	name, _, _ := strings.Cut(u.Username, ":")
	return name == "root" || strings.Trim(name, "0") == ""
}

func (c *compiler) environment() []string {
	env := map[string]string{}
	for _, f := range get(c, "process.env_files", []string(nil)) {
		c.envFile(f, env)
	}
	for _, name := range get(c, "process.env_pass", []string(nil)) {
		if v, ok := c.o.Env(name); ok {
			env[name] = v
		}
	}
	for k, v := range get(c, "process.env", map[string]string(nil)) {
		if k == "" || strings.ContainsAny(k, "=\x00") {
			c.problem("process.env", "%q: want a name without '='", k)
			continue
		}
		s, err := c.expand(v)
		if err != nil {
			c.problem(join("process.env", k), "%v", err)
		}
		env[k] = s
	}
	var list []string
	for _, k := range slices.Sorted(maps.Keys(env)) {
		list = append(list, k+"="+env[k])
	}
	return list
}

func (c *compiler) envFile(name string, env map[string]string) {
	name, optional := strings.CutPrefix(name, "-")
	if !filepath.IsAbs(name) {
		name = filepath.Join(c.dir, name)
	}
	b, err := os.ReadFile(name)
	if optional && errors.Is(err, os.ErrNotExist) {
		return
	}
	if err != nil {
		c.problem("process.env_files", "%s: %s (a leading - makes it optional)", name, reason(err))
		return
	}
	n := 0
	for line := range strings.Lines(string(b)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		k, v, ok := strings.Cut(line, "=")
		if !ok || k == "" || strings.ContainsAny(line, "\x00") {
			c.problem("process.env_files", "%s:%d: want NAME=VALUE", name, n)
			continue
		}
		env[k] = strings.Trim(v, `"`)
	}
}

func (c *compiler) rlimits() []specs.POSIXRlimit {
	list := slices.Clone(defaultRlimits)
	for name, text := range get(c, "process.rlimits", map[string]string(nil)) {
		typ := "RLIMIT_" + strings.ToUpper(strings.TrimPrefix(strings.ToLower(name), "rlimit_"))
		soft, hard, two := strings.Cut(text, ":")
		if !two {
			hard = soft
		}
		s, err1 := rlimit(soft)
		h, err2 := rlimit(hard)
		if err1 != nil || err2 != nil || s > h {
			c.problem(join("process.rlimits", name), `%q: want a number, "infinity" or "SOFT:HARD" with SOFT at most HARD`, text)
			continue
		}
		if !slices.Contains(rlimitNames, typ) {
			c.problem(join("process.rlimits", name), "unknown limit: want one of %s", strings.ToLower(strings.ReplaceAll(strings.Join(rlimitNames, ", "), "RLIMIT_", "")))
			continue
		}
		list = slices.DeleteFunc(list, func(r specs.POSIXRlimit) bool { return r.Type == typ })
		list = append(list, specs.POSIXRlimit{Type: typ, Soft: s, Hard: h})
	}
	slices.SortFunc(list, func(a, b specs.POSIXRlimit) int { return strings.Compare(a.Type, b.Type) })
	return list
}

var rlimitNames = []string{"RLIMIT_AS", "RLIMIT_CORE", "RLIMIT_CPU", "RLIMIT_DATA", "RLIMIT_FSIZE", "RLIMIT_LOCKS",
	"RLIMIT_MEMLOCK", "RLIMIT_MSGQUEUE", "RLIMIT_NICE", "RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_RSS", "RLIMIT_RTPRIO",
	"RLIMIT_RTTIME", "RLIMIT_SIGPENDING", "RLIMIT_STACK"}

func rlimit(s string) (uint64, error) {
	if s == "infinity" || s == "unlimited" {
		return infinite, nil
	}
	return strconv.ParseUint(s, 10, 64)
}

// schedule understands scheduler, nice and io_class.
func (c *compiler) schedule(p *specs.Process) {
	if c.has("process.scheduler") || c.has("process.nice") {
		text := get(c, "process.scheduler", "other")
		policy, prio, hasPrio := strings.Cut(text, ":")
		s := &specs.Scheduler{Policy: specs.LinuxSchedulerPolicy("SCHED_" + strings.ToUpper(policy)), Nice: int32(get(c, "process.nice", int64(0)))}
		realtime := policy == "fifo" || policy == "rr"
		n, err := strconv.ParseInt(prio, 10, 32)
		s.Priority = int32(n)
		if !slices.Contains([]string{"other", "batch", "idle", "fifo", "rr"}, policy) || realtime != hasPrio || realtime && (err != nil || n < 1 || n > 99) {
			c.problem("process.scheduler", `%q: want "other", "batch", "idle", or "fifo:N", "rr:N" with N from 1 to 99`, text)
			return
		}
		p.Scheduler = s
	}
	if c.has("process.io_class") {
		text := get(c, "process.io_class", "")
		class, level, hasLevel := strings.Cut(text, ":")
		n, err := strconv.Atoi(level)
		known := map[string]specs.IOPriorityClass{"be": specs.IOPRIO_CLASS_BE, "rt": specs.IOPRIO_CLASS_RT, "idle": specs.IOPRIO_CLASS_IDLE}
		if known[class] == "" || (class == "idle") == hasLevel || hasLevel && (err != nil || n < 0 || n > 7) {
			c.problem("process.io_class", `%q: want "idle", or "be:N", "rt:N" with N from 0 to 7`, text)
			return
		}
		p.IOPriority = &specs.LinuxIOPriority{Class: known[class], Priority: n}
	}
}

func (c *compiler) buildNamespaces() {
	add := func(typ specs.LinuxNamespaceType, mode string) {
		file, isPath := joined(mode)
		if mode == "host" {
			return
		}
		if isPath {
			c.spec.Linux.Namespaces = append(c.spec.Linux.Namespaces, specs.LinuxNamespace{Type: typ, Path: file})
			return
		}
		c.spec.Linux.Namespaces = append(c.spec.Linux.Namespaces, specs.LinuxNamespace{Type: typ})
	}
	add(specs.MountNamespace, "private")
	add(specs.PIDNamespace, get(c, "namespaces.pid", "private"))
	add(specs.IPCNamespace, get(c, "namespaces.ipc", "private"))
	add(specs.UTSNamespace, get(c, "namespaces.uts", "private"))
	add(specs.CgroupNamespace, get(c, "namespaces.cgroup", "private"))
	add(specs.TimeNamespace, get(c, "namespaces.time", "host"))
	add(specs.NetworkNamespace, get(c, "network.mode", "none"))
	if get(c, "namespaces.uts", "private") != "private" && c.has("network.hostname") {
		c.problem("network.hostname", `needs namespaces.uts = "private": otherwise it would be the other's host name`)
	}
	c.buildUserns(add)
}

func (c *compiler) buildUserns(add func(specs.LinuxNamespaceType, string)) {
	mode := get(c, "userns.mode", "auto")
	if mode == "none" && c.set.Profile == "system" {
		c.problem("userns.mode", `"none": profile "system" gives CAP_SYS_ADMIN, only with a user namespace`)
	}
	for _, k := range []string{"userns.uid_map", "userns.gid_map"} {
		if c.has(k) != (mode == "manual") && !c.wrong(k) {
			c.problem(k, `goes with userns.mode = "manual", which is %q`, mode)
		}
	}
	if c.has("userns.size") && mode != "auto" {
		c.problem("userns.size", `goes with userns.mode = "auto", which is %q`, mode)
	}
	if mode == "none" {
		return
	}
	add(specs.UserNamespace, mode)
	c.set.IdmapRootfs = get(c, "rootfs.idmap", true)
	switch mode {
	case "auto":
		c.set.AutoUserns = uint32(get(c, "userns.size", int64(65536)))
	case "manual":
		c.spec.Linux.UIDMappings = c.idMap("userns.uid_map")
		c.spec.Linux.GIDMappings = c.idMap("userns.gid_map")
	}
}

func (c *compiler) idMap(path string) []specs.LinuxIDMapping {
	var maps []specs.LinuxIDMapping
	for i, text := range get(c, path, []string(nil)) {
		at := path + "[" + strconv.Itoa(i) + "]"
		f := strings.Split(text, ":")
		var n [3]uint64
		ok := len(f) == 3
		for j := range min(3, len(f)) {
			var err error
			n[j], err = strconv.ParseUint(f[j], 10, 32)
			ok = ok && err == nil
		}
		if !ok || n[2] == 0 || n[0]+n[2] > 1<<32-1 || n[1]+n[2] > 1<<32-1 {
			c.problem(at, `%q: want "CONTAINER:HOST:COUNT"`, text)
			continue
		}
		m := specs.LinuxIDMapping{ContainerID: uint32(n[0]), HostID: uint32(n[1]), Size: uint32(n[2])}
		for _, o := range maps {
			if overlap(m.ContainerID, o.ContainerID, m.Size, o.Size) || overlap(m.HostID, o.HostID, m.Size, o.Size) {
				c.problem(at, "%q overlaps %d:%d:%d", text, o.ContainerID, o.HostID, o.Size)
			}
		}
		maps = append(maps, m)
	}
	return maps
}

func overlap(a, b, sizeA, sizeB uint32) bool {
	return uint64(a) < uint64(b)+uint64(sizeB) && uint64(b) < uint64(a)+uint64(sizeA)
}

func (c *compiler) buildLog() {
	c.set.Log.Driver = get(c, "log.driver", "journald")
	c.set.Log.Identifier = c.text("log.identifier")
	c.set.Log.StdoutLevel = get(c, "log.stdout_level", 6)
	c.set.Log.StderrLevel = get(c, "log.stderr_level", 3)
	c.set.Log.Fields = get(c, "log.fields", map[string]string(nil))
	if strings.ContainsAny(c.set.Log.Identifier, "\n") {
		c.problem("log.identifier", "want one line")
	}
}

func (c *compiler) buildUnit() {
	s := &c.set
	s.Slice = get(c, "systemd.slice", "")
	if s.Slice != "" && (!strings.HasSuffix(s.Slice, ".slice") || strings.ContainsAny(s.Slice, "/ \n")) {
		c.problem("systemd.slice", `%q: want a name like "web.slice"`, s.Slice)
	}
	s.Strict = get(c, "systemd.strict", true)
	s.Notify = get(c, "systemd.notify", "started")
	s.StopTimeout = get(c, "systemd.stop_timeout", DefaultStopTimeout)
	s.Unit = listTable(c, "systemd.unit")
	s.Service = listTable(c, "systemd.service")
	s.Install = listTable(c, "systemd.install")
	for key, directive := range map[string]string{"systemd.after": "After", "systemd.wants": "Wants", "systemd.requires": "Requires"} {
		if v := get(c, key, []string(nil)); v != nil {
			s.Unit[directive] = v
		}
	}
	if v := get(c, "systemd.wanted_by", []string(nil)); v != nil {
		s.Install["WantedBy"] = v
	}
	if v := get(c, "systemd.restart", ""); v != "" {
		s.Service["Restart"] = []string{v}
	}
	if d := get(c, "systemd.restart_delay", time.Duration(-1)); d >= 0 {
		s.Service["RestartSec"] = []string{fmt.Sprintf("%dus", d.Microseconds())}
	}
	for name, v := range get(c, "systemd.scope", map[string]string(nil)) {
		c.property(name, v)
	}
	if d := get(c, "systemd.runtime_max", maxSpan); d != maxSpan {
		c.property("RuntimeMaxUSec", fmt.Sprintf("uint64 %d", d.Microseconds()))
	}
}

func listTable(c *compiler, path string) map[string][]string {
	m := map[string][]string{}
	maps.Copy(m, get(c, path, map[string][]string(nil)))
	return m
}

// property sets a unit property that the Spec has no field for.
func (c *compiler) property(name, gvariant string) {
	if c.set.UnitProperties == nil {
		c.set.UnitProperties = map[string]string{}
	}
	c.set.UnitProperties[name] = gvariant
}
