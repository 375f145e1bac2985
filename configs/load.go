// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// LoadOptions is what a configuration depends on besides its files.
type LoadOptions struct {
	// Env looks up variables of the caller for process.env_pass; nil is os.LookupEnv.
	Env func(string) (string, bool)
	// EnvNames lists the variables of the caller for the globs of process.env_pass; nil is those
	// of os.Environ.
	EnvNames func() []string
	// Property says what is wrong with a unit property of systemd.scope and its value as
	// GVariant text; nil accepts every one.
	Property func(name, value string) error
	// Directive says what is wrong with a directive for a section of the unit file, "unit",
	// "service" or "install", as a [FieldError] what systemd.strict = false makes a warning; nil accepts every one.
	Directive func(section, name string, values []string) error
	// Mount says what is wrong with a [[mount]]; nil accepts every one.
	Mount func(specs.Mount) error
	// Find says what is wrong with a path of the host that a start needs: that of the root, of a
	// directory of an overlay or of a bind mount, as a [FieldError] if that may be no mistake; nil accepts every one.
	Find func(path string, dir bool) error
	// Spec says what is wrong with the Spec that a configuration comes to, which may have
	// problems of other keys: what is a [FieldError] is told with its place, all else is
	// not told. nil accepts every one.
	Spec func(*specs.Spec, Settings) error
	// Warn is told of what is no problem: what systemd.strict = false makes none, and each [FieldError] that says so
	// of itself; nil tells nobody.
	Warn func(Problem)
	// Set is laid over the files, in order.
	Set []Setting
	// Args take the place of process.args, as they are; nil leaves those of the files.
	Args []string
}

// A Problem is one thing wrong with a configuration. That of a [Setting] has its flag for
// a File, and no Line.
type Problem struct {
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
	Key    string `json:"key,omitempty"`
	Msg    string `json:"message"`
}

func (p Problem) String() string {
	if p.OfFlag() {
		return p.File + " " + p.Msg
	}
	s := p.File
	if p.Line > 0 {
		s += fmt.Sprintf(":%d:%d", p.Line, p.Column)
	}
	if p.Key != "" {
		s += ": " + p.Key
	}
	return s + ": " + p.Msg
}

// Compare orders problems by their place.
func (p Problem) Compare(q Problem) int {
	return cmp.Or(strings.Compare(p.File, q.File), p.Line-q.Line, p.Column-q.Column)
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

// Check lists what is wrong with the configuration at path as far as its text tells: no
// planner has seen it, and unit properties, directives, mounts and paths are what the functions of o
// say.
// Check of package sdcontainer asks them all.
func (o LoadOptions) Check(path string) []Problem {
	c, err := load(path, o)
	if err != nil {
		return []Problem{{File: path, Msg: err.Error()}}
	}
	return c.problems
}

// place is where a value was written.
type place struct {
	file string // or the flag
	at   position
	flag bool
	// wrong is told of a value that cannot be read, "" for the usual.
	wrong string
}

// A compiler turns the keys of a configuration into a Spec.
type compiler struct {
	file     string // absolute
	shown    string // the file as it was named, for messages
	source   string
	dir      string
	o        LoadOptions
	raw      bool           // no specifiers
	doc      map[string]any // all files, nil before the first
	vals     map[string]any // parsed, by key path with indices
	places   map[string]place
	mounts   int // elements of [[mount]]
	devices  int
	problems []Problem
	warned   []Problem
	partial  bool            // a file could not be read as a whole
	unread   []string        // keys that stand in what could not
	bad      map[string]bool // keys that have a problem; true if they could not be read at all
	meant    map[string]bool // keys and tables that one which is unknown may stand for
	expand   func(string) (string, error)

	spec       *specs.Spec
	set        Settings
	propertyAt map[string][]string // the keys of each of set.UnitProperties
}

func newCompiler(file string, o LoadOptions) *compiler {
	if o.Env == nil {
		o.Env = os.LookupEnv
	}
	if o.EnvNames == nil {
		o.EnvNames = callersNames
	}
	return &compiler{file: file, shown: file, source: file, dir: filepath.Dir(file), o: o,
		vals: map[string]any{}, places: map[string]place{}, bad: map[string]bool{}, meant: map[string]bool{}, propertyAt: map[string][]string{}}
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
	c.read(path)
	drops, others, err := dropIns(path)
	if err != nil {
		c.problems = append(c.problems, Problem{File: path + ".d", Msg: reason(err)})
	}
	for _, o := range others {
		c.problems = append(c.problems, Problem{File: o, Msg: "is not read: the names of drop-ins end in .toml"})
	}
	base := c.doc != nil
	for _, d := range drops {
		c.read(d)
	}
	if base { // else who knows what a drop-in is laid over
		c.lay(o.Set)
		c.compile()
	}
	slices.SortStableFunc(c.problems, Problem.Compare)
	return c, nil
}

// compile makes the Spec of what was read and checks it.
func (c *compiler) compile() {
	c.parse()
	if c.o.Args != nil {
		c.place("process.args", "", nil)
		c.flagged("process.args", Setting{Flag: "COMMAND"})
		c.vals["process.args"] = slices.Clone(c.o.Args)
	}
	c.build()
	c.planned()
	if len(c.problems) > 0 {
		return
	}
	// The last net: what the keys come to must make sense as a Spec, too.
	if err := Validate(c.spec); err != nil {
		c.problems = append(c.problems, Problem{File: c.shown, Msg: err.Error()})
	}
}

// backups are what package managers and editors leave of a file, beside NAME~ and .NAME.
var backups = []string{".bak", ".old", ".new", ".orig", ".swp", ".rpmnew", ".rpmsave", ".rpmorig", ".dpkg-old", ".dpkg-new",
	".dpkg-dist", ".dpkg-tmp", ".dpkg-bak", ".ucf-old", ".ucf-new", ".ucf-dist"}

// dropIns are the files of the directory beside the configuration, in order; others are files in
// it that nobody reads, though who wrote them may think so.
func dropIns(path string) (files, others []string, err error) {
	entries, err := os.ReadDir(path + ".d")
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil, nil
	}
	for _, e := range entries {
		name := filepath.Join(path+".d", e.Name())
		switch {
		case strings.HasPrefix(e.Name(), "."):
		case strings.HasSuffix(e.Name(), ".toml"):
			files = append(files, name)
		case !e.IsDir() && !strings.HasSuffix(name, "~") && !slices.Contains(backups, filepath.Ext(name)):
			others = append(others, name)
		}
	}
	return files, others, err
}

// read decodes one file and lays it over those before it.
func (c *compiler) read(file string) {
	b, err := readFile(file)
	if err != nil {
		c.problems = append(c.problems, Problem{File: file, Msg: reason(err)})
		return
	}
	doc, at, s := decode(file, b)
	c.problems = append(c.problems, s.problems...)
	for _, key := range s.unread {
		if _, ok := at[key]; !ok {
			c.bad[key] = true
			c.unread = append(c.unread, shown(key))
		}
	}
	c.partial = c.partial || s.partial
	if doc != nil {
		c.add(doc, file, at)
	}
}

// decode reads a document: its tree, where its keys stand, and what of it cannot be read.
func decode(file string, text []byte) (map[string]any, map[string]position, *salvage) {
	s := &salvage{file: file, text: bytes.Clone(bytes.TrimPrefix(text, []byte("\ufeff")))} // as the library does: it stands in no column
	doc := s.tree()
	if doc == nil {
		s.partial = true
		return nil, nil, s
	}
	keys := scan(string(s.text), "")
	for _, r := range keys.again {
		s.problems = append(s.problems, r.problem(file))
	}
	return doc, keys.found, s
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
	if c.bad[path] {
		return // what it would mean is unknown
	}
	msg := fmt.Sprintf(format, a...)
	if c.partial && (strings.HasPrefix(msg, "missing") || strings.Contains(msg, "go together") || strings.HasPrefix(msg, "goes with")) {
		return // what it lacks may stand in what cannot be read
	}
	if slices.ContainsFunc(c.unread, func(key string) bool { return strings.Contains(key, ".") && strings.Contains(msg, key) }) {
		return // what that key says is unknown
	}
	c.bad[path] = false
	c.problems = append(c.problems, c.placed(path, msg))
}

// strangeDirective tells of a directive that no systemd known here has. One that looks like another is a problem if the configuration
// is strict, as systemd would ignore it; else a newer systemd may have it.
func (c *compiler) strangeDirective(at, section, name string) {
	msg, meant := unknownDirective(section, name)
	if meant != "" {
		msg += "; did you mean " + meant + "?"
	}
	c.strange(at, msg, c.set.Strict && meant != "")
}

// strange tells of what a newer systemd may know.
func (c *compiler) strange(at, msg string, problem bool) {
	switch {
	case problem:
		c.problem(at, "%s (systemd.strict = false accepts it)", msg)
	case c.o.Warn != nil && !c.wrong(at):
		c.o.Warn(c.placed(at, msg))
	}
}

// placed is a message with the place of the value at path.
func (c *compiler) placed(path, msg string) Problem {
	at := c.where(path)
	return Problem{File: at.file, Line: at.at.line, Column: at.at.col, Key: plain(path), Msg: msg}
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
	return place{file: c.shown, at: position{1, 1}}
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
	return ok || c.wrong(path)
}
