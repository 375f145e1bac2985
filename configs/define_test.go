// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What TOML forbids to define again is told, though the library takes it and drops a value.
func TestDefinedAgain(t *testing.T) {
	const first = ": given twice, first in line "
	for doc, want := range map[string]string{
		"a.b = 1\na = 5":                               "2:1: a" + first + "1, as a table (leave one out)",
		"a.b.c = 1\na.b = [2]":                         "2:3: a.b" + first + "1, as a table",
		"[a.b.c]\nd = 1\n[a]\nb = 2":                   "4:1: a.b" + first + "1, as a table",
		"a = { b.c = 1, b = 2 }":                       "1:16: a.b" + first + "1, as a table",
		"[[mount]]\nx.y = 1\nx = 2":                    "3:1: mount.x" + first + "2, as a table",
		"a.b = 1\n\n[ a ]\nc = 2":                      "3:3: a" + first + "1, by a dotted key (write all keys of [a] below it, or all dotted)",
		"[a]\nb.c = 1\n[a.b]\nd = 2":                   "3:4: a.b" + first + "2, by a dotted key (write all keys of [a.b]",
		"[a.b]\nc = 1\n[a]\nb.d = 2":                   "4:1: a.b" + first + "1, as [a.b] (write this key below that)",
		"a = { b = 1 }\na.c = 2":                       "2:1: a" + first + "1, as a whole (write all of it there)",
		"a = { b = 1 }\n[a.c]\nd = 2":                  "2:2: a" + first + "1, as a whole",
		"[a.b]\n[a]\n[a.c]":                            "",
		"a.b = 1\na.c = 2\na.d.e = 3\n[x]\na.b = 1":    "",
		"[a]\nb.c = 1\n[a.b.d]\ne = 1\n[[a.f]]\nb.c=1": "",
		"[[mount]]\nx.y = 1\n[[mount]]\nx = 2\n[mount.z]\nv = 1\n[[mount]]\n[mount.z]": "",
		"a = [{ b.c = 1 }, { b = 2 }]": "",
		"'a.b' = 1\na.b = 2\na.c = 3":  "",
	} {
		_, _, s := decode("x.toml", []byte(doc))
		var got strings.Builder
		for _, p := range s.problems {
			got.WriteString(p.String() + "\n")
		}
		if want != "" {
			want = "x.toml:" + want
		}
		if strings.Count(got.String(), "\n") > 1 || !strings.HasPrefix(got.String(), want) || (want == "") != (got.Len() == 0) {
			t.Errorf("%q: %q, want %q", doc, got.String(), want)
		}
	}
}

// A limit that another line would have taken away is told in files and drop-ins, beside what else is wrong.
func TestDefinedAgainInDropIn(t *testing.T) {
	dir := write(t, "x.toml", minimal+"resources.memory.max = '512M'\nresources.memory = '64M'\nsecurity.unmask = ['x']\nsecurity = 'unconfined'\n")
	if err := os.Mkdir(filepath.Join(dir, "x.toml.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	const drop = "process.nice = 5\n[process]\numask = 22\n"
	if err := os.WriteFile(filepath.Join(dir, "x.toml.d", "a.toml"), []byte(drop), 0o644); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range (LoadOptions{}).Check(filepath.Join(dir, "x.toml")) {
		text, _, _ := strings.Cut(strings.TrimPrefix(p.String(), dir+"/"), ", ")
		got = append(got, text)
	}
	want := []string{
		"x.toml:5:11: resources.memory: given twice", `x.toml:6:20: security.unmask: "x": want an absolute path without .`,
		"x.toml:7:1: security: given twice", "x.toml.d/a.toml:2:2: process: given twice",
		`x.toml.d/a.toml:3:1: process.umask: 22: want an octal mode in quotes like "0755"`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
