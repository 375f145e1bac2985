// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// escapeFor is text as it may be shown on f: names, command lines and log lines
// come from containers, and a terminal obeys what it is sent.
func escapeFor(f *os.File, s string) string {
	if isTerminal(f) {
		return escape(s)
	}
	return s
}

func (a *app) escape(s string) string { return escapeFor(a.stdout, s) }

// escape spells out everything that is not printable, and bytes that are not
// UTF-8. Tabs stay.
func escape(s string) string {
	clean := func(r rune) bool { return r == '\t' || r != utf8.RuneError && unicode.IsPrint(r) }
	if strings.IndexFunc(s, func(r rune) bool { return !clean(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case clean(r) || r == utf8.RuneError:
			b.WriteString(s[i : i+n])
		default:
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		}
		i += n
	}
	return b.String()
}

// Colours. Status is always a word too.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	dim    = "2"
	bold   = "1"
)

// colours says whether f is to be painted.
func colours(f *os.File) bool {
	if os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	return isTerminal(f)
}

func paint(f *os.File, colour, s string) string {
	if colour == "" || !colours(f) {
		return s
	}
	return "\x1b[" + colour + "m" + s + "\x1b[0m"
}

// A cell is one field of a table.
type cell struct {
	text   string
	colour string
	right  bool // numbers
}

// A table prints columns as wide as their widest cell.
type table struct {
	header []string
	rows   [][]cell
	// width, if not 0, is where lines are cut, in the last column.
	width int
	// colour allows escape sequences of our own; escaped says that those of others are spelt out.
	colour, escaped bool
}

// table makes one for stdout.
func (a *app) table(noTrunc bool, header ...string) *table {
	t := &table{header: header, colour: colours(a.stdout), escaped: isTerminal(a.stdout)}
	if t.escaped && !noTrunc {
		t.width, _, _ = term.GetSize(int(a.stdout.Fd())) // 0: no limit
	}
	return t
}

func (t *table) add(cells ...cell) { t.rows = append(t.rows, cells) }

// text makes cells of strings.
func text(s string) cell   { return cell{text: s} }
func number(s string) cell { return cell{text: s, right: true} }

func (t *table) write(w io.Writer) error {
	head := make([]cell, len(t.header))
	for i, h := range t.header {
		head[i] = cell{text: h, colour: bold}
		if len(t.rows) > 0 && i < len(t.rows[0]) {
			head[i].right = t.rows[0][i].right
		}
	}
	all := append([][]cell{head}, t.rows...)
	widths := make([]int, len(t.header))
	for _, row := range all {
		for i := range row {
			row[i].text = t.clean(row[i].text)
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i].text))
		}
	}
	var b strings.Builder
	for _, row := range all {
		t.line(&b, row, widths)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// clean keeps a cell on its line and in its column.
func (t *table) clean(s string) string {
	if t.escaped {
		s = escape(s)
	}
	return strings.NewReplacer("\n", `\n`, "\t", " ").Replace(s)
}

func (t *table) line(b *strings.Builder, row []cell, widths []int) {
	at := 0
	for i, c := range row {
		last := i == len(row)-1
		s := c.text
		if last && t.width > 0 && at+utf8.RuneCountInString(s) > t.width {
			s = cut(s, t.width-at)
		}
		pad := strings.Repeat(" ", max(0, widths[i]-utf8.RuneCountInString(s)))
		if t.colour && c.colour != "" && s != "" {
			s = "\x1b[" + c.colour + "m" + s + "\x1b[0m"
		}
		switch {
		case c.right:
			s = pad + s
		case !last:
			s += pad
		}
		b.WriteString(s)
		if !last {
			b.WriteString("  ")
		}
		at += widths[i] + 2
	}
	b.WriteByte('\n')
}

// cut shortens s to width runes.
func cut(s string, width int) string {
	r := []rune(s)
	if width < 2 || len(r) <= width {
		return s
	}
	return string(r[:width-1]) + "…"
}

// size is a number of bytes for people.
func size(n uint64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return strconv.FormatUint(n, 10) + "B"
	}
	f, i := float64(n)/1024, 0
	for f >= 999.5 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	if f < 9.95 {
		return fmt.Sprintf("%.1f%c", f, units[i])
	}
	return fmt.Sprintf("%.0f%c", f, units[i])
}

// age is a duration for people: its two largest units at most.
func age(d time.Duration) string {
	switch s := int(d / time.Second); {
	case s < 60:
		return fmt.Sprintf("%ds", max(s, 0))
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%dh%02dm", s/3600, s/60%60)
	default:
		return fmt.Sprintf("%dd%02dh", s/86400, s/3600%24)
	}
}

// commandLine quotes arguments so that a shell would read them back.
func commandLine(args []string) string {
	quoted := make([]string, len(args))
	for i, arg := range args {
		quoted[i] = quote(arg)
	}
	return strings.Join(quoted, " ")
}

func quote(s string) string {
	plain := func(r rune) bool {
		return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("-_./=:,+@%^", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
