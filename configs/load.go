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
	c, err := load(path, o)
	if err != nil {
		return nil, err
	}
	return c.result()
}

// Check lists everything that is wrong with the configuration at path.
func Check(path string) []Problem {
	c, err := load(path, LoadOptions{})
	if err != nil {
		return []Problem{{File: path, Msg: err.Error()}}
	}
	return c.problems
}

// place is where a value was written.
type place struct {
	file string
	at   position
}

// A compiler turns the keys of a configuration into a Spec.
type compiler struct {
	file     string // absolute
	shown    string // the file as it was named, for messages
	source   string
	dir      string
	o        LoadOptions
	raw      bool           // no specifiers
	vals     map[string]any // parsed, by key path with indices
	places   map[string]place
	mounts   int // elements of [[mount]]
	devices  int
	problems []Problem
	bad      map[string]bool // keys that have a problem
	expand   func(string) (string, error)

	spec *specs.Spec
	set  Settings
}

func newCompiler(file string, o LoadOptions) *compiler {
	if o.Env == nil {
		o.Env = os.LookupEnv
	}
	return &compiler{file: file, shown: file, source: file, dir: filepath.Dir(file), o: o,
		vals: map[string]any{}, places: map[string]place{}, bad: map[string]bool{}}
}

// result is the Spec, or all problems.
func (c *compiler) result() (*specs.Spec, error) {
	if len(c.problems) == 0 {
		return c.spec, nil
	}
	errs := make([]error, len(c.problems))
	for i, p := range c.problems {
		errs[i] = p
	}
	return nil, errors.Join(errs...)
}

// load reads and compiles path and its drop-ins.
func load(path string, o LoadOptions) (*compiler, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	c := newCompiler(abs, o)
	c.shown = path
	doc, at := c.read(path)
	c.place("", path, at)
	drops, err := dropIns(path)
	if err != nil {
		c.problems = append(c.problems, Problem{File: path + ".d", Msg: reason(err)})
	}
	for _, d := range drops {
		if more, at := c.read(d); doc != nil {
			c.merge(doc, more, "", d, at)
		}
	}
	if doc != nil {
		c.compile(doc)
	}
	slices.SortStableFunc(c.problems, func(a, b Problem) int {
		return cmp.Or(strings.Compare(a.File, b.File), a.Line-b.Line, a.Column-b.Column)
	})
	return c, nil
}

// compile makes the Spec of a document and checks it.
func (c *compiler) compile(doc map[string]any) {
	c.parse(doc)
	c.build()
	if len(c.problems) > 0 {
		return
	}
	// The last net: what the keys come to must make sense as a Spec, too.
	if err := Validate(c.spec); err != nil {
		c.problems = append(c.problems, Problem{File: c.shown, Msg: err.Error()})
	}
}

// dropIns are the files of the directory beside the configuration, in order.
func dropIns(path string) ([]string, error) {
	entries, err := os.ReadDir(path + ".d")
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var files []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".toml") && !strings.HasPrefix(e.Name(), ".") {
			files = append(files, filepath.Join(path+".d", e.Name()))
		}
	}
	return files, err
}

// read decodes one file and finds where its keys stand.
func (c *compiler) read(file string) (map[string]any, map[string]position) {
	b, err := readFile(file)
	if err != nil {
		c.problems = append(c.problems, Problem{File: file, Msg: reason(err)})
		return nil, nil
	}
	doc, at, problem := decode(file, b)
	if problem != nil {
		c.problems = append(c.problems, *problem)
	}
	return doc, at
}

// decode reads a document: its tree, and where its keys stand.
func decode(file string, text []byte) (map[string]any, map[string]position, *Problem) {
	doc := map[string]any{}
	if _, err := toml.Decode(string(text), &doc); err != nil {
		p := Problem{File: file, Line: 1, Column: 1, Msg: err.Error()}
		var syntax toml.ParseError
		if errors.As(err, &syntax) {
			p.Line, p.Column, p.Key, p.Msg = syntax.Position.Line, max(syntax.Position.Col, 1), syntax.LastKey, syntax.Message
		}
		return nil, nil, &p
	}
	return doc, positions(string(text)), nil
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
			c.places[key] = place{file, p}
		}
	}
}

// merge lays a drop-in over a document: tables merge, everything else replaces.
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

func reason(err error) string {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

// problem notes that the value at path is wrong.
func (c *compiler) problem(path, format string, a ...any) {
	at := c.where(path)
	c.bad[path] = true
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
	return place{c.shown, position{1, 1}}
}

// plain is a path as people write it: without the numbers of array elements.
func plain(path string) string {
	if path == "" {
		return `""` // a key may be that
	}
	for _, array := range []string{"mount[", "device["} {
		if rest, ok := strings.CutPrefix(path, array); ok {
			_, rest, _ = strings.Cut(rest, "]")
			path = array[:len(array)-1] + rest
		}
	}
	if i := strings.LastIndexByte(path, '['); i > 0 && strings.HasSuffix(path, "]") {
		path = path[:i]
	}
	return path
}

func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

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

// has says whether a key is given, rightly or wrongly.
func (c *compiler) has(path string) bool {
	_, ok := c.vals[path]
	return ok || c.bad[path]
}
