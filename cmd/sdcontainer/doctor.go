// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

// The outcomes of a check.
const (
	fine    = "ok"
	lacking = "warning" // containers run, something does not
	broken  = "error"   // containers do not run
)

// A finding is what doctor says of one thing.
type finding struct {
	Check  string `json:"check"`
	Status string `json:"status"`
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"` // one command or one sentence
}

func good(detail string, args ...any) finding {
	return finding{Status: fine, Detail: fmt.Sprintf(detail, args...)}
}

func bad(status, fix, detail string, args ...any) finding {
	return finding{Status: status, Detail: fmt.Sprintf(detail, args...), Fix: fix}
}

// A check looks at one thing of the machine.
type check struct {
	name string
	look func(context.Context, *app) finding
}

func checks() []check {
	return []check{
		{"user", checkUser},
		{"kernel", checkKernel},
		{"systemd", checkSystemd},
		{"properties", checkProperties},
		{"cgroups", checkCgroups},
		{"mount calls", checkMountCalls},
		{"overlayfs", checkOverlay},
		{"id-mapped mounts", checkIdmap},
		{"user namespaces", checkUserns},
		{"time namespaces", checkTimens},
		{"seccomp", checkSeccomp},
		{"executable memory", checkMemfd},
		{"security module", checkLSM},
		{"journal", checkJournal},
		{"records", checkRecords},
		{"units", checkUnits},
	}
}

func (a *app) doctor() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "doctor [flags]",
		Short: "Say what this machine has and lacks, and what to do",
		Long: `Tries everything containers need of this machine. ✓ is there; ! is missing, and
something will not work; ✗ is missing, and no container will run. What can be done
about it follows the arrow.

The exit status is 1 when there is a ✗.

--format json prints an array; its fields, which stay:

    check, status ("ok", "warning" or "error"), detail, fix: what can be done

A Go template, executed for each check, has them as Check, Status, Detail and Fix.`,
		Example: `  sdcontainer doctor
  sdcontainer doctor --json
  sdcontainer doctor --format '{{.Status}} {{.Check}}'`,
		ValidArgsFunction: cobra.NoFileCompletions,
		Args:              arguments(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkFormatOf[finding](format, "table", "json"); err != nil {
				return err
			}
			var all []finding
			for _, c := range checks() {
				f := c.look(cmd.Context(), a)
				f.Check = c.name
				all = append(all, f)
				if f.Status == broken {
					a.code = exitFailure
				}
			}
			switch format {
			case "json":
				return a.writeJSON(all)
			case "table":
				return a.diagnosis(all)
			}
			return writeTemplate(a, format, all)
		},
	}
	formatFlag(cmd, &format, "table", "json")
	return cmd
}

func (a *app) diagnosis(all []finding) error {
	marks := map[string][2]string{fine: {"✓", green}, lacking: {"!", yellow}, broken: {"✗", red}}
	for _, f := range all {
		mark := marks[f.Status]
		line := fmt.Sprintf("%s %-17s %s", paint(a.stdout, mark[1], mark[0]), f.Check, a.escape(f.Detail))
		if f.Fix != "" {
			line += fmt.Sprintf("\n  %-17s %s %s", "", paint(a.stdout, dim, "->"), a.escape(f.Fix))
		}
		if _, err := a.stdout.WriteString(line + "\n"); err != nil {
			return err
		}
	}
	return nil
}
