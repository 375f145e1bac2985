// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"slices"
	"strings"
)

// A setter is a key of the files, or an entry of one of the tables that take any name, and what
// it sets.
type setter struct {
	at    string
	table string   // the table of any names it is in, "" for a key
	names []string // directives of systemd, and files of cgroup v2 that none is for
	adds  bool     // to a list that may have entries from elsewhere
	more  bool     // has entries for the list of a key
	paths []string // of the devices in its entries
	flag  bool     // given outside the files
}

// anyName are the tables that take any name, each after those it wins over.
var anyName = []string{"resources.unified", "systemd.scope", "systemd.unit", "systemd.service", "systemd.install"}

// notInMaps is what keys set that their Maps has in the words of others.
var notInMaps = map[string]string{
	"log.identifier": "SyslogIdentifier", "process.io_class": "IOSchedulingClass", "process.nice": "Nice", "process.scheduler": "CPUSchedulingPolicy",
	"resources.cpu.burst": "cpu.max.burst", "security.device_policy": "DevicePolicy",
}

// sets is what a key sets: the directives that Maps has, and what it has in other words.
func (k *Key) sets() []string {
	var names []string
	for word := range strings.FieldsFuncSeq(k.Maps, func(r rune) bool { return r == ' ' || r == ',' }) {
		if name, ok := strings.CutSuffix(word, "="); ok {
			names = append(names, name)
		}
	}
	if name, ok := notInMaps[k.Path]; ok {
		names = append(names, name)
	}
	return names
}

// directivesOf is the directives that a property or directive of that name is. On D-Bus times end in
// USec, and shares of the machine in Scale.
func directivesOf(name string) []string {
	if of, ok := strings.CutSuffix(name, "USec"); ok {
		name = of + "Sec"
	}
	switch name = strings.TrimSuffix(name, "Scale"); name {
	case "CPUQuotaPerSecSec":
		return []string{"CPUQuota"}
	case "TimeoutSec":
		return []string{"TimeoutStartSec", "TimeoutStopSec"}
	}
	return []string{CurrentDirective(name)}
}

// CurrentDirective is the name that systemd has now for a directive of an older one.
func CurrentDirective(name string) string {
	switch name {
	case "BindTo":
		return "BindsTo"
	case "PropagateReloadTo":
		return "PropagatesReloadTo"
	case "PropagateReloadFrom":
		return "ReloadPropagatedFrom"
	case "StartLimitInterval":
		return "StartLimitIntervalSec"
	}
	return name
}

// fileDirectives are the directives that files of cgroup v2 become.
var fileDirectives = map[string]string{
	"memory.min": "MemoryMin", "memory.low": "MemoryLow", "memory.high": "MemoryHigh", "memory.max": "MemoryMax",
	"memory.swap.max": "MemorySwapMax", "memory.zswap.max": "MemoryZSwapMax", "memory.zswap.writeback": "MemoryZSwapWriteback",
	"memory.oom.group": "OOMPolicy", "pids.max": "TasksMax", "cpu.weight": "CPUWeight", "cpu.idle": "CPUWeight",
	"cpuset.cpus": "AllowedCPUs", "cpuset.mems": "AllowedMemoryNodes", "io.latency": "IODeviceLatencyTargetSec",
}

// directivesOfFile is what a file of cgroup v2 sets with that content.
func directivesOfFile(file, content string) (names []string) {
	switch file {
	case "cpu.max":
		names = []string{"CPUQuota"}
		if len(strings.Fields(content)) > 1 {
			names = append(names, "CPUQuotaPeriodSec")
		}
	case "io.weight":
		for line := range strings.Lines(content) {
			if f := strings.Fields(line); len(f) == 2 && f[0] != "default" {
				names = append(names, "IODeviceWeight")
			} else {
				names = append(names, "IOWeight")
			}
		}
	case "io.max":
		for _, k := range ioLimits {
			if k.field != "" && strings.Contains(content, k.field) {
				names = append(names, k.directive)
			}
		}
	default:
		if name, ok := fileDirectives[file]; ok {
			return []string{name}
		}
		return []string{file}
	}
	return names
}

// setters are the keys that are given and set something of the unit, those that win last.
func (c *compiler) setters() []setter {
	var all []setter
	for _, k := range Keys() {
		names := k.sets()
		if k.Path == "security.device_policy" && get(c, k.Path, "") == "strict" {
			names = append(names, "DeviceAllow") // [[device]] is all there is
		}
		if len(names) > 0 && c.has(k.Path) {
			s := setter{at: k.Path, names: names, flag: c.where(k.Path).flag}
			if slices.ContainsFunc(names, addsUp) && !strings.HasPrefix(k.Path, "network.") {
				s.paths = sortedKeys(c.table(k.Path))
			}
			all = append(all, s)
		}
	}
	for _, size := range sortedKeys(c.table("resources.hugepages")) {
		all = append(all, setter{at: join("resources.hugepages", size), names: []string{"hugetlb." + size + ".max"}})
	}
	for _, table := range anyName {
		for _, name := range sortedKeys(c.table(table)) {
			s := setter{at: join(table, name), table: table, flag: c.where(join(table, name)).flag}
			switch v := c.table(table)[name].(type) {
			case string:
				s.names = directivesOf(name)
				if table == "resources.unified" {
					s.names = directivesOfFile(name, v)
				}
				s.adds = strings.HasPrefix(v, "[") || strings.HasPrefix(v, "@a")
				s.more, s.paths = s.adds && itemsOf(v) != "", quoted(v)
			case []string: // an empty one takes back what came before
				s.names = directivesOf(name)
				s.more = !slices.ContainsFunc(v, func(e string) bool { return strings.TrimSpace(e) == "" })
				for _, e := range v {
					s.paths = append(s.paths, strings.Trim(strings.Fields(e + " .")[0], `'"`))
				}
			default:
				s.names = directivesOf(name)
			}
			all = append(all, s)
		}
	}
	return all
}

// addsUp says whether entries with that directive are limits beside those of the key for it.
func addsUp(name string) bool {
	for _, k := range ioLimits {
		if k.directive == name {
			return true
		}
	}
	return name == "IPAddressAllow" || name == "IPAddressDeny"
}

// itemsOf is what a list in GVariant text has between its brackets.
func itemsOf(text string) string {
	if typ, rest, ok := strings.Cut(text, " "); ok && strings.HasPrefix(typ, "@a") {
		text = rest
	}
	text = strings.TrimSpace(text)
	return strings.TrimSpace(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
}

// quoted is every string in a GVariant text.
func quoted(text string) (all []string) {
	for {
		i := strings.IndexAny(text, `'"`)
		if i < 0 {
			return all
		}
		word, rest, ok := strings.Cut(text[i+1:], text[i:i+1])
		if !ok {
			return all
		}
		all, text = append(all, word), rest
	}
}

// adding says whether an entry adds to the list of a key, and names none of its devices again.
func (s setter) adding(key setter) bool {
	again := slices.ContainsFunc(s.paths, func(p string) bool { return slices.Contains(key.paths, p) })
	return key.table == "" && s.more && !again
}

// common is what both set, "" if nothing.
func (s setter) common(o setter) string {
	directives := func(s setter) bool { return s.table != "" && slices.Index(anyName, s.table) > 1 }
	switch {
	case s.table == "resources.unified" && o.table == s.table:
		return "" // names of files are what the kernel tells apart
	case directives(s) && (directives(o) || o.adds):
		return "" // of another section, or one more entry
	}
	for _, name := range s.names {
		// Lists to which both add.
		ordering := slices.ContainsFunc(lists, func(l struct{ key, section, directive string }) bool { return l.directive == name })
		if slices.Contains(o.names, name) && name != "LogExtraFields" && !(ordering && s.table == "systemd.scope") && !(addsUp(name) && s.adding(o)) {
			return name
		}
	}
	return ""
}

// A contradiction is an entry that sets what another key sets.
type contradiction struct{ at, other, name string }

// contradictions finds what the files set twice. What is given outside the files wins: then the
// files' entry is forgotten.
func (c *compiler) contradictions() (found []contradiction) {
	if !slices.ContainsFunc(anyName, func(table string) bool { return len(c.table(table)) > 0 }) {
		return nil // a start has better to do
	}
	all := c.setters()
	for i, s := range all {
		if s.table == "" {
			continue
		}
		for _, o := range all[:i] {
			name := s.common(o)
			switch {
			case name == "" || s.flag:
				continue
			case o.flag:
				delete(c.table(s.table), shown(strings.TrimPrefix(s.at, s.table+".")))
			default:
				found = append(found, contradiction{s.at, o.at, name})
			}
			break
		}
	}
	return found
}

// strangeName says whether a key is an entry of a table of directives where none has that name.
func strangeName(at string) bool {
	section, name, _ := strings.Cut(strings.TrimPrefix(at, "systemd."), ".")
	return unitTables[section] != "" && !KnownDirective(section, shown(name))
}

// tell reports contradictions whose entry is right by itself.
func (c *compiler) tell(found []contradiction) {
	for _, f := range found {
		if c.wrong(f.at) || c.wrong(f.other) && strangeName(f.at) {
			continue
		}
		if !strings.Contains(f.name, ".") {
			f.name += "="
		}
		c.problem(f.at, "contradicts %s, which sets %s too (leave one out)", shown(f.other), f.name)
	}
}
