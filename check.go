// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/caps"
	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/rootfs"
	"github.com/sdcontainer/sdcontainer/scope"
	"github.com/sdcontainer/sdcontainer/unitgen"
)

// Check lists everything that is wrong with the configuration at path: what reading it
// shows and what compiling it to programs and unit, as [Explain] does, shows. Nothing is started,
// and no rights are needed. The warnings are of what a start would fail for now, as the root or the machine has not
// got it, of what the caller may not see, of what is asked for in vain, and of what systemd.strict = false makes no problem.
func Check(path string, u unitgen.Options) (problems, warnings []configs.Problem) {
	k := checker{unit: u}
	o := configs.LoadOptions{Property: checkProperty, Directive: checkDirective, Mount: checkMount, Find: k.find, Spec: k.spec}
	o.Warn = func(p configs.Problem) { warnings = append(warnings, p) }
	if problems = o.Check(path); len(problems) > 0 {
		return problems, nil
	}
	for _, e := range flat(k.whole) {
		problems = append(problems, configs.Problem{File: path, Msg: e.Error()})
	}
	if len(problems) > 0 {
		return problems, nil
	}
	slices.SortStableFunc(warnings, configs.Problem.Compare)
	return nil, warnings
}

// A checker looks at what a configuration comes to, and at what it needs of this machine.
type checker struct {
	unit   unitgen.Options
	whole  error // what has no place in the file
	silent error // of the first filesystem that does not answer: one is enough to wait for
}

// ask does what looks into filesystems, unless one of them has not answered.
func (k *checker) ask(what string, f func() error) error {
	if k.silent != nil {
		return nil
	}
	_, err := look(context.Background(), what, func() (struct{}, error) { return struct{}{}, f() }, nil)
	if errors.Is(err, context.DeadlineExceeded) {
		k.silent = err
	}
	return err
}

// find looks for a path of the host. What the caller may not see, root may.
func (k *checker) find(name string, dir bool) error {
	return k.ask("look at it", func() error {
		info, err := os.Stat(name)
		switch {
		case errors.Is(err, unix.EACCES):
			return &configs.FieldError{Field: "path", Entry: name, Err: unix.EACCES, Warning: true}
		case err == nil && dir && !info.IsDir():
			return unix.ENOTDIR
		}
		return err
	})
}

func (k *checker) spec(spec *specs.Spec, s configs.Settings) error {
	if configs.CheckName(s.Name) != nil {
		s.Name = "check" // which is told, and would hide the rest
	}
	errs := []error{checkSpec(spec, s), checkUnit(spec, s, k.unit)}
	errs = append(errs, k.ask("look at namespaces to join", func() error { return checkJoins(spec, s) }))
	errs = append(errs, k.ask("look at the root and at the sources of mounts", func() error {
		return errors.Join(slices.Concat(separated(spec), misfits(spec))...)
	}))
	if k.whole = k.silent; k.whole == nil {
		var x *Explanation
		if x, k.whole = Explain("", spec, k.unit); k.whole == nil {
			errs = append(errs, x.missing...)
		}
	}
	return errors.Join(errs...)
}

// checkJoins opens the namespaces to join. One that cannot be opened is no mistake: another unit may make it before a
// start, and who starts may be root.
func checkJoins(spec *specs.Spec, s configs.Settings) error {
	p, err := newPlan(spec, s, compileOptions{})
	if err != nil {
		return nil // which is told elsewhere
	}
	var errs []error
	for _, j := range p.joins {
		f, err := j.open()
		if err == nil {
			if j.typ == specs.UserNamespace {
				uids, gids := mapsIn(f)
				err = j.checkIDs(s, uids, gids)
			}
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			errs = append(errs, &configs.FieldError{Field: "linux.namespaces", Entry: string(j.typ), Err: err, Warning: !errors.As(err, new(unjoinable))})
		}
	}
	return errors.Join(errs...)
}

// flat is every error of a joined one.
func flat(err error) (list []error) {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	for _, e := range joined.Unwrap() {
		list = append(list, flat(e)...)
	}
	return list
}

// fewMistakes are the first of joined errors: a profile may have one in each name.
func fewMistakes(err error) error {
	all := flat(err)
	if n := len(all) - configs.MostMistakes; n > 0 {
		all = append(all[:configs.MostMistakes], fmt.Errorf("%d more such mistakes", n))
	}
	return errors.Join(all...)
}

// checkProperty asks what makes scopes and services alike.
func checkProperty(name, value string) error {
	return checkAlone(configs.Settings{UnitProperties: map[string]string{name: value}})
}

func checkDirective(section, name string, values []string) error {
	var s configs.Settings
	one := map[string][]string{name: values}
	switch section {
	case "unit":
		s.Unit = one
	case "service":
		s.Service = one
	case "install":
		s.Install = one
	}
	return checkAlone(s)
}

// checkAlone tells what is wrong with the only thing that a unit is to have.
func checkAlone(s configs.Settings) error {
	s.Name, s.Source = "check", "/check.toml"
	s.Strict = true              // about values: the newest systemd lacks nothing
	s.Log.Driver = "passthrough" // with which every directive has an effect
	_, err := unitgen.Service(&specs.Spec{Root: &specs.Root{Path: "/root"}}, s, unitgen.Options{Version: unitgen.Newest})
	all := flat(err)
	if len(all) == 0 {
		return nil
	}
	var (
		strange *unitgen.StrangeValueError
		d       *unitgen.DirectiveError
	)
	switch {
	case errors.As(all[0], &strange):
		return &configs.FieldError{Err: strange, Warning: true}
	case errors.As(all[0], &d):
		return inPlace(d.Err)
	}
	return all[0]
}

// inPlace tells of an invalid value as the other problems do.
func inPlace(err error) error {
	var invalid *unitgen.InvalidValueError
	if errors.As(err, &invalid) {
		return fmt.Errorf("%q: %s", invalid.Value, invalid.Reason)
	}
	return err
}

// checkMount tells without the number and target of the mount: the place says which.
func checkMount(m specs.Mount) error {
	_, err := rootfs.Binds(&specs.Spec{Mounts: []specs.Mount{m}})
	if all := flat(err); len(all) > 0 {
		err = all[0]
	}
	for range 2 {
		if inner := errors.Unwrap(err); inner != nil {
			err = inner
		}
	}
	return err
}

// checkSpec asks the planners.
func checkSpec(spec *specs.Spec, s configs.Settings) error {
	unit, err := scope.Plan(spec, s)
	_, badSets := caps.ParseSets(spec.Process.Capabilities)
	errs := []error{err, rootfs.Check(spec, s), badSets}
	if spec.Linux.Seccomp != nil { // the default one is right
		for _, err := range flat((&plan{spec: spec}).compileFilter()) {
			errs = append(errs, &configs.FieldError{Field: "linux.seccomp", Err: err})
		}
	}
	return errors.Join(slices.Concat(errs, missingDevices(unit), missingCPUs(spec, unit), sharesAbove(unit), missingSysctls(spec))...)
}

// checkUnit finds what no unit file can say, and what the systemd of u lacks. Whatever else is wrong is found elsewhere.
func checkUnit(spec *specs.Spec, s configs.Settings, u unitgen.Options) error {
	u.Version = cmp.Or(u.Version, unitgen.Newest)
	_, err := unitgen.Service(spec, s, u)
	var errs []error
	for _, e := range flat(err) {
		var (
			lacks *unitgen.UnsupportedError
			wrong *unitgen.DirectiveError
			field *configs.FieldError
		)
		switch {
		case errors.As(e, &field):
			errs = append(errs, &configs.FieldError{Field: field.Field, Entry: field.Entry, Err: inPlace(field.Err)})
		case errors.As(e, &wrong):
			errs = append(errs, &configs.FieldError{Field: "unit", Entry: wrong.Directive, Err: inPlace(wrong.Err)})
		case errors.As(e, &lacks):
			err := fmt.Errorf("%s=%s needs systemd %d, %s (set systemd.strict = false to do without)", lacks.Directive, lacks.Value, lacks.Needs, lacks.Target)
			errs = append(errs, &configs.FieldError{Field: "unit", Entry: lacks.Directive, Err: err})
		}
	}
	return errors.Join(errs...)
}
