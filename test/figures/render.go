// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

func renderTests(b *strings.Builder, s sheet) error {
	var v sdtest.Verdict
	if err := json.Unmarshal(s.Results, &v); err != nil {
		return err
	}
	heading(b, "Tests", s, v)
	quote(b, "CI=true make test", v) // docs/testing.md says what that runs
	b.WriteString("Each test of a known escape and where it passed: [security-tests](security-tests.md).\n")
	return nil
}

// A sweepLine is one verb that was interrupted in one way, or one kind of limit that was tried.
type sweepLine struct {
	Sweep   string  `json:"sweep"`
	Calls   int     `json:"calls"`
	Stopped int     `json:"stopped"`
	Clean   int     `json:"clean"`
	Gone    float64 `json:"goneMs"`
	Removed float64 `json:"removeMs"`
	Note    string  `json:"note"`
}

func (l sweepLine) title() string { return strings.TrimSpace(l.Sweep + " " + l.Note) }

func renderSoak(b *strings.Builder, s sheet) error {
	var r struct {
		sdtest.Verdict
		Lines []sweepLine `json:"lines"`
	}
	if err := json.Unmarshal(s.Results, &r); err != nil {
		return err
	}
	heading(b, "Nothing left behind", s, r.Verdict)
	quote(b, "make soak", r.Verdict)
	b.WriteString("`make soak`: each verb is interrupted at each of its system calls, in a run of its own. Afterwards the machine is as it was (where the command\n" +
		"was killed: once `rm -f`, of a service `systemctl stop`, has succeeded), and the name starts again. *calls* are those of a run that nothing interrupts; a\n" +
		"sweep goes on until a run has no more, and of errnos several may be tried at one call. See [testing](testing.md).\n\n" +
		"| sweep | calls | interrupted | clean | helper outlived by | slowest `rm -f` |\n|---|---|---|---|---|---|\n")
	var limits []sweepLine
	for _, l := range r.Lines {
		if sdtest.OfLimits(l.Sweep) {
			limits = append(limits, l)
			continue
		}
		fmt.Fprintf(b, "| %s | %d | %d | %d | %.0f ms | %.0f ms |\n", l.title(), l.Calls, l.Stopped, l.Clean, l.Gone, l.Removed)
	}
	if len(limits) > 0 {
		b.WriteString("\nLimits that the command was given, each in a run of its own. Nothing is interrupted there: it works, or says what it lacks, and nothing is left; where\n" +
			"Go's runtime ended, once `rm -f` has succeeded.\n\n| limit | tried | clean | slowest `rm -f` |\n|---|---|---|---|\n")
	}
	for _, l := range limits {
		fmt.Fprintf(b, "| %s | %d | %d | %.0f ms |\n", l.title(), l.Stopped, l.Clean, l.Removed)
	}
	return nil
}

func renderFuzz(b *strings.Builder, s sheet) error {
	var r struct {
		sdtest.Verdict
		Lines []struct {
			Target     string  `json:"target"`
			Executions int64   `json:"executions"`
			Seconds    float64 `json:"seconds"`
			Corpus     int     `json:"corpus"`
			Findings   int     `json:"findings"`
		} `json:"lines"`
	}
	if err := json.Unmarshal(s.Results, &r); err != nil {
		return err
	}
	heading(b, "Fuzzing", s, r.Verdict)
	quote(b, "make fuzz", r.Verdict)
	b.WriteString("`make fuzz`. The program parser is C, under AddressSanitizer and UndefinedBehaviorSanitizer.\n\n| target | executions | time | corpus | findings |\n|---|---|---|---|---|\n")
	for _, l := range r.Lines {
		fmt.Fprintf(b, "| %s | %d | %.0f s | %d | %d |\n", l.Target, l.Executions, l.Seconds, l.Corpus, l.Findings)
	}
	return nil
}

func renderCoverage(b *strings.Builder, s sheet) error {
	var text string
	if err := json.Unmarshal(s.Results, &text); err != nil {
		return err
	}
	heading(b, "Coverage of the C", s, sdtest.Verdict{})
	fmt.Fprintf(b, "`make coverage`.\n\n```\n%s\n```\n", strings.TrimSpace(text))
	return nil
}
