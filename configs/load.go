// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// LoadOptions is what a configuration depends on besides its files.
type LoadOptions struct {
	// Env looks up variables of the caller for process.env_pass; nil is os.LookupEnv.
	Env func(string) (string, bool)
}

// A Problem is one thing wrong with a configuration.
type Problem struct {
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
	Key    string `json:"key,omitempty"`
	Msg    string `json:"message"`
}

func (p Problem) String() string {
	s := p.File
	if p.Line > 0 {
		s += fmt.Sprintf(":%d:%d", p.Line, p.Column)
	}
	if p.Key != "" {
		s += ": " + p.Key
	}
	return s + ": " + p.Msg
}

// Error makes a problem an error.
func (p Problem) Error() string { return p.String() }

// Load compiles the TOML file at path, with the drop-ins path.d/*.toml, to a
// Spec. The error lists every problem; each is a [Problem].
func Load(path string, o LoadOptions) (*specs.Spec, error) {
	spec, problems := load(path, o)
	if len(problems) > 0 {
		errs := make([]error, len(problems))
		for i, p := range problems {
			errs[i] = p
		}
		return nil, errors.Join(errs...)
	}
	return spec, nil
}

// Check lists everything that is wrong with the configuration at path.
func Check(path string) []Problem {
	_, problems := load(path, LoadOptions{})
	return problems
}

// place is where a value was written.
type place struct {
	file string
	at   position
}

// A compiler turns the keys of a configuration into a Spec.
type compiler struct {
	file     string // absolute
	dir      string
	o        LoadOptions
	vals     map[string]any // parsed, by key path with indices
	places   map[string]place
	mounts   int // elements of [[mount]]
	devices  int
	problems []Problem
	expand   func(string) (string, error)

	spec *specs.Spec
	set  Settings
}

func load(path string, o LoadOptions) (*specs.Spec, []Problem) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, []Problem{{File: path, Msg: err.Error()}}
	}
	if o.Env == nil {
		o.Env = os.LookupEnv
	}
	c := &compiler{file: abs, dir: filepath.Dir(abs), o: o, vals: map[string]any{}, places: map[string]place{}}
	doc := c.read(path)
	drops, err := filepath.Glob(path + ".d/*.toml")
	if err != nil {
		c.problems = append(c.problems, Problem{File: path + ".d", Msg: err.Error()})
	}
	for _, d := range drops {
		merge(doc, c.read(d))
	}
	if len(c.problems) == 0 || doc != nil {
		c.parse(doc)
		c.build()
	}
	slices.SortStableFunc(c.problems, func(a, b Problem) int {
		return cmp.Or(strings.Compare(a.File, b.File), a.Line-b.Line, a.Column-b.Column)
	})
	return c.spec, c.problems
}

// read decodes one file and remembers where its keys stand.
func (c *compiler) read(file string) map[string]any {
	b, err := os.ReadFile(file)
	if err != nil {
		c.problems = append(c.problems, Problem{File: file, Msg: reason(err)})
		return nil
	}
	var doc map[string]any
	if _, err := toml.Decode(string(b), &doc); err != nil {
		p := Problem{File: file, Msg: err.Error()}
		var syntax toml.ParseError
		if errors.As(err, &syntax) {
			p.Line, p.Column, p.Key, p.Msg = syntax.Position.Line, max(syntax.Position.Col, 1), syntax.LastKey, syntax.Message
		}
		c.problems = append(c.problems, p)
		return nil
	}
	for key, at := range positions(string(b)) {
		c.places[key] = place{file, at}
	}
	return doc
}

func reason(err error) string {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

// merge lays a drop-in over a document: tables merge, everything else replaces.
func merge(into, from map[string]any) {
	for k, v := range from {
		a, ok1 := into[k].(map[string]any)
		b, ok2 := v.(map[string]any)
		if ok1 && ok2 {
			merge(a, b)
		} else if into != nil {
			into[k] = v
		}
	}
}

// problem notes that the value at path is wrong.
func (c *compiler) problem(path, format string, a ...any) {
	at := c.where(path)
	c.problems = append(c.problems, Problem{File: at.file, Line: at.at.line, Column: at.at.col, Key: plain(path), Msg: fmt.Sprintf(format, a...)})
}

// where finds the place of a key, or of the table it would be in.
func (c *compiler) where(path string) place {
	for p := path; p != ""; {
		if at, ok := c.places[p]; ok {
			return at
		}
		i := strings.LastIndexAny(p, ".[")
		if i < 0 {
			break
		}
		p = p[:i]
	}
	return place{file: c.file}
}

// plain is a path as people write it: without the numbers of array elements.
func plain(path string) string {
	i := strings.IndexByte(path, '[')
	if i < 0 {
		return path
	}
	j := strings.IndexByte(path, ']')
	return path[:i] + path[j+1:]
}

// parse checks every key of the document and keeps what it means.
func (c *compiler) parse(doc map[string]any) {
	if doc == nil {
		return
	}
	c.table("", "", doc)
	if _, ok := doc["version"]; !ok {
		c.problems = append(c.problems, Problem{File: c.file, Line: 1, Column: 1, Key: "version", Msg: "missing: write version = 1"})
	}
}

// table walks a table. path has array indices, pattern has [] in their place.
func (c *compiler) table(path, pattern string, t map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(t)) {
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
			c.table(at, pat, sub)
		}
	}
}

func find(pattern string) *Key {
	i := slices.IndexFunc(keys, func(k Key) bool { return k.Path == pattern })
	if i < 0 {
		return nil
	}
	return &keys[i]
}

func hasPrefix(p string) bool {
	return slices.ContainsFunc(keys, func(k Key) bool { return strings.HasPrefix(k.Path, p) })
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
		c.table(path+"["+strconv.Itoa(i)+"]", pattern+"[]", t)
	}
	if pattern == "mount" {
		c.mounts = len(list)
	} else {
		c.devices = len(list)
	}
}

func (c *compiler) value(k *Key, path string, v any) {
	parsed, err := k.parse(v)
	if err != nil {
		c.problem(path, "%s: want %s", show(v), err)
		return
	}
	c.vals[path] = parsed
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
	for _, k := range keys {
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

// get returns the value of a key, or def.
func get[T any](c *compiler, path string, def T) T {
	if v, ok := c.vals[path].(T); ok {
		return v
	}
	return def
}

func (c *compiler) has(path string) bool { _, ok := c.vals[path]; return ok }
