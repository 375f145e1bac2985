// SPDX-License-Identifier: Apache-2.0

package unitgen

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/scope"
)

// Sections of a unit file, in the order they are written.
const (
	sectionUnit = iota
	sectionService
	sectionInstall
	sections
)

var sectionNames = [sections]string{"Unit", "Service", "Install"}

// directive is one line of a unit file.
type directive struct{ name, value string }

// file is a unit file in the making, with all that is wrong with it and all that the target lacks.
type file struct {
	head    []string // comment lines
	lines   [sections][]directive
	version int
	target  string // what the version is, for messages
	driver  string // of the log
	strict  bool
	errs    []error
	lacking []*UnsupportedError
}

// add writes one directive whose value w makes.
func (f *file) add(section int, name string, w func(...string) (string, error), values ...string) {
	v, err := w(values...)
	if err != nil {
		f.fail(name, err)
		return
	}
	f.line(section, name, v)
}

// line writes one directive that needs no escaping, unless the target does not have it.
func (f *file) line(section int, name, value string) {
	need, word := newerThan(name, value), ""
	if need > newerThan(name, "") {
		word = value
	}
	if f.supports(name, word, need) {
		f.lines[section] = append(f.lines[section], directive{name, value})
	}
}

// supports says whether the target systemd has a directive, or a word for it if that is not "". What it lacks is an error, or
// a comment in the file; what the newest has is a comment too, where older ones lack it.
func (f *file) supports(name, word string, need int) bool {
	switch {
	case need > f.version && f.strict:
		f.lack(UnsupportedError{name, word, need, f.target})
	case need > f.version:
		f.note("# %s=%s is left out: it needs systemd %d, %s.", name, word, need, f.target)
	case need > Floor && f.version == Newest:
		f.note("# %s=%s needs systemd %d.", name, word, need)
	}
	return need <= f.version
}

// note adds a comment, once.
func (f *file) note(format string, args ...any) {
	if c := fmt.Sprintf(format, args...); !slices.Contains(f.head, c) {
		f.head = append(f.head, c)
	}
}

// An UnsupportedError is a directive that the systemd a unit is for does not have, or not with that value. It is a
// [scope.ErrUnsupported].
type UnsupportedError struct {
	Directive string
	Value     string // "" if it has none of the directive's
	Needs     int    // the first systemd that has it
	Target    string // the one it is for: "the running one is 252"
}

func (e *UnsupportedError) Error() string {
	what := e.Directive
	if e.Value != "" {
		what += "=" + e.Value
	}
	return fmt.Sprintf("unit file: %s: needs systemd %d, %s (set systemd.strict = false to do without)", what, e.Needs, e.Target)
}

// Is makes the sentinel of package scope match.
func (e *UnsupportedError) Is(target error) bool { return target == scope.ErrUnsupported }

// lack notes a directive that the target does not have, once.
func (f *file) lack(e UnsupportedError) {
	if !slices.ContainsFunc(f.lacking, func(o *UnsupportedError) bool { return *o == e }) {
		f.lacking = append(f.lacking, &e)
	}
}

// A StrangeValueError is a value that not every systemd up to [configs.DirectivesOf] takes for a directive, such as a word that
// none of them knows. With no more than a line in the journal it ignores that; a newer one may take it.
type StrangeValueError struct{ Value, Want string }

func (e *StrangeValueError) Error() string { return fmt.Sprintf("value %q: want %s", e.Value, e.Want) }

// A DirectiveError is what is wrong with one directive of a unit file, such as an [InvalidValueError].
type DirectiveError struct {
	Directive string
	Err       error
}

func (e *DirectiveError) Error() string { return fmt.Sprintf("unit file: %s: %v", e.Directive, e.Err) }

// Unwrap gives the cause.
func (e *DirectiveError) Unwrap() error { return e.Err }

func (f *file) fail(name string, err error) {
	f.errs = append(f.errs, &DirectiveError{name, err})
}

// user adds directives in unit file syntax, names sorted.
func (f *file) user(section int, directives map[string][]string) {
	for _, name := range slices.Sorted(maps.Keys(directives)) {
		err := permitted(section, name, directives[name])
		if vain := inVain(name, f.driver, directives[name]); vain != nil && section == sectionService {
			err = vain
		}
		var strange *StrangeValueError
		switch {
		case errors.As(err, &strange) && f.strict:
			f.fail(name, fmt.Errorf("%w (systemd.strict = false accepts it)", err))
			continue
		case strange != nil:
			f.note("# %s=%s is not a value that every systemd up to %d takes.", name, strange.Value, configs.DirectivesOf)
		case err != nil:
			f.fail(name, err)
			continue
		}
		if !configs.KnownDirective(strings.ToLower(sectionNames[section]), name) {
			f.note("# %s= is not a directive of [%s] that systemd up to %d knows.", name, sectionNames[section], configs.DirectivesOf)
		}
		if section != sectionInstall && !list(name) {
			f.drop(section, name)
		}
		for _, v := range directives[name] {
			f.add(section, name, one(raw), v)
		}
	}
}

// drop forgets a default that the configuration sets itself.
func (f *file) drop(section int, name string) {
	f.lines[section] = slices.DeleteFunc(f.lines[section], func(d directive) bool { return d.name == name })
}

// one and many fit the writers of escape.go to [file.add].
func one(w func(string) (string, error)) func(...string) (string, error) {
	return func(v ...string) (string, error) { return w(v[0]) }
}

func many(w func(string) (string, error)) func(...string) (string, error) {
	return func(v ...string) (string, error) { return joined(w, v...) }
}

// String is the file.
func (f *file) String() string {
	var b strings.Builder
	for _, c := range f.head {
		b.WriteString(c + "\n")
	}
	for i, lines := range f.lines {
		if len(lines) == 0 {
			continue
		}
		b.WriteString("\n[" + sectionNames[i] + "]\n")
		for _, d := range lines {
			b.WriteString(d.name + "=" + d.value + "\n")
		}
	}
	return b.String()
}
