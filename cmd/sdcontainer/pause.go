// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/spf13/cobra"

	"github.com/sdcontainer/sdcontainer"
)

func (a *app) pause() *cobra.Command {
	return &cobra.Command{
		Use:   "pause [flags] NAME...",
		Short: "Freeze containers",
		Long: `Freezes every process of the containers' units until they are resumed. Memory
stays in use; nothing inside notices, except that the clock has gone on. Prints the
names of those that were frozen.`,
		Example:           "  sdcontainer pause web",
		ValidArgsFunction: a.completeNames,
		Args:              names(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.control(cmd.Context(), args, func(c *sdcontainer.Container) error { return c.Pause(cmd.Context()) })
		},
	}
}

func (a *app) resume() *cobra.Command {
	return &cobra.Command{
		Use:               "resume [flags] NAME...",
		Short:             "Thaw containers that were paused",
		Long:              "Lets paused containers go on and prints their names.",
		Example:           "  sdcontainer resume web",
		ValidArgsFunction: a.completeNames,
		Args:              names(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.control(cmd.Context(), args, func(c *sdcontainer.Container) error { return c.Resume(cmd.Context()) })
		},
	}
}
