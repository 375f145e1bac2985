// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// build makes the Spec out of the parsed values.
func (c *compiler) build() {
	name := c.name()
	c.expand = specifiers(name)
	if c.raw {
		c.expand = func(s string) (string, error) { return s, nil }
	}
	c.set = DefaultSettings()
	c.set.Name, c.set.Source = name, c.source
	c.set.Description = c.line("description")
	c.set.Profile = get(c, "security.profile", ProfileApp)
	twice := c.contradictions()
	c.spec = &specs.Spec{
		Version: specs.Version, Hostname: c.hostname(name), Domainname: c.line("network.domainname"),
		Root: &specs.Root{}, Process: &specs.Process{}, Linux: &specs.Linux{Resources: &specs.LinuxResources{}},
	}
	c.buildRoot()
	c.buildProcess()
	c.buildCapabilities()
	c.buildNamespaces()
	c.buildMounts()
	c.buildDevices()
	c.buildSecurity()
	c.buildResources()
	c.buildUnit()
	c.withoutHostRoot()
	c.buildLog()
	c.tell(twice)
	c.set.fill()
	c.set.Annotate(c.spec)
}

// name is the file's, unless given.
func (c *compiler) name() string {
	name := get(c, "name", strings.TrimSuffix(filepath.Base(c.file), ".toml"))
	if err := CheckName(name); err != nil && !c.wrong("name") {
		c.problem("name", "%v (by default it is the file's name)", err)
	}
	return name
}

const nameLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"

// CheckName accepts what is a container's name: a file name, a host name and a part of a
// unit's name alike.
func CheckName(name string) error {
	if name != "" && len(name) <= 63 && !strings.ContainsAny(name[:1], "_.-") && strings.Trim(name, nameLetters) == "" {
		return nil
	}
	return fmt.Errorf("%q: want 1 to 63 letters, digits, '_', '.' or '-', the first a letter or digit", name)
}

// hostname is the container's name, unless given.
func (c *compiler) hostname(name string) string {
	h := c.line("network.hostname")
	private := get(c, "namespaces.uts", "private") == "private"
	switch {
	case !private:
		for _, key := range []string{"network.hostname", "network.domainname"} {
			if c.has(key) {
				c.problem(key, `needs namespaces.uts = "private": otherwise the name would be changed for others too`)
			}
		}
	case h == "":
		h = name
	}
	if private && (len(h) > 64 || strings.Trim(h, nameLetters) != "") && !c.wrong("network.hostname") && (c.has("network.hostname") || !c.wrong("name")) {
		c.problem("network.hostname", "%q: want at most 64 letters, digits, '_', '.' and '-'", h)
	}
	return h
}

// expanded replaces the specifiers of s, the value at path. What a shell has expanded has none.
func (c *compiler) expanded(at, s string) string {
	if c.where(at).flag || c.wrong(at) {
		return s
	}
	out, err := c.expand(s)
	if err != nil {
		c.problem(at, "%v", err)
	}
	return out
}

// text is a string key with its specifiers expanded.
func (c *compiler) text(at string) string { return c.expanded(at, get(c, at, "")) }

// line is a text that becomes one line of a unit file, or a name of the kernel's.
func (c *compiler) line(at string) string {
	s := c.text(at)
	if (strings.ContainsFunc(s, unicode.IsControl) || len(s) > 1024) && !c.wrong(at) {
		c.problem(at, "%q: want at most 1024 bytes without control characters", s)
	}
	return s
}

// list is a list of strings with their specifiers expanded.
func (c *compiler) list(at string) []string {
	list := get(c, at, []string(nil))
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = c.expanded(index(at, i), s)
	}
	return out
}

// path is a path key: expanded, and relative to the configuration's directory.
func (c *compiler) path(at string) string { return c.absolute(c.text(at)) }

func (c *compiler) absolute(p string) string {
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(c.dir, p)
}

// find asks the caller whether a path of the host is there.
func (c *compiler) find(at, path string, dir bool, hint string) {
	if c.o.Find == nil || path == "" || c.wrong(at) {
		return
	}
	err := c.o.Find(path, dir)
	var field *FieldError
	switch {
	case errors.As(err, &field) && field.Warning:
		c.warning(at, fmt.Errorf("%q: %w", path, field.Err))
	case err != nil:
		c.problem(at, "%q: %s (%s)", path, reason(err), hint)
	}
}

// inside is a path that has to be absolute, as those in the container.
func (c *compiler) inside(at, p string) string {
	if !path.IsAbs(p) && !c.wrong(at) {
		c.problem(at, "%q: want an absolute path", p)
	}
	return p
}

func (c *compiler) buildRoot() {
	if !c.has("rootfs.path") {
		c.missing("rootfs.path", "the directory with the container's files")
		return
	}
	c.spec.Root.Path = filepath.Clean(c.path("rootfs.path"))
	if (c.spec.Root.Path == "/" || get(c, "rootfs.path", "") == "") && !c.wrong("rootfs.path") {
		c.problem("rootfs.path", "%q: want a directory of its own", get(c, "rootfs.path", ""))
	}
	c.find("rootfs.path", c.spec.Root.Path, true, "want the directory with the container's files")
	c.spec.Root.Readonly = get(c, "rootfs.read_only", false)
	c.spec.Linux.RootfsPropagation = get(c, "rootfs.propagation", "")
}

// missing reports a key that has to be there, unless it is and is wrong, or its table is, or an unknown one has been told
// to be meant for it.
func (c *compiler) missing(at, what string) {
	table, _, _ := strings.Cut(at, ".")
	if !c.wrong(at) && !c.wrong(table) && !c.meant[at] && !c.meant[table] {
		c.problem(at, "missing: %s", what)
	}
}

// wrong says whether a problem with that key is known already: nothing is
// reported twice.
func (c *compiler) wrong(at string) bool { _, ok := c.bad[at]; return ok }

// also reports that a key makes no sense beside the value of another, if that is known.
func (c *compiler) also(at, other, needs string) {
	if c.has(at) && !c.wrong(at) && !c.wrong(other) {
		c.problem(at, "goes with %s", needs)
	}
}

func (c *compiler) buildLog() {
	l := &c.set.Log
	l.Driver = get(c, "log.driver", "journald")
	l.Identifier = c.line("log.identifier")
	l.StdoutLevel = get(c, "log.stdout_level", 6)
	l.StderrLevel = get(c, "log.stderr_level", 3)
	l.LevelPrefix = get(c, "log.level_prefix", false)
	for _, k := range sortedKeys(c.table("log.fields")) {
		v, at := c.table("log.fields")[k].(string), join("log.fields", k)
		if err := CheckJournalField(k); err != nil {
			c.problem(at, "%v", err)
			continue
		}
		if l.Fields == nil {
			l.Fields = map[string]string{}
		}
		l.Fields[k] = c.expanded(at, v)
	}
	if get(c, "process.terminal", false) {
		for _, k := range []string{"log.driver", "log.identifier", "log.stdout_level", "log.stderr_level", "log.level_prefix"} {
			c.also(k, "process.terminal", "process.terminal = false: a terminal's output is not logged")
		}
	} else if l.Driver != "journald" {
		for _, k := range []string{"log.identifier", "log.stdout_level", "log.stderr_level", "log.level_prefix"} {
			c.also(k, "log.driver", `log.driver = "journald"`)
		}
	}
}

// NameField is the journal field every line of a container has.
const NameField = "CONTAINER_NAME"

// CheckJournalField accepts the name of a field that journald takes and does not keep for
// itself, and that is not [NameField].
func CheckJournalField(name string) error {
	if name == "" || len(name) > 64 || name[0] < 'A' || name[0] > 'Z' ||
		strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" {
		return fmt.Errorf("%q: want a name of capital letters, digits and _, a letter first, at most 64", name)
	}
	if name == NameField {
		return fmt.Errorf("%q: every line has it already, with the container's name", name)
	}
	return nil
}

// table is the parsed values of a table with free names.
func (c *compiler) table(at string) map[string]any { return get(c, at, map[string]any(nil)) }

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
