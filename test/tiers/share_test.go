// SPDX-License-Identifier: Apache-2.0

package main

import (
	"regexp"
	"slices"
	"testing"
)

func TestShareOfTwoIsAll(t *testing.T) {
	names := []string{"TestA", "TestAB", "FuzzC", "ExampleD", "TestE"}
	for _, s := range []share{evenTests, oddTests} {
		mine, others := regexp.MustCompile(pattern(s.of(names))), regexp.MustCompile(pattern(s.other().of(names)))
		for i, name := range names {
			if mine.MatchString(name) == others.MatchString(name) {
				t.Errorf("%s: both guests run it, or none", name)
			}
			if want := i%2 == int(s); mine.MatchString(name) != want {
				t.Errorf("share %s runs %s: %v, want %v", shareNames[s], name, !want, want)
			}
		}
	}
	if got := regexp.MustCompile(pattern(oddTests.of(names[:1]))); got.MatchString("TestA") || slices.ContainsFunc(names, got.MatchString) {
		t.Errorf("the odd tests of one: %s", got)
	}
}

func TestShareIsForBothGuestsWhole(t *testing.T) {
	both := []string{"vm12", "vm13"}
	for _, tt := range []struct {
		name   string
		o      options
		wanted []string
	}{
		{"one guest", options{packages: everything}, both[:1]},
		{"some tests", options{packages: everything, run: "TestX"}, both},
		{"some packages", options{packages: []string{"./caps"}}, both},
		{"asked for", options{packages: everything, share: "all"}, both},
	} {
		if s, err := firstHalf(t.Context(), tt.o, tt.wanted); err != nil || s != allTests || s.other() != allTests {
			t.Errorf("%s: share %d, %v, want all", tt.name, s, err)
		}
	}
	if s, err := firstHalf(t.Context(), options{packages: everything}, both); err != nil || s == allTests {
		t.Errorf("both guests, everything: share %d, %v, want half", s, err)
	}
	if s, err := firstHalf(t.Context(), options{packages: everything, share: "odd"}, both); err != nil || s != oddTests {
		t.Errorf("odd asked for: share %d, %v", s, err)
	}
}
