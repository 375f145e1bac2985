// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/sdcontainer/sdcontainer"
	"github.com/sdcontainer/sdcontainer/configs"
)

func (a *app) stop() *cobra.Command {
	timeout := span{-1}
	cmd := &cobra.Command{
		Use:   "stop [flags] NAME...",
		Short: "Stop containers: signal, wait, kill",
		Long: `Sends the container's stop signal, waits for it to end and kills what is left
after the timeout. Several containers are stopped at the same time. Prints the names
of those that were.

A payload that is the first process of its PID namespace and has no handler for
the signal would never hear it: it is killed at once.

A service is stopped by systemd, which has signal and timeout from its unit: -t is
refused.`,
		Example: `  sdcontainer stop web
  sdcontainer stop -t 1min db1 db2`,
		ValidArgsFunction: a.completeNames,
		Args:              names(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.control(cmd.Context(), args, func(c *sdcontainer.Container) error {
				return c.Stop(cmd.Context(), timeout.Duration)
			})
		},
	}
	cmd.Flags().VarP(&timeout, "timeout", "t", "how long to wait before killing, like 10s or 1min 30s (default: the container's own)")
	alias(cmd.Flags(), map[string]string{"time": "timeout"}) // podman's
	return cmd
}

// span is a flag that takes a time as configurations do.
type span struct{ time.Duration }

func (s *span) Type() string { return "time" }

func (s *span) String() string {
	if s.Duration < 0 {
		return ""
	}
	return s.Duration.String()
}

func (s *span) Set(text string) error {
	d, err := configs.ParseSpan(text)
	if err != nil {
		return fmt.Errorf("want %w", errors.Unwrap(err)) // pflag has said the value
	}
	s.Duration = d
	return nil
}
