// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// unknown reports a key there is not, with the one that may be meant.
func (c *compiler) unknown(path, pattern string) {
	parent, name := "", pattern
	if i := strings.LastIndexByte(pattern, '.'); i >= 0 {
		parent, name = pattern[:i+1], pattern[i+1:]
	}
	name = shown(name)
	here := childrenOf(parent)
	hint := "accepted here: " + strings.Join(here, ", ")
	if all := parent + name; strings.ContainsAny(name, ".[") && (find(all) != nil || hasPrefix(all+".")) {
		hint = fmt.Sprintf("in quotes %q is one name: did you mean %s?", name, named(strings.ReplaceAll(all, "[]", "")))
	} else if meant := guess(parent, name, here); len(meant) > 0 {
		c.mean(path, parent, meant)
		hint = "did you mean " + strings.Join(meant, " or ") + "?"
	}
	c.problem(path, "unknown key; %s", hint)
}

// mean notes what the key at path, in a table of that pattern, may stand for, as [guess] has it.
func (c *compiler) mean(path, parent string, meant []string) {
	table := path[:strings.LastIndexByte(path, '.')+1]
	for _, m := range meant {
		if sibling, err := strconv.Unquote(m); err == nil {
			m = table + sibling
		} else if below, ok := strings.CutPrefix(m, strings.ReplaceAll(parent, "[]", "")); ok && parent != "" {
			m = table + below
		}
		c.meant[strings.Trim(m, "[]")] = true
	}
}

// childrenOf are the names below a table, "" for the document.
func childrenOf(parent string) []string {
	var names []string
	for _, k := range Keys() {
		if rest, ok := strings.CutPrefix(k.Path, parent); ok {
			word, _, _ := strings.Cut(rest, ".")
			names = append(names, strings.TrimSuffix(word, "[]"))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// most bounds the guesses: a longer list would not help, so none is given.
const most = 3

// guess is what a name that is not accepted in a table may stand for, as people write it.
func guess(parent, name string, here []string) []string {
	folded := strings.ToLower(strings.ReplaceAll(name, "-", "_"))
	dotted := "." + strings.ReplaceAll(folded, "_", ".") // memory_max
	for _, known := range []string{parent + folded, folded} {
		if key, ok := elsewhere()[strings.ReplaceAll(known, "[]", "")]; ok {
			return []string{named(key)}
		}
	}
	if n := Nearest(folded, here); n != "" && EditDistance(folded, n, 2) < 2 {
		return []string{strconv.Quote(n)} // a slip of the pen
	}
	all := everywhere()
	if same := matching(all, func(path string) bool {
		return strings.HasSuffix("."+path, "."+folded) || strings.HasSuffix("."+path, dotted)
	}); len(same) > 0 {
		return same
	}
	if native := matching(all, func(path string) bool { return becomes(path, name) }); len(native) > 0 {
		return native
	}
	if n := Nearest(name, here); n != "" {
		return []string{strconv.Quote(n)}
	}
	return matching(all, func(path string) bool {
		last := path[strings.LastIndexByte(path, '.')+1:]
		return slices.Contains(strings.Split(last, "_"), folded)
	})
}

// becomes says whether a key turns into what systemd or the OCI call by that name.
func becomes(path, name string) bool {
	fold := func(s string) string { return strings.ToLower(strings.NewReplacer("_", "", "=", "").Replace(s)) }
	k := find(path)
	if k == nil {
		return false
	}
	return slices.ContainsFunc(strings.Split(k.Maps, ", "), func(m string) bool {
		return fold(m[strings.LastIndexByte(m, '.')+1:]) == fold(name)
	})
}

// everywhere is the path of every key and table, mount.target for what is in a [[mount]].
func everywhere() []string {
	var all []string
	for _, k := range Keys() {
		path := strings.ReplaceAll(k.Path, "[]", "")
		all = append(all, path)
		for i := strings.LastIndexByte(path, '.'); i > 0; i = strings.LastIndexByte(path[:i], '.') {
			all = append(all, path[:i])
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// matching are the paths that fit, or nothing when too many do.
func matching(paths []string, fits func(string) bool) []string {
	var found []string
	for _, p := range paths {
		if fits(p) {
			found = append(found, named(p))
		}
	}
	if len(found) > most {
		return nil
	}
	return found
}

// named is a key as a message has it: a table in brackets.
func named(path string) string {
	switch {
	case hasPrefix(path + "[]."):
		return "[[" + path + "]]"
	case find(path) == nil && hasPrefix(path+"."):
		return "[" + path + "]"
	}
	return path
}

// elsewhere is what Podman, Compose, Kubernetes and others call what has a name here that is
// nothing like it.
func elsewhere() map[string]string {
	return map[string]string{
		"cmd": "process.args", "command": "process.args", "entrypoint": "process.args", "exec": "process.args", "exec_start": "process.args",
		"environment": "process.env", "env_file": "process.env_files", "environment_file": "process.env_files",
		"workdir": "process.cwd", "working_dir": "process.cwd", "working_directory": "process.cwd", "tty": "process.terminal", "uid": "process.user",
		"ulimit": "process.rlimits", "ulimits": "process.rlimits", "root": "rootfs.path", "container_name": "name",
		"cap_add": "capabilities.add", "cap_drop": "capabilities.drop", "caps": "capabilities", "process.capability": "capabilities",
		"limits": "resources", "mem_limit": "resources.memory.max", "resources.memory.limit": "resources.memory.max", "memory_limit": "resources.memory.max", "memory_swap": "resources.memory.swap_max",
		"cpuset": "resources.cpu.cpus", "resources.cpus": "resources.cpu.quota", "resources.io.latency_target": "resources.io.latency", "pids": "resources.tasks", "pids_limit": "resources.tasks", "pids_max": "resources.tasks",
		"privileged": "security.profile", "security_opt": "security", "service": "systemd", "stop_grace_period": "systemd.stop_timeout",
		"namespaces.mnt": "namespaces.mount", "namespaces.user": "userns.mode", "namespaces.userns": "userns.mode", "logging": "log", "net": "network.mode", "network_mode": "network.mode", "userns_mode": "userns.mode",
		"bind": "mount", "tmpfs": "mount", "volume": "mount", "volumes": "mount",
		"mount.path": "mount.target", "mount.dst": "mount.target", "mount.dest": "mount.target", "mount.src": "mount.source", "mount.readonly": "mount.read_only", "mount.ro": "mount.read_only",
		"device.destination": "device.target", "device.permissions": "device.access",
	}
}

// Nearest is the word most like s, if one is like it at all. The words are sorted.
func Nearest(s string, words []string) string {
	best, at := len(s)/3+2, ""
	sort.Strings(words)
	for _, w := range words {
		if d := EditDistance(s, w, best); d < best {
			best, at = d, w
		}
	}
	return at
}

// EditDistance is the number of letters to change, add or leave out between a and
// b (Levenshtein), or limit when there are that many or more.
func EditDistance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, diagonal+1, row[j]+1)
		}
	}
	return min(row[len(b)], limit)
}
