// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// tiers in the order they run and are reported.
var tiers = []string{"pure", "bus", "root", "systemd", "vm12", "vm13"}

// event is one line of `go test -json`.
type event struct {
	Action      string
	Package     string
	ImportPath  string
	Test        string
	Elapsed     float64
	Output      string
	Key, Value  string
	FailedBuild string
}

// outcome is one test or subtest.
type outcome struct {
	action string // run, then pass, fail or skip
	tier   string // what sdtest.Require asked for, or ""
	output []string
	parent bool // has subtests, which are counted instead
	mixed  bool // some of them asked for a tier
	took   float64
}

// tally is the count of one tier.
type tally struct {
	passed, failed, skipped int
	took                    time.Duration
	given                   bool            // the tier was run
	tests                   map[string]bool // what passed and belongs to it as a whole, by package and name; not the subtests
	some                    map[string]bool // what has passed in it as a whole or with a subtest, likewise
	others                  map[string]bool // what was seen beside and is not in tests, likewise
}

// names are those that in every package are of tests of this tier that have passed: `go test` chooses by name for all packages alike.
func (t *tally) names() []string {
	taken := map[string]bool{}
	for test := range t.others {
		taken[nameOf(test)] = true
	}
	names := map[string]bool{}
	for test := range t.tests {
		if name := nameOf(test); !taken[name] {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// nameOf is a test's name without its package.
func nameOf(test string) string { return test[strings.LastIndexByte(test, ' ')+1:] }

// results collects the outcomes of one phase: one or more packages.
type results struct {
	log      io.Writer
	verbose  bool
	told     bool              // the caller says how packages end: events do not
	counted  map[string]string // what tests asked sdtest.Require for -> the tier they count in
	fallback string            // where failures of all else count
	tests    map[string]*outcome
	packages map[string][]string // output outside of tests
	broken   int                 // packages that failed outside of their tests
}

func newResults(log io.Writer, counted map[string]string, fallback string) *results {
	return &results{log: log, counted: counted, fallback: fallback,
		tests: map[string]*outcome{}, packages: map[string][]string{}}
}

// read consumes a stream of events. A line that is none is shown as it is.
func (r *results) read(in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Fprintf(r.log, "%s\n", lines.Bytes())
			continue
		}
		r.add(e)
	}
	return lines.Err()
}

func (r *results) add(e event) {
	switch {
	case e.Action == "build-output":
		r.packages[e.ImportPath] = append(r.packages[e.ImportPath], e.Output)
	case e.Action == "start" || e.Action == "build-fail":
	case e.Test == "":
		r.addPackage(e)
	default:
		r.addTest(e)
	}
}

func (r *results) addTest(e event) {
	name := e.Package + " " + e.Test
	t := r.tests[name]
	if t == nil {
		t = &outcome{action: "run"}
		r.tests[name] = t
		if parent := r.tests[parentOf(name)]; parent != nil {
			parent.parent = true
		}
	}
	t.took = e.Elapsed
	switch e.Action {
	case "output":
		t.output = append(t.output, e.Output)
	case "attr":
		if e.Key == "tier" {
			t.tier = e.Value
			for above := parentOf(name); above != ""; above = parentOf(above) {
				if t := r.tests[above]; t != nil {
					t.mixed = true
				}
			}
		}
	case "fail":
		t.action = e.Action
		fmt.Fprintf(r.log, "--- FAIL: %s\n%s", name, strings.Join(t.output, ""))
	case "pass", "skip":
		t.action = e.Action
		if r.verbose || e.Action == "skip" && r.tierOf(name) != "" {
			fmt.Fprintf(r.log, "%s", strings.Join(t.output, ""))
		}
		t.output = nil
	}
}

// parentOf is the test that a subtest is part of, both with their package; "" for what is no subtest.
func parentOf(name string) string {
	i := strings.LastIndexByte(name, '/')
	if i < strings.IndexByte(name, ' ') {
		return ""
	}
	return name[:i]
}

// wholeOf is the test that a subtest is part of.
func wholeOf(name string) string {
	for parent := parentOf(name); parent != ""; parent = parentOf(name) {
		name = parent
	}
	return name
}

func (r *results) addPackage(e event) {
	switch {
	case e.Action == "output":
		r.packages[e.Package] = append(r.packages[e.Package], e.Output)
	case !r.told:
		r.endPackage(e)
	}
}

func (r *results) endPackage(e event) {
	switch e.Action {
	case "fail":
		if r.showUnfinished(e.Package); r.failedTests(e.Package) == 0 {
			r.broken++
			fmt.Fprintf(r.log, "--- FAIL: %s\n%s%s", e.Package,
				strings.Join(r.packages[e.FailedBuild], ""), strings.Join(r.packages[e.Package], ""))
		}
		fmt.Fprintf(r.log, "FAIL %s  %.1f s\n", e.Package, e.Elapsed)
	case "pass":
		fmt.Fprintf(r.log, "ok   %s  %.1f s\n", e.Package, e.Elapsed)
	}
}

func (r *results) failedTests(pkg string) (n int) {
	for name, t := range r.tests {
		if (t.action == "fail" || t.action == "run") && strings.HasPrefix(name, pkg+" ") {
			n++
		}
	}
	return n
}

// showUnfinished prints what was running when a package died.
func (r *results) showUnfinished(pkg string) {
	for name, t := range r.tests {
		if t.action == "run" && strings.HasPrefix(name, pkg+" ") {
			fmt.Fprintf(r.log, "unfinished: %s\n%s", name, strings.Join(t.output, ""))
		}
	}
}

// tierOf is where a test counts: by what it asked for, or the test it is part
// of; "" if it counts in another phase.
func (r *results) tierOf(name string) string {
	for ; name != ""; name = parentOf(name) {
		if t := r.tests[name]; t != nil && t.tier != "" {
			return r.counted[t.tier]
		}
	}
	return r.counted[""]
}

// count adds the outcomes to the tallies of their tiers. A test that never
// ended has failed, and a failure counts wherever it happens.
func (r *results) count(into map[string]*tally) {
	for name, t := range r.tests {
		tier := r.tierOf(name)
		if parentOf(name) == "" {
			for _, counted := range r.counted {
				if counted == tier && t.action == "pass" && !t.mixed {
					into[tier].tests[name] = true
				} else {
					into[counted].others[name] = true
				}
			}
		}
		failed := t.action == "fail" || t.action == "run"
		switch {
		case failed && !r.childFailed(name):
			into[cmp.Or(tier, r.fallback)].failed++
		case failed || t.parent || tier == "":
		case t.action == "skip":
			into[tier].skipped++
		default:
			into[tier].passed++
			into[tier].some[wholeOf(name)] = true
		}
	}
	into[r.fallback].failed += r.broken
	for _, tier := range r.counted {
		into[tier].given = true
	}
}

// showSlow prints the tests that made the phase long.
func (r *results) showSlow() {
	enough, most := 10.0, 8 // seconds, lines
	if r.verbose {
		enough, most = 1, len(r.tests)
	}
	slow := slices.DeleteFunc(slices.Collect(maps.Keys(r.tests)), func(name string) bool {
		return r.tests[name].took < enough || parentOf(name) != ""
	})
	slices.SortFunc(slow, func(a, b string) int {
		return cmp.Or(cmp.Compare(r.tests[b].took, r.tests[a].took), cmp.Compare(a, b))
	})
	for _, name := range slow[:min(len(slow), most)] {
		fmt.Fprintf(r.log, "slow: %.0f s %s\n", r.tests[name].took, name)
	}
}

func (r *results) childFailed(parent string) bool {
	for name, t := range r.tests {
		if t.action != "pass" && t.action != "skip" && strings.HasPrefix(name, parent+"/") {
			return true
		}
	}
	return false
}

// report prints one line per tier and the sum, and tells whether all is well; a skipped test is
// not where nothing is left out.
func report(w io.Writer, all map[string]*tally, everyTier bool) bool {
	var sum tally
	fmt.Fprintf(w, "\n%-8s %6s %7s %8s %8s\n", "tier", "ran", "failed", "skipped", "time")
	for _, tier := range tiers {
		t := all[tier]
		if !t.given {
			fmt.Fprintf(w, "%-8s not asked for\n", tier)
			continue
		}
		fmt.Fprintf(w, "%-8s %6d %7d %8d %6.0f s\n", tier, t.passed+t.failed, t.failed, t.skipped, t.took.Seconds())
		sum.passed += t.passed
		sum.failed += t.failed
		sum.skipped += t.skipped
	}
	if sum.skipped > 0 && everyTier {
		fmt.Fprintln(w, "where every tier is run nothing may be skipped:")
	}
	fmt.Fprintf(w, "%d passed, %d failed, %d skipped\n", sum.passed, sum.failed, sum.skipped)
	if sum.passed+sum.failed == 0 {
		fmt.Fprintln(w, "no test ran: is the name right?")
	}
	return sum.failed == 0 && sum.passed > 0 && (sum.skipped == 0 || !everyTier)
}
