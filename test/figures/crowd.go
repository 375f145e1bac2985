// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// A crowdLine is one test of many containers, or of a manager that is disturbed.
type crowdLine struct {
	Test       string    `json:"test"`
	Starts     int       `json:"starts"`
	Failed     int       `json:"failed"`
	StartMs    []float64 `json:"startMs"`
	StartCPUMs []float64 `json:"startCPUMs"`
	SystemdMs  []float64 `json:"systemdMs"`
	StopMs     []float64 `json:"stopMs"`
	StopCPUMs  []float64 `json:"stopCPUMs"`
	LimitFiles int       `json:"limitFiles"` // compared after a storm
	Note       string    `json:"note"`
}

func renderCrowd(b *strings.Builder, s sheet) error {
	var lines []crowdLine
	if err := json.Unmarshal(s.Results, &lines); err != nil {
		return err
	}
	heading(b, "A crowd, and a manager that is disturbed", s, sdtest.Verdict{})
	b.WriteString("`make soak`: containers that run together, and starts while systemd reloads and re-executes itself or journald is restarted. Medians of each tenth, in\n" +
		"ms. In the reload storm every second container stays: a start waits for a reload, which reads the units of all of them anew. See\n" +
		"[testing](testing.md). *Ours* and *PID 1's* are processor time.\n\n| test | starts | failed | start | ours | PID 1's | stop | ours |\n|---|---|---|---|---|---|---|---|\n")
	for _, l := range lines {
		name := l.Test
		if l.Note != "" {
			name += " (" + l.Note + ")"
		}
		fmt.Fprintf(b, "| %s | %d | %d | %s | %s | %s | %s | %s |\n", name, l.Starts, l.Failed, curve(l.StartMs), curve(l.StartCPUMs), curve(l.SystemdMs),
			curve(l.StopMs), curve(l.StopCPUMs))
	}
	for _, l := range lines {
		if strings.HasPrefix(l.Test, "crowd of ") {
			judgeGrowth(b, l.Test, "starts", l.StartMs, l.StartCPUMs, l.SystemdMs)
			judgeGrowth(b, l.Test, "stops", l.StopMs, l.StopCPUMs, nil)
		}
	}
	judgeStorm(b, lines)
	return nil
}

func curve(ms []float64) string {
	var list []string
	for _, v := range ms {
		list = append(list, fmt.Sprintf("%.0f", v))
	}
	return strings.Join(list, " ")
}

// mostGrowth is what passes for none: a tenth is noise.
const mostGrowth = 1.1

// judgeGrowth says whether the last tenth took longer than the first, and whose processor time grew with it.
func judgeGrowth(b *strings.Builder, test, what string, took, ours, systemd []float64) {
	grown, ok := growthOf(took)
	if !ok {
		return
	}
	fmt.Fprintf(b, "\nBar: %s: the last tenth of %s takes at most %.2f of the first: %s with %.2f.", test, what, mostGrowth, verdict(grown <= mostGrowth), grown)
	if manager, ok := growthOf(systemd); ok {
		fmt.Fprintf(b, " PID 1's processor time, which goes with all the units systemd keeps, comes to %.2f.", manager)
	}
	if own, ok := growthOf(ours); ok {
		fmt.Fprintf(b, " Our own processor time comes to %.2f.", own)
	}
	b.WriteString("\n")
}

// growthOf is the last tenth by the first, as it is printed.
func growthOf(ms []float64) (ratio float64, ok bool) {
	if len(ms) < 2 || ms[0] <= 0 {
		return 0, false
	}
	return math.Round(100*ms[len(ms)-1]/ms[0]) / 100, true
}

const (
	stormy      = "reload storm"
	stormStarts = 500
)

// judgeStorm asks for one run with the starts, the pace and the limits. What runs natively has the first two, and cgroups with
// controllers only where the machine has some to give; a guest has these, and no time for so many starts at that pace.
func judgeStorm(b *strings.Builder, lines []crowdLine) {
	met := false
	native, guest := "not measured", "not measured"
	for _, l := range lines {
		system, ok := strings.CutPrefix(l.Test, stormy)
		said := fmt.Sprintf("%d starts, %d failed, %s", l.Starts, l.Failed, l.Note)
		switch {
		case !ok:
		case system != "":
			guest = said + "; files of limits are compared, but reloads take seconds there, and begin once a second at most"
		case l.LimitFiles > 0:
			met = l.Starts >= stormStarts && l.Failed == 0
			native = said + fmt.Sprintf("; %d files of limits are compared", l.LimitFiles)
		default:
			native = said + "; limits are compared as properties of units, since cgroups have no controllers there, and so no files of limits"
		}
	}
	fmt.Fprintf(b, "\nBar: one run of %d starts, while systemd reloads every 50 ms (or as soon as the last reload is over) and re-executes itself every second, without a\n"+
		"failure, and with every file of a limit the same afterwards: %s.\n\n- natively: %s\n- in a guest: %s\n", stormStarts, verdict(met), native, guest)
}
