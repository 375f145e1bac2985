// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/unitgen"
)

func (a *app) unitRemove() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "rm [flags] NAME...",
		Short: "Stop services and remove their unit files",
		Long: `Stops and disables the services of the named containers, removes the unit files
that install wrote and prints their paths. The configurations stay.

When it was interrupted, the same again does the rest.`,
		Example:           "  sdcontainer unit rm web",
		ValidArgsFunction: completeInstalled,
		Args:              names(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.uninstall(cmd.Context(), args, dir)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", unitgen.Dir, "`directory` to remove from; another one is not made known to systemd")
	must(cmd.MarkFlagDirname("dir"))
	return cmd
}

// uninstall removes services, by their containers' names or their own.
func (a *app) uninstall(ctx context.Context, names []string, dir string) error {
	containers := make([]string, len(names))
	for i, name := range names {
		containers[i] = strings.TrimSuffix(strings.TrimPrefix(name, "sdcontainer@"), ".service")
	}
	removed, err := unitgen.Remove(ctx, dir, containers...)
	for _, path := range removed {
		err = errors.Join(err, a.println(path))
	}
	return err
}

// notInstalledHint says what ends a service that has no unit file.
func notInstalledHint(e *unitgen.NotInstalledError) string {
	hint := "sdcontainer unit install makes one"
	if e.Dir == unitgen.Dir && configs.CheckName(e.Name) == nil {
		hint += "; without one, systemctl disable --now " + unitgen.Instance(e.Name) + " ends it and keeps it from starting"
	}
	return hint
}

func completeInstalled(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	found, _ := filepath.Glob(filepath.Join(unitgen.Dir, "sdcontainer@?*.service*")) // the pattern is a good one
	var all []string
	for _, path := range found {
		name, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(path), "sdcontainer@"), ".service")
		all = append(all, name)
	}
	return all, noFiles
}
