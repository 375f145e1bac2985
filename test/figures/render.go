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

func renderSoak(b *strings.Builder, s sheet) error {
	var r struct {
		sdtest.Verdict
		Lines []struct {
			Sweep   string  `json:"sweep"`
			Calls   int     `json:"calls"`
			Stopped int     `json:"stopped"`
			Clean   int     `json:"clean"`
			Gone    float64 `json:"goneMs"`
			Removed float64 `json:"removeMs"`
			Note    string  `json:"note"`
		} `json:"lines"`
	}
	if err := json.Unmarshal(s.Results, &r); err != nil {
		return err
	}
	heading(b, "Nothing left behind", s, r.Verdict)
	quote(b, "make soak", r.Verdict)
	b.WriteString("`make soak`: each verb interrupted at each of its system calls, one run each; after each `rm -f` (of a service `systemctl stop`) succeeds, the\n" +
		"machine is as it was, and the name starts again. *calls* are those of a run that nothing interrupts; a sweep goes on until a run has no more. See\n" +
		"[testing](testing.md).\n\n| sweep | calls | interrupted | clean | helper outlived by | slowest `rm -f` |\n|---|---|---|---|---|---|\n")
	for _, l := range r.Lines {
		fmt.Fprintf(b, "| %s | %d | %d | %d | %.0f ms | %.0f ms |\n", strings.TrimSpace(l.Sweep+" "+l.Note), l.Calls, l.Stopped, l.Clean, l.Gone, l.Removed)
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
