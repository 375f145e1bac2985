// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"path"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

const wantOverlay = "want a directory of the host: an overlay makes none"

var lowerEscapes = strings.NewReplacer(`\`, `\\`, `:`, `\:`)

func (c *compiler) overlay(at string) []string {
	upper, work := c.path(at+"upper"), c.path(at+"work")
	c.layersApart(at, upper, work)
	lower := c.list(at + "lower")
	for i, dir := range lower {
		if dir == "" {
			c.problem(index(at+"lower", i), "want a directory")
		}
		c.find(index(at+"lower", i), c.absolute(dir), true, wantOverlay)
		lower[i] = lowerEscapes.Replace(c.absolute(dir))
	}
	if (upper == "") != (work == "") {
		c.problem(at+"upper", "upper and work go together")
	}
	switch {
	case len(lower) == 0:
		c.missing(at+"lower", "the lower directories, topmost first")
	case upper == "" && work == "" && len(lower) == 1 && !c.wrong(at+"lower"):
		c.problem(at+"lower", "one directory alone: want a second one, or upper and work")
	}
	opts := []string{"lowerdir=" + strings.Join(lower, ":")}
	if upper != "" {
		c.find(at+"upper", upper, true, wantOverlay)
		c.find(at+"work", work, true, wantOverlay)
		opts = append(opts, "upperdir="+upper, "workdir="+work)
	}
	return opts
}

// layersApart reports what the kernel would tell as EINVAL or ELOOP: a directory of an overlay that is another of its
// own, and upper and work that are not beside each other.
func (c *compiler) layersApart(at, upper, work string) {
	below := func(p, dir string) bool {
		return strings.HasPrefix(path.Clean(p)+"/", strings.TrimSuffix(path.Clean(dir), "/")+"/")
	}
	if upper != "" && work != "" && (below(upper, work) || below(work, upper)) && !c.wrong(at+"work") {
		c.problem(at+"work", "%q: want a directory beside that of upper: neither may lie in the other", work)
	}
	seen := map[string]string{path.Clean(upper): "upper", path.Clean(work): "work"}
	delete(seen, ".")
	for i, dir := range c.list(at + "lower") {
		dir = path.Clean(c.absolute(dir))
		if by := seen[dir]; by != "" && dir != "." && !c.wrong(index(at+"lower", i)) {
			c.problem(index(at+"lower", i), "%q: is a directory of %s already", dir, by)
		}
		seen[dir] = "lower"
	}
}

// Layers are the directories of the host that an overlay is made of: those that are lower, upper and work.
func Layers(m specs.Mount) (dirs []string) {
	if m.Type != "overlay" {
		return nil
	}
	for _, option := range m.Options {
		switch key, value, _ := strings.Cut(option, "="); key {
		case "lowerdir":
			dirs = append(dirs, SplitLower(value)...)
		case "lowerdir+", "datadir+", "upperdir", "workdir":
			dirs = append(dirs, value)
		}
	}
	return slices.DeleteFunc(dirs, func(dir string) bool { return dir == "" }) // two colons come before layers of data
}

// SplitLower splits the value of lowerdir= at ':' and resolves "\:" and "\\", as overlayfs does.
func SplitLower(s string) []string {
	list := []string{""}
	for i := 0; i < len(s); i++ {
		last := &list[len(list)-1]
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			*last += s[i : i+1]
		case s[i] == ':':
			list = append(list, "")
		default:
			*last += s[i : i+1]
		}
	}
	return list
}
