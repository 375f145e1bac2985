// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// parse checks every key of the document and keeps what it means.
func (c *compiler) parse() {
	c.walk("", "", c.doc)
	if _, ok := c.doc["version"]; !ok {
		c.missing("version", "write version = 1")
	}
}

// walk checks a table. path has array indices, pattern has [] in their place.
func (c *compiler) walk(path, pattern string, t map[string]any) {
	for _, name := range sortedKeys(t) {
		v, at, pat := t[name], join(path, name), join(pattern, name)
		if wrong := misfit(pat, v); wrong != "" {
			c.problem(at, "%s", wrong)
			continue
		}
		if k := find(pat); k != nil {
			c.value(k, at, v)
			continue
		}
		if use, ok := later()[pat]; ok {
			if use != "" {
				use = " (" + use + ")"
			}
			c.problem(at, "not supported yet%s", use)
			continue
		}
		switch v := v.(type) {
		case map[string]any:
			if hasPrefix(pat + ".") {
				c.walk(at, pat, v)
				continue
			}
		case []map[string]any, []any:
			if hasPrefix(pat + "[].") {
				c.elements(at, pat, v)
				continue
			}
		}
		c.unknown(at, pat)
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
	list, _ := tablesOf(v)
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
	t, _ := v.(map[string]any)
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
		c.problem(path, "%s", cmp.Or(c.where(path).wrong, fmt.Sprintf("%s: want %s", show(v), err)))
		c.bad[path] = true
	}
	return parsed, err == nil
}

// written shows the value of a key as the files have it.
func (c *compiler) written(at string) string {
	var v any = c.doc
	for name := range strings.SplitSeq(at, ".") {
		table, _ := v.(map[string]any)
		v = table[shown(name)]
	}
	return show(v)
}

// show prints a value of the document for a message.
func show(v any) string {
	switch v := v.(type) {
	case string:
		return strconv.Quote(v)
	case map[string]any:
		return "a table"
	case []map[string]any:
		return "a list of tables"
	case []any:
		b, err := json.Marshal(v)
		if err == nil && len(b) < 60 {
			return string(b)
		}
		return "a list"
	case float64:
		return showFloat(v)
	case time.Time:
		return showTime(v)
	}
	return fmt.Sprint(v)
}

// showFloat prints a number that is no whole one in TOML, even if it is in Go.
func showFloat(f float64) string {
	s := strings.ToLower(strings.TrimPrefix(strconv.FormatFloat(f, 'g', -1, 64), "+")) // nan, inf
	if strings.Trim(s, "-0123456789") == "" {
		s += ".0"
	}
	return s
}

// showTime prints a date or time as TOML has it: the library says by the zone what there is of it.
func showTime(t time.Time) string {
	layouts := map[string]string{"datetime-local": "2006-01-02T15:04:05.999999999", "date-local": time.DateOnly, "time-local": "15:04:05.999999999"}
	if layout, ok := layouts[t.Location().String()]; ok {
		return t.Format(layout)
	}
	return t.Format(time.RFC3339Nano)
}
