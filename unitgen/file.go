// SPDX-License-Identifier: Apache-2.0

package unitgen

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

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

// file is a unit file in the making. The first error stays.
type file struct {
	head    []string // comment lines
	lines   [sections][]directive
	version int
	strict  bool
	err     error
}

// add writes one directive whose value w makes.
func (f *file) add(section int, name string, w func(...string) (string, error), values ...string) {
	if f.err != nil {
		return
	}
	v, err := w(values...)
	if err != nil {
		f.fail(name, err)
		return
	}
	f.line(section, name, v)
}

// line writes one directive that needs no escaping, unless the target does not have it.
func (f *file) line(section int, name, value string) {
	if need := newerThan(name, value); need > f.version {
		f.unsupported(name, need)
		return
	}
	f.lines[section] = append(f.lines[section], directive{name, value})
}

// unsupported is a directive the target systemd lacks: an error, or a comment in the file.
func (f *file) unsupported(name string, need int) {
	if f.strict {
		f.fail(name, fmt.Errorf("%w: needs systemd %d, the unit is for %d (set strict = false to do without)", scope.ErrUnsupported, need, f.version))
		return
	}
	f.head = append(f.head, fmt.Sprintf("# %s= is left out: it needs systemd %d, this unit is for %d.", name, need, f.version))
}

func (f *file) fail(name string, err error) {
	var invalid *InvalidValueError
	if errors.As(err, &invalid) {
		invalid.Directive = name
	} else {
		err = fmt.Errorf("unit file: %s: %w", name, err)
	}
	if f.err == nil {
		f.err = err
	}
}

// user adds directives in unit file syntax, names sorted.
func (f *file) user(section int, directives map[string][]string) {
	for _, name := range slices.Sorted(maps.Keys(directives)) {
		if err := permitted(section, name, directives[name]); err != nil {
			f.fail(name, err)
			return
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
