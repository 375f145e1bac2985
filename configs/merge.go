// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"fmt"
	"maps"
	"strings"
)

// add lays a file over those before it.
func (c *compiler) add(doc map[string]any, file string, at map[string]position) {
	// Before the merge, in which a text in the place of a table takes all of it away, and the next file's table
	// the text.
	c.fit(doc, "", "", file, at)
	if c.doc == nil {
		c.doc = doc
		c.place("", file, at)
		return
	}
	c.merge(c.doc, doc, "", file, at)
}

// fit tells of what a file has in the place of a table or an array of tables, and takes it out.
func (c *compiler) fit(t map[string]any, path, pattern, file string, at map[string]position) {
	for _, name := range sortedKeys(t) {
		below, pat := join(path, name), join(pattern, name)
		if wrong := misfit(pat, t[name]); wrong != "" {
			c.problems = append(c.problems, Problem{File: file, Line: at[below].line, Column: at[below].col, Key: plain(below), Msg: wrong})
			if !c.wrong(below) {
				c.bad[below] = false // and nothing in it is missing
			}
			delete(t, name)
			continue
		}
		if sub, ok := t[name].(map[string]any); ok && hasPrefix(pat+".") {
			c.fit(sub, below, pat, file, at)
		}
	}
}

// misfit is what is wrong with a value in the place of a table or of an array of tables, "" if it is one or no such
// place.
func misfit(pattern string, v any) string {
	_, isTable := v.(map[string]any)
	_, areTables := tablesOf(v)
	switch k := find(pattern); {
	case k != nil && k.Kind.elem != nil && !isTable:
		hint := ""
		if k.Path == "systemd.unit" && (v == "scope" || v == "split") {
			hint = `: the directives of [Unit]. What runs a container is a scope of its own, "split" is not supported yet`
		}
		return fmt.Sprintf("%s: want a %s like { NAME = ... }%s", show(v), k.Kind.Name, hint)
	case k != nil:
	case hasPrefix(pattern+"[].") && !areTables:
		return fmt.Sprintf("want tables: [[%s]]", pattern)
	case hasPrefix(pattern+".") && !isTable:
		return fmt.Sprintf("want a table: [%s] of %s", pattern, strings.Join(childrenOf(pattern+"."), ", "))
	}
	return ""
}

// tablesOf are the tables of an array of nothing else.
func tablesOf(v any) (list []map[string]any, ok bool) {
	switch v := v.(type) {
	case []map[string]any:
		return v, true
	case []any:
		for _, x := range v {
			t, ok := x.(map[string]any)
			if !ok {
				return nil, false
			}
			list = append(list, t)
		}
		return list, true
	}
	return nil, false
}

// place notes where the keys at and below path stand, in the place of what was
// known of them.
func (c *compiler) place(path, file string, at map[string]position) {
	under := func(key string) bool {
		rest, ok := strings.CutPrefix(key, path)
		return ok && (path == "" || rest == "" || rest[0] == '.' || rest[0] == '[')
	}
	maps.DeleteFunc(c.places, func(key string, _ place) bool { return under(key) })
	for key, p := range at {
		if under(key) {
			c.places[key] = place{file: file, at: p}
		}
	}
}

// merge lays a drop-in over a document, both of which fit: tables merge, everything else replaces.
func (c *compiler) merge(into, from map[string]any, path, file string, at map[string]position) {
	for k, v := range from {
		below := join(path, k)
		a, ok1 := into[k].(map[string]any)
		b, ok2 := v.(map[string]any)
		if ok1 && ok2 {
			c.merge(a, b, below, file, at)
			continue
		}
		into[k] = v
		c.place(below, file, at)
	}
}
