// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestG3Escape(t *testing.T) {
	for in, want := range map[string]string{
		"plain":            "plain",
		"a\tb":             "a\tb",
		"größe ✓ 日本":       "größe ✓ 日本",
		"\x1b]0;title\x07": `\x1b]0;title\a`,
		"\x1b[2J":          `\x1b[2J`,
		"a\rb":             `a\rb`,
		"a\nb":             `a\nb`,
		"a\x00b":           `a\x00b`,
		"\xff\xfe":         `\xff\xfe`,
		"\u009b31m":        `\u009b31m`, // CSI in one character
		"\u202egnp.exe":    `\u202egnp.exe`,
		"\u200bx":          `\u200bx`,
		"\ufffd":           "\ufffd",
	} {
		if got := escape(in); got != want {
			t.Errorf("escape(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzEscape(f *testing.F) {
	f.Add("\x1b[31m\xff")
	f.Fuzz(func(t *testing.T, s string) {
		for _, r := range escape(s) {
			if r != '\t' && (r < ' ' || r >= 0x7f && r < 0xa0) {
				t.Errorf("escape(%q) has %q", s, r)
			}
		}
	})
}

func TestEscapeOnlyForTerminals(t *testing.T) {
	f, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got := escapeFor(f, "\x1b"); got != "\x1b" {
		t.Errorf("a file gets %q", got)
	}
	if got := paint(f, red, "x"); got != "x" {
		t.Errorf("a file gets colour: %q", got)
	}
}

func written(t *testing.T, tab *table) string {
	t.Helper()
	var b strings.Builder
	if err := tab.write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTable(t *testing.T) {
	tab := &table{header: []string{"NAME", "PID", "COMMAND"}}
	tab.add(text("größe"), number("7"), text("a\nb"))
	tab.add(text("b"), number("12345"), text("c\td"))
	want := "NAME     PID  COMMAND\n" +
		"größe      7  a\\nb\n" +
		"b      12345  c d\n"
	if diff := cmp.Diff(want, written(t, tab)); diff != "" {
		t.Error(diff)
	}
}

func TestTableOnTerminal(t *testing.T) {
	tab := &table{header: []string{"NAME", "COMMAND"}, width: 16, colour: true, escaped: true}
	tab.add(cell{text: "a", colour: green}, text("\x1b[31mlonger than that"))
	got := written(t, tab)
	want := "\x1b[1mNAME\x1b[0m  \x1b[1mCOMMAND\x1b[0m\n\x1b[32ma\x1b[0m     \\x1b[31ml…\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTableEmpty(t *testing.T) {
	tab := &table{header: []string{"A", "B"}}
	if got := written(t, tab); got != "A  B\n" {
		t.Errorf("%q", got)
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0B", 1023: "1023B", 1024: "1.0K", 1536: "1.5K", 10 << 20: "10M", 64<<20 - 1: "64M",
		1023 << 20: "1.0G", 1 << 40: "1.0T", 1<<64 - 1: "16E",
	} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %s, want %s", n, got, want)
		}
	}
}

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 59 * time.Second: "59s", 61 * time.Second: "1m01s",
		3 * time.Hour: "3h00m", 49*time.Hour + time.Minute: "2d01h",
	} {
		if got := age(d); got != want {
			t.Errorf("age(%v) = %s, want %s", d, got, want)
		}
	}
}

func TestCommandLine(t *testing.T) {
	got := commandLine([]string{"sh", "-c", "echo 'a b'", "", "x=1", "$HOME"})
	if want := `sh -c 'echo '\''a b'\''' '' x=1 '$HOME'`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// FuzzTable: whatever containers are called, a terminal gets a line for each row, and no
// control character but ours.
func FuzzTable(f *testing.F) {
	f.Add("web", "\x1b[31mred\x1b[0m\r\n", 20)
	f.Add("\u202e\u0085", "\xff\t", 1)
	f.Fuzz(func(t *testing.T, a, b string, width int) {
		tab := &table{header: []string{"NAME", "COMMAND"}, colour: true, escaped: true, width: width}
		tab.add(cell{text: a, colour: green}, number(b))
		tab.add(number(b), text(commandLine([]string{a, b})))
		got := written(t, tab)
		if n := strings.Count(got, "\n"); n != 3 {
			t.Errorf("%d lines:\n%q", n, got)
		}
		ours := strings.NewReplacer("\x1b["+green+"m", "", "\x1b["+bold+"m", "", "\x1b[0m", "", "\n", "")
		for _, r := range ours.Replace(got) {
			if !unicode.IsPrint(r) && r != utf8.RuneError {
				t.Errorf("%q in %q", r, got)
			}
		}
	})
}

// FuzzCommandLine: a shell reads back the arguments that were quoted.
func FuzzCommandLine(f *testing.F) {
	f.Add("a b", "it's", "$x `y` \\")
	f.Add("", "'", "~\n#")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		want := []string{a, b, c}
		if got := shellWords(commandLine(want)); !slices.Equal(got, want) {
			t.Errorf("%q read back as %q", want, got)
		}
	})
}

// shellWords splits as sh(1) does, without expansions: those are for the test that runs one.
func shellWords(s string) (words []string) {
	var word strings.Builder
	quoted, some := false, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\'':
			quoted, some = !quoted, true
		case quoted:
			word.WriteByte(c)
		case c == '\\' && i+1 < len(s):
			i++
			word.WriteByte(s[i])
			some = true
		case c == ' ' || c == '\n' || c == '\t':
			if some {
				words = append(words, word.String())
			}
			word.Reset()
			some = false
		default:
			word.WriteByte(c)
			some = true
		}
	}
	if some {
		words = append(words, word.String())
	}
	return words
}
