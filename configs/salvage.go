// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"
	"sync"
	"unicode"

	"github.com/BurntSushi/toml"
)

// maxSyntax is how many places of a file that cannot be read are told.
const maxSyntax = 20

const (
	keyPart  = `([A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')`
	keyPath  = keyPart + `([ \t]*\.[ \t]*` + keyPart + `)*[ \t]*`
	restRead = "; the rest of the file was not read"
	ownLine  = "write each key on a line of its own"
)

var (
	newTable   = lazily(`^[ \t]*\[\[?[ \t]*[A-Za-z_]`) // of an array in an array are quotes and digits
	assignment = lazily(`^[ \t]*` + keyPath + `=`)
	duplicate  = lazily(`^Key '(.*)' (has already been defined|was already created)`)
	element    = lazily(`\[[0-9]+\]`)
)

// lazily compiles an expression when a file has a mistake, not at every start.
func lazily(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}

// A salvage is what of a document can be read though something in it cannot: that is blanked, which leaves all
// else where it stands.
type salvage struct {
	file     string
	text     []byte
	unread   []string // keys that were blanked
	partial  bool     // and what others say is unknown
	problems []Problem
}

// tree decodes the document; nil if nothing of it is TOML.
func (s *salvage) tree() map[string]any {
	for {
		doc := map[string]any{}
		_, err := toml.Decode(string(s.text), &doc)
		if err == nil {
			return doc
		}
		p := Problem{File: s.file, Line: 1, Column: 1, Msg: err.Error()}
		var syntax toml.ParseError
		if !errors.As(err, &syntax) {
			s.problems = append(s.problems, p)
			return nil
		}
		at := offset(string(s.text), syntax.Position.Start)
		p.Line, p.Column, p.Key = at.line, at.col, syntax.LastKey
		p.Msg = strings.ReplaceAll(syntax.Message, "\n", `\n`)
		if number, ok := strings.CutSuffix(p.Msg, " is out of range for int64"); ok {
			p.Msg = fmt.Sprintf("%s: want a number from %d to %d (put quotes around another where it may be text, as in systemd.scope)", number, math.MinInt64, math.MaxInt64)
		}
		s.problems = append(s.problems, p)
		if strings.Contains(p.Msg, "NULL bytes") || len(s.problems) > 2*maxSyntax {
			return nil
		}
		s.blank(&s.problems[len(s.problems)-1], syntax.Position.Start)
	}
}

// blank takes out the statement with a mistake; the whole table if it is the header of one.
func (s *salvage) blank(p *Problem, at int) {
	at = min(max(at, 0), len(s.text))
	from, table := statementAt(string(s.text), at)
	if beside(string(s.text[from:])) {
		s.text[from] = ' '
		from++
		p.Msg = ownLine
	}
	statement := string(s.text[from:])
	again := duplicate().FindStringSubmatch(p.Msg)
	if again != nil {
		s.twice(p, from, at, again[1])
	}
	to := from + lineEnd(statement)
	_, value, _ := strings.Cut(string(s.text[from:to]), "=")
	value = strings.TrimSpace(value)
	if again == nil && assignment().MatchString(statement) {
		s.explain(p, from, at, table)
	}
	switch {
	case len(s.problems) >= maxSyntax || strings.TrimSpace(string(s.text[from:to])) == "":
		to = len(s.text)
		p.Msg += restRead
	case strings.HasPrefix(statement, "["):
		to = from + resume(statement, newTable())
		if again == nil {
			p.Key = "" // the library has that of the table before
		}
		p.Msg = strings.TrimSuffix(p.Msg, ".") + "; the keys of this table were not read"
	case strings.Contains(value, `"""`) || strings.Contains(value, "'''"):
		to = len(s.text) // what looks like keys may be text
		p.Msg += restRead
	case strings.HasPrefix(value, "{"):
		to = max(to, from+resume(statement, newTable()))
		if at < from+lineEnd(statement) {
			to = from + lineEnd(statement)
		} else {
			p.Msg += "; the rest of this table was not read"
		}
	case strings.HasPrefix(value, "["):
		to = max(to, from+min(closed(statement), resume(statement, newTable(), assignment())))
	}
	if strings.HasSuffix(p.Msg, restRead) || again == nil && !assignment().MatchString(statement) {
		s.partial = true
	}
	if to < len(s.text) || to == from+lineEnd(statement) { // else it is all that follows, which the scanner would take for one endless value
		s.forget(string(s.text[from:to]), table)
	}
	for i := from; i < to; i++ {
		if s.text[i] != '\n' {
			s.text[i] = ' '
		}
	}
}

// explain tells of a value that is no TOML as of one that its key does not take: most often it lacks quotes.
func (s *salvage) explain(p *Problem, from, at int, table string) {
	if p.Msg == ownLine {
		at = from + lineEnd(string(s.text[from:]))
	}
	k := newScanner(string(s.text[from:min(at+1, len(s.text))]), table)
	k.statement()
	if k.reading == table {
		return // what is wrong is the key
	}
	s.unread = append(s.unread, k.reading)
	p.Key = plain(k.reading)
	if k.valueAt < 0 || p.Msg == ownLine || strings.Contains(p.Msg, ": want ") {
		return
	}
	statement := string(s.text[from:])
	_, whole, _ := strings.Cut(statement[:lineEnd(statement)], "=")
	ends, more := "#\n", ""
	if whole = strings.TrimSpace(whole); strings.HasPrefix(whole, "{") || strings.HasPrefix(whole, "[") {
		ends += ",]}"
	} else if beside(string(s.text[at:])) {
		p.Msg = ownLine
		return
	}
	word := statement[k.valueAt:]
	if i := strings.IndexAny(word, ends); i >= 0 {
		word = word[:i]
	}
	if i := strings.IndexAny(word, ",;"); i >= 0 && beside(word[i:]) {
		word, more = word[:i], "; "+ownLine
	}
	word = strings.TrimSpace(word)
	strange := strings.ContainsAny(word, "\"'=[{") || strings.ContainsFunc(word, func(r rune) bool { return !unicode.IsPrint(r) })
	if word == "" || strange || len(word) > 60 {
		return
	}
	pattern, inList := strings.CutSuffix(element().ReplaceAllString(k.reading, "[]"), "[]")
	if kind := kindOf(pattern); inList && kind != nil && kind.Name == kindStrings.Name {
		p.Msg = fmt.Sprintf("%s: want a string; write it in quotes: %q", word, word)
	} else if wrong := misfit(pattern, word); wrong != "" {
		p.Msg = wrong
	} else if kind != nil {
		p.Msg = word + ": want " + kind.Accepts()
		if _, err := kind.parse(word); err == nil {
			p.Msg += fmt.Sprintf("; write it in quotes: %q", word)
		}
	}
	p.Msg += more
}

// kindOf is the kind of a key, or of what a table with free names has; nil if there is none.
func kindOf(pattern string) *Kind {
	if k := find(pattern); k != nil {
		return &k.Kind
	}
	if i := strings.LastIndexByte(pattern, '.'); i > 0 {
		if k := find(pattern[:i]); k != nil {
			return k.Kind.elem
		}
	}
	return nil
}

// twice tells of a key that the statement from there on defines again. The library's place is behind its quote, and what the library calls
// it has quotes.
func (s *salvage) twice(p *Problem, from, at int, called string) {
	p.Msg = "given twice"
	begin := offset(string(s.text), from)
	for _, r := range scan(string(s.text[:at+lineEnd(string(s.text[at:]))]), "").again {
		key := shown(element().ReplaceAllString(r.key, ""))
		same := strings.ReplaceAll(key, `"`, "") == strings.ReplaceAll(called, `"`, "")
		if here := r.at.line > begin.line || r.at.line == begin.line && r.at.col >= begin.col; here && (same || p.Msg == "given twice") {
			p.Line, p.Column, p.Key = r.at.line, r.at.col, key
			p.Msg = fmt.Sprintf("given twice, first in line %d", r.first.line)
			if same {
				return
			}
		}
	}
}

// beside says whether a text goes on with another key where a line was to end.
func beside(text string) bool {
	return text != "" && strings.Contains(",;", text[:1]) && assignment().MatchString(text[1:])
}

// forget notes the keys of a text that is not read.
func (s *salvage) forget(text, table string) {
	if strings.HasPrefix(text, "[[") {
		return // the next element has its number
	}
	for key := range scan(text, table).found {
		s.unread = append(s.unread, key)
	}
}

// statementAt is where the statement begins that has the byte at, which all before it can be read, and its table.
func statementAt(text string, at int) (from int, table string) {
	// Not further: what is not closed would go on to the end.
	k := newScanner(text[:min(at+1, len(text))], "")
	for {
		k.space(true)
		if k.end() {
			return from, table
		}
		from, table = k.at, k.table
		k.statement()
	}
}

// closed is where the line ends on which the first statement of a text does.
func closed(text string) int {
	k := newScanner(text, "")
	k.statement()
	return k.at + lineEnd(text[k.at:])
}

// lineEnd is where the first line of a text ends.
func lineEnd(text string) int {
	if i := strings.IndexByte(text, '\n'); i >= 0 {
		return i
	}
	return len(text)
}

// resume is where after its first line a text has one that looks like what is wanted.
func resume(text string, want ...*regexp.Regexp) int {
	at := lineEnd(text)
	for at < len(text) {
		line := text[at+1:]
		line = line[:lineEnd(line)]
		for _, w := range want {
			if w.MatchString(line) {
				return at
			}
		}
		at += 1 + len(line)
	}
	return len(text)
}
