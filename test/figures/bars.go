// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// bars are the targets for ratios: of a scenario, against a base, this at most.
var bars = []struct {
	scenario, base string
	most           float64
}{
	{"run /bin/true", "crun", 0.65},
	{"run /bin/true", "systemd-run --scope", 1.0},
	{"exec /bin/true", "crun", 0.6},
	{"look at a container", "empty Go program", 1.5},
	{"systemctl start of a service", "bare Type=exec", 1.3},
	{"16 runs, 8 at a time", "crun", 0.67}, // one and a half times the throughput
}

// memoryBars are those for what stays resident, in KiB.
var memoryBars = []struct {
	name string
	most int64
}{
	{"keeper of a detached container", 300},
	{"beside a service's payload", 0},
}

// barOf is the target of a scenario against a base.
func barOf(scenario, base string) (most float64, ok bool) {
	for _, p := range bars {
		if p.scenario == scenario && p.base == base {
			return p.most, true
		}
	}
	return 0, false
}

func isOurs(name string) bool {
	return name == "sdcontainer" || strings.HasPrefix(name, "sdcontainer ")
}

// judge says of each bar of a scenario whether it is met, by the slowest of ours.
func judge(b *strings.Builder, s scenario) {
	for _, p := range bars {
		if p.scenario != s.Name {
			continue
		}
		worst, who := -1.0, ""
		for _, c := range s.Contenders {
			if r, ok := c.Ratio[p.base]; ok && isOurs(c.Name) && r > worst {
				worst, who = r, c.Name
			}
		}
		if who == "" {
			fmt.Fprintf(b, "\nBar: at most %.2f of %s: not measured.\n", p.most, p.base)
			continue
		}
		worst = math.Round(worst*1000) / 1000 // as it is printed
		fmt.Fprintf(b, "\nBar: at most %.2f of %s: %s with %.3f (%s).\n", p.most, p.base, verdict(worst <= p.most), worst, who)
	}
}

// missing names the bars whose scenario was not measured, or has another name by now.
func missing(b *strings.Builder, all []scenario) {
	for _, p := range bars {
		if !slices.ContainsFunc(all, func(s scenario) bool { return s.Name == p.scenario }) {
			fmt.Fprintf(b, "\nBar: %s, at most %.2f of %s: not measured.\n", p.scenario, p.most, p.base)
		}
	}
}

func judgeMemory(b *strings.Builder, all []memory) {
	for _, p := range memoryBars {
		said := "not measured"
		for _, m := range all {
			if m.Name == p.name && m.Resident != nil {
				said = fmt.Sprintf("%s with %d KiB", verdict(*m.Resident <= p.most), *m.Resident)
			}
		}
		fmt.Fprintf(b, "\nBar: %s, at most %d KiB resident: %s.\n", p.name, p.most, said)
	}
}

func verdict(met bool) string {
	if met {
		return "**met**"
	}
	return "**not met**"
}
