// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// parse checks every key of the document and keeps what it means.
func (c *compiler) parse(doc map[string]any) {
	c.walk("", "", doc)
	if _, ok := doc["version"]; !ok {
		c.problem("version", "missing: write version = 1")
	}
}

// walk checks a table. path has array indices, pattern has [] in their place.
func (c *compiler) walk(path, pattern string, t map[string]any) {
	for _, name := range sortedKeys(t) {
		v, at, pat := t[name], join(path, name), join(pattern, name)
		if k := find(pat); k != nil {
			c.value(k, at, v)
			continue
		}
		if use, ok := later[pat]; ok {
			if use != "" {
				use = " (" + use + ")"
			}
			c.problem(at, "not supported yet%s", use)
			continue
		}
		sub, isTable := v.(map[string]any)
		switch {
		case hasPrefix(pat + "[]."):
			c.elements(at, pat, v)
		case !hasPrefix(pat + "."):
			c.unknown(at, pat)
		case !isTable:
			c.problem(at, "want a table: [%s]", pat)
		default:
			c.walk(at, pat, sub)
		}
	}
}

func find(pattern string) *Key {
	i := slices.IndexFunc(Keys(), func(k Key) bool { return k.Path == pattern })
	if i < 0 {
		return nil
	}
	return &Keys()[i]
}

func hasPrefix(p string) bool {
	return slices.ContainsFunc(Keys(), func(k Key) bool { return strings.HasPrefix(k.Path, p) })
}

// elements walks an array of tables.
func (c *compiler) elements(path, pattern string, v any) {
	var list []map[string]any
	switch v := v.(type) {
	case []map[string]any:
		list = v
	case []any:
		for _, x := range v {
			t, ok := x.(map[string]any)
			if !ok {
				c.problem(path, "want tables: [[%s]]", pattern)
				return
			}
			list = append(list, t)
		}
	default:
		c.problem(path, "want tables: [[%s]]", pattern)
		return
	}
	for i, t := range list {
		c.walk(index(path, i), pattern+"[]", t)
	}
	if pattern == "mount" {
		c.mounts = len(list)
	} else {
		c.devices = len(list)
	}
}

// value parses the value of a key; in a table with free names, each of them.
func (c *compiler) value(k *Key, path string, v any) {
	if k.Kind.elem == nil {
		if parsed, ok := c.parsed(&k.Kind, path, v); ok {
			c.vals[path] = parsed
		}
		return
	}
	t, ok := v.(map[string]any)
	if !ok {
		c.problem(path, "%s: want a %s like { NAME = ... }", show(v), k.Kind.Name)
		return
	}
	out := make(map[string]any, len(t))
	for _, name := range sortedKeys(t) {
		if parsed, ok := c.parsed(k.Kind.elem, join(path, name), t[name]); ok {
			out[name] = parsed
		}
	}
	c.vals[path] = out
}

func (c *compiler) parsed(k *Kind, path string, v any) (any, bool) {
	parsed, err := k.parse(v)
	if err != nil {
		c.problem(path, "%s: want %s", show(v), err)
		c.bad[path] = true
	}
	return parsed, err == nil
}

// show prints a value of the document for a message.
func show(v any) string {
	switch v := v.(type) {
	case string:
		return strconv.Quote(v)
	case map[string]any, []map[string]any:
		return "a table"
	case []any:
		b, err := json.Marshal(v)
		if err == nil && len(b) < 60 {
			return string(b)
		}
		return "a list"
	}
	return fmt.Sprint(v)
}

// unknown reports a key there is not, with the one that may be meant.
func (c *compiler) unknown(path, pattern string) {
	parent, name := "", pattern
	if i := strings.LastIndexByte(pattern, '.'); i >= 0 {
		parent, name = pattern[:i+1], pattern[i+1:]
	}
	var here []string
	for _, k := range Keys() {
		if rest, ok := strings.CutPrefix(k.Path, parent); ok {
			word, _, _ := strings.Cut(rest, ".")
			here = append(here, strings.TrimSuffix(word, "[]"))
		}
	}
	slices.Sort(here)
	here = slices.Compact(here)
	hint := "accepted here: " + strings.Join(here, ", ")
	if n := nearest(name, here); n != "" {
		hint = fmt.Sprintf("did you mean %q?", n)
	}
	c.problem(path, "unknown key; %s", hint)
}

// nearest is the word most like s, if one is like it at all.
func nearest(s string, words []string) string {
	best, at := len(s)/3+2, ""
	sort.Strings(words)
	for _, w := range words {
		if d := EditDistance(s, w, best); d < best {
			best, at = d, w
		}
	}
	return at
}

// EditDistance is the number of letters to change, add or leave out between a and
// b (Levenshtein), or limit when there are that many or more.
func EditDistance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, diagonal+1, row[j]+1)
		}
	}
	return min(row[len(b)], limit)
}
