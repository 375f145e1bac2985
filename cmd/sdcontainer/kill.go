// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer"
	"github.com/sdcontainer/sdcontainer/configs"
)

func (a *app) kill() *cobra.Command {
	var all bool
	var signal string
	cmd := &cobra.Command{
		Use:   "kill [flags] NAME...",
		Short: "Send a signal to containers",
		Long: `Sends a signal to the first process of each container, or with --all to every
process of its unit. Prints the names of those that got it.`,
		Example: `  sdcontainer kill web
  sdcontainer kill -s HUP web
  sdcontainer kill -s TERM --all web`,
		ValidArgsFunction: a.completeNames,
		Args:              names(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			sig, err := configs.ParseSignal(signal)
			if err != nil {
				return usageError{err}
			}
			return a.control(cmd.Context(), args, func(c *sdcontainer.Container) error { return c.Signal(cmd.Context(), sig, all) })
		},
	}
	cmd.Flags().StringVarP(&signal, "signal", "s", "KILL", "the `signal`, by name or number")
	cmd.Flags().BoolVarP(&all, "all", "a", false, "send it to every process")
	must(cmd.RegisterFlagCompletionFunc("signal", completeSignals))
	return cmd
}

// completeSignals has names without SIG, and with it for who has begun to write it.
func completeSignals(_ *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	var all []string
	for n := unix.Signal(1); n < firstReserved; n++ {
		name := unix.SignalName(n)
		if short, ok := strings.CutPrefix(name, "SIG"); ok && strings.HasPrefix(short, begun) {
			all = append(all, short)
		}
		if begun != "" && strings.HasPrefix(name, begun) {
			all = append(all, name)
		}
	}
	return all, noFiles
}
