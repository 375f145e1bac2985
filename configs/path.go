// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"strconv"
	"strings"
)

// A path is the names of a key joined by ".", elements are "[n]": "mount[0].type". Quotes give a name what would be more
// of the path: there it has bytes instead that no TOML has, as they are no UTF-8. So "a.b" is never taken for a.b.
var (
	inName  = strings.NewReplacer(".", "\xfd", "[", "\xfe")
	outside = strings.NewReplacer("\xfd", ".", "\xfe", "[", noName, `""`)
)

const noName = "\xff" // a name of no letters

// join is the path of a name below another, "" for the document.
func join(prefix, name string) string {
	switch {
	case name == "":
		name = noName
	case strings.ContainsAny(name, ".["):
		name = inName.Replace(name)
	}
	if prefix == "" {
		return name
	}
	return prefix + "." + name
}

func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// shown is a path, or a name of one, without the bytes it has instead of others.
func shown(path string) string { return outside.Replace(path) }

// plain is a path as people write it: without the numbers of array elements.
func plain(path string) string {
	for _, array := range []string{"mount[", "device["} {
		if rest, ok := strings.CutPrefix(path, array); ok {
			_, rest, _ = strings.Cut(rest, "]")
			path = array[:len(array)-1] + rest
		}
	}
	if i := strings.LastIndexByte(path, '['); i > 0 && strings.HasSuffix(path, "]") {
		path = path[:i]
	}
	return shown(path)
}
