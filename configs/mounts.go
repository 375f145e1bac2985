// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func (c *compiler) buildMounts() {
	c.spec.Mounts = Defaults(c.set.Profile).Mounts
	seen := map[string]bool{}
	for i := range c.mounts {
		at := index("mount", i) + "."
		m, ok := c.mount(at)
		if !ok {
			c.checkMount(i, m)
			continue
		}
		if seen[m.Destination] {
			c.problem(at+"target", "%q: is the target of another [[mount]] already", m.Destination)
		}
		seen[m.Destination] = true
		c.checkMount(i, m)
		m.Options = c.rightOptions(i, m.Options)
		// In the place of a default one: what lies below that stays on top of it.
		if i := slices.IndexFunc(c.spec.Mounts, func(d specs.Mount) bool { return d.Destination == m.Destination }); i >= 0 {
			c.spec.Mounts[i] = m
			continue
		}
		c.spec.Mounts = append(c.spec.Mounts, m)
	}
}

// checkMount asks the caller, who knows every option of every filesystem.
func (c *compiler) checkMount(i int, m specs.Mount) {
	at := index("mount", i)
	if c.o.Mount == nil {
		return
	}
	switch {
	case c.badBelow(at + "."): // with something right in the place of that its options can be told
		m.Destination = "/x"
		if m.Type == "" {
			m.Source = "/x"
		}
		c.checkOptions(at+".options", m)
	default:
		if err := c.o.Mount(m); err != nil && !c.checkOptions(at+".options", m) {
			c.mountProblem(at, m, err)
		}
	}
}

// rightOptions are a mount's options without those of the written ones, its last, that have a problem: planners can
// then say what is wrong with the others.
func (c *compiler) rightOptions(i int, all []string) []string {
	at := index("mount", i) + ".options"
	own := len(all) - len(get(c, at, []string(nil)))
	right := slices.Clone(all[:own])
	for n, o := range all[own:] {
		if !c.wrong(index(at, n)) {
			right = append(right, o)
		}
	}
	return right
}

// mountProblem reports what is wrong with a mount at the key for it, if it is a field's.
func (c *compiler) mountProblem(at string, m specs.Mount, err error) {
	var field *FieldError
	known := errors.As(err, &field)
	switch {
	case known && field.Field == "destination":
		c.problem(at+".target", "%q: %v", m.Destination, field.Err)
	case known && field.Field == "type" && c.has(at+".fstype"):
		c.problem(at+".fstype", "%q: %v", m.Type, field.Err)
	default:
		c.problem(at, "%v", err)
	}
}

// badBelow says whether a key that begins so has a problem.
func (c *compiler) badBelow(prefix string) bool {
	for key := range c.bad {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}

// checkOptions reports those of the written options of a mount, which are its last, that
// are what is wrong with it.
func (c *compiler) checkOptions(at string, m specs.Mount) (found bool) {
	written := len(get(c, at, []string(nil)))
	own, more := m.Options[:len(m.Options)-written], m.Options[len(m.Options)-written:]
	if m.Options = own; c.o.Mount(m) != nil {
		return false
	}
	for i, o := range more {
		m.Options = append(slices.Clone(own), o)
		if err := c.o.Mount(m); err != nil && !c.wrong(index(at, i)) {
			c.problem(index(at, i), "%v", err)
			found = true
		}
	}
	return found
}

var mountKeys = []string{"source", "read_only", "recursive", "idmap", "optional", "create", "propagation",
	"size", "mode", "lower", "upper", "work", "fstype"}

// only reports the keys of a mount that do not go with its type.
func (c *compiler) only(at, typ string, allowed ...string) {
	for _, k := range mountKeys {
		if !slices.Contains(allowed, k) && c.has(at+k) && !c.wrong(at+k) {
			c.problem(at+k, "does not go with type %q", typ)
		}
	}
}

func (c *compiler) mount(at string) (specs.Mount, bool) {
	typ := get(c, at+"type", "bind")
	m := specs.Mount{Options: c.forbidden(at, typ)}
	if !c.has(at + "target") {
		c.missing(at+"target", "where to mount it in the container")
	} else {
		m.Destination = path.Clean(c.inside(at+"target", c.text(at+"target")))
		c.checkTarget(at+"target", m.Destination, typ)
	}
	switch {
	case c.wrong(at + "type"): // then nobody knows what goes with it
	case typ == "bind":
		c.only(at, typ, "source", "recursive", "idmap", "optional", "create", "propagation", "read_only")
		c.bind(at, &m)
	case typ == "tmpfs":
		c.only(at, typ, "size", "mode", "read_only")
		m.Type, m.Source = "tmpfs", "tmpfs"
		m.Options = append(m.Options, c.tmpfs(at)...)
	case typ == "overlay":
		c.only(at, typ, "lower", "upper", "work", "read_only")
		m.Type, m.Source = "overlay", "overlay"
		m.Options = append(m.Options, c.overlay(at)...)
	case typ == "raw":
		c.only(at, typ, "source", "fstype", "read_only")
		if m.Type = get(c, at+"fstype", ""); m.Type == "" {
			c.missing(at+"fstype", "the name of the filesystem")
		}
		if m.Type == "bind" {
			c.problem(at+"fstype", `"bind": want type = "bind" instead`)
		}
		if m.Source = c.text(at + "source"); m.Source == "" {
			m.Source = m.Type
		}
	}
	if get(c, at+"read_only", false) && typ != "bind" {
		m.Options = append(m.Options, "ro")
	}
	m.Options = append(m.Options, c.options(at)...)
	return m, m.Destination != "" && !c.wrong(at+"target")
}

// forbidden are the options a mount has unless its own say otherwise. With "dev" or "suid" the mounts below keep what they
// have, as /dev/pts below the host's /dev must.
func (c *compiler) forbidden(at, typ string) []string {
	if typ != "bind" || !get(c, at+"recursive", true) {
		return []string{"nosuid", "nodev"}
	}
	written := get(c, at+"options", []string(nil))
	return slices.DeleteFunc([]string{"rnosuid", "rnodev"}, func(o string) bool {
		return slices.Contains(written, strings.TrimPrefix(o, "rno"))
	})
}

// checkTarget refuses places that would replace the root or hide what the kernel says.
func (c *compiler) checkTarget(at, target, typ string) {
	under := func(dir string) bool { return strings.HasPrefix(target+"/", dir+"/") }
	switch {
	case c.wrong(at):
	case target == "/":
		c.problem(at, `"/": is the root itself (see rootfs)`)
	case typ != "raw" && typ != "bind" && (under("/proc") || under("/sys")):
		c.problem(at, "%q: would hide a part of %s", target, target[:min(5, len(target))])
	}
}

// options are those written out; a comma would be two of them.
func (c *compiler) options(at string) []string {
	list := c.list(at + "options")
	for i, o := range list {
		if bad := o == "" || strings.ContainsAny(o, ", \n") && !strings.Contains(o, "="); bad && !c.wrong(index(at+"options", i)) {
			c.problem(index(at+"options", i), `%q: want one option in each string, like ["noexec", "noatime"]`, o)
		}
		if key := c.contradicted(at, o); key != "" && !c.wrong(index(at+"options", i)) {
			c.problem(index(at+"options", i), "%q: contradicts %s (leave one out)", o, key)
		}
		name, value, _ := strings.Cut(o, "=")
		switch typ := get(c, at+"type", "bind"); {
		case (o == "bind" || o == "rbind") && typ != "bind" && !c.wrong(at+"type") && !c.wrong(index(at+"options", i)):
			c.problem(index(at+"options", i), "%q: does not go with type %q", o, typ)
		case name == "uid":
			c.mappedID(index(at+"options", i), value, c.spec.Linux.UIDMappings)
		case name == "gid" && get(c, at+"fstype", "") != "devpts": // which goes without one
			c.mappedID(index(at+"options", i), value, c.spec.Linux.GIDMappings)
		}
		key := ownKeys[name]
		if key == "" && get(c, at+"type", "") == "overlay" {
			key = layerKeys[name]
		}
		if key != "" && !c.wrong(index(at+"options", i)) {
			c.problem(index(at+"options", i), "%q: want the key %s instead", o, key)
		}
	}
	return list
}

// contradicted is the key of a mount that an option takes back, "" if none.
func (c *compiler) contradicted(at, option string) string {
	name, _, value := strings.Cut(option, "=")
	switch {
	case (option == "rw" || option == "rrw") && get(c, at+"read_only", false):
		return "read_only = true"
	case value && (name == "size" || name == "mode") && c.has(at+name):
		return name
	case c.has(at+"propagation") && propagates(name) && name != get(c, at+"propagation", ""):
		return "propagation"
	case name == "rbind" && !get(c, at+"recursive", true):
		return "recursive = false"
	}
	return ""
}

// propagates says whether an option is one that the key propagation takes.
func propagates(option string) bool {
	_, err := find("mount[].propagation").Kind.parse(option)
	return err == nil
}

// ownKeys are the keys for options that a Spec has: what is written with a key is checked with the others.
var ownKeys = map[string]string{"idmap": "idmap", "ridmap": "idmap", "x-sdc.create": "create", "x-sdc.optional": "optional"}

// layerKeys are the keys for options of an overlay: only of these are the directories looked for and made apart.
var layerKeys = map[string]string{"lowerdir": "lower", "lowerdir+": "lower", "upperdir": "upper", "workdir": "work"}

func (c *compiler) bind(at string, m *specs.Mount) {
	m.Type, m.Source = "bind", path.Clean(c.path(at+"source"))
	if get(c, at+"source", "") == "" {
		c.missing(at+"source", "what to mount")
	}
	recursive := get(c, at+"recursive", true)
	either := func(one, all string) string {
		if recursive {
			return all
		}
		return one
	}
	m.Options = append(m.Options, either("bind", "rbind"), get(c, at+"propagation", "rprivate"))
	if get(c, at+"read_only", false) {
		m.Options = append(m.Options, either("ro", "rro"))
	}
	if get(c, at+"idmap", false) {
		if get(c, "userns.mode", "auto") == "none" {
			c.problem(at+"idmap", `needs a user namespace, and userns.mode is "none"`)
		}
		m.Options = append(m.Options, either("idmap", "ridmap"))
	}
	create := cmp.Or(get(c, at+"create", ""), "none")
	if get(c, at+"optional", false) {
		if create != "none" {
			c.also(at+"create", at+"optional", "optional = false: a missing source is either made or left out")
			create = "none" // with both no option could be told
		}
		m.Options = append(m.Options, "x-sdc.optional")
	}
	if create != "none" {
		m.Options = append(m.Options, "x-sdc.create="+c.create(at+"create", create))
	}
	if create == "none" && !get(c, at+"optional", false) {
		c.find(at+"source", m.Source, false, `optional = true leaves the mount out, create = "dir" makes a directory`)
	}
}

// create is KIND:MODE:UID:GID with its defaults filled in.
func (c *compiler) create(at, text string) string {
	f := strings.Split(text, ":")
	defaults := map[string][]string{"dir": {"dir", "0755", "0", "0"}, "file": {"file", "0644", "0", "0"}}[f[0]]
	ok := defaults != nil && len(f) <= 4
	for i := 1; ok && i < len(f); i++ {
		bits, base, highest := 32, 10, uint64(1<<32-2)
		if i == 1 {
			bits, base, highest = 16, 8, 0o7777
		}
		n, err := strconv.ParseUint(f[i], base, bits)
		ok = err == nil && n <= highest
	}
	if !ok {
		c.problem(at, `%q: want "dir" or "file", or one with ":MODE" or ":MODE:UID:GID"`, text)
		return "dir:0755:0:0" // with which options can be told
	}
	return strings.Join(append(f, defaults[len(f):]...), ":")
}

func (c *compiler) tmpfs(at string) []string {
	opts := []string{fmt.Sprintf("mode=%04o", get(c, at+"mode", uint32(0o1777)))}
	switch size := get(c, at+"size", Size{Percent: 10}); {
	case size.Percent != math.Trunc(size.Percent):
		c.problem(at+"size", "%g%%: want a whole percentage, like \"12%%\", or a size", size.Percent)
	case size.Percent > 0:
		opts = append(opts, fmt.Sprintf("size=%g%%", size.Percent))
	case size.Bytes == Infinity || size.Bytes == 0:
		c.problem(at+"size", "want a limit, like \"64M\"")
	default:
		opts = append(opts, fmt.Sprintf("size=%d", size.Bytes))
	}
	return opts
}
