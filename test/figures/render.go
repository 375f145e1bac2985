// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"strings"
)

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
