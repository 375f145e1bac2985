// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

type bench struct {
	Scenarios []struct {
		Name       string `json:"name"`
		Contenders []struct {
			Name   string             `json:"name"`
			Median float64            `json:"medianMs"`
			P10    float64            `json:"p10Ms"`
			P90    float64            `json:"p90Ms"`
			Ratio  map[string]float64 `json:"ratio"`
		} `json:"contenders"`
	} `json:"scenarios"`
	Phases []struct {
		Phase string  `json:"phase"`
		Ms    float64 `json:"ms"`
	} `json:"phases"`
	Growth struct {
		Runs  int     `json:"runs"`
		First float64 `json:"firstTenthMs"`
		Last  float64 `json:"lastTenthMs"`
	} `json:"growth"`
	Memory []struct {
		Name    string `json:"name"`
		Peak    int64  `json:"peakKiB"`
		Private int64  `json:"privateKiB"`
		Pss     int64  `json:"pssKiB"`
	} `json:"memory"`
}

func renderBench(b *strings.Builder, s sheet) error {
	var r bench
	if err := json.Unmarshal(s.Results, &r); err != nil {
		return err
	}
	heading(b, "Speed", s)
	b.WriteString("systemd of Debian 13 booted in private namespaces at native speed (`make bench`). crun, runc and Podman are Debian 13's and get the very\n" +
		"`config.json` that our TOML compiles to, where they take one. Medians; the ratio is the median of each round's ratio.\n\n![ratios](figures.svg)\n")
	var bars []bar
	for _, sc := range r.Scenarios {
		base := baseOf(sc.Contenders[0].Ratio)
		fmt.Fprintf(b, "\n| %s | median | 10 %% | 90 %% | / %s |\n|---|---|---|---|---|\n", sc.Name, base)
		for _, c := range sc.Contenders {
			fmt.Fprintf(b, "| %s | %.1f ms | %.1f ms | %.1f ms | %.2f |\n", c.Name, c.Median, c.P10, c.P90, c.Ratio[base])
		}
		bars = append(bars, bar{sc.Name, base, sc.Contenders[0].Ratio[base]})
	}
	b.WriteString("\n| phase of our `run` | at |\n|---|---|\n")
	for _, p := range r.Phases {
		fmt.Fprintf(b, "| %s | %.2f ms |\n", p.Phase, p.Ms)
	}
	fmt.Fprintf(b, "\n%d in sequence: the first tenth takes %.1f ms each (median), the last %.1f ms.\n", r.Growth.Runs, r.Growth.First, r.Growth.Last)
	b.WriteString("\n| memory | peak | private | pss |\n|---|---|---|---|\n")
	for _, m := range r.Memory {
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", m.Name, kib(m.Peak), kib(m.Private), kib(m.Pss))
	}
	return os.WriteFile("docs/figures.svg", []byte(plot(bars)), 0o644)
}

func kib(n int64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d KiB", n)
}

// baseOf is what a scenario is compared with.
func baseOf(ratio map[string]float64) string {
	for _, name := range []string{"crun", "bare Type=exec", "systemd-run --scope"} {
		if _, ok := ratio[name]; ok {
			return name
		}
	}
	return ""
}
