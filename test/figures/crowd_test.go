// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func crowdPage(t *testing.T, lines string) string {
	t.Helper()
	var b strings.Builder
	if err := renderCrowd(&b, sheet{Results: json.RawMessage(lines)}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestGrowthIsJudged: by how long it takes, whosever time it is; and what was not measured is not judged.
func TestGrowthIsJudged(t *testing.T) {
	page := crowdPage(t, `[{"test":"crowd of 9, 1 at a time","startMs":[20,30,22.2],"startCPUMs":[10,9.5],"systemdMs":[5,11],"stopMs":[10,11],"stopCPUMs":[5,6]},
		{"test":"crowd of 9, 16 at a time","startMs":[20],"startCPUMs":[10,30]},
		{"test":"journald restarted","startMs":[1,5]}]`)
	contains(t, page,
		"\nBar: crowd of 9, 1 at a time: the last tenth of starts takes at most 1.10 of the first: **not met** with 1.11. "+
			"PID 1's processor time, which goes with all the units systemd keeps, comes to 2.20. Our own processor time comes to 0.95.\n",
		"\nBar: crowd of 9, 1 at a time: the last tenth of stops takes at most 1.10 of the first: **met** with 1.10. Our own processor time comes to 1.20.\n")
	if n := strings.Count(page, "Bar: "); n != 3 { // with that of the storm
		t.Errorf("%d bars, want 3, in\n%s", n, page)
	}
}

// TestStormIsJudged: only one run that has the starts, the pace and the files of limits meets the bar.
func TestStormIsJudged(t *testing.T) {
	const native, guest = `{"test":"reload storm","starts":500,"note":"9 reloads"`, `{"test":"reload storm, Debian 13","starts":500,"failed":0,"note":"8 reloads"}`
	for lines, want := range map[string]struct{ verdict, native, guest string }{
		`[]`:                {"**not met**", "not measured", "not measured"},
		`[` + native + `}]`: {"**not met**", "500 starts, 0 failed, 9 reloads; limits are compared as properties of units", "not measured"},
		`[` + guest + `]`:   {"**not met**", "not measured", "500 starts, 0 failed, 8 reloads; files of limits are compared, but"},
		`[` + native + `,"limitFiles":6},` + guest + `]`:                     {"**met**", "500 starts, 0 failed, 9 reloads; 6 files of limits are compared", "500 starts, 0 failed, 8"},
		`[` + native + `,"limitFiles":6,"failed":1}]`:                        {"**not met**", "500 starts, 1 failed", "not measured"},
		`[` + strings.Replace(native, "500", "499", 1) + `,"limitFiles":6}]`: {"**not met**", "499 starts, 0 failed", "not measured"},
	} {
		contains(t, crowdPage(t, lines), "the same afterwards: "+want.verdict+".\n", "\n- natively: "+want.native, "\n- in a guest: "+want.guest)
	}
}
