// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"errors"
	"fmt"
	"path"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A FieldError is what a planner finds wrong with one entry of a Spec's field: it has a
// place in the TOML if the entry is written there.
type FieldError struct {
	Field string // "linux.sysctl"; "unit" for a directive of the unit file
	Entry string // the name in a table, the path of a mount, device or list; "" for the whole field
	// Option is the one of a mount's options that is wrong, "" for the mount.
	Option string
	Err    error
	// Warning says that it is no mistake of the TOML, which is told to LoadOptions.Warn: another machine, time or
	// caller may have what is missing.
	Warning bool
}

func (e *FieldError) Error() string {
	if e.Entry == "" {
		return fmt.Sprintf("%s: %v", e.Field, e.Err)
	}
	return fmt.Sprintf("%s %q: %v", e.Field, e.Entry, e.Err)
}

// Unwrap gives the cause.
func (e *FieldError) Unwrap() error { return e.Err }

// planned reports what planners find wrong with the Spec, as far as the file has it.
func (c *compiler) planned() {
	if c.o.Spec == nil {
		return
	}
	badProfile := c.wrong("security.seccomp")
	for _, e := range fieldErrors(c.o.Spec(c.spec, c.set)) {
		switch e.Field {
		case "unit":
			c.directive(e)
		case "log.fields":
			c.planner(join("log.fields", e.Entry), e, e.Err)
		case "root.path":
			c.planner("rootfs.path", e, e.Err)
		case "process.args":
			c.planner("process.args[0]", e, e.Err)
		case "process.user":
			if at := e.Field; e.Warning && !c.wrong(at) { // also of the default one
				c.warning(at, e.Err)
			}
		case "process.terminal", "process.cwd":
			c.planner(e.Field, e, e.Err)
		case "process.execCPUAffinity":
			c.planner("process.exec_cpus", e, e.Err)
		case "process.capabilities":
			c.planner(join("capabilities", e.Entry), e, e.Err)
		case "hostname", "domainname":
			c.planner("network."+e.Field, e, e.Err)
		case "linux.resources.unified":
			c.planner(join("resources.unified", e.Entry), e, e.Err)
		case "linux.namespaces":
			c.planner(namespaceKey(specs.LinuxNamespaceType(e.Entry)), e, e.Err)
		case "linux.sysctl":
			c.planner(join("security.sysctl", e.Entry), e, e.Err)
		case "linux.seccomp":
			if !badProfile { // of the file, not of the key: each of its mistakes is told
				c.problem("security.seccomp", "%q: %v", c.path("security.seccomp"), e.Err)
			}
		case "linux.maskedPaths":
			c.element("security.mask", e)
		case "linux.readonlyPaths":
			c.element("security.read_only_paths", e)
		case "mounts":
			c.tables("mount", c.mounts, e, "target")
		case "linux.devices":
			c.tables("device", c.devices, e, "target", "path")
		}
	}
}

// directive reports all that sets a directive, unless the cause is known: one of them has a problem.
func (c *compiler) directive(e *FieldError) {
	sets := func(s setter) bool {
		return slices.ContainsFunc(directivesOf(e.Entry), func(name string) bool { return slices.Contains(s.names, name) })
	}
	setters := slices.DeleteFunc(c.setters(), func(s setter) bool { return !sets(s) })
	if slices.ContainsFunc(setters, func(s setter) bool { return c.wrong(s.at) || c.badBelow(s.at+"[") }) {
		return
	}
	for _, s := range setters {
		c.planner(s.at, e, e.Err)
	}
}

// planner reports what a planner finds wrong with a key, as err, if that is in the file and
// has no problem yet.
func (c *compiler) planner(at string, e *FieldError, err error) {
	_, ok := c.places[at]
	switch {
	case !ok || c.wrong(at):
	case e.Warning:
		c.warning(at, err)
	default:
		c.problem(at, "%v", err)
	}
}

// warning tells of what is no problem, once.
func (c *compiler) warning(at string, err error) {
	p := c.placed(at, err.Error())
	if c.o.Warn != nil && !slices.Contains(c.warned, p) {
		c.warned = append(c.warned, p)
		c.o.Warn(p)
	}
}

// namespaceKey is the key of a kind of namespace.
func namespaceKey(typ specs.LinuxNamespaceType) string {
	switch typ {
	case specs.NetworkNamespace:
		return "network.mode"
	case specs.UserNamespace:
		return "userns.mode"
	}
	return join("namespaces", string(typ))
}

// element reports an element of a list of paths.
func (c *compiler) element(list string, e *FieldError) {
	if i := slices.Index(c.list(list), e.Entry); i >= 0 {
		c.planner(index(list, i), e, fmt.Errorf("%q: %w", e.Entry, e.Err))
	}
}

// tables reports the last of n tables whose path, the first of keys that it has, is the entry.
func (c *compiler) tables(array string, n int, e *FieldError, keys ...string) {
	for i := n - 1; i >= 0; i-- {
		at := index(array, i) + "."
		k := keys[max(0, slices.IndexFunc(keys, func(k string) bool { return c.has(at + k) }))]
		if path.Clean(c.text(at+k)) != e.Entry {
			continue
		}
		if option := slices.Index(c.list(at+"options"), e.Option); e.Option != "" && option >= 0 {
			c.planner(index(at+"options", option), e, e.Err)
		} else if !c.badBelow(index(array, i)) {
			c.planner(at+k, e, fmt.Errorf("%q: %w", e.Entry, e.Err))
		}
		return
	}
}

// fieldErrors are those in an error.
func fieldErrors(err error) []*FieldError {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var list []*FieldError
		for _, e := range joined.Unwrap() {
			list = append(list, fieldErrors(e)...)
		}
		return list
	}
	var e *FieldError
	if errors.As(err, &e) {
		return []*FieldError{e}
	}
	return nil
}
