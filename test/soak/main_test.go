// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestLastLine(t *testing.T) {
	dir := t.TempDir()
	sweep, second, crowd := filepath.Join(dir, "sweep.json"), filepath.Join(dir, "second.json"), filepath.Join(dir, "crowd.json")
	for file, text := range map[string]string{
		sweep:  `[{"sweep":"kill run","calls":9,"stopped":7,"clean":7},{"sweep":"RLIMIT_DATA of run","calls":3,"stopped":3,"clean":3}]`,
		second: `[{"sweep":"kill rm","stopped":5,"clean":5},{"sweep":"tasks of run -d","stopped":1,"clean":1}]`,
		crowd:  `[{"test":"crowd","starts":1000,"failed":0},{"test":"storm","starts":500}]`,
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var c counts
	c.read(strings.NewReader(`=== RUN   TestB9
=== ATTR  TestB9 tier root
    loops.go:58: amount: 10000 attempts
=== RUN   TestB9/again
    x_test.go:1: inside:
        === RUN   TestB9/again
            x_test.go:1: amount: 2000 attempts
    x_test.go:2: 7 attempts
    --- PASS: TestB9/again (1s)
--- PASS: TestB9 (1s)
=== RUN   TestG4
    x_test.go:1: amount: 500 megabytes
--- PASS: TestG4 (1s)
=== RUN   TestKill
--- PASS: TestKill (1s)
PASS
ok  	github.com/sdcontainer/sdcontainer/rootfs	3.1s
=== RUN   TestKill
    main_test.go:90: crowd: {"test":"storm, Debian 13","starts":7}
`))
	if want := map[string]string{"`TestB9` in `rootfs`": "12000 attempts", "`TestG4` in `rootfs`": "500 megabytes", "`TestKill` in `rootfs`": ""}; !maps.Equal(c.passed, want) {
		t.Errorf("passed: %q, want %q", c.passed, want)
	}
	other := counts{attempts: 5, crowds: c.crowds, passed: map[string]string{"`TestKill` in `test/sweep`": ""}}
	c.crowds = nil
	if c.add(&other); c.passed["`TestKill` in `test/sweep`"] != "" || len(c.passed) != 4 {
		t.Errorf("both passed: %q", c.passed)
	}
	lines, err := c.collect([]string{sweep, second}, crowd)
	told, jsonErr := json.Marshal(lines)
	const sorted = `[{"sweep":"RLIMIT_DATA of run","calls":3,"stopped":3,"clean":3},{"sweep":"kill rm","stopped":5,"clean":5},` +
		`{"sweep":"kill run","calls":9,"stopped":7,"clean":7},{"sweep":"tasks of run -d","stopped":1,"clean":1}]`
	if err != nil || jsonErr != nil || string(told) != sorted {
		t.Errorf("%s, %v, %v", told, err, jsonErr)
	}
	const want = "12 of 12 interruptions and 4 of 4 limits clean, 0 of 1507 starts in crowds and storms failed, 12005 attempts at races, 0 tests failed, in 39 min"
	if said := c.said(39 * time.Minute); !c.ok() || said != "soak: "+want {
		t.Error(said)
	}
	if races := (counts{attempts: 50}); !races.ok() {
		t.Error("races alone: ", races.said(time.Minute))
	}
	for name, spoil := range map[string]func(*counts){
		"a test failed": func(c *counts) {
			c.read(strings.NewReader("--- FAIL: TestKill (3s)\n    --- FAIL: TestKill/run (1s)\nFAIL\tx\t3s\n"))
		},
		"not clean":             func(c *counts) { c.clean-- },
		"a limit":               func(c *counts) { c.kept-- },
		"a start":               func(c *counts) { c.failed++ },
		"it died":               func(c *counts) { c.broken = true },
		"the other half failed": func(c *counts) { c.add(&counts{tests: 1}) },
		"the other half died":   func(c *counts) { c.add(&counts{broken: true}) },
		"nothing ran":           func(c *counts) { *c = counts{} },
	} {
		spoiled := c
		spoil(&spoiled)
		if said := spoiled.said(time.Minute); spoiled.ok() || !strings.HasPrefix(said, "soak: FAILED, ") || !strings.HasSuffix(said, "in 60 s") {
			t.Errorf("%s: %s", name, said)
		}
	}
}

// Tests that died have left no file: that is told by the rest.
func TestNothingLeft(t *testing.T) {
	var c counts
	lines, err := c.collect([]string{filepath.Join(t.TempDir(), "a")}, filepath.Join(t.TempDir(), "b"))
	if err != nil || lines == nil || len(lines) > 0 || c.ok() {
		t.Errorf("%v, %v", lines, err)
	}
}

// What one half left counts, whatever the other's file has; but the soak has failed.
func TestHalfLeft(t *testing.T) {
	dir := t.TempDir()
	first, second := filepath.Join(dir, "sweep.json"), filepath.Join(dir, "second.json")
	err := errors.Join(os.WriteFile(first, []byte(`[{"sweep":"kill run","stopped":7,"clean":7}]`), 0o600), os.WriteFile(second, []byte(`[{"sweep":`), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	var c counts
	lines, err := c.collect([]string{second, first}, filepath.Join(dir, "crowd.json"))
	if err == nil || len(lines) != 1 || c.stopped != 7 || c.ok() {
		t.Errorf("%v, %v, %d interruptions, well: %v", lines, err, c.stopped, c.ok())
	}
}
