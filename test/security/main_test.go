// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// No row is left out by mistake: within each letter they have every number, in order.
func TestRowsAreComplete(t *testing.T) {
	last := map[string]int{}
	for line := range strings.Lines(rows) {
		id, _, _ := strings.Cut(line, " ")
		letter, number := id[:1], id[1:]
		if last[letter]++; number != strconv.Itoa(last[letter]) {
			t.Errorf("%s is where %s%d should be", id, letter, last[letter])
		}
	}
	if len(last) == 0 || last["R"] != 50 {
		t.Errorf("rows: %v; want 50 of R", last)
	}
}

// A row of which a part has no test says so below its tests.
func TestReasonBesideTests(t *testing.T) {
	tests := map[string][]test{}
	for line := range strings.Lines(rows) {
		id, _, _ := strings.Cut(line, " ")
		tests[id] = []test{{name: "Test" + id, dir: "p"}, {name: "Test" + id + "Again", dir: "p"}}
	}
	page, err := write(tests, nil)
	if err != nil {
		t.Fatal(err)
	}
	const want = "| `TestR2` in `p` |  |  |\n|  |  |  | `TestR2Again` in `p` |  |  |\n|  |  | |  *verbs of images and networks: waiting* | | |\n"
	if !strings.Contains(string(page), want) {
		t.Errorf("no %q in\n%s", want, page)
	}
}

// The page says of each test where it passed, and nothing where nothing was measured.
func TestResults(t *testing.T) {
	tests := map[string][]test{}
	for line := range strings.Lines(rows) {
		if id, rest, _ := strings.Cut(line, " "); !strings.Contains(rest, " | ") {
			tests[id] = []test{{name: "Test" + id, dir: "p"}}
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "test.json"), []byte(`{"results":{"passed":{"`+"`TestA2` in `p`"+`":"root, vm12"}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "soak.json"), []byte(`{"results":{"passed":{"`+"`TestA2` in `p`"+`":"10000 attempts","`+"`TestA8` in `p`"+`":""}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for of, want := range map[string][]string{"none": {"| `TestA2` in `p` |  |  |\n", "| `TestA7` in `p` |  |  |\n"},
		".": {"| `TestA2` in `p` |  | passed: root, vm12, soak 10000 attempts |\n", "| `TestA7` in `p` |  | - |\n", "| `TestA8` in `p` |  | passed: soak |\n"}} {
		given := map[string][]test{}
		for id, list := range tests {
			given[id] = list
		}
		passed, err := results(filepath.Join(dir, of))
		if err != nil {
			t.Fatal(err)
		}
		page, err := write(given, passed)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range want {
			if !strings.Contains(string(page), w) {
				t.Errorf("%s: no %q in\n%s", of, w, page)
			}
		}
	}
}
