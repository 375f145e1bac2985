// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

type bench struct {
	sdtest.Verdict
	Limits    *bool      `json:"limits"`
	OnUnits   bool       `json:"limitsOnUnits"`
	Scenarios []scenario `json:"scenarios"`
	Phases    []struct {
		Phase string  `json:"phase"`
		Ms    float64 `json:"ms"`
	} `json:"phases"`
	Growth       growth   `json:"growth"`
	GrowthUserns *growth  `json:"growthUserns"`
	Memory       []memory `json:"memory"`
	Costs        []struct {
		Name      string `json:"name"`
		Processes int    `json:"processes"`
		Execs     int    `json:"execs"`
		Threads   int    `json:"threads"`
		Calls     int    `json:"systemCalls"`
		Messages  int    `json:"busMessages"`
	} `json:"costs"`
	Sizes []struct {
		Name  string `json:"name"`
		Bytes int64  `json:"bytes"`
	} `json:"sizes"`
}

// A growth is what containers in sequence took, in ms, at the beginning and at the end.
type growth struct {
	Runs  int     `json:"runs"`
	First float64 `json:"firstTenthMs"`
	Last  float64 `json:"lastTenthMs"`
	Peers []struct {
		Name  string  `json:"name"`
		First float64 `json:"firstTenthMs"`
		Last  float64 `json:"lastTenthMs"`
	} `json:"peers"`
}

type scenario struct {
	Name       string `json:"name"`
	Contenders []struct {
		Name   string             `json:"name"`
		Median float64            `json:"medianMs"`
		P10    float64            `json:"p10Ms"`
		P90    float64            `json:"p90Ms"`
		Ratio  map[string]float64 `json:"ratio"`
	} `json:"contenders"`
}

type memory struct {
	Name     string `json:"name"`
	Peak     int64  `json:"peakKiB"`
	Resident *int64 `json:"residentKiB"` // nil where nothing can stay
	Private  int64  `json:"privateKiB"`
	Pss      int64  `json:"pssKiB"`
}

// base is what a scenario is compared with.
func (s scenario) base() string { return baseOf(s.Contenders[0].Ratio) }

func baseOf(ratio map[string]float64) string {
	for _, name := range []string{"crun", "bare Type=exec", "systemd-run --scope", "empty Go program"} {
		if _, ok := ratio[name]; ok {
			return name
		}
	}
	return ""
}

func renderBench(b *strings.Builder, s sheet) error {
	var r bench
	if err := json.Unmarshal(s.Results, &r); err != nil {
		return err
	}
	heading(b, "Speed", s, r.Verdict)
	quote(b, "make bench", r.Verdict)
	b.WriteString("systemd of Debian 13 booted in private namespaces at native speed (`make bench`). crun, runc and Podman are Debian 13's and get the very\n" +
		"`config.json` that our TOML compiles to, where they take one. Medians; the ratio is the median of each round's ratio. A bar is the target.\n\n" +
		"![ratios](figures.svg)\n")
	if r.Limits != nil {
		b.WriteString("\n" + limited(*r.Limits, r.OnUnits) + "\n")
	}
	var all []row
	for _, sc := range r.Scenarios {
		renderScenario(b, sc)
		all = append(all, rows(sc)...)
	}
	missing(b, r.Scenarios)
	b.WriteString("\nMilliseconds from the start of the command to the end of each phase; [architecture](architecture.md#one-run) says what they are.\n")
	b.WriteString("\n| phase of our `run` | ends at |\n|---|---|\n")
	for _, p := range r.Phases {
		fmt.Fprintf(b, "| %s | %.2f ms |\n", p.Phase, p.Ms)
	}
	renderGrowth(b, "", r.Growth)
	if r.GrowthUserns != nil {
		renderGrowth(b, " in a user namespace", *r.GrowthUserns)
	}
	renderCosts(b, r)
	renderMemory(b, r.Memory)
	return os.WriteFile("docs/figures.svg", []byte(plot(all)), 0o644)
}

// limited says who is held to which limits.
func limited(enforced, onUnits bool) string {
	switch {
	case enforced:
		return "All but bwrap have limits of memory, tasks and processor."
	case onUnits:
		return "The units of all have limits of memory, tasks and processor; bwrap has no unit. On this machine cgroups have no controllers to give: systemd keeps\n" +
			"the limits, and nobody writes them to the kernel."
	}
	return "Nobody has a limit: on this machine cgroups have no controllers to give."
}

func renderGrowth(b *strings.Builder, kind string, g growth) {
	fmt.Fprintf(b, "\n%d in sequence%s: the first tenth takes %.1f ms each (median), the last %.1f ms", g.Runs, kind, g.First, g.Last)
	for _, p := range g.Peers {
		fmt.Fprintf(b, "; those of %s in between %.1f and %.1f ms", p.Name, p.First, p.Last)
	}
	b.WriteString(".\n")
}

func renderScenario(b *strings.Builder, s scenario) {
	base := s.base()
	fmt.Fprintf(b, "\n| %s | median | 10 %% | 90 %% | / %s |\n|---|---|---|---|---|\n", s.Name, base)
	for _, c := range s.Contenders {
		fmt.Fprintf(b, "| %s | %.1f ms | %.1f ms | %.1f ms | %.2f |\n", c.Name, c.Median, c.P10, c.P90, c.Ratio[base])
	}
	judge(b, s)
}

// renderCosts says what does not depend on how busy the machine was.
func renderCosts(b *strings.Builder, r bench) {
	if len(r.Costs) > 0 {
		b.WriteString("\nCounted in one start, the payload's among them and the command's own left out; threads are those of the command.\n\n" +
			"| one start | processes made | programs executed | threads made | system calls | messages sent over D-Bus |\n|---|---|---|---|---|---|\n")
	}
	for _, c := range r.Costs {
		fmt.Fprintf(b, "| %s | %d | %d | %d | %d | %d |\n", c.Name, c.Processes, c.Execs, c.Threads, c.Calls, c.Messages)
	}
	if len(r.Sizes) > 0 {
		b.WriteString("\n| on disk, without shared libraries | size |\n|---|---|\n")
	}
	for _, s := range r.Sizes {
		fmt.Fprintf(b, "| %s | %d KiB |\n", s.Name, (s.Bytes+1023)/1024)
	}
}

func renderMemory(b *strings.Builder, all []memory) {
	b.WriteString("\nPeak is what the command has resident at most while it starts a container, the rest is of what stays while it runs.\n\n" +
		"| memory | peak | resident | private | pss |\n|---|---|---|---|---|\n")
	for _, m := range all {
		stays := "| | |"
		if m.Resident != nil {
			stays = fmt.Sprintf("%d KiB | %d KiB | %d KiB |", *m.Resident, m.Private, m.Pss)
		}
		fmt.Fprintf(b, "| %s | %s | %s\n", m.Name, kib(m.Peak), stays)
	}
	judgeMemory(b, all)
}

func kib(n int64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d KiB", n)
}
