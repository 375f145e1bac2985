// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"os/exec"
	"testing"
	"time"
)

func TestQuantile(t *testing.T) {
	samples := []float64{4, 1, 3, 2}
	for q, want := range map[float64]float64{0: 1, 0.5: 2.5, 1: 4} {
		if got := quantile(samples, q); got != want {
			t.Errorf("quantile %v of %v is %v, want %v", q, samples, got, want)
		}
	}
}

func TestRatiosAreTakenRoundByRound(t *testing.T) {
	// The machine was ten times slower in the second round; the ratio must not see it.
	all := []*contender{
		{name: "ours", samples: []time.Duration{5, 50, 5}},
		{name: "crun", samples: []time.Duration{10, 100, 10}},
	}
	if got := summarize(all)[0].Ratio["crun"]; got != 0.5 {
		t.Errorf("ratio %v, want 0.5", got)
	}
}

func TestCompareReportsWhatFailed(t *testing.T) {
	c := &contender{name: "x", command: func(int) *exec.Cmd { return exec.Command("sh", "-c", "echo reason; exit 3") }}
	if err := compare([]*contender{c}, 0, 1, io.Discard); err == nil {
		t.Error("a contender that fails was measured")
	}
}

// What one leaves behind to be cleared away must not fall on the same other one every time.
func TestEachComesAfterEachOther(t *testing.T) {
	before, pairs := "", map[[2]string]bool{}
	var all []*contender
	for _, name := range []string{"ours", "crun", "runc", "bwrap"} {
		all = append(all, &contender{name: name, command: func(int) *exec.Cmd {
			pairs[[2]string{before, name}] = true
			before = name
			return exec.Command("true")
		}})
	}
	if err := compare(all, 0, 30, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, one := range all {
		for _, other := range all {
			if one != other && !pairs[[2]string{one.name, other.name}] {
				t.Errorf("%s never came after %s", other.name, one.name)
			}
		}
	}
}

// Only who is known to fail now and then is tried again, and once.
func TestCompareTriesAFlakyOneAgain(t *testing.T) {
	for _, c := range []struct {
		flaky    bool
		failures int
		good     bool
	}{{true, 1, true}, {true, 2, false}, {false, 1, false}} {
		left := c.failures
		one := &contender{name: "x", flaky: c.flaky, command: func(int) *exec.Cmd {
			if left--; left >= 0 {
				return exec.Command("false")
			}
			return exec.Command("true")
		}}
		if err := compare([]*contender{one}, 0, 1, io.Discard); (err == nil) != c.good {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestLastLines(t *testing.T) {
	all := []scenarioResult{
		{"run /bin/true", []summary{{Name: "sdcontainer", Ratio: map[string]float64{"systemd-run --scope": 0.8, "crun": 0.95}}, {Name: "crun"}}},
		{"look", []summary{{Name: "sdcontainer ps", Ratio: map[string]float64{emptyProgram: 1.85}}}},
	}
	if got, want := said(all, 150*time.Second), "bench: in 2 min\n  0.95 of crun: run /bin/true\n  1.85 of empty Go program: look"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
