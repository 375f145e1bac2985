// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// stream writes events as `go test -json` would: "action package test [key=value]".
const module = "github.com/sdcontainer/sdcontainer"

func stream(t *testing.T, lines ...string) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	for _, line := range lines {
		f := append(strings.Fields(line), "", "", "")
		e := event{Action: f[0], Package: f[1]}
		if f[2] != "-" {
			e.Test = f[2]
		}
		e.Key, e.Value, _ = strings.Cut(f[3], "=")
		if err := json.NewEncoder(&b).Encode(e); err != nil {
			t.Fatal(err)
		}
	}
	return &b
}

func TestCount(t *testing.T) {
	host := map[string]string{"": "pure", "bus": "bus"}
	for _, tt := range []struct {
		name   string
		events []string
		want   map[string]*tally
	}{
		{"a test without wishes is pure", []string{"run p A", "pass p A", "pass p -"},
			map[string]*tally{"pure": {passed: 1}}},
		{"subtests count instead of their parent", []string{"run p A", "run p A/x", "run p A/y", "pass p A/x", "skip p A/y", "pass p A"},
			map[string]*tally{"pure": {passed: 1, skipped: 1}}},
		{"subtests belong to the tier of the parent", []string{"run p A", "attr p A tier=bus", "run p A/x", "fail p A/x", "fail p A", "fail p -"},
			map[string]*tally{"bus": {failed: 1}}},
		{"a parent that fails by itself counts", []string{"run p A", "run p A/x", "pass p A/x", "fail p A", "fail p -"},
			map[string]*tally{"pure": {passed: 1, failed: 1}}},
		{"a test of another phase does not count", []string{"run p A", "attr p A tier=root", "skip p A"},
			map[string]*tally{}},
		{"unless it fails", []string{"run p A", "attr p A tier=root", "fail p A", "fail p -"},
			map[string]*tally{"pure": {failed: 1}}},
		{"a package that does not build is a failure", []string{"build-output p", "fail p -"},
			map[string]*tally{"pure": {failed: 1}}},
		{"a test that never ended is a failure", []string{"run p A", "run p B", "pass p B"},
			map[string]*tally{"pure": {passed: 1, failed: 1}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newResults(new(bytes.Buffer), host, "pure")
			if err := r.read(stream(t, tt.events...)); err != nil {
				t.Fatal(err)
			}
			got := newTallies()
			r.count(got)
			want := newTallies()
			for tier, w := range tt.want {
				want[tier] = w
			}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(tally{}), cmpopts.IgnoreFields(tally{}, "given", "took", "tests", "some", "others")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What the guests need not run again.
func TestTestsOfATier(t *testing.T) {
	r := newResults(new(bytes.Buffer), map[string]string{"": "pure", "bus": "bus"}, "pure")
	if err := r.read(stream(t, "run p/q A", "run p/q A/x", "pass p/q A/x", "pass p/q A", "run p/q B", "attr p/q B tier=bus", "pass p/q B",
		"run p/q C", "attr p/q C tier=root", "skip p/q C",
		"run p/q D", "run p/q D/x", "run p/q D/x/y", "attr p/q D/x/y tier=root", "skip p/q D/x/y", "pass p/q D/x", "pass p/q D",
		"run p/q E", "skip p/q E")); err != nil {
		t.Fatal(err)
	}
	all := newTallies()
	r.count(all)
	if diff := cmp.Diff(map[string]bool{"p/q A": true}, all["pure"].tests); diff != "" {
		t.Error(diff)
	}
	// A and B as they are; of F, a part in each.
	if err := r.read(stream(t, "run p/q F", "run p/q F/x", "attr p/q F/x tier=bus", "pass p/q F/x", "run p/q F/y", "pass p/q F/y", "pass p/q F")); err != nil {
		t.Fatal(err)
	}
	all = newTallies()
	r.count(all)
	for tier, want := range map[string]map[string]bool{"pure": {"p/q A": true, "p/q F": true}, "bus": {"p/q B": true, "p/q F": true}} {
		if diff := cmp.Diff(want, all[tier].some); diff != "" {
			t.Errorf("%s: %s", tier, diff)
		}
	}
	// A name that another package has for a test that was not run, or asked for a tier, is not only of what has passed.
	if err := r.read(stream(t, "run p A", "attr p A tier=root", "skip p A", "run p G", "pass p G", "run p/q G", "pass p/q G")); err != nil {
		t.Fatal(err)
	}
	all = newTallies()
	r.count(all)
	if diff := cmp.Diff([]string{"G"}, all["pure"].names()); diff != "" {
		t.Error(diff)
	}
}

func TestReport(t *testing.T) {
	all := newTallies()
	all["pure"] = &tally{passed: 3, given: true}
	all["vm13"] = &tally{passed: 1, skipped: 1, given: true}
	var b strings.Builder
	if report(&b, all, true) {
		t.Error("of every tier something was skipped, and nobody minds")
	}
	if !report(&b, all, false) {
		t.Error("nothing failed, but the report says so")
	}
	if want := "4 passed, 0 failed, 1 skipped\n"; !strings.HasSuffix(b.String(), want) {
		t.Errorf("got %q, want it to end in %q", b.String(), want)
	}
	all["vm13"].failed = 1
	if report(&b, all, false) {
		t.Error("a failure was reported as success")
	}
}

// Of a whole run its last lines are kept, and where each test of a known escape has passed.
func TestKeep(t *testing.T) {
	dir := t.TempDir()
	file, page := filepath.Join(dir, "bin/test.json"), filepath.Join(dir, "page.md")
	if err := os.WriteFile(page, []byte("| A1 | `TestA1` in `.` |\n| B2 | `TestB2` in `p/q` |\n| C3 | `TestC3` in `.` |\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	all := newTallies()
	all["root"].some = map[string]bool{module + " TestA1": true, module + "/p/q TestB2": true, module + " TestB2": true, module + " TestA": true}
	all["vm13"].some = map[string]bool{module + "/p/q TestB2": true}
	if err := keep(t.Context(), file, page, "\n3 passed\n", all); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	var have record
	if err != nil || json.Unmarshal(b, &have) != nil {
		t.Fatalf("%v: %s", err, b)
	}
	have.Commit = "" // of whatever is checked out
	want := record{sdtest.Verdict{Said: "3 passed"}, map[string]string{"`TestA1` in `.`": "root", "`TestB2` in `p/q`": "root, vm13"}}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Error(diff)
	}
	t.Setenv("CI", "true")
	for args, want := range map[string]bool{"": true, "-v": true, "-run=X": false, "-tiers=pure": false, "./caps": false} {
		if o, err := parse(strings.Fields(args)); err != nil || o.whole() != want {
			t.Errorf("%q: %v, %v", args, o.whole(), err)
		}
	}
	t.Setenv("CI", "")
	if o, err := parse(nil); err != nil || o.whole() == sdtest.Emulated() {
		t.Errorf("with turns: %v, %v", o.whole(), err)
	}
}

func TestShowSlow(t *testing.T) {
	var b strings.Builder
	r := newResults(&b, nil, "pure")
	for name, took := range map[string]float64{"p/q A": 9.9, "p/q B": 12, "p/q B/sub": 11.5, "p/q C": 30} {
		r.tests[name] = &outcome{action: "pass", took: took}
	}
	r.showSlow()
	if want := "slow: 30 s p/q C\nslow: 12 s p/q B\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}
