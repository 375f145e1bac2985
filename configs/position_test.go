// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"fmt"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"
)

// positions finds where each key of a TOML document stands.
func positions(doc string) map[string]position { return scan(doc, "").found }

func TestPositions(t *testing.T) {
	doc := strings.ReplaceAll(`# a comment = with signs
version = 1 # after
a.b . "c.d" = '[x] = 1'
"quoted key" = """
not = "a key" \"""
[nor] this"""
lit = '''
no \ escape ''' # '
list = [ # comment ]
  "a", "]", { in = 1, "x y" = [2, 3] },
  [ 4 ] ]
  [ tab . le ]
  k={one=1,  two.three = { four = '4' } }
[[arr]]
n = 1
[[ arr ]]
n = 2
  [arr.sub]
  m = 1979-05-27T07:32:00Z
  [[arr.deep]]
  d = 1
  [[arr.deep]]
  d = 2
[last]
"é\u00e9" = true
end = -1.5e3~`, "~", "")
	var want = map[string]position{
		"version": {2, 1}, "a": {3, 1}, "a.b": {3, 3}, join("a.b", "c.d"): {3, 7}, "quoted key": {4, 1}, "lit": {7, 1},
		"list": {9, 1}, "list[0]": {10, 3}, "list[1]": {10, 8}, "list[2]": {10, 13}, "list[2].in": {10, 15},
		"list[2].x y": {10, 23}, "list[2].x y[0]": {10, 32}, "list[2].x y[1]": {10, 35}, "list[3]": {11, 3}, "list[3][0]": {11, 5},
		"tab": {12, 3}, "tab.le": {12, 3}, "tab.le.k": {13, 3}, "tab.le.k.one": {13, 6}, "tab.le.k.two": {13, 14}, "tab.le.k.two.three": {13, 18},
		"tab.le.k.two.three.four": {13, 28},
		"arr":                     {14, 1}, "arr[0]": {14, 1}, "arr[0].n": {15, 1}, "arr[1]": {16, 1}, "arr[1].n": {17, 1},
		"arr[1].sub": {18, 3}, "arr[1].sub.m": {19, 3}, "arr[1].deep": {20, 3}, "arr[1].deep[0]": {20, 3}, "arr[1].deep[0].d": {21, 3},
		"arr[1].deep[1]": {22, 3}, "arr[1].deep[1].d": {23, 3}, "last": {24, 1}, "last.éé": {25, 1}, "last.end": {26, 1},
	}
	if err := toml.Unmarshal([]byte(doc), new(map[string]any)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, positions(doc), cmp.AllowUnexported(position{})); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(positions(doc), positions(strings.ReplaceAll(doc, "\n", "\r\n")), cmp.AllowUnexported(position{})); diff != "" {
		t.Errorf("with line ends of DOS:\n%s", diff)
	}
}

// unplaced are the keys of a decoded document without a position.
func unplaced(v any, path string, found map[string]position) (missing []string) {
	if _, ok := found[path]; !ok && path != "" {
		missing = append(missing, path)
	}
	switch v := v.(type) {
	case map[string]any:
		for k, below := range v {
			missing = append(missing, unplaced(below, join(path, k), found)...)
		}
	case []map[string]any:
		for i, below := range v {
			missing = append(missing, unplaced(below, index(path, i), found)...)
		}
	case []any:
		for i, below := range v {
			missing = append(missing, unplaced(below, index(path, i), found)...)
		}
	}
	return missing
}

// Whatever the TOML library accepts, every key of it is found, on a line there is.
func FuzzPositions(f *testing.F) {
	for _, doc := range []string{minimal, "a = [{b = 1}, {c.d = 2}]\n[[x.y]]\n[x.y.z]\n'q' = \"\"\"\"\"\"\n", "a.b.c=1\n[a.d]\ne='''x''''\n", "[[a]]\n[[a.b]]\n[a.b.c]\n[[a]]\n[[a.b]]\nk=1"} {
		f.Add(doc)
	}
	f.Fuzz(func(t *testing.T, doc string) {
		found := positions(doc)
		var v map[string]any
		if toml.Unmarshal([]byte(doc), &v) != nil {
			return
		}
		if missing := unplaced(v, "", found); len(missing) > 0 {
			t.Errorf("no position for %q in %q", missing, doc)
		}
		lines := strings.Split(doc, "\n")
		for key, p := range found {
			if p.line < 1 || p.line > len(lines) || p.col < 1 || p.col > len(lines[p.line-1])+1 {
				t.Errorf("%s", fmt.Sprintf("%q stands at %d:%d, outside of %q", key, p.line, p.col, doc))
			}
		}
	})
}
