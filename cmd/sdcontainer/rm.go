// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/sdcontainer/sdcontainer"
	"github.com/sdcontainer/sdcontainer/unitgen"
)

func (a *app) rm() *cobra.Command {
	var force, all bool
	cmd := &cobra.Command{
		Use:   "rm [flags] NAME...",
		Short: "Remove containers that have ended",
		Long: `Removes the records of containers that have ended, with whatever is left of them.
A running one is refused, or with -f killed first. With -f a detached one is found
even if its record was deleted by hand. Prints the names of those that were
removed.`,
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
// obstacle, and a container that is not there no failure.
func (a *app) remove(ctx context.Context, name string, force bool) error {
	c, err := a.load(ctx, name)
	switch {
	case err == nil:
		return c.Destroy(ctx, force)
	case !force:
		return err
	}
	if unitgen.InstanceName(name) == "" { // what a name alone finds, without a record that can be read, is a scope
		err = a.rt.Remove(ctx, name, force)
	}
	if errors.Is(err, sdcontainer.ErrNotExist) {
		return errNothing
	}
	return err
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
