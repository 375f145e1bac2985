// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sdcontainer/sdcontainer/configs"
)

// wildcard stands for every number.
const wildcard = -1

// A deviceRule is one entry of an allow list.
type deviceRule struct {
	kind         byte // 'c' or 'b'
	major, minor int64
	access       string // of "rwm", in this order
}

// deviceList is the state of cgroup v1's device controller, in which OCI rules are thought:
// what is allowed, in order, or everything.
type deviceList struct {
	all   bool
	rules []deviceRule
}

// devices replays the ordered rules and writes what they come to as an allow list, the
// only thing systemd has. Nothing is allowed to begin with.
func (p *planner) devices(rules []specs.LinuxDeviceCgroup) {
	const at = "linux.resources.devices"
	var list deviceList
	for i, r := range rules {
		if err := list.apply(r); err != nil {
			p.fail("%s[%d]: %w", at, i, err)
		}
	}
	if list.all {
		p.set(at, "DevicePolicy", "auto")
		return
	}
	// In every container: to make any node, and to use those of the default /dev.
	list.allow(deviceRule{'c', wildcard, wildcard, "m"})
	list.allow(deviceRule{'b', wildcard, wildcard, "m"})
	for _, d := range configs.StandardDevices {
		list.allow(deviceRule{'c', d.Major, d.Minor, "rwm"})
	}
	p.set(at, "DevicePolicy", "strict")
	p.set(at, "DeviceAllow", list.words())
}

// startDevices adds to a list that came by its name, and is the whole of it, what no start goes without: to make the
// nodes of this container, and to open the null device, as systemd does for each service and exec in each container.
func (p *planner) startDevices(spec *specs.Spec) {
	i := slices.IndexFunc(p.unit.Properties, func(o Property) bool { return o.Name == "DeviceAllow" && strings.HasPrefix(o.Source, propertySource) })
	if i < 0 {
		return
	}
	list := slices.Clone(p.unit.Properties[i].Value.([]PathWord))
	if len(list) == 0 && p.unit.Get("DevicePolicy") == "auto" {
		return // everything is allowed
	}
	for j := range list {
		list[j].Word = cmp.Or(list[j].Word, "rwm") // as on the bus; in a unit file it has to be said
	}
	need := func(d deviceRule) {
		if j := slices.IndexFunc(list, func(have PathWord) bool { return have.Path == d.path() }); j >= 0 {
			list[j].Word, _ = normalAccess(list[j].Word + d.access) // letters of two valid ones
			return
		}
		list = append(list, PathWord{d.path(), d.access})
	}
	for _, d := range madeNodes(spec) {
		need(d)
	}
	need(deviceRule{'c', configs.Null.Major, configs.Null.Minor, "rw"})
	p.unit.Properties[i].Value = list
}

// terminal refuses a terminal where the device is not in the list that it is opened with: a start would end with EPERM. The other side
// of it needs no rule, as it comes from that descriptor. A policy other than strict has systemd add it.
func (p *planner) terminal(process *specs.Process) {
	list, _ := p.unit.Get("DeviceAllow").([]PathWord)
	if process == nil || !process.Terminal || p.unit.Get("DevicePolicy") != "strict" || slices.ContainsFunc(list, opensTerminals) {
		return
	}
	p.errs = append(p.errs, &configs.FieldError{Field: "unit", Entry: "DeviceAllow",
		Err: errors.New(`a terminal needs devices that are not in it (add ('/dev/ptmx', 'rw'), or set DevicePolicy to 'closed')`)})
}

// opensTerminals says whether an entry may let processes open a terminal: a class may be one of it, by name or glob.
func opensTerminals(e PathWord) bool {
	device := strings.HasPrefix(e.Path, "char-") || slices.Contains([]string{"/dev/ptmx", "/dev/pts/ptmx", "/dev/char/5:2"}, e.Path)
	return device && strings.Contains(e.Word, "r") && strings.Contains(e.Word, "w")
}

// madeNodes are the nodes that a container makes, or we in its unit. What it may not open it may
// still make, but nothing else: a node on a volume could be opened by whoever gets there on the host.
func madeNodes(spec *specs.Spec) (list []deviceRule) {
	if spec.Linux == nil {
		return nil
	}
	for _, d := range configs.StandardDevices {
		if d.Name != "" {
			list = append(list, deviceRule{'c', d.Major, d.Minor, "m"})
		}
	}
	for _, d := range spec.Linux.Devices {
		switch d.Type {
		case "c", "u":
			list = append(list, deviceRule{'c', d.Major, d.Minor, "m"})
		case "b":
			list = append(list, deviceRule{'b', d.Major, d.Minor, "m"})
		}
	}
	return list
}

func (l *deviceList) apply(r specs.LinuxDeviceCgroup) error {
	access, err := normalAccess(r.Access)
	if err != nil {
		return err
	}
	major, minor := number(r.Major), number(r.Minor)
	if major < wildcard || minor < wildcard {
		return fmt.Errorf("device %d:%d: want numbers of at least 0, or none for all", major, minor)
	}
	if r.Type == "a" || r.Type == "" {
		return l.applyAll(r.Allow, major, minor, access)
	}
	if r.Type != "c" && r.Type != "b" {
		return fmt.Errorf("type %q: want a, b or c", r.Type)
	}
	d := deviceRule{r.Type[0], major, minor, access}
	if d.major == wildcard && d.minor != wildcard {
		return fmt.Errorf("device *:%d: systemd cannot express a minor number of every major (name the major)", d.minor)
	}
	if r.Allow {
		l.allow(d)
		return nil
	}
	return l.deny(d)
}

func (l *deviceList) applyAll(allow bool, major, minor int64, access string) error {
	if major != wildcard || minor != wildcard {
		return fmt.Errorf("device %d:%d of all types: want type b or c", major, minor)
	}
	whole := access == "rwm"
	switch {
	case whole:
		*l = deviceList{all: allow}
	case allow:
		l.allow(deviceRule{'c', wildcard, wildcard, access})
		l.allow(deviceRule{'b', wildcard, wildcard, access})
	default:
		for _, kind := range []byte("cb") {
			if err := l.deny(deviceRule{kind, wildcard, wildcard, access}); err != nil {
				return err
			}
		}
	}
	return nil
}

func number(n *int64) int64 {
	if n == nil {
		return wildcard
	}
	return *n
}

// normalAccess sorts the letters; none means all, as in cgroup v1.
func normalAccess(access string) (string, error) {
	out := ""
	for _, c := range "rwm" {
		if access == "" || strings.ContainsRune(access, c) {
			out += string(c)
		}
	}
	if strings.Trim(access, "rwm") != "" {
		return "", fmt.Errorf("access %q: want letters of rwm", access)
	}
	return out, nil
}

func (l *deviceList) allow(d deviceRule) {
	if l.all {
		return
	}
	for i, have := range l.rules {
		if have.kind == d.kind && have.major == d.major && have.minor == d.minor {
			l.rules[i].access, _ = normalAccess(have.access + d.access) // letters of two valid ones
			return
		}
	}
	l.rules = append(l.rules, d)
}

// deny takes access away from what is allowed so far. A hole in something wider cannot be said.
func (l *deviceList) deny(d deviceRule) error {
	if l.all {
		return fmt.Errorf("deny of %s after an allow of everything: systemd has allow lists only (allow what is needed instead)", d.path())
	}
	for i, have := range l.rules {
		switch {
		case have.kind != d.kind || !strings.ContainsAny(have.access, d.access):
		case d.covers(have):
			l.rules[i].access = strings.Map(func(c rune) rune {
				if strings.ContainsRune(d.access, c) {
					return -1
				}
				return c
			}, have.access)
		case have.covers(d):
			return fmt.Errorf("deny of %s out of the allowed %s: systemd has allow lists only (allow what is needed instead)",
				d.path(), have.path())
		}
	}
	l.rules = slices.DeleteFunc(l.rules, func(r deviceRule) bool { return r.access == "" })
	return nil
}

func (d deviceRule) covers(o deviceRule) bool {
	return (d.major == wildcard || d.major == o.major) && (d.minor == wildcard || d.minor == o.minor)
}

// path is the device as DeviceAllow= has it. By number it needs no node to exist.
func (d deviceRule) path() string {
	class := "char"
	if d.kind == 'b' {
		class = "block"
	}
	switch {
	case d.major == wildcard:
		return class + "-*"
	case d.minor == wildcard:
		return fmt.Sprintf("%s-%d", class, d.major)
	}
	return fmt.Sprintf("/dev/%s/%d:%d", class, d.major, d.minor)
}

func (l *deviceList) words() []PathWord {
	words := make([]PathWord, len(l.rules))
	for i, d := range l.rules {
		words[i] = PathWord{d.path(), d.access}
	}
	return words
}
