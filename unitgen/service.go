// SPDX-License-Identifier: Apache-2.0

package unitgen

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/scope"
)

// Options is what the configuration does not say about the unit.
type Options struct {
	// Binary is the absolute path of sdcontainer, /usr/bin/sdcontainer by default.
	Binary string
	// Version is the systemd the unit is for: [Floor] by default, or [Newest].
	Version int
	// Running says that Version is the running systemd, for messages.
	Running bool
}

// The unit that packages ship for containers as services, and the drop-in that makes an
// instance of it what its configuration says.
//
// Order: its name before 50-, as which systemd stores what set-property and update change of a limit, and before
// override.conf, which systemctl edit writes: drop-ins count in the order of their names, whatever their directories
// (systemd.unit(5)), and the next daemon-reload would undo the change.
const (
	Template       = "sdcontainer@.service"
	TemplateDropIn = "10-sdcontainer.conf"
)

// OwnEnvironment is a variable that units have for sdcontainer itself, whose start it makes cheaper, and not for the payload.
const OwnEnvironment = "GOMAXPROCS=1"

// Where systemd has what an administrator installs, and what is set on a unit until a reboot.
const (
	Dir        = "/etc/systemd/system"
	ControlDir = "/run/systemd/system.control"
)

// Service is the text of a service for a container: one to be installed under a
// name of its own. All problems are reported at once: a [DirectiveError] for each directive
// that no unit file can carry ([InvalidValueError]) or that would break the container, and, if the configuration is
// strict, for a value that only some or newer systemd take ([StrangeValueError]), and an [UnsupportedError] for each that the
// systemd it is for does not know.
func Service(spec *specs.Spec, s configs.Settings, o Options) (string, error) {
	f, err := newFile(spec, s, &o)
	if err != nil {
		return "", err
	}
	f.add(sectionUnit, "Description", one(text), description(s))
	f.line(sectionUnit, "Documentation", "man:sdcontainer(1) https://github.com/sdcontainer/sdcontainer")
	f.add(sectionUnit, "SourcePath", one(text), filepath.Clean(s.Source))
	f.mounts(spec, s)
	f.line(sectionService, "Type", "notify")
	f.notify(s)
	f.line(sectionService, "Delegate", "yes")
	f.line(sectionService, "Environment", OwnEnvironment)
	f.commands(s, o)
	f.line(sectionService, "KillMode", "mixed")
	f.add(sectionService, "LogExtraFields", one(word), configs.NameField+"="+s.Name)
	f.common(spec, s)
	if len(s.Install) == 0 {
		f.line(sectionInstall, "WantedBy", "multi-user.target")
	}
	return f.text()
}

// DropIn is what the instance of sdcontainer@.service for this container has
// besides the template: the text of sdcontainer@NAME.service.d/10-sdcontainer.conf.
// Its errors are those of [Service].
func DropIn(spec *specs.Spec, s configs.Settings, o Options) (string, error) {
	f, err := newFile(spec, s, &o)
	if err != nil {
		return "", err
	}
	f.add(sectionUnit, "Description", one(text), description(s))
	f.add(sectionUnit, "SourcePath", one(text), filepath.Clean(s.Source))
	f.mounts(spec, s)
	f.notify(s)
	// An empty assignment forgets the template's; what is asked for comes after it.
	f.line(sectionService, "SuccessExitStatus", "")
	if len(s.Install) > 0 {
		f.line(sectionInstall, "WantedBy", "")
	}
	elsewhere := s.Source != filepath.Join(configs.Dir, s.Name+".toml")
	if elsewhere {
		f.line(sectionUnit, "AssertPathExists", "")
	}
	if elsewhere || o.Binary != defaultBinary {
		f.line(sectionService, "ExecStart", "")
		f.line(sectionService, "ExecStop", "")
		f.line(sectionService, "ExecStopPost", "")
		f.commands(s, o)
	}
	f.common(spec, s)
	return f.text()
}

// common is what a service and a drop-in share.
func (f *file) common(spec *specs.Spec, s configs.Settings) {
	f.add(sectionService, "Slice", one(text), orDefault(s.Slice, scope.DefaultSlice))
	f.add(sectionService, "SyslogIdentifier", one(text), orDefault(s.Log.Identifier, s.Name))
	f.line(sectionService, "SyslogLevelPrefix", yesNo(s.Log.LevelPrefix))
	f.stop(s)
	f.fields(s.Log.Fields)
	f.limits(spec, s)
	f.user(sectionUnit, s.Unit)
	f.user(sectionService, s.Service)
	f.user(sectionInstall, s.Install)
}

const defaultBinary = "/usr/bin/sdcontainer"

func newFile(spec *specs.Spec, s configs.Settings, o *Options) (*file, error) {
	o.Binary = orDefault(o.Binary, defaultBinary)
	target := fmt.Sprintf("the unit is for %d", o.Version)
	switch {
	case o.Version == 0:
		o.Version = Floor
		target = fmt.Sprintf("the unit is for %d, the oldest there are units for", Floor)
	case o.Running:
		target = fmt.Sprintf("the running one is %d", o.Version)
	}
	switch {
	case o.Version < Floor:
		return nil, fmt.Errorf("unit file: systemd %d: units need at least %d", o.Version, Floor)
	case !filepath.IsAbs(o.Binary):
		return nil, fmt.Errorf("unit file: binary %q: want an absolute path", o.Binary)
	case s.Name == "":
		return nil, errors.New("unit file: the container has no name")
	case !filepath.IsAbs(s.Source):
		return nil, fmt.Errorf("unit file: source %q: want the absolute path of the configuration", s.Source)
	case spec.Root == nil:
		return nil, fmt.Errorf("unit file: container %s: root is missing", s.Name)
	}
	f := &file{target: target, version: o.Version, strict: s.Strict, driver: s.Log.Driver}
	if spec.Process != nil && spec.Process.Terminal {
		f.errs = append(f.errs, errors.New("process.terminal is set, and nobody would hold the terminal of a service: leave it out"))
	}
	f.head = []string{fmt.Sprintf(madeByUs+"from %q: change that, not this.", s.Source)}
	return f, nil
}

func (f *file) text() (string, error) {
	errs := f.errs
	for _, e := range f.lacking {
		errs = append(errs, e)
	}
	if err := errors.Join(errs...); err != nil {
		return "", err
	}
	return f.String(), nil
}

func orDefault(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

func description(s configs.Settings) string {
	return orDefault(s.Description, "Container "+s.Name)
}

// commands starts the container, helps to stop it and cleans up after it.
func (f *file) commands(s configs.Settings, o Options) {
	f.add(sectionService, "ExecStart", command(""), o.Binary, "run", "--unit", "--name", s.Name, s.Source)
	// All three name the container: its name in the configuration may change later.
	// Whatever the last two say, the unit's result is the payload's.
	f.add(sectionService, "ExecStop", command("-"), o.Binary, "prestop", s.Name)
	f.add(sectionService, "ExecStopPost", command("-"), o.Binary, "cleanup", s.Name)
}

// command writes a command line with a prefix such as "-". The program is the
// only word in which $ is not expanded.
func command(prefix string) func(...string) (string, error) {
	return func(argv ...string) (string, error) {
		program, err := word(prefix + argv[0])
		if err != nil {
			return "", err
		}
		args, err := joined(argument, argv[1:]...)
		return program + " " + args, err
	}
}

func (f *file) notify(s configs.Settings) {
	if s.Notify == "container" {
		f.line(sectionService, "NotifyAccess", "all")
	} else {
		f.line(sectionService, "NotifyAccess", "main")
	}
}

// mounts makes the unit wait for what the container is made of.
func (f *file) mounts(spec *specs.Spec, s configs.Settings) {
	base := filepath.Dir(s.Source)
	paths := []string{spec.Root.Path}
	for _, m := range spec.Mounts {
		if slices.Contains(m.Options, "x-sdc.optional") { // without it the container starts, and the unit would not
			continue
		}
		if m.Type == "bind" || slices.Contains(m.Options, "bind") || slices.Contains(m.Options, "rbind") {
			paths = append(paths, m.Source)
		}
		paths = append(paths, configs.Layers(m)...)
	}
	if filepath.Clean(base) != configs.Dir { // which is there whenever units are
		paths = append(paths, s.Source)
	}
	for i, p := range paths {
		if !filepath.IsAbs(p) {
			p = filepath.Join(base, p)
		}
		paths[i] = filepath.Clean(p)
	}
	slices.Sort(paths)
	paths = slices.DeleteFunc(slices.Compact(paths), func(p string) bool { return !filepath.IsAbs(p) || p == "/" })
	if len(paths) > 0 {
		f.add(sectionUnit, "RequiresMountsFor", many(word), paths...)
	}
}

// stop is how the payload is told to end, and which ends are no failures.
func (f *file) stop(s configs.Settings) {
	sig, err := configs.ParseSignal(orDefault(s.StopSignal, "SIGTERM"))
	if err != nil {
		f.fail("KillSignal", err)
		return
	}
	if p, err := scope.Parse("KillSignal", s.UnitProperties["KillSignal"]); err == nil { // what is wrong with it is told with the others
		sig = unix.Signal(p.Value.(int32))
	}
	name, err := signalName(int32(sig))
	if err != nil {
		f.fail("KillSignal", err)
		return
	}
	f.line(sectionService, "KillSignal", name)
	if s.StopTimeout > 0 {
		f.line(sectionService, "TimeoutStopSec", configs.SpanText(s.StopTimeout))
	}
	switch sig {
	case unix.SIGKILL, unix.SIGABRT, unix.SIGSEGV, unix.SIGBUS, unix.SIGILL, unix.SIGFPE, unix.SIGSYS, unix.SIGTRAP:
		return // what these end has failed, whoever sent them
	}
	// A shell or reaper reports its child's death by the stop signal as 128+n.
	status := strconv.Itoa(128 + int(sig))
	if sig != unix.SIGTERM { // which systemd takes as success anyway
		status += " " + name
	}
	f.line(sectionService, "SuccessExitStatus", status)
}

// fields adds the configuration's journal fields to every line of the log.
func (f *file) fields(fields map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		err := configs.CheckJournalField(name)
		value := ""
		if err == nil {
			value, err = word(name + "=" + fields[name])
		}
		if err != nil {
			f.fail("LogExtraFields", &configs.FieldError{Field: "log.fields", Entry: name, Err: err})
			continue
		}
		f.line(sectionService, "LogExtraFields", value)
	}
}

// own are properties of the scope that a service has otherwise, or not at all. The
// configuration may still set some of them by name.
var own = []string{
	"CollectMode", "Delegate", "Description", "KillMode", "KillSignal",
	"RequiresMountsFor", "Slice", "TimeoutStopUSec",
}

// limits writes the unit properties of the container as directives.
func (f *file) limits(spec *specs.Spec, s configs.Settings) {
	unit, err := scope.Plan(spec, s)
	if err != nil {
		f.errs = append(f.errs, err)
	}
	f.line(sectionService, "OOMPolicy", "continue")
	for _, p := range unit.Properties {
		if slices.Contains(own, p.Name) && !asked(p.Name, s.UnitProperties) {
			continue
		}
		f.property(p)
	}
}

// asked says whether a property was set by its name, which may say Sec for USec.
func asked(name string, by map[string]string) bool {
	_, usec := by[name]
	_, sec := by[strings.TrimSuffix(name, "USec")+"Sec"]
	return usec || sec
}

// property writes one property as a directive, in the place of a default.
func (f *file) property(p scope.Property) {
	name, values, err := spell(p)
	if err != nil {
		f.fail(p.Name, err)
		return
	}
	section := sectionService
	if slices.Contains(unitSection, name) {
		section = sectionUnit
	}
	if p.Name != "OOMPolicy" && !f.supports(name, "", p.Since) { // older on services than on scopes
		return
	}
	if !list(name) {
		f.drop(section, name)
	}
	for _, v := range values {
		f.line(section, name, v)
	}
}

// unitSection are properties whose directives stand in [Unit].
var unitSection = []string{
	"After", "Before", "BindsTo", "CollectMode", "Conflicts", "DefaultDependencies",
	"Description", "Documentation", "FailureAction", "IgnoreOnIsolate",
	"JoinsNamespaceOf", "OnFailure", "OnSuccess", "PartOf", "PropagatesReloadTo",
	"PropagatesStopTo", "ReloadPropagatedFrom", "Requires", "RequiresMountsFor",
	"Requisite", "StopPropagatedFrom", "SuccessAction", "SurviveFinalKillSignal",
	"Upholds", "Wants", "WantsMountsFor",
}
