// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
)

// A Property is one property of a unit. Value has the Go type of the property's
// D-Bus signature: bool, string, uint64, uint32, int32, []string, []byte, or one of the
// types of this package.
type Property struct {
	Name   string
	Value  any
	Since  int    // systemd version that has it
	Source string // where it comes from: "linux.resources.memory.limit"
	Added  bool   // a list that is added to the one the unit has, instead of replacing it
}

// propertySource begins the source of what was set by its systemd name.
const propertySource = "property "

// SourceAlways is the source of what every container's unit has.
const SourceAlways = "always"

// A Unit is what StartTransientUnit is asked for, apart from the processes.
type Unit struct {
	Name       string
	Slice      string
	Properties []Property
	// Payload is what systemd cannot express: files of the sub-cgroup <unit>/payload and their
	// content. Empty means that there is no such sub-cgroup.
	Payload map[string]string
	// Strict makes a property that the running systemd lacks an error.
	Strict bool
}

// Dropped is a property left out because the running systemd lacks it.
type Dropped struct {
	Property
	Version int // the running systemd
}

// String says what was dropped and which version has it.
func (d Dropped) String() string {
	return fmt.Sprintf("%s (%s) needs systemd %d, this is %d", d.Name, d.Source, d.Since, d.Version)
}

// Plan compiles a container's resources and settings into its unit. All problems are
// reported at once. Properties set by their systemd name come last and win.
func Plan(spec *specs.Spec, s configs.Settings) (Unit, error) {
	p := &planner{unit: Unit{Name: UnitName(s.Name), Slice: s.Slice, Payload: map[string]string{}, Strict: s.Strict}}
	if err := checkUnitName(s.Name); err != nil {
		p.errs = append(p.errs, err)
	}
	p.identity(s)
	if spec.Linux != nil && spec.Linux.Resources != nil {
		p.resources(spec.Linux.Resources)
	} else {
		p.devices(nil)
	}
	for _, name := range slices.Sorted(maps.Keys(s.UnitProperties)) {
		p.override(name, s.UnitProperties[name])
	}
	p.startDevices(spec)
	p.terminal(spec.Process)
	p.execCPUs(spec.Process)
	return p.unit, errors.Join(p.errs...)
}

// A planner collects properties and problems.
type planner struct {
	unit Unit
	errs []error
}

func (p *planner) fail(format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf(format, args...))
}

// set adds a property, or replaces it in its place.
func (p *planner) set(source, name string, value any) {
	info, ok := Lookup(name)
	if !ok {
		panic("scope: property " + name + " is not in the table")
	}
	n := Property{Name: name, Value: value, Since: info.Since, Source: source}
	if i := slices.IndexFunc(p.unit.Properties, func(o Property) bool { return o.Name == name }); i >= 0 {
		p.unit.Properties[i] = n
		return
	}
	p.unit.Properties = append(p.unit.Properties, n)
}

// execCPUs refuses CPUs for exec of which the container has none: sched_setaffinity(2) would, at each exec.
func (p *planner) execCPUs(process *specs.Process) {
	if process == nil || process.ExecCPUAffinity == nil {
		return
	}
	list := process.ExecCPUAffinity.Final
	mask, err := configs.CPUMask(list)
	own, _ := p.unit.Get("AllowedCPUs").([]byte)
	if err != nil || FormatSet(own) == "" || shareCPU(mask, own) { // what is no list is told by who sets it
		return
	}
	p.errs = append(p.errs, &configs.FieldError{Field: "process.execCPUAffinity",
		Err: fmt.Errorf("%q: none of the container's, which has %q (AllowedCPUs=)", list, FormatSet(own))})
}

// shareCPU says whether two masks have a processor in common.
func shareCPU(a, b []byte) bool {
	for i := range min(len(a), len(b)) {
		if a[i]&b[i] != 0 {
			return true
		}
	}
	return false
}

func (p *planner) unset(name string) {
	p.unit.Properties = slices.DeleteFunc(p.unit.Properties, func(o Property) bool { return o.Name == name })
}

func (p *planner) identity(s configs.Settings) {
	if p.unit.Slice == "" {
		p.unit.Slice = DefaultSlice
	}
	if err := configs.CheckSlice(p.unit.Slice); err != nil {
		p.errs = append(p.errs, fmt.Errorf("slice %w", err))
	}
	description := s.Description
	if description == "" {
		description = "Container " + s.Name
	}
	p.checkText("description", description)
	p.set("description", "Description", description)
	p.set("slice", "Slice", p.unit.Slice)
	p.set(SourceAlways, "Delegate", true)
	p.set(SourceAlways, "CollectMode", collected)
	for _, name := range []string{"CPUAccounting", "IOAccounting", "MemoryAccounting", "TasksAccounting"} {
		p.set(SourceAlways, name, true)
	}
	if s.StopTimeout > 0 {
		span := uint64(s.StopTimeout / time.Microsecond)
		if s.StopTimeout == math.MaxInt64 {
			span = Infinity
		}
		p.set("stop.timeout", "TimeoutStopUSec", span)
	}
	if s.StopSignal != "" {
		n, err := configs.ParseSignal(s.StopSignal)
		if err != nil {
			p.errs = append(p.errs, err)
			return
		}
		p.set("stop.signal", "KillSignal", int32(n))
	}
}

// checkText refuses what could start another line in the file systemd keeps of the unit.
func (p *planner) checkText(what, s string) {
	if !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) || len(s) > 1024 {
		p.fail("%s %q: want at most 1024 bytes of UTF-8 text without control characters", what, s)
	}
}

// NoPressureWatch is why nothing in a container watches memory pressure as systemd's services do: they write to the
// memory.pressure of their own cgroup, which is not among /sys/kernel/cgroup/delegate.
const NoPressureWatch = "the payload is not told, and could not watch: but for root in the host's cgroup namespace, memory.pressure is read-only or " +
	"not its own, and at the root of a cgroup namespace the kernel takes no write (cgroups(7)); it may read /sys/fs/cgroup/memory.pressure"

// collected is the CollectMode of every container's unit.
const (
	collected    = "inactive-or-failed"
	whyCollected = "a failed unit would keep its name, and the next start would find it taken"
)

// reserved are properties that the start itself decides.
func reserved() map[string]string {
	return map[string]string{
		"PIDs":                "the start knows them",
		"PIDFDs":              "the start knows the processes, and names them by PID",
		"Delegate":            "it is always on",
		"DelegateControllers": "it is always on, for all",
		"DelegateSubgroup":    "it has no effect on a scope",
		"Slice":               "use the slice setting",
		"User":                "a scope does not change its processes' user",
		"Group":               "a scope does not change its processes' group",
		"Controller":          "nobody stays connected to say how the scope ends",
		"AddRef":              "nobody stays connected",

		"MemoryPressureWatch":         NoPressureWatch,
		"MemoryPressureThresholdUSec": NoPressureWatch,
	}
}

func (p *planner) override(name, text string) {
	prop, err := Parse(name, text)
	if err != nil {
		p.errs = append(p.errs, err)
		return
	}
	if why, ok := reserved()[prop.Name]; ok {
		p.fail("property %s: not to be set: %s", prop.Name, why)
		return
	}
	if prop.Name == "CollectMode" && prop.Value != collected { // engines set that one
		p.fail("property %s: %q: want %s: %s", prop.Name, prop.Value, collected, whyCollected)
		return
	}
	for _, s := range stringsOf(prop.Value) {
		p.checkText(propertySource+prop.Name+": value", s)
	}
	p.unset(Twin(prop.Name)) // systemd keeps both as one, and the last one counts
	p.set(propertySource+name, prop.Name, prop.Value)
}

// stringsOf is every string in a value.
func stringsOf(v any) (all []string) {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []string:
		return v
	case []PathValue:
		for _, e := range v {
			all = append(all, e.Path)
		}
	case []PathWord:
		for _, e := range v {
			all = append(all, e.Path, e.Word)
		}
	case Interfaces:
		return v.Names
	case []NFT:
		for _, e := range v {
			all = append(all, e.Table, e.Set)
		}
	}
	return all
}

// Needs is the oldest systemd that has every property of the unit.
func (u Unit) Needs() int {
	n := 0
	for _, p := range u.Properties {
		n = max(n, p.Since)
	}
	return n
}

// For returns the unit as systemd of that version takes it, and what had to be
// left out. A strict unit is not reduced: the error names each property and its version.
func (u Unit) For(version int) (Unit, []Dropped, error) {
	var kept []Property
	var dropped []Dropped
	var errs []error
	for _, p := range u.Properties {
		if p.Since <= version {
			kept = append(kept, p)
			continue
		}
		d := Dropped{p, version}
		dropped = append(dropped, d)
		if u.Strict {
			errs = append(errs, fmt.Errorf("%w: %s (upgrade systemd, or set systemd.strict = false to go without)", errOldSystemd, d))
		}
	}
	u.Properties = kept
	return u, dropped, errors.Join(errs...)
}

// Get is the value of a property, or nil.
func (u Unit) Get(name string) any {
	for _, p := range u.Properties {
		if p.Name == name {
			return p.Value
		}
	}
	return nil
}

// Stop is the signal with which the unit asks its payload to end, and how long that then has.
func (u Unit) Stop() (unix.Signal, time.Duration) {
	sig, given := u.Get("KillSignal").(int32)
	if !given {
		sig = int32(unix.SIGTERM)
	}
	span, _ := u.Get("TimeoutStopUSec").(uint64) // without one no time at all
	if span > math.MaxInt64/1000 {
		return unix.Signal(sig), math.MaxInt64
	}
	return unix.Signal(sig), time.Duration(span) * time.Microsecond
}

// Changes is what has to be set to make a running unit u into next: what differs, and what
// was asked for by name, since the unit itself may have been told otherwise. Properties that cannot change
// while a unit runs, or would have to be taken back, are an error, as is a sub-cgroup for the payload where
// there is none yet.
func (u Unit) Changes(next Unit, asked map[string]bool) ([]Property, error) {
	var changes []Property
	var errs []error
	for _, p := range next.Properties {
		info, _ := Lookup(p.Name)
		has := u.Get(p.Name)
		same := equal(has, p.Value)
		switch {
		case same && !(asked[p.Name] && info.Live):
		case info.Live && (same || has == nil || !info.merges()):
			changes = append(changes, p)
		default:
			errs = append(errs, fmt.Errorf("%s (%s) cannot change while the container runs (restart it)", p.Name, p.Source))
		}
	}
	for _, p := range u.Properties {
		if next.Get(p.Name) == nil && next.Get(Twin(p.Name)) == nil {
			errs = append(errs, fmt.Errorf("%s (%s) cannot be taken back while the container runs (give it another value, or restart it)", p.Name, p.Source))
		}
	}
	if len(u.Payload) == 0 && len(next.Payload) > 0 {
		for _, file := range slices.Sorted(maps.Keys(next.Payload)) {
			errs = append(errs, fmt.Errorf("%s needs a sub-cgroup the container was not started with (restart it)", file))
		}
	}
	return changes, errors.Join(errs...)
}
