// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sdcontainer/sdcontainer"
	"github.com/sdcontainer/sdcontainer/configs"
)

func (a *app) check() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check [flags] FILE...",
		Short: "Find every problem of configurations",
		Long: `Prints every problem of each configuration as FILE:LINE:COLUMN: KEY: what is
wrong and what is accepted. Nothing is started. A configuration without problems is
compiled too, down to the calls a start would make and the unit file of a service, which is
for the running systemd if there is one; an executable or user that the root does not
have now is a warning, as are a namespace to join that is not there, a path that
the caller may not see and, with systemd.strict = false, an unknown directive.

The exit status is 1 when there is a problem. --json prints an array for editors: of each
problem and warning its file, line, column, key, message and severity, "error" or
"warning". What is about a file as a whole has no line, column and key.`,
		Example: `  sdcontainer check web.toml
  sdcontainer check --json *.toml`,
		ValidArgsFunction: a.completeFiles,
		Args:              arguments(1, -1, "a configuration"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := unitOptions(cmd.Context(), 0)
			if err != nil {
				return err
			}
			all := []diagnostic{}
			for _, file := range args {
				path := configs.Find(file)
				problems, warnings := sdcontainer.Check(path, o)
				if hint := pathHint(file, path); hint != "" && len(problems) > 0 {
					problems[0].Msg += " (" + hint + ")" // the file itself sorts before its drop-ins
				}
				for _, p := range problems {
					all = append(all, diagnostic{p, severityError})
				}
				for _, w := range warnings {
					all = append(all, diagnostic{w, severityWarning})
				}
				if len(problems) > 0 || asJSON {
					continue
				}
				if err := a.println(file + ": ok"); err != nil {
					return err
				}
				for _, w := range warnings {
					w.Msg = "warning: " + w.Msg
					if err := a.println(w.String()); err != nil {
						return err
					}
				}
			}
			return a.report(all, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// A diagnostic is one thing that check says of a configuration.
type diagnostic struct {
	configs.Problem
	Severity string `json:"severity"`
}

// What diagnostics are; a warning is no reason for an exit status.
const (
	severityError   = "error"
	severityWarning = "warning"
)

// report prints what is wrong; of warnings only JSON has not told yet.
func (a *app) report(all []diagnostic, asJSON bool) error {
	problems := slices.DeleteFunc(slices.Clone(all), func(d diagnostic) bool { return d.Severity == severityWarning })
	if len(problems) > 0 {
		a.code = exitFailure
	}
	if asJSON {
		return a.writeJSON(all)
	}
	for _, p := range problems {
		if err := a.println(p.String()); err != nil {
			return err
		}
	}
	if len(problems) > 1 {
		fmt.Fprintln(a.stderr, count(len(problems), "problem"))
	}
	return nil
}
