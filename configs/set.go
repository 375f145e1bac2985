// SPDX-License-Identifier: Apache-2.0

package configs

import "strings"

// A Setting is one key given outside the files, such as by a flag. Its value is read as that of
// the TOML would be, but has no specifiers, and no directory that relative paths start at.
type Setting struct {
	Flag string // as people type it, for messages: "--memory"
	Key  string // "resources.memory.max"; "mount" for one more [[mount]]
	// Value is what TOML decodes to: a string, bool, int64, []any or map[string]any. A list
	// makes the one of the files longer, a table is laid over theirs.
	Value any
	// Wrong is told of a value that the key does not take, if what was typed was another one; "" tells of Value.
	Wrong string
}

// OfFlag says whether a problem is that of a [Setting], not of a file.
func (p Problem) OfFlag() bool { return p.Line == 0 && p.Key != "" }

// lay puts settings over what was read.
func (c *compiler) lay(settings []Setting) {
	for _, s := range settings {
		keys := strings.Split(s.Key, ".")
		last, table := len(keys)-1, c.doc
		for _, k := range keys[:last] {
			table = tableIn(table, k)
		}
		c.give(table, keys[last], s)
	}
}

// tableIn is a table of a table, made if it is not there: what files have in the place of one is out by then, see [compiler.fit].
func tableIn(t map[string]any, name string) map[string]any {
	sub, ok := t[name].(map[string]any)
	if !ok {
		sub = map[string]any{}
		t[name] = sub
	}
	return sub
}

// give sets one key of a table.
func (c *compiler) give(t map[string]any, name string, s Setting) {
	switch v := s.Value.(type) {
	case []any:
		for _, x := range v {
			c.lengthen(t, name, s, x)
		}
	case map[string]any:
		if s.Key == "mount" {
			c.lengthen(t, name, s, v)
			return
		}
		sub := tableIn(t, name)
		for k, x := range v {
			sub[k] = x
			c.flagged(join(s.Key, k), s)
		}
	default:
		if wrong := misfit(s.Key, v); wrong != "" { // what the files have there is not to be lost
			c.problems = append(c.problems, Problem{File: s.Flag, Key: s.Key, Msg: wrong})
			return
		}
		t[name] = v
		c.flagged(s.Key, s)
	}
}

// lengthen adds an element to a list.
func (c *compiler) lengthen(t map[string]any, name string, s Setting, element any) {
	var list []any
	switch old := t[name].(type) {
	case nil:
		c.flagged(s.Key, s)
	case []any:
		list = old
	case []map[string]any:
		for _, x := range old {
			list = append(list, x)
		}
	default:
		return // no list: that is a problem of its own
	}
	c.flagged(index(s.Key, len(list)), s)
	t[name] = append(list, element)
}

func (c *compiler) flagged(path string, s Setting) {
	c.places[path] = place{file: s.Flag, flag: true, wrong: s.Wrong}
}
