// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestTenMistakes keeps what check says of files that are wrong. Refresh with
// -update, and read what changed.
func TestTenMistakes(t *testing.T) {
	for file, least := range map[string]int{"testdata/ten-mistakes.toml": 11, "testdata/syntax.toml": 1} {
		var got strings.Builder
		problems := Check(file)
		for _, p := range problems {
			got.WriteString(p.String() + "\n")
		}
		if len(problems) < least {
			t.Errorf("%s: %d problems, want %d", file, len(problems), least)
		}
		golden := strings.TrimSuffix(file, ".toml") + ".txt"
		if *update {
			if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got.String()); diff != "" {
			t.Errorf("%s:\n%s", file, diff)
		}
	}
}

// A document that is no TOML is told with the place that cannot be read.
func TestSyntaxErrors(t *testing.T) {
	for doc, want := range map[string]string{
		"a = 1\nb = \"x\nc = 2\n":         "2:7: b: strings cannot contain newlines",
		"a = 1\n\n\n\tb = = 2\n":          "4:6: b: expected value but found '=' instead",
		"a = 1\na = 2\n":                  "2:1: a: Key 'a' has already been defined.",
		"[x\ny = 1\n":                     `1:3: expected '.' or ']' to end table name, but got '\n' instead`,
		"k = \"\"\"\nfoo\nbar":            "3:3: k: unexpected EOF",
		"a = 2021-13-01\n":                `1:5: a: invalid datetime: "2021-13-01"`,
		"x=1\nd = 0x\n":                   `2:5: d: not a hexadecimal number: '0x\n'`,
		"a = {b = 1\nc = 2}\n":            "2:1: a.b: expected a comma or an inline table terminator",
		"b = [1,\n2,\n3 4]\n":             "3:3: b: expected a comma (',') or array terminator (']')",
		"x = 1\r\ny = \r\n":               "2:5: ",
		"version = 1\n[[mount]]\n[mount]": "3:2: Key 'mount' has already been defined.",
	} {
		got := problemsOf(t, "x.toml", doc)
		if len(got) != 1 || !strings.HasPrefix(got[0], "x.toml:"+want) || strings.Contains(got[0], "\n") {
			t.Errorf("%q: %q, want %q", doc, got, want)
		}
	}
}
