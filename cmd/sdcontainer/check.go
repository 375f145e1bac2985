// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sdcontainer/sdcontainer"
	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/unitgen"
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
the caller may not see, what else a start would fail for on this machine as it is (a
root that other users get to, a CPU it has not got) and, with systemd.strict = false, an
unknown directive.

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
			all, wrong := []diagnostic{}, 0
			for _, file := range args {
				found := diagnose(file, o)
				all = append(all, found...)
				n := len(slices.DeleteFunc(slices.Clone(found), diagnostic.isWarning))
				wrong += n
				if asJSON {
					continue
				}
				if n == 0 {
					err = a.println(file + ": ok")
				}
				for _, d := range found {
					err = errors.Join(err, a.println(d.text()))
				}
				if err != nil {
					return err
				}
			}
			if wrong > 0 {
				a.code = exitFailure
			}
			switch {
			case asJSON:
				return a.writeJSON(all)
			case wrong > 1:
				fmt.Fprintln(a.stderr, count(wrong, "problem"))
			}
			return nil
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

func (d diagnostic) isWarning() bool { return d.Severity == severityWarning }

func (d diagnostic) text() string {
	if d.isWarning() {
		d.Msg = "warning: " + d.Msg
	}
	return d.String()
}

// diagnose is what there is to say of a configuration given by path, or by name in /etc.
func diagnose(file string, o unitgen.Options) (found []diagnostic) {
	path := configs.Find(file)
	problems, warnings := sdcontainer.Check(path, o)
	if hint := pathHint(file, path); hint != "" && len(problems) > 0 {
		problems[0].Msg += " (" + hint + ")" // the file itself sorts before its drop-ins
	}
	for _, p := range problems {
		found = append(found, diagnostic{p, severityError})
	}
	for _, w := range warnings {
		found = append(found, diagnostic{w, severityWarning})
	}
	return found
}
