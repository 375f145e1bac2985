// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"

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
have now is a warning.

The exit status is 1 when there is a problem. --json prints an array for editors.`,
		Example: `  sdcontainer check web.toml
  sdcontainer check --json *.toml`,
		ValidArgsFunction: a.completeFiles,
		Args:              arguments(1, -1, "a configuration"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := unitOptions(cmd.Context(), 0)
			if err != nil {
				return err
			}
			problems := []configs.Problem{}
			for _, file := range args {
				path := findConfig(file)
				found, warnings := sdcontainer.Check(path, o)
				if hint := pathHint(file, path); hint != "" && len(found) > 0 {
					found[0].Msg += " (" + hint + ")" // the file itself sorts before its drop-ins
				}
				problems = append(problems, found...)
				if len(found) > 0 || asJSON {
					continue
				}
				if err := a.println(file + ": ok"); err != nil {
					return err
				}
				for _, w := range warnings {
					if err := a.println(file + ": warning: " + w); err != nil {
						return err
					}
				}
			}
			return a.report(problems, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (a *app) report(problems []configs.Problem, asJSON bool) error {
	if len(problems) > 0 {
		a.code = exitFailure
	}
	if asJSON {
		return a.writeJSON(problems)
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

func (a *app) explain() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "explain [flags] FILE",
		Short: "Show what run would do, without doing it",
		Long: `Prints what a start from a configuration amounts to: the D-Bus call with every
property and where it comes from, the programs of kernel calls that build the
container, one line a step, and the unit file it would be as a service: with the
running systemd, or without one with the newest.`,
		Example: `  sdcontainer explain web.toml
  sdcontainer explain --json web.toml | jq .properties`,
		ValidArgsFunction: a.completeFiles,
		Args:              arguments(1, 1, "one configuration"),
		RunE: func(cmd *cobra.Command, args []string) error {
			spec, err := loadConfig(args[0])
			if err != nil {
				return err
			}
			o, err := unitOptions(cmd.Context(), 0)
			if err != nil {
				return err
			}
			x, err := sdcontainer.Explain("", spec, o)
			if err != nil {
				return err
			}
			if asJSON {
				return a.writeJSON(x)
			}
			var b bytes.Buffer
			if err := x.WriteText(&b); err != nil {
				return err
			}
			_, err = a.stdout.WriteString(a.escapeLines(b.String()))
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
