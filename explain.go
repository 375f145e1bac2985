// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sdcontainer/sdcontainer/caps"
	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/nsexec"
	"github.com/sdcontainer/sdcontainer/rootfs"
	"github.com/sdcontainer/sdcontainer/scope"
	"github.com/sdcontainer/sdcontainer/unitgen"
)

// An Explanation is what Create would do for a Spec: the D-Bus call, the programs, what
// is done around them, what goes to the payload's cgroup, and the unit file for a service.
type Explanation struct {
	Unit       string                       `json:"unit"`
	Needs      int                          `json:"needsSystemd"`
	Properties []ExplainedProperty          `json:"properties"`
	Payload    map[string]string            `json:"payload,omitempty"`
	Parent     []ParentStep                 `json:"parent"` // in the foreground
	Programs   map[string][]nsexec.StepInfo `json:"programs"`
	Service    string                       `json:"service"`
	Notes      []string                     `json:"notes,omitempty"`
	programs   []*nsexec.Program
	sources    []rootfs.Source
	missing    []error // of the notes as warnings, what the rootfs does not have, and where others get to a source
}

// An ExplainedProperty is one property of the StartTransientUnit call.
type ExplainedProperty struct {
	Name      string `json:"name"`
	Signature string `json:"signature"`
	Value     any    `json:"value"`
	Source    string `json:"source"`
	// Default says that it is what the profile has when a TOML says nothing, and that [systemd.scope] does not say it.
	Default bool `json:"default,omitempty"`
}

// Explain says what Create would do, without doing any of it; an empty id stands for the name
// in spec. What only the container's own files tell (ids of users by name, the executable in
// PATH) is read from the rootfs if it is there, and named in the notes if not. Without a version
// in o the unit file is for the newest systemd, and says what it needs.
func Explain(id string, spec *specs.Spec, o unitgen.Options) (*Explanation, error) {
	var unseen []string
	facts, err := look(context.Background(), "look at the sources of mounts", func() (rootfs.Facts, error) {
		return findFacts(spec, false, func(err error) { unseen = append(unseen, err.Error()) })
	}, nil)
	if err != nil {
		return nil, err
	}
	facts.OverlayLowerPlus = true
	x, err := explain(id, spec, o, facts, findInRootfs)
	if err != nil {
		return nil, err
	}
	x.Notes = append(x.Notes, unseen...)
	exposed, err := exposedWithin(context.Background(), x.sources, mayMount(spec.Process))
	if err != nil {
		return nil, err
	}
	for _, err := range exposed {
		x.Notes, x.missing = append(x.Notes, err.Error()), append(x.missing, err.field())
	}
	return x, nil
}

// explain is Explain for given facts; find looks for user and executable.
func explain(id string, spec *specs.Spec, o unitgen.Options, facts rootfs.Facts, find func(*specs.Spec) sighting) (*Explanation, error) {
	if err := configs.Validate(spec); err != nil {
		return nil, err
	}
	settings, err := configs.SettingsOf(spec)
	if err != nil {
		return nil, err
	}
	settings.Rename(cmp.Or(id, settings.Name))
	if err := checkID(settings.Name); err != nil {
		return nil, err
	}
	x := &Explanation{Programs: map[string][]nsexec.StepInfo{}}
	// The range depends on what else runs: the first one stands for it.
	if n := settings.AutoUserns; n > 0 {
		copied, linux := *spec, *spec.Linux
		linux.UIDMappings = []specs.LinuxIDMapping{{HostID: usernsFirst, Size: n}}
		linux.GIDMappings = linux.UIDMappings
		copied.Linux = &linux
		spec = &copied
		x.Notes = append(x.Notes, fmt.Sprintf("the user namespace gets a free range of %d ids; %d stands for its first", n, usernsFirst))
	}
	p, err := newPlan(spec, settings, compileOptions{})
	if err != nil {
		return nil, err
	}
	facts.HostNull[0] = true // without -i
	if err := p.complete(facts); err != nil {
		return nil, err
	}
	x.sources = p.world.Sources
	y, err := x.payload(spec, find)
	if err != nil {
		return nil, err
	}
	if y.DeathSignal, err = deathSignal(settings, true); err != nil {
		return nil, err
	}
	enter, err := p.enter(y)
	if err != nil {
		return nil, err
	}
	x.programs = []*nsexec.Program{p.spawn, p.world.Program, enter}
	for _, prog := range x.programs {
		x.Programs[prog.Name()] = prog.Explain()
	}
	x.Parent = parent(p, y)
	if err := x.unit(p.unit, settings); err != nil {
		return nil, err
	}
	switch {
	case settings.Source == "":
		x.Notes = append(x.Notes, "a service needs a configuration file that it can name: this has none")
		return x, nil
	case spec.Process.Terminal:
		x.Notes = append(x.Notes, "a service has no terminal, as process.terminal says: there is no unit file")
		return x, nil
	}
	o.Version = cmp.Or(o.Version, unitgen.Newest)
	x.Service, err = unitgen.Service(spec, settings, o)
	return x, err
}

// A sighting is what of the payload the container's files have now.
type sighting struct {
	payload              *caps.Payload // nil without a user
	path                 string        // of the executable
	noUser, noExecutable error
}

// payload finds user and executable, or stands in for what it does not find.
func (x *Explanation) payload(spec *specs.Spec, find func(*specs.Spec) sighting) (y *caps.Payload, err error) {
	s, err := look(context.Background(), "look for the user and the command in the rootfs", func() (sighting, error) { return find(spec), nil }, nil)
	if err != nil {
		return nil, err
	}
	if y = s.payload; s.noUser != nil {
		if y, err = standIn(spec); err != nil {
			return nil, err
		}
		x.lacks("process.user", fmt.Sprintf("user %q", userText(spec.Process.User)), s.noUser)
	}
	if _, _, _, err := onHost(y, spec.Linux.UIDMappings, spec.Linux.GIDMappings); err != nil {
		x.warn("process.user", fmt.Errorf("%q, as the rootfs has it now: %w", userText(spec.Process.User), err))
	}
	if y.Path = s.path; s.noExecutable != nil {
		y.Path = spec.Process.Args[0]
		x.lacks("process.args", fmt.Sprintf("executable %q", y.Path), s.noExecutable)
	}
	return y, nil
}

// lacks notes what a field of the Spec names and the container's files do not have.
func (x *Explanation) lacks(field, what string, reason error) {
	x.warn(field, fmt.Errorf("%s is looked up in the rootfs, which does not have it now: %w", what, plainReason(reason)))
}

// warn notes what a start would fail for now.
func (x *Explanation) warn(field string, err error) {
	x.Notes = append(x.Notes, err.Error())
	x.missing = append(x.missing, &configs.FieldError{Field: field, Err: err, Warning: true})
}

// standIn is the payload for a user that is not known here.
func standIn(spec *specs.Spec) (*caps.Payload, error) {
	user := spec.Process.User
	y, err := caps.Plan(spec.Process, spec.Linux, caps.Identity{UID: user.UID, GID: user.GID, Home: "(not known here)"})
	if err == nil {
		y.StandsFor = user.Username
	}
	return y, err
}

// findInRootfs looks for the executable of a user that is not there, too.
func findInRootfs(spec *specs.Spec) (s sighting) {
	root, err := kernel.OpenPath(spec.Root.Path)
	if err != nil {
		return sighting{noUser: err, noExecutable: err}
	}
	defer root.Close()
	s.payload, s.noUser = findUser(root, spec.Process, spec.Linux)
	y := s.payload
	if s.noUser != nil {
		if y, err = standIn(spec); err != nil {
			return s // which is told by who needs one
		}
	}
	s.path, s.noExecutable = lookPath(root, cmp.Or(spec.Process.Cwd, "/"), spec.Process.Args[0], y.Env)
	return s
}

func plainReason(err error) error {
	for e := err; e != nil; e = errors.Unwrap(e) {
		err = e
	}
	return err
}

func userText(u specs.User) string {
	if u.Username != "" {
		return u.Username
	}
	return fmt.Sprintf("%d:%d", u.UID, u.GID)
}

// unit tells the unit; one from a TOML in its words, and not in those of the Spec that it became.
func (x *Explanation) unit(u scope.Unit, s configs.Settings) error {
	x.Unit, x.Needs, x.Payload = u.Name, u.Needs(), u.Payload
	var defaults []scope.Property
	if s.Source != "" {
		var err error
		if defaults, err = defaultProperties(s); err != nil {
			return err
		}
	}
	for _, p := range u.Properties {
		info, _ := scope.Lookup(p.Name)
		e := ExplainedProperty{Name: p.Name, Signature: info.Sig, Value: p.Value, Source: p.Source}
		if s.Source != "" && p.Source != scope.SourceAlways {
			var written bool
			e.Source, written = sourceKey(p, s.PropertyKeys)
			e.Default = !written && slices.ContainsFunc(defaults, func(d scope.Property) bool {
				return d.Name == p.Name && d.Source == p.Source && reflect.DeepEqual(d.Value, p.Value)
			})
		}
		x.Properties = append(x.Properties, e)
	}
	return nil
}

// defaultProperties are those of a container of that name and profile whose configuration says nothing more.
func defaultProperties(s configs.Settings) ([]scope.Property, error) {
	spec, err := configs.FromRootfs(s.Name, "/rootfs", []string{"/init"}, configs.Setting{Key: "security.profile", Value: cmp.Or(s.Profile, configs.ProfileApp)})
	if err != nil {
		return nil, err
	}
	if s, err = configs.SettingsOf(spec); err != nil {
		return nil, err
	}
	u, err := scope.Plan(spec, s)
	return u.Properties, err
}

// sourceKey is the key of the TOML that a property comes from, those of given, which are written there, where there are any. What has
// none keeps its source.
func sourceKey(p scope.Property, given map[string][]string) (key string, written bool) {
	name, _ := strings.CutPrefix(p.Source, "property ")
	if keys := given[name]; len(keys) > 0 {
		return strings.Join(keys, ", "), true
	}
	directive := strings.NewReplacer("PerSecUSec", "", "PeriodUSec", "", "USec", "Sec").Replace(strings.TrimSuffix(p.Name, "Scale")) + "="
	for _, k := range configs.Keys() {
		if k.Maps == directive || k.Maps == p.Source {
			return k.Path, false
		}
	}
	return p.Source, false
}

// WriteText writes the explanation for people.
func (x *Explanation) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "D-Bus: StartTransientUnit(%q, \"fail\"), systemd %d or later\n", x.Unit, max(x.Needs, unitgen.Floor))
	for _, p := range x.Properties {
		fmt.Fprintf(&b, "  %-24s %-9s %-28s # %s\n", p.Name, p.Signature, valueText(p), p.Source+map[bool]string{true: ", default"}[p.Default])
	}
	fmt.Fprintf(&b, "  %-24s %-9s %-28s # %s\n", "PIDs", "au", "[init]", "the container's first process")
	if len(x.Payload) > 0 {
		fmt.Fprintf(&b, "\npayload/: what systemd cannot express\n")
		for _, file := range slices.Sorted(maps.Keys(x.Payload)) {
			fmt.Fprintf(&b, "  %-24s %s\n", file, strings.ReplaceAll(x.Payload[file], "\n", "; "))
		}
	}
	b.WriteString("\nparent: what this process does around the programs, in order\n")
	for _, s := range x.Parent {
		fmt.Fprintf(&b, "  %-8s %-60s # %s\n", s.Phase, s.Does, s.Why)
	}
	for _, p := range x.programs {
		b.WriteByte('\n')
		if err := p.Format(&b); err != nil {
			return err
		}
	}
	if x.Service != "" {
		b.WriteString("\nunit file for a service:\n")
	}
	for line := range strings.Lines(x.Service) {
		b.WriteString("  " + line)
	}
	for _, n := range x.Notes {
		fmt.Fprintf(&b, "\nnote: %s\n", n)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func valueText(p ExplainedProperty) string {
	switch v := p.Value.(type) {
	case string:
		return fmt.Sprintf("%q", v)
	case uint64:
		if v == scope.Infinity {
			return "infinity"
		}
	case []byte:
		return fmt.Sprintf("%#x", v)
	}
	return fmt.Sprint(p.Value)
}
