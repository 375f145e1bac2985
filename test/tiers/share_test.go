// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Two guests that take from one queue run each test once between them, the first packages first; the last tests one by one.
func TestQueueIsAll(t *testing.T) {
	q := &queue{shared: true}
	want := map[string]bool{}
	for pkg, n := range []int{100, 3, 1, 12} {
		l := testList{testBinary: testBinary{pkg: strconv.Itoa(pkg)}}
		for i := range n {
			l.tests = append(l.tests, fmt.Sprintf("Test%d", i))
			want[fmt.Sprintf("%d Test%d", pkg, i)] = true
		}
		q.lists = append(q.lists, l)
	}
	var sizes []int
	last := ""
	for b, more := q.next(); more; b, more = q.next() {
		tests := strings.Split(strings.TrimSuffix(strings.TrimPrefix(b.run, "^("), ")$"), "|")
		sizes = append(sizes, len(tests))
		if b.pkg < last {
			t.Errorf("%s after %s", b.pkg, last)
		}
		last = b.pkg
		for _, test := range tests {
			if !want[b.pkg+" "+test] {
				t.Errorf("%s %s: run twice, or there is none", b.pkg, test)
			}
			delete(want, b.pkg+" "+test)
		}
	}
	if len(want) > 0 {
		t.Errorf("not run: %v", want)
	}
	if got, want := sizes, []int{25, 18, 14, 10, 8, 8, 8, 8, 1, 3, 1, 3, 2, 1, 1, 1, 1, 1, 1, 1}; !slices.Equal(got, want) {
		t.Errorf("%d at once, want %d", got, want)
	}
}

// A guest that shares with nobody runs each binary once.
func TestQueueOfOne(t *testing.T) {
	q := &queue{lists: []testList{{testBinary{pkg: "p"}, []string{"TestA", "TestB"}}, {testBinary{pkg: "q"}, []string{"TestC"}}}}
	for _, want := range []testBinary{{pkg: "p", run: "^(TestA|TestB)$"}, {pkg: "q", run: "^(TestC)$"}} {
		if got, more := q.next(); got != want || !more {
			t.Errorf("%+v, %v, want %+v", got, more, want)
		}
	}
	if got, more := q.next(); more {
		t.Errorf("one more: %+v", got)
	}
}

// Over the commits each test has its turn, and comes early and late.
func TestEachTestHasItsTurn(t *testing.T) {
	const commits = 400
	for _, test := range []string{"p TestA", "p TestB", "q TestA"} {
		turn, first := 0, 0
		for i := range commits {
			name := fmt.Sprintf("%040x", i*7919)
			if hasTurn(name, test) {
				turn++
			}
			if draw(name, test) < draw(name, "p TestC") {
				first++
			}
		}
		if turn < commits/turns/2 || turn > commits/turns*2 {
			t.Errorf("%s has its turn in %d commits of %d", test, turn, commits)
		}
		if first < commits/3 || first > commits*2/3 {
			t.Errorf("%s is before another in %d commits of %d", test, first, commits)
		}
	}
}

func TestWhoSharesWhat(t *testing.T) {
	both := []string{"vm12", "vm13"}
	whole := options{packages: everything}
	for _, tt := range []struct {
		name     string
		o        options
		wanted   []string
		emulated bool
		want     bool
	}{
		{"emulated", whole, both, true, true},
		{"one guest", whole, both[:1], true, false},
		{"some tests", options{packages: everything, run: "TestX"}, both, true, false},
		{"some packages", options{packages: []string{"./caps"}}, both, true, false},
		{"with KVM", whole, both, false, false},
		{"all asked for", options{packages: everything, share: "all"}, both, true, false},
	} {
		if got := tt.o.shares(tt.wanted, tt.emulated); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestWhatIsRunOfABinary(t *testing.T) {
	q, err := newQueue(t.Context(), "", "TestX", []testBinary{{pkg: "p"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := q.next(); got.run != "TestX" {
		t.Errorf("asked for: %+v", got)
	}
	self := testBinary{pkg: "tiers", dir: "test/tiers", file: "/proc/self/exe"}
	names, err := self.tests(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pure := map[string]bool{}
	for _, name := range names {
		pure["tiers "+name] = name != "TestReport"
	}
	for _, tt := range []struct {
		without map[string]bool
		want    []string
	}{{nil, names}, {pure, []string{"TestReport"}}} {
		q, err := newQueue(t.Context(), "", "", []testBinary{self}, tt.without)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := q.next()
		got := strings.Split(strings.TrimSuffix(strings.TrimPrefix(b.run, "^("), ")$"), "|")
		if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(tt.want))) {
			t.Errorf("%s, want %q", b.run, tt.want)
		}
	}
	if self.run != "" {
		t.Errorf("the binary that was chosen from has changed: %s", self.run)
	}
}
