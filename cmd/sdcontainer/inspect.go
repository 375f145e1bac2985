// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sdcontainer/sdcontainer"
)

func (a *app) inspect() *cobra.Command {
	var format string
	var spec bool
	cmd := &cobra.Command{
		Use:   "inspect [flags] NAME...",
		Short: "Print all that is known of containers, as JSON",
		Long: `Prints a JSON array with one object for each container, or with --spec the OCI
runtime specs they were made from.

A Go template sees the same fields by their Go names (ID, Status, Pid, Exit ...).`,
		Example: `  sdcontainer inspect web
  sdcontainer inspect --format '{{.Pid}}' web
  sdcontainer inspect --spec web`,
		ValidArgsFunction: a.completeNames,
		Args:              names(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkFormat(format, "json"); err != nil {
				return err
			}
			if spec {
				return print(cmd.Context(), a, args, format, (*sdcontainer.Container).Spec)
			}
			return print(cmd.Context(), a, args, format, (*sdcontainer.Container).State)
		},
	}
	cmd.Flags().BoolVar(&spec, "spec", false, "print the OCI runtime specs")
	shortFormatFlag(cmd, "f", &format, "json")
	return cmd
}

// print shows something of each named container, as JSON or through a template.
func print[T any](ctx context.Context, a *app, names []string, format string, get func(*sdcontainer.Container) (T, error)) error {
	items := []T{}
	err := a.each(ctx, names, func(c *sdcontainer.Container) error {
		item, err := get(c)
		if err == nil {
			items = append(items, item)
		}
		return err
	})
	items = slices.Clip(items)
	if format == "json" {
		return errors.Join(err, a.writeJSON(items))
	}
	return errors.Join(err, writeTemplate(a, format, items))
}
