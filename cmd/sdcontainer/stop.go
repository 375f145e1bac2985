// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

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
			return a.control(args, func(c *sdcontainer.Container) error {
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

func (s *span) Set(text string) (err error) {
	s.Duration, err = configs.ParseSpan(text)
	return err
}

// together calls f for all named containers at the same time and prints the
// names of those for which it succeeded, in the order given.
func (a *app) together(names []string, f func(name string) error) error {
	results := make([]chan error, len(names))
	for i, name := range names {
		results[i] = make(chan error, 1)
		go func() { results[i] <- f(name) }()
	}
	var errs []error
	for i, name := range names {
		err := <-results[i]
		if err == nil {
			err = a.println(name)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// control does something to all named containers, as together does it.
func (a *app) control(names []string, f func(*sdcontainer.Container) error) error {
	return a.together(names, func(name string) error {
		c, err := a.load(name)
		if err != nil {
			return err
		}
		return f(c)
	})
}

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
			return a.control(args, func(c *sdcontainer.Container) error { return c.Signal(cmd.Context(), sig, all) })
		},
	}
	cmd.Flags().StringVarP(&signal, "signal", "s", "KILL", "the `signal`, by name or number")
	cmd.Flags().BoolVarP(&all, "all", "a", false, "send it to every process")
	must(cmd.RegisterFlagCompletionFunc("signal", completeSignals))
	return cmd
}

func completeSignals(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var all []string
	for n := unix.Signal(1); n < firstReserved; n++ {
		if name := unix.SignalName(n); name != "" {
			all = append(all, name[len("SIG"):])
		}
	}
	return all, noFiles
}

func (a *app) wait() *cobra.Command {
	return &cobra.Command{
		Use:   "wait NAME...",
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

func (a *app) pause() *cobra.Command {
	return &cobra.Command{
		Use:   "pause NAME...",
		Short: "Freeze containers",
		Long: `Freezes every process of the containers' units until they are resumed. Memory
stays in use; nothing inside can notice, but the clock goes on. Prints the names of
those that were frozen.`,
		Example:           "  sdcontainer pause web",
		ValidArgsFunction: a.completeNames,
		Args:              names(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.control(args, func(c *sdcontainer.Container) error { return c.Pause(cmd.Context()) })
		},
	}
}

func (a *app) resume() *cobra.Command {
	return &cobra.Command{
		Use:               "resume NAME...",
		Short:             "Thaw containers that were paused",
		Long:              "Lets paused containers go on and prints their names.",
		Example:           "  sdcontainer resume web",
		ValidArgsFunction: a.completeNames,
		Args:              names(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.control(args, func(c *sdcontainer.Container) error { return c.Resume(cmd.Context()) })
		},
	}
}

func (a *app) rm() *cobra.Command {
	var force, all bool
	cmd := &cobra.Command{
		Use:   "rm [flags] NAME...",
		Short: "Remove containers that have ended",
		Long: `Removes the records of containers that have ended, with whatever is left of them.
A running one is refused, or with -f killed first.`,
		Example: `  sdcontainer rm job
  sdcontainer rm -f web
  sdcontainer rm --all`,
		ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case all && len(args) > 0:
				return usage("--all excludes names")
			case all:
				return a.removeAll(cmd.Context(), force)
			case len(args) == 0:
				return usage("want the name of a container, or --all")
			}
			return a.together(args, func(name string) error { return a.remove(cmd.Context(), name, force) })
		},
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "kill running containers; no complaint about missing ones")
	cmd.Flags().BoolVarP(&all, "all", "a", false, "every container that has ended; with -f every container")
	return cmd
}

// remove removes a container. By force a record that cannot be read is no
// obstacle, and one that is not there no failure.
func (a *app) remove(ctx context.Context, name string, force bool) error {
	c, err := a.load(name)
	switch {
	case err == nil:
		return c.Destroy(ctx, force)
	case !force:
		return err
	case errors.Is(err, sdcontainer.ErrNotExist):
		return nil
	}
	return a.rt.Remove(ctx, name, force)
}

func (a *app) removeAll(ctx context.Context, force bool) error {
	if force { // also those that cannot be read
		names := a.containers()
		return a.together(names, func(name string) error { return a.remove(ctx, name, force) })
	}
	list, err := a.rt.List() // one that cannot be read keeps nobody from the rest
	var names []string
	for _, c := range list {
		if st, err := c.State(); err == nil && st.Status == sdcontainer.Stopped {
			names = append(names, c.ID())
		}
	}
	return errors.Join(err, a.together(names, func(name string) error { return a.remove(ctx, name, force) }))
}
