// SPDX-License-Identifier: Apache-2.0

package configs

import "fmt"

// A definition is what a document first makes of a key, and in which line.
type definition struct {
	how  how
	line int
}

// how is the way in which a key is defined.
type how uint8

const (
	valued  how = iota + 1 // KEY = VALUE, an inline table too
	dotted                 // a table: KEY.X = VALUE
	implied                // a table: [KEY.X]
	headed                 // a table: [KEY]
	arrayed                // tables: [[KEY]]
)

// A redefinition is a key that a document defines again in a way that TOML forbids. The library lets
// these pass: of a value in the place of a table nothing would be left.
type redefinition struct {
	key   string
	at    position
	how   how
	first definition
}

// define notes that a key is defined at p, which its first definition must allow.
func (s *scanner) define(key string, h how, p position) {
	first, ok := s.defined[key]
	allowed := !ok
	switch h {
	case dotted:
		allowed = allowed || first.how == dotted || first.how == implied
	case implied:
		allowed = allowed || first.how != valued
	case headed:
		allowed = allowed || first.how == implied
	case arrayed:
		allowed = allowed || first.how == arrayed
	}
	switch {
	case !allowed:
		s.again = append(s.again, redefinition{key, p, h, first})
	case !ok:
		s.defined[key] = definition{h, p.line}
	case h != implied: // a table that was implied is now closed to another header
		s.defined[key] = definition{h, first.line}
	}
}

func (r redefinition) problem(file string) Problem {
	key := plain(r.key)
	msg := fmt.Sprintf("given twice, first in line %d", r.first.line)
	switch {
	case r.first.how == valued && r.how != valued:
		msg += ", as a whole (write all of it there)"
	case r.first.how == valued:
	case r.how == valued:
		msg += ", as a table (leave one out)"
	case r.first.how == dotted:
		msg += fmt.Sprintf(", by a dotted key (write all keys of [%s] below it, or all dotted)", key)
	default:
		msg += fmt.Sprintf(", as [%s] (write this key below that)", key)
	}
	return Problem{File: file, Line: r.at.line, Column: r.at.col, Key: key, Msg: msg}
}
