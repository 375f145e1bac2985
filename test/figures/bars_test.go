// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func pageOf(t *testing.T, text string) string {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := take("."); err != nil { // makes the directories
		t.Fatal(err)
	}
	var b strings.Builder
	if err := renderBench(&b, sheet{At: time.Now(), Machine: "here", Results: json.RawMessage(text)}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func contains(t *testing.T, page string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(page, w) {
			t.Errorf("no %q in\n%s", w, page)
		}
	}
}

// TestBarsAreJudged: each bar by itself, of several of ours by the slowest, and never by somebody else's.
func TestBarsAreJudged(t *testing.T) {
	page := pageOf(t, `{"scenarios":[
		{"name":"run /bin/true","contenders":[
			{"name":"sdcontainer","ratio":{"crun":0.651,"systemd-run --scope":1.0004}},
			{"name":"runc","ratio":{"crun":0.1,"systemd-run --scope":9}},{"name":"crun","ratio":{"crun":1}}]},
		{"name":"look at a container","contenders":[
			{"name":"sdcontainer ps","ratio":{"empty Go program":1.2}},{"name":"sdcontainer inspect","ratio":{"empty Go program":1.6}},
			{"name":"sdcontainer kill","ratio":{"empty Go program":1.4}},{"name":"crun list","ratio":{"empty Go program":1.9}}]},
		{"name":"exec /bin/true","contenders":[{"name":"sdcontainer","ratio":{"bwrap":0.1}}]},
		{"name":"run -d, then rm -f","contenders":[{"name":"sdcontainer","ratio":{"crun":3}}]}],
		"memory":[{"name":"keeper of a detached container","residentKiB":301},{"name":"beside a service's payload","residentKiB":0}]}`)
	contains(t, page, "Bar: at most 0.65 of crun: **not met** with 0.651 (sdcontainer).",
		"Bar: at most 1.00 of systemd-run --scope: **met** with 1.000 (sdcontainer).",
		"Bar: at most 1.50 of empty Go program: **not met** with 1.600 (sdcontainer inspect).",
		"Bar: at most 0.60 of crun: not measured.",
		"Bar: 16 runs, 8 at a time, at most 0.67 of crun: not measured.",
		"Bar: keeper of a detached container, at most 300 KiB resident: **not met** with 301 KiB.",
		"Bar: beside a service's payload, at most 0 KiB resident: **met** with 0 KiB.",
		"| beside a service's payload |  | 0 KiB |")
	if n := strings.Count(page, "Bar: "); n != len(bars)+len(memoryBars) {
		t.Errorf("%d bars, want %d, in\n%s", n, len(bars)+len(memoryBars), page)
	}
}

func TestWhatIsNotThereIsNotMeasured(t *testing.T) {
	page := pageOf(t, `{"memory":[{"name":"keeper of a detached container","peakKiB":5}]}`)
	contains(t, page, "300 KiB resident: not measured.", "0 KiB resident: not measured.", "run /bin/true, at most 0.65 of crun: not measured.")
	if strings.Contains(page, "met**") {
		t.Errorf("judged what was not measured:\n%s", page)
	}
}

func TestCostsAreOnThePage(t *testing.T) {
	page := pageOf(t, `{"costs":[{"name":"crun","processes":1,"execs":2,"threads":3,"systemCalls":994,"busMessages":6}],"sizes":[{"name":"crun","bytes":618536}]}`)
	contains(t, page, "| crun | 1 | 2 | 3 | 994 | 6 |", "| crun | 605 KiB |")
}

// TestLimitsAreTold: what is enforced, what is only asked for, and nothing are not the same.
func TestLimitsAreTold(t *testing.T) {
	for text, want := range map[string]string{
		`{"limits":true,"limitsOnUnits":true}`:  "All but bwrap have limits",
		`{"limits":false,"limitsOnUnits":true}`: "The units of all have limits of memory, tasks and processor; bwrap has no unit. On this machine cgroups have no controllers",
		`{"limits":false}`:                      "Nobody has a limit",
	} {
		page := pageOf(t, text)
		contains(t, page, want)
		if n := strings.Count(page, "limit"); n > 2 {
			t.Errorf("%s: %d sentences about limits:\n%s", text, n, page)
		}
	}
}

func TestSequencesOfBothKinds(t *testing.T) {
	const plain = `"growth":{"runs":500,"firstTenthMs":20,"lastTenthMs":21}`
	contains(t, pageOf(t, `{`+plain+`,"growthUserns":{"runs":500,"firstTenthMs":30,"lastTenthMs":31,"peers":[{"name":"crun","firstTenthMs":40,"lastTenthMs":41}]}}`),
		"500 in sequence: the first tenth takes 20.0 ms each (median), the last 21.0 ms.",
		"500 in sequence in a user namespace: the first tenth takes 30.0 ms each (median), the last 31.0 ms; those of crun in between 40.0 and 41.0 ms.")
	if page := pageOf(t, `{`+plain+`}`); strings.Contains(page, "user namespace") {
		t.Errorf("a part that was not measured:\n%s", page)
	}
}

// TestPlotMarksEachBar: one row for each of ours and each base that there is a bar for.
func TestPlotMarksEachBar(t *testing.T) {
	var s, other scenario
	for text, to := range map[string]*scenario{
		`{"name":"run /bin/true","contenders":[{"name":"sdcontainer","ratio":{"crun":0.5,"systemd-run --scope":0.9}},{"name":"runc","ratio":{"crun":2}}]}`: &s,
		`{"name":"run -d, then rm -f","contenders":[{"name":"sdcontainer","ratio":{"crun":0.5}}]}`:                                                         &other,
	} {
		if err := json.Unmarshal([]byte(text), to); err != nil {
			t.Fatal(err)
		}
	}
	svg := plot(append(rows(s), rows(other)...))
	contains(t, svg, "0.50 of crun, bar 0.65<", "0.90 of systemd-run --scope, bar 1.00<", ">0.50 of crun<",
		`<line class="bar" x1="473"`) // 330 and 0.65 of 220
	if n := strings.Count(svg, `class="bar"`); n != 2 {
		t.Errorf("%d bars are marked, want 2:\n%s", n, svg)
	}
}
