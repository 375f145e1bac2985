// SPDX-License-Identifier: Apache-2.0

package unitgen

import (
	"fmt"
	"strings"
	"testing"
)

// specifiers undoes %%, and fails on any other specifier.
func specifiers(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' {
			i++
			if i == len(s) || s[i] != '%' {
				return "", fmt.Errorf("a specifier in %q", s)
			}
		}
		b.WriteByte(s[i])
	}
	return b.String(), nil
}

// words splits a value as extract_first_word(EXTRACT_UNQUOTE) does; a quoted
// semicolon is marked by the caller's own means.
func words(s string) ([]string, error) {
	var out []string
	for i := 0; i < len(s); {
		if s[i] == ' ' || s[i] == '\t' {
			i++
			continue
		}
		var b strings.Builder
		quote := byte(0)
		for ; i < len(s); i++ {
			c := s[i]
			switch {
			case c == '\\':
				i++
				if i == len(s) {
					return nil, fmt.Errorf("a lone backslash in %q", s)
				}
				b.WriteByte(s[i])
				continue
			case quote != 0 && c == quote:
				quote = 0
				continue
			case quote != 0:
				b.WriteByte(c)
				continue
			case c == '"' || c == '\'':
				quote = c
				continue
			}
			if c == ' ' || c == '\t' {
				break
			}
			b.WriteByte(c)
		}
		if quote != 0 {
			return nil, fmt.Errorf("an open quote in %q", s)
		}
		out = append(out, b.String())
	}
	return out, nil
}

// mustParse returns the values of each directive.
func mustParse(t testing.TB, text string) map[string][]string {
	t.Helper()
	lines, err := parse(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	out := map[string][]string{}
	for _, l := range lines {
		key := l.section + "." + l.name
		out[key] = append(out[key], l.value)
	}
	return out
}

// nasty are values that other generators were caught out by, row E5.
var nasty = []string{
	"plain", "two words", "[Service]", "a\\", `a\\`, `ends with \ `, "%n", "%h %%", "100%", "$HOME", "${HOME} $$", ";", "; rm",
	"#comment", `"quoted"`, `'single'`, `"`, `'`, `\"`, `\x41`, `\n`, "ü \u2028 line", "=", "a=b", "-", "@:+!", "~",
	strings.Repeat("x", 4096),
}

// impossible are values nothing can write.
var impossible = []string{"\n[Service]\nExecStart=/bin/sh", "a\nb", "a\rb", "nul\x00", "tab\t", "\x1b[2J", "\xff", "del\x7f", "\u0085"}
