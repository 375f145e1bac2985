// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"fmt"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// CapabilityNames has every capability at its number (capabilities(7)).
var CapabilityNames = [...]string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
	"CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE",
	"CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE",
	"CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT",
	"CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE",
	"CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG",
	"CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
}

// The keys that give a set itself.
var explicitSets = []string{"bounding", "effective", "permitted", "inheritable"}

func (c *compiler) buildCapabilities() {
	const p = "capabilities."
	for _, set := range explicitSets {
		if !c.has(p + set) {
			continue
		}
		for _, k := range []string{"preset", "add", "drop"} {
			if c.has(p+k) && !c.wrong(p+k) {
				c.problem(p+k, "does not go with capabilities.%s, which gives the set itself", set)
			}
		}
	}
	ambient := c.capNames(p + "ambient")
	list := c.presetCapabilities()
	list = append(list, c.capNames(p+"add")...)
	list = append(list, ambient...)
	drop := c.capNames(p + "drop")
	c.checkDrop()
	list = slices.DeleteFunc(list, func(n string) bool { return slices.Contains(drop, n) })
	slices.Sort(list)
	list = slices.Compact(list)
	sets := &specs.LinuxCapabilities{Bounding: list, Permitted: list, Effective: list, Inheritable: ambient, Ambient: ambient}
	for _, set := range explicitSets {
		if c.has(p + set) {
			*setOf(sets, set) = c.capNames(p + set)
		}
	}
	if !c.has(p + "permitted") {
		sets.Permitted = within(sets.Permitted, sets.Bounding)
	}
	if !c.has(p + "effective") {
		sets.Effective = within(sets.Effective, sets.Permitted)
	}
	c.checkSets(sets)
	c.spec.Process.Capabilities = sets
}

// checkDrop reports what is added, too: only a flag may take back what the configuration adds.
func (c *compiler) checkDrop() {
	const add, drop = "capabilities.add", "capabilities.drop"
	added := get(c, add, []string(nil))
	for i, n := range get(c, drop, []string(nil)) {
		at := index(drop, i)
		j := slices.IndexFunc(added, func(a string) bool { return capName(a) == capName(n) })
		if j < 0 || c.wrong(at) {
			continue
		}
		if by := c.where(index(add, j)); by.flag {
			c.problem(at, "%q: %s has it, too", n, by.file)
		} else if !c.where(at).flag {
			c.problem(at, "%q: capabilities.add has it, too", n)
		}
	}
}

// within is what of a set is in another, too.
func within(set, whole []string) []string {
	return slices.DeleteFunc(slices.Clone(set), func(n string) bool { return !slices.Contains(whole, n) })
}

func setOf(s *specs.LinuxCapabilities, name string) *[]string {
	return map[string]*[]string{"bounding": &s.Bounding, "effective": &s.Effective, "permitted": &s.Permitted,
		"inheritable": &s.Inheritable, "ambient": &s.Ambient}[name]
}

// checkSets applies the kernel's rules (capabilities(7)), and reports what could
// have no effect.
func (c *compiler) checkSets(s *specs.LinuxCapabilities) {
	const p = "capabilities."
	for _, rule := range []struct{ part, whole string }{
		{"effective", "permitted"}, {"permitted", "bounding"}, {"ambient", "permitted"}, {"ambient", "inheritable"}, {"inheritable", "bounding"},
	} {
		for _, n := range *setOf(s, rule.part) {
			if !slices.Contains(*setOf(s, rule.whole), n) && !c.wrong(p+rule.part) {
				c.problem(p+rule.part, "%s: is not in the %s set", n, rule.whole)
			}
		}
	}
	// A user that is not root loses all but ambient ones at exec, and with
	// no_new_privs can never get them back.
	if c.has(p+"add") && !isRoot(c.spec.Process.User) && c.spec.Process.NoNewPrivileges && !c.wrong(p+"add") {
		for _, n := range c.capNames(p + "add") {
			if !slices.Contains(s.Ambient, n) {
				c.problem(p+"add", "%s: user %q would lose it at exec (use capabilities.ambient)", n, get(c, "process.user", "0"))
			}
		}
	}
}

func (c *compiler) presetCapabilities() []string {
	switch preset := get(c, "capabilities.preset", "default"); {
	case preset == "all":
		return slices.Clone(CapabilityNames[:])
	case preset == "none":
		return nil
	case !isRoot(c.spec.Process.User):
		return nil
	}
	return slices.Clone(Defaults(c.set.Profile).Capabilities)
}

// capName is a capability as the kernel calls it, however it is written.
func capName(n string) string { return "CAP_" + strings.TrimPrefix(strings.ToUpper(n), "CAP_") }

func (c *compiler) capNames(at string) []string {
	var out []string
	for i, n := range get(c, at, []string(nil)) {
		full := capName(n)
		if slices.Contains(CapabilityNames[:], full) {
			out = append(out, full)
			continue
		}
		if !c.wrong(index(at, i)) {
			c.problem(index(at, i), "%q: %s", n, c.noCapability(index(at, i), full))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// noCapability suggests what to write instead of an unknown name. Other tools accept ALL.
func (c *compiler) noCapability(at, name string) string {
	preset := map[string]string{"add": "all", "drop": "none"}[plain(strings.TrimPrefix(at, "capabilities."))]
	var bare []string // what all have in common makes nothing alike
	for _, n := range CapabilityNames {
		bare = append(bare, strings.TrimPrefix(n, "CAP_"))
	}
	near := Nearest(strings.TrimPrefix(name, "CAP_"), bare)
	switch {
	case name == "CAP_ALL" && preset == "":
		return "want each by its name"
	case name == "CAP_ALL" && c.where(at).flag:
		return fmt.Sprintf("want each by its name, or capabilities.preset = %q in a configuration", preset)
	case name == "CAP_ALL":
		return fmt.Sprintf("want capabilities.preset = %q", preset)
	case near == "":
		return "no such capability: want names like CAP_CHOWN (capabilities(7))"
	}
	return "no such capability; did you mean CAP_" + near + "?"
}
