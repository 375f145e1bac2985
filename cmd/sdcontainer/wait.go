// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sdcontainer/sdcontainer"
)

func (a *app) wait() *cobra.Command {
	return &cobra.Command{
		Use:   "wait [flags] NAME...",
		Short: "Wait for containers to end and print their exit codes",
		Long: `Waits until each container has ended and prints its exit code, one a line in the
order given; "unknown" when nobody was there to see it.

The exit status is the first code that is not 0; 125 when one is unknown or
sdcontainer failed.`,
		Example: `  sdcontainer wait job
  code=$(sdcontainer wait job)`,
		ValidArgsFunction: a.completeNames,
		Args:              names(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.each(args, func(c *sdcontainer.Container) error { return a.waitFor(cmd.Context(), c) })
		},
	}
}

func (a *app) waitFor(ctx context.Context, c *sdcontainer.Container) error {
	exit, err := c.Wait(ctx)
	if errors.Is(err, sdcontainer.ErrExitUnknown) {
		return errors.Join(a.println("unknown"), err)
	}
	if err != nil {
		return err
	}
	if a.code == 0 {
		a.code = exit.Code
	}
	return a.println(fmt.Sprint(exit.Code))
}
