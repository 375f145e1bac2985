// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"strconv"
	"strings"
)

// A position is a line and column of a file, from 1.
type position struct{ line, col int }

// offset is the position of a byte of a document. The TOML library's own column of a
// mistake counts from the line before where that line has ended too early.
func offset(doc string, at int) position {
	before := doc[:min(max(at, 0), len(doc))]
	return position{strings.Count(before, "\n") + 1, len(before) - strings.LastIndexByte(before, '\n')}
}

// scan finds the keys of a TOML document, or of a part of it in that table, see [join]. The TOML library tells
// values but not their places, and lets pass some that are defined twice, so this reads the text a
// second time, looking at nothing but keys. The document is one the library accepted.
func scan(text, table string) *scanner {
	s := newScanner(text, table)
	for !s.end() {
		s.statement()
	}
	return s
}

type scanner struct {
	text        string
	at          int
	line, start int    // of the current line
	table       string // the prefix of the current table
	found       map[string]position
	count       map[string]int // elements of arrays of tables so far
	defined     map[string]definition
	again       []redefinition
	reading     string // the key whose value was begun last, and where; the table of a key without one, and -1
	valueAt     int
}

func newScanner(text, table string) *scanner {
	return &scanner{text: text, line: 1, table: table, found: map[string]position{}, count: map[string]int{}, defined: map[string]definition{}}
}

func (s *scanner) end() bool { return s.at >= len(s.text) }

func (s *scanner) peek() byte {
	if s.end() {
		return 0
	}
	return s.text[s.at]
}

func (s *scanner) next() {
	if s.peek() == '\n' {
		s.line, s.start = s.line+1, s.at+1
	}
	if !s.end() {
		s.at++
	}
}

func (s *scanner) here() position { return position{s.line, s.at - s.start + 1} }

// space skips blanks, and line ends and comments too if lines is set.
func (s *scanner) space(lines bool) {
	for !s.end() {
		switch c := s.peek(); {
		case c == ' ' || c == '\t' || c == '\r':
			s.next()
		case lines && c == '\n':
			s.next()
		case lines && c == '#':
			s.comment()
		default:
			return
		}
	}
}

func (s *scanner) comment() {
	for !s.end() && s.peek() != '\n' {
		s.next()
	}
}

// statement reads a table header or a key with its value.
func (s *scanner) statement() {
	s.space(true)
	if s.end() {
		return
	}
	if s.peek() == '[' {
		s.header()
		return
	}
	s.pair(s.table)
	s.space(false)
	if s.peek() == '#' {
		s.comment()
	}
}

func (s *scanner) header() {
	at := s.here()
	s.next()
	array := s.peek() == '['
	if array {
		s.next()
	}
	keys, places := s.keys()
	for !s.end() && s.peek() != '\n' {
		s.next()
	}
	s.table = ""
	for i, k := range keys {
		s.table = join(s.table, k)
		s.mark(s.table, at)
		last := i == len(keys)-1
		how := implied
		if last {
			how = headed
			if array {
				how = arrayed
			}
		}
		s.define(s.table, how, places[i])
		switch {
		case last && array:
			n := s.count[s.table]
			s.count[s.table]++
			s.table += "[" + strconv.Itoa(n) + "]"
		case s.count[s.table] > 0: // a table inside the last element of an array
			s.table += "[" + strconv.Itoa(s.count[s.table]-1) + "]"
		}
	}
	s.mark(s.table, at)
}

func (s *scanner) mark(path string, p position) {
	if _, ok := s.found[path]; !ok {
		s.found[path] = p
	}
}

// keys reads a dotted key: its parts and where each stands.
func (s *scanner) keys() (parts []string, at []position) {
	for {
		s.space(false)
		at = append(at, s.here())
		parts = append(parts, s.key())
		s.space(false)
		if s.peek() != '.' {
			return parts, at
		}
		s.next()
	}
}

func (s *scanner) key() string {
	if q := s.peek(); q == '"' || q == '\'' {
		from := s.at
		s.str()
		raw := s.text[from:s.at]
		if k, err := strconv.Unquote(raw); q == '"' && err == nil {
			return k
		}
		return strings.Trim(raw, string(q))
	}
	from := s.at
	for !s.end() && !strings.ContainsRune(" \t\r\n.=]#", rune(s.peek())) {
		s.next()
	}
	if s.at == from && !s.end() {
		s.next() // never stand still
	}
	return s.text[from:s.at]
}

// pair reads KEY = VALUE below prefix.
func (s *scanner) pair(prefix string) {
	parts, at := s.keys()
	path := prefix
	for i, k := range parts {
		path = join(path, k)
		s.mark(path, at[i])
		how := dotted
		if i == len(parts)-1 {
			how = valued
		}
		s.define(path, how, at[i])
	}
	given := s.peek() == '='
	if given {
		s.next()
	}
	s.space(false)
	s.value(path)
	if !given {
		s.reading, s.valueAt = prefix, -1
	}
}

func (s *scanner) value(path string) {
	s.reading, s.valueAt = path, s.at
	switch s.peek() {
	case '"', '\'':
		s.str()
	case '[':
		s.array(path)
	case '{':
		s.inline(path)
	default:
		for !s.end() && !strings.ContainsRune("\n,]}#", rune(s.peek())) {
			s.next()
		}
	}
}

func (s *scanner) str() {
	q := s.peek()
	long := strings.Repeat(string(q), 3)
	if strings.HasPrefix(s.text[s.at:], long) {
		s.skip(3)
		for !s.end() && !strings.HasPrefix(s.text[s.at:], long) {
			s.escape(q)
		}
		s.skip(3)
		for s.peek() == q { // up to two quotes may stand before the closing ones
			s.next()
		}
		return
	}
	s.next()
	for !s.end() && s.peek() != q && s.peek() != '\n' {
		s.escape(q)
	}
	s.next()
}

// escape reads one character of a string, with its backslash.
func (s *scanner) escape(q byte) {
	if q == '"' && s.peek() == '\\' {
		s.next()
	}
	s.next()
}

func (s *scanner) skip(n int) {
	for range n {
		s.next()
	}
}

func (s *scanner) array(path string) {
	s.next()
	for n := 0; ; n++ {
		s.space(true)
		if s.end() || s.peek() == ']' {
			s.next()
			return
		}
		elem := path + "[" + strconv.Itoa(n) + "]"
		s.mark(elem, s.here())
		before := s.at
		s.value(elem)
		s.space(true)
		if s.peek() == ',' || s.at == before {
			s.next()
		}
	}
}

func (s *scanner) inline(path string) {
	s.next()
	for {
		s.space(true)
		if s.end() || s.peek() == '}' {
			s.next()
			return
		}
		s.pair(path)
		s.space(true)
		if s.peek() == ',' {
			s.next()
		}
	}
}
