// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"errors"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func (c *compiler) buildProcess() {
	p := c.spec.Process
	p.Args = c.list("process.args")
	if len(p.Args) == 0 || p.Args[0] == "" {
		c.missing("process.args", `the command, like ["/bin/sh"]`)
	}
	p.Cwd = "/"
	if c.has("process.cwd") {
		p.Cwd = c.inside("process.cwd", c.text("process.cwd"))
	}
	p.User = c.user()
	umask := get(c, "process.umask", uint32(0o022))
	if umask > 0o777 {
		c.problem("process.umask", "%#o: want at most 0777", umask)
	}
	p.User.Umask = &umask
	p.User.AdditionalGids = get(c, "process.groups", []uint32(nil))
	p.Terminal = get(c, "process.terminal", false)
	p.NoNewPrivileges = get(c, "process.no_new_privileges", true)
	// Without it the caller's would count, and a daemon's -1000 makes a memory limit
	// one that nothing is killed for.
	oom := int(get(c, "process.oom_score_adj", int64(0)))
	p.OOMScoreAdj = &oom
	if cpus := get(c, "process.exec_cpus", ""); cpus != "" {
		p.ExecCPUAffinity = &specs.CPUAffinity{Final: cpus}
	}
	p.Env = c.environment()
	p.Rlimits = c.rlimits()
	c.scheduler(p)
	c.ioClass(p)
	c.set.Init = get(c, "process.init", false)
	c.set.ParentDeathSignal = get(c, "process.parent_death_signal", "")
	c.set.StopSignal = get(c, "process.stop_signal", Defaults(c.set.Profile).StopSignal)
}

// user understands numbers; names wait for the container's files.
func (c *compiler) user() specs.User {
	text := get(c, "process.user", "0")
	name, group, hasGroup := strings.Cut(text, ":")
	if name == "" || hasGroup && group == "" || strings.ContainsAny(group, ":") || strings.ContainsAny(text, " \t\n/\x00") {
		c.problem("process.user", `%q: want NAME, UID, NAME:GROUP or UID:GID`, text)
		return specs.User{}
	}
	uid, isUID, err := ParseID(name)
	var gid uint32
	var isGID bool
	if err == nil && hasGroup {
		gid, isGID, err = ParseID(group)
	}
	switch {
	case err != nil:
		c.problem("process.user", "%v", err)
	case text == "0":
	case isUID && isGID:
		return specs.User{UID: uid, GID: gid}
	default:
		return specs.User{Username: text}
	}
	return specs.User{}
}

// isRoot says whether the payload begins as root in the container.
func isRoot(u specs.User) bool {
	if u.Username == "" {
		return u.UID == 0
	}
	name, _, _ := strings.Cut(u.Username, ":")
	return name == "root" || name == "0"
}

// environment takes files first, then what is passed on, then env: later ones win.
func (c *compiler) environment() []string {
	env := map[string]string{}
	if c.set.Profile == ProfileSystem {
		env["container"] = "sdcontainer" // systemd asks it where it runs
	}
	for i, f := range c.list("process.env_files") {
		c.envFile(index("process.env_files", i), f, env)
	}
	for i, name := range get(c, "process.env_pass", []string(nil)) {
		c.pass(index("process.env_pass", i), name, env)
	}
	for _, k := range sortedKeys(c.table("process.env")) {
		at := join("process.env", k)
		if !IsVariable(k) {
			c.problem(at, "%q: want a name without '=', spaces and control characters", k)
			continue
		}
		env[k] = c.expanded(at, c.table("process.env")[k].(string))
	}
	var list []string
	for _, k := range sortedKeys(env) {
		list = append(list, k+"="+env[k])
	}
	return list
}

// pass takes over the variables of the caller that a name or a glob names.
func (c *compiler) pass(at, glob string, env map[string]string) {
	if !IsVariable(glob) {
		c.problem(at, "%q: want the name of a variable or a glob of names (process.env sets one)", glob)
		return
	}
	names := []string{glob}
	if strings.ContainsAny(glob, `*?[\`) {
		if _, err := path.Match(glob, ""); err != nil {
			c.problem(at, `%q: want a glob like "LC_*" or "[AB]?": * is any letters, ? is one, [...] is one of these`, glob)
			return
		}
		names = slices.DeleteFunc(c.o.EnvNames(), func(name string) bool {
			matches, _ := path.Match(glob, name) // the pattern is right
			return !matches || !IsVariable(name)
		})
	}
	for _, name := range names {
		if v, ok := c.o.Env(name); ok {
			env[name] = v
		}
	}
}

// callersNames are the names of our own variables.
func callersNames() (names []string) {
	for _, v := range os.Environ() {
		if name, _, ok := strings.Cut(v, "="); ok && name != "" {
			names = append(names, name)
		}
	}
	return names
}

func (c *compiler) envFile(at, name string, env map[string]string) {
	given := name
	name, optional := strings.CutPrefix(name, "-")
	if name == "" {
		c.problem(at, "%q: want a file", given)
		return
	}
	name = c.absolute(name)
	b, err := readFile(name)
	if optional && errors.Is(err, os.ErrNotExist) {
		return
	}
	if err != nil {
		c.problem(at, "%q: %s (a leading - makes a missing file no mistake)", name, reason(err))
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
		if !ok || !IsVariable(k) || strings.ContainsRune(line, 0) {
			c.problem(at, "%s:%d: want NAME=VALUE, the name without spaces", name, n)
			continue
		}
		if len(v) > 1 && (v[0] == '"' || v[0] == '\'') && v[len(v)-1] == v[0] {
			v = v[1 : len(v)-1]
		}
		env[k] = v
	}
}

func (c *compiler) rlimits() []specs.POSIXRlimit {
	list := map[string]specs.POSIXRlimit{}
	for _, r := range defaultRlimits {
		list[r.Type] = r
	}
	given := map[string]bool{}
	for _, name := range sortedKeys(c.table("process.rlimits")) {
		typ := "RLIMIT_" + strings.ToUpper(strings.TrimPrefix(strings.ToLower(name), "rlimit_"))
		if !slices.Contains(rlimitNames, typ) {
			c.problem(join("process.rlimits", name), "unknown limit: want one of %s",
				strings.ToLower(strings.ReplaceAll(strings.Join(rlimitNames, ", "), "RLIMIT_", "")))
			continue
		}
		if given[typ] {
			c.problem(join("process.rlimits", name), "%s is given already under another spelling", typ)
		}
		given[typ] = true
		r := c.table("process.rlimits")[name].([2]uint64)
		if typ == "RLIMIT_NOFILE" && r[1] == Infinity {
			c.problem(join("process.rlimits", name), "infinity: the kernel takes no more than fs.nr_open says (1048576 unless that was changed)")
		}
		list[typ] = specs.POSIXRlimit{Type: typ, Soft: r[0], Hard: r[1]}
	}
	return slices.SortedFunc(maps.Values(list), func(a, b specs.POSIXRlimit) int { return strings.Compare(a.Type, b.Type) })
}

var rlimitNames = []string{"RLIMIT_AS", "RLIMIT_CORE", "RLIMIT_CPU", "RLIMIT_DATA", "RLIMIT_FSIZE", "RLIMIT_LOCKS",
	"RLIMIT_MEMLOCK", "RLIMIT_MSGQUEUE", "RLIMIT_NICE", "RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_RSS", "RLIMIT_RTPRIO",
	"RLIMIT_RTTIME", "RLIMIT_SIGPENDING", "RLIMIT_STACK"}

func (c *compiler) scheduler(p *specs.Process) {
	if !c.has("process.scheduler") && !c.has("process.nice") {
		return
	}
	text := get(c, "process.scheduler", "other")
	policy, prio, hasPrio := strings.Cut(text, ":")
	realtime := policy == "fifo" || policy == "rr"
	n, err := strconv.ParseInt(prio, 10, 32)
	if !slices.Contains([]string{"other", "batch", "idle", "fifo", "rr"}, policy) || realtime != hasPrio || realtime && (err != nil || n < 1 || n > 99) {
		coming := ""
		if policy == "deadline" {
			coming = "; deadline is not supported yet"
		}
		c.problem("process.scheduler", `%q: want "other", "batch", "idle", or "fifo:N", "rr:N" with N from 1 to 99%s`, text, coming)
		return
	}
	if realtime {
		c.also("process.nice", "process.scheduler", `the schedulers "other", "batch" and "idle"`)
	}
	p.Scheduler = &specs.Scheduler{Policy: specs.LinuxSchedulerPolicy("SCHED_" + strings.ToUpper(policy)),
		Nice: int32(get(c, "process.nice", int64(0))), Priority: int32(n)}
}

var ioClasses = map[string]specs.IOPriorityClass{"be": specs.IOPRIO_CLASS_BE, "rt": specs.IOPRIO_CLASS_RT, "idle": specs.IOPRIO_CLASS_IDLE}

func (c *compiler) ioClass(p *specs.Process) {
	if !c.has("process.io_class") {
		return
	}
	text := get(c, "process.io_class", "")
	class, level, hasLevel := strings.Cut(text, ":")
	n, err := strconv.Atoi(level)
	if ioClasses[class] == "" || (class == "idle") == hasLevel || hasLevel && (err != nil || n < 0 || n > 7) {
		c.problem("process.io_class", `%q: want "idle", or "be:N", "rt:N" with N from 0 to 7`, text)
		return
	}
	p.IOPriority = &specs.LinuxIOPriority{Class: ioClasses[class], Priority: n}
}

// maxFile is what a file named in a configuration may be at most.
const maxFile = 4 << 20

// readFile reads a regular file of bounded size: a device or a pipe named by
// mistake would never end.
func readFile(name string) ([]byte, error) {
	st, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, err
	case !st.Mode().IsRegular():
		return nil, &os.PathError{Op: "read", Path: name, Err: errors.New("not a regular file")}
	case st.Size() > maxFile:
		return nil, &os.PathError{Op: "read", Path: name, Err: errors.New("larger than 4 MiB")}
	}
	return os.ReadFile(filepath.Clean(name))
}
