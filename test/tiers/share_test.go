// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

func TestHalvesAreAll(t *testing.T) {
	all := []named{{0, "TestA"}, {0, "TestAB"}, {1, "TestA"}, {1, "TestReloadStorm"}, {2, "TestExamples"}, {2, "TestJournal"}, {2, "FuzzB"}}
	first, second := firstHalf.of(all), secondHalf.of(all)
	load := func(tests []named) (sum int) {
		for _, n := range tests {
			sum += n.weight()
		}
		return sum
	}
	for _, n := range all {
		if slices.Contains(first, n) == slices.Contains(second, n) {
			t.Errorf("%v: both guests run it, or none", n)
		}
	}
	if len(first)+len(second) != len(all) {
		t.Errorf("%d and %d tests of %d", len(first), len(second), len(all))
	}
	if a, b := load(first), load(second); max(a, b)-min(a, b) > 10 {
		t.Errorf("one takes %d s, the other %d", a, b)
	}
	if got := allTests.of(all); !slices.Equal(got, all) {
		t.Errorf("all: %v", got)
	}
}

func TestTurnsAreAll(t *testing.T) {
	all := []string{"p TestA", "p TestExamples", "q TestA", "q TestSystemdScripts", "q TestB"}
	one, other := otherTurn(slices.Clone(all), 0), otherTurn(slices.Clone(all), 1)
	for _, test := range all {
		if slices.Contains(one, test) == slices.Contains(other, test) {
			t.Errorf("%s: both turns leave it out, or none: %q and %q", test, one, other)
		}
	}
	if slices.Contains(one, "p TestExamples") == slices.Contains(one, "q TestSystemdScripts") {
		t.Errorf("%q: both that are heavy", one)
	}
}

func TestHeavyTestsExist(t *testing.T) {
	root, err := sdtest.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	var text []byte
	err = filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		text = append(text, b...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range heavy {
		if !bytes.Contains(text, []byte("\nfunc "+name+"(")) {
			t.Errorf("there is no %s: the halves are no longer equal", name)
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
		want     string
	}{
		{"one guest", whole, both[:1], true, "all"},
		{"some tests", options{packages: everything, run: "TestX"}, both, true, "all"},
		{"some packages", options{packages: []string{"./caps"}}, both, true, "all"},
		{"with KVM", whole, both, false, "all"},
		{"all asked for", options{packages: everything, share: "all"}, both, true, "all"},
		{"half asked for", options{packages: everything, share: "second"}, both, true, "second"},
	} {
		if s, err := shareOf(t.Context(), tt.o, tt.wanted, tt.emulated); err != nil || shareNames[s] != tt.want {
			t.Errorf("%s: %v, %v, want %s", tt.name, s, err, tt.want)
		}
	}
	s, err := shareOf(t.Context(), whole, both, true)
	if err != nil || s == allTests || s.other() == s {
		t.Errorf("emulated: %v and %v, %v, want two halves", s, s.other(), err)
	}
}

func TestWhatIsRunOfABinary(t *testing.T) {
	got, err := allTests.choose(t.Context(), "TestX", []testBinary{{pkg: "p"}}, nil)
	if err != nil || got[0].run != "TestX" {
		t.Errorf("asked for: %v, %v", got, err)
	}
	self := testBinary{pkg: "tiers", dir: "test/tiers", file: "/proc/self/exe"}
	names, err := self.tests(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pure := map[string]bool{}
	for _, name := range names {
		pure["tiers "+name] = name != "TestReport" && name != "TestCount"
	}
	everything := "^(" + strings.Join(names, "|") + ")$"
	for s, want := range map[share]string{allTests: everything, firstHalf: "^(TestCount)$", secondHalf: "^(TestReport)$"} {
		if got, err := s.choose(t.Context(), "", []testBinary{self}, pure); err != nil || got[0].run != want {
			t.Errorf("%s: %v, %v, want %s", shareNames[s], got, err, want)
		}
	}
	if self.run != "" {
		t.Errorf("the binary that was chosen from has changed: %s", self.run)
	}
}
