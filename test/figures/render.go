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

// A bar is one of ours against a base, whose length is 1.
type bar struct {
	name, base string
	ratio      float64
}

// plot draws the bars; a line marks 1.
func plot(bars []bar) string {
	const left, unit, row = 300, 220.0, 26
	height := row*len(bars) + 40
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="760" height="%d" font-family="sans-serif" font-size="13">`+"\n", height)
	fmt.Fprintf(&b, `<rect width="760" height="%d" fill="#fff"/>`+"\n", height)
	for i, x := range bars {
		y := 10 + row*i
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", left-10, y+15, x.name)
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%.0f" height="%d" fill="#30638e"/>`+"\n", left, y+2, min(x.ratio, 1.9)*unit, row-8)
		fmt.Fprintf(&b, `<text x="%.0f" y="%d">%.2f of %s</text>`+"\n", left+min(x.ratio, 1.9)*unit+6, y+15, x.ratio, x.base)
	}
	fmt.Fprintf(&b, `<line x1="%.0f" y1="6" x2="%.0f" y2="%d" stroke="#d1495b" stroke-dasharray="4 3"/>`+"\n", left+unit, left+unit, height-26)
	fmt.Fprintf(&b, `<text x="%.0f" y="%d" text-anchor="middle" fill="#d1495b">1: the other's time</text>`+"\n</svg>\n", left+unit, height-8)
	return b.String()
}

func renderSoak(b *strings.Builder, s sheet) error {
	var lines []struct {
		Sweep   string  `json:"sweep"`
		Calls   int     `json:"calls"`
		Stopped int     `json:"stopped"`
		Clean   int     `json:"clean"`
		Keepers int     `json:"keepers"`
		Gone    float64 `json:"goneMs"`
		Removed float64 `json:"removeMs"`
		Note    string  `json:"note"`
	}
	if err := json.Unmarshal(s.Results, &lines); err != nil {
		return err
	}
	heading(b, "Nothing left behind", s)
	b.WriteString("`make soak`: each verb interrupted at each of its system calls, one run each; after each `rm -f` (of a service `systemctl stop`) succeeds, the\n" +
		"machine is as it was, and the name starts again. See [testing](testing.md).\n\n| sweep | calls | interrupted | clean | helper outlived by | slowest `rm -f` |\n|---|---|---|---|---|---|\n")
	for _, l := range lines {
		fmt.Fprintf(b, "| %s | %d | %d | %d | %.0f ms | %.0f ms |\n", strings.TrimSpace(l.Sweep+" "+l.Note), l.Calls, l.Stopped, l.Clean, l.Gone, l.Removed)
	}
	return nil
}

func renderFuzz(b *strings.Builder, s sheet) error {
	var lines []struct {
		Target     string  `json:"target"`
		Executions int64   `json:"executions"`
		Seconds    float64 `json:"seconds"`
		Corpus     int     `json:"corpus"`
		Findings   int     `json:"findings"`
	}
	if err := json.Unmarshal(s.Results, &lines); err != nil {
		return err
	}
	heading(b, "Fuzzing", s)
	b.WriteString("`make fuzz`. The program parser is C, under AddressSanitizer and UndefinedBehaviorSanitizer.\n\n| target | executions | time | corpus | findings |\n|---|---|---|---|---|\n")
	for _, l := range lines {
		fmt.Fprintf(b, "| %s | %d | %.0f s | %d | %d |\n", l.Target, l.Executions, l.Seconds, l.Corpus, l.Findings)
	}
	return nil
}

func renderCoverage(b *strings.Builder, s sheet) error {
	var text string
	if err := json.Unmarshal(s.Results, &text); err != nil {
		return err
	}
	heading(b, "Coverage of the C", s)
	fmt.Fprintf(b, "`make coverage`.\n\n```\n%s\n```\n", strings.TrimSpace(text))
	return nil
}
