// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"

	"github.com/spf13/cobra"

	"github.com/sdcontainer/sdcontainer"
	"github.com/sdcontainer/sdcontainer/configs"
)

func (a *app) explain() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "explain [flags] FILE",
		Short: "Show what run would do, without doing it",
		Long: `Prints what a start from a configuration amounts to: the D-Bus call with every
property and where it comes from, what this process itself does, the programs of
kernel calls that build the container, one line a step, and the unit file it would
be as a service: with the running systemd, or without one with the newest.

The programs are a scope's. Of a service the init is born in the unit's cgroup, keeps
the CPU affinity it has from there, and tells of an execve that failed before it dies.`,
		Example: `  sdcontainer explain web.toml
  sdcontainer explain --json web.toml | jq .properties`,
		ValidArgsFunction: a.completeFiles,
		Args:              arguments(1, 1, "one configuration"),
		RunE: func(cmd *cobra.Command, args []string) error {
			spec, err := loadConfig(args[0], configs.LoadOptions{})
			if err != nil {
				return err
			}
			o, err := unitOptions(cmd.Context(), 0)
			if err != nil {
				return err
			}
			x, err := sdcontainer.Explain("", spec, o)
			if err != nil {
				return placeHint(err, spec)
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
