// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// lists are the keys that are directives of a unit file with a list of units.
var lists = []struct{ key, section, directive string }{
	{"systemd.after", "unit", "After"}, {"systemd.before", "unit", "Before"}, {"systemd.wants", "unit", "Wants"},
	{"systemd.requires", "unit", "Requires"}, {"systemd.binds_to", "unit", "BindsTo"},
	{"systemd.part_of", "unit", "PartOf"}, {"systemd.conflicts", "unit", "Conflicts"},
	{"systemd.wanted_by", "install", "WantedBy"},
}

func (c *compiler) buildUnit() {
	s := &c.set
	s.Slice = c.text("systemd.slice")
	if err := CheckSlice(s.Slice); err != nil && c.has("systemd.slice") && !c.wrong("systemd.slice") {
		c.problem("systemd.slice", "%v", err)
	}
	s.Strict = get(c, "systemd.strict", true)
	s.Notify = get(c, "systemd.notify", "started")
	s.StopTimeout = get(c, "systemd.stop_timeout", DefaultStopTimeout)
	for _, k := range []string{"systemd.stop_timeout", "systemd.runtime_max"} {
		if c.has(k) && get(c, k, maxSpan) < time.Millisecond {
			c.problem(k, `%s: want at least "1ms": systemd takes 0 for no limit`, c.written(k))
		}
	}
	sections := map[string]*map[string][]string{"unit": &s.Unit, "service": &s.Service, "install": &s.Install}
	for _, name := range sortedKeys(sections) {
		*sections[name] = c.directives(name)
	}
	c.watchdog()
	c.variables()
	for _, l := range lists {
		v := c.list(l.key)
		for i, name := range v {
			if at := index(l.key, i); !IsUnitName(name) && !c.wrong(at) {
				c.problem(at, `%q: want a unit name such as "network.target"`, name)
			}
		}
		if len(v) > 0 || c.has(l.key) && l.section == "install" {
			directive(sections[l.section], l.directive, v...)
		}
	}
	if v := get(c, "systemd.restart", ""); v != "" {
		directive(&s.Service, "Restart", v)
	}
	for _, k := range []struct{ key, directive string }{{"systemd.restart_delay", "RestartSec"}, {"systemd.start_timeout", "TimeoutStartSec"}} {
		if c.has(k.key) {
			directive(&s.Service, k.directive, SpanText(get(c, k.key, time.Duration(0))))
		}
	}
	c.startLimit()
	for _, name := range sortedKeys(c.table("systemd.scope")) {
		at, value := join("systemd.scope", name), c.table("systemd.scope")[name].(string)
		c.property(at, name, value)
		c.keysOf(name, c.propertyAt[name]...)
		if c.o.Property == nil || c.wrong(at) {
			continue
		}
		if err := c.o.Property(name, value); err != nil {
			c.problem(at, "%v", err)
		}
	}
	if d := get(c, "systemd.runtime_max", maxSpan); d != maxSpan {
		c.property("systemd.runtime_max", "RuntimeMaxUSec", fmt.Sprintf("uint64 %d", d.Microseconds()))
	}
}

// watchdog refuses one that the payload could not answer: systemd would end the service each time.
func (c *compiler) watchdog() {
	const at = "systemd.service.WatchdogSec"
	v := c.set.Service["WatchdogSec"]
	if len(v) == 0 || c.set.Notify == "container" || c.wrong("systemd.notify") || c.wrong(at) {
		return
	}
	if last := v[len(v)-1]; last != "infinity" && strings.ContainsAny(last, "123456789") {
		c.problem(at, `%q: the payload has no socket to answer on, and systemd would end the service each time (set systemd.notify = "container")`, last)
	}
}

// variables refuses those of a service that neither the payload takes over nor a command beside it could have.
func (c *compiler) variables() {
	if len(get(c, "process.env_pass", []string(nil))) > 0 || c.wrong("process.env_pass") {
		return
	}
	for name, v := range c.set.Service {
		if strings.HasPrefix(name, "Exec") && name != "ExecSearchPath" && len(v) > 0 {
			return
		}
	}
	for _, name := range []string{"Environment", "EnvironmentFile", "PassEnvironment", "UnsetEnvironment"} {
		if v := c.set.Service[name]; len(v) > 0 && !c.wrong(join("systemd.service", name)) {
			c.problem(join("systemd.service", name), "has no effect on the payload: set process.env instead, or name the variables in process.env_pass")
		}
	}
}

// directives are those a table has for a section of the unit file.
func (c *compiler) directives(section string) map[string][]string {
	table := c.table("systemd." + section)
	all := make(map[string][]string, len(table))
	for _, name := range sortedKeys(table) {
		at := join("systemd."+section, name)
		all[name] = slices.Clone(table[name].([]string))
		if !KnownDirective(section, name) {
			c.strangeDirective(at, section, name)
		}
		if c.o.Directive == nil || c.wrong(at) {
			continue
		}
		var field *FieldError
		switch err := c.o.Directive(section, name, all[name]); {
		case errors.As(err, &field) && field.Warning:
			c.strange(at, field.Err.Error(), c.set.Strict)
		case err != nil:
			c.problem(at, "%v", err)
		}
	}
	return all
}

// unitTypes are what unit names end in.
var unitTypes = []string{"service", "socket", "device", "mount", "automount", "swap", "target", "path", "timer", "slice", "scope"}

// IsUnitName says whether systemd takes name for a unit's (systemd.unit(5)). In the lists of a unit
// file it ignores any other, with no more than a line in the journal.
func IsUnitName(name string) bool {
	dot := strings.LastIndexByte(name, '.')
	return dot > 0 && len(name) <= 255 && name[0] != '@' && strings.Trim(name, nameLetters+`:\@`) == "" &&
		slices.Contains(unitTypes, name[dot+1:])
}

// maxSlice is the longest name of a slice that is accepted.
const maxSlice = 254

// CheckSlice accepts the name of a slice, "-.slice" for the root one. Single dashes nest:
// a-b.slice is in a.slice.
func CheckSlice(name string) error {
	base, ok := strings.CutSuffix(name, ".slice")
	if ok && (base == "-" || base != "" && len(name) <= maxSlice && strings.Trim(base, nameLetters+`:\`) == "" && !strings.Contains("-"+base+"-", "--")) {
		return nil
	}
	return fmt.Errorf("%q: want a name like \"web.slice\" of letters, digits, '_', '.' and single '-'", name)
}

// keysOf notes the keys of a source, see [Settings.PropertyKeys].
func (c *compiler) keysOf(source string, keys ...string) {
	if c.set.PropertyKeys == nil {
		c.set.PropertyKeys = map[string][]string{}
	}
	c.set.PropertyKeys[source] = keys
}

// startLimit understands "5/10s": starts in a time.
func (c *compiler) startLimit() {
	if !c.has("systemd.start_limit") {
		return
	}
	text := get(c, "systemd.start_limit", "")
	burst, interval, ok := strings.Cut(text, "/")
	n, err := strconv.ParseUint(burst, 10, 31)
	d, isSpan := spanOf(interval)
	if !ok || err != nil || !isSpan || n == 0 {
		c.problem("systemd.start_limit", `%q: want starts in a time, like "5/10s"`, text)
		return
	}
	directive(&c.set.Unit, "StartLimitBurst", burst)
	directive(&c.set.Unit, "StartLimitIntervalSec", SpanText(d))
}

// SpanText is a time as unit files have it. The longest of all is infinity.
func SpanText(d time.Duration) string {
	if d == maxSpan {
		return "infinity"
	}
	return UnitSpan(uint64(d.Microseconds()))
}

// UnitSpan is a time of microseconds as unit files have it: with the largest unit that loses nothing.
func UnitSpan(v uint64) string {
	unit := "us"
	for _, u := range []struct {
		name string
		of   uint64
	}{{"ms", 1000}, {"s", 1000}, {"min", 60}, {"h", 60}} {
		if v == 0 || v%u.of != 0 {
			break
		}
		v, unit = v/u.of, u.name
	}
	if v == 0 {
		return "0"
	}
	return strconv.FormatUint(v, 10) + unit
}

// directive sets a directive of the unit file.
func directive(section *map[string][]string, name string, values ...string) {
	if *section == nil {
		*section = map[string][]string{}
	}
	(*section)[name] = slices.Clone(values)
}

// property sets a unit property that the Spec has no field for, or adds to its list. Values are
// GVariant text.
func (c *compiler) property(at, name, value string) {
	if !propertyName(name) {
		c.problem(at, "%q: want the name of a property, like MemoryHigh", name)
		return
	}
	if c.set.UnitProperties == nil {
		c.set.UnitProperties = map[string]string{}
	}
	if have, ok := c.set.UnitProperties[name]; ok && slices.ContainsFunc(directivesOf(name), addsUp) {
		value = "[" + itemsOf(have) + ", " + itemsOf(value) + "]"
	} else {
		delete(c.propertyAt, name)
	}
	c.set.UnitProperties[name] = value
	c.propertyAt[name] = append(c.propertyAt[name], at)
}

func propertyName(s string) bool {
	return len(s) > 2 && len(s) < 64 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	})
}
