// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
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

// uninstall removes services, and has systemd read once what is left.
func (a *app) uninstall(ctx context.Context, names []string, dir string) error {
	var errs []error
	reload := false
	for _, name := range names {
		name = strings.TrimSuffix(strings.TrimPrefix(name, "sdcontainer@"), ".service")
		files, err := installed(ctx, dir, name)
		if err == nil && dir == unitgen.Dir {
			reload = true
			err = retire(ctx, serviceName(name), len(files) > 0)
		}
		if err == nil {
			// Order: the files last: as long as they are there, the same again does what was left out.
			err = a.removeUnits(files)
		}
		errs = append(errs, err)
	}
	if reload {
		errs = append(errs, systemctl(ctx, "daemon-reload"))
	}
	return errors.Join(errs...)
}

// installed are the unit files of a container. There may be none of one whose removal was
// interrupted before systemd knew of it.
func installed(ctx context.Context, dir, name string) ([]string, error) {
	var files []string
	unit, dropIn := unitPaths(dir, name)
	if !strings.Contains(name, "/") {
		for _, path := range []string{unit, dropIn} {
			if fileExists(path) {
				files = append(files, path)
			}
		}
		if len(files) > 0 || dir == unitgen.Dir && remembered(ctx, serviceName(name), unit, dropIn) {
			return files, nil
		}
	}
	hint := "sdcontainer unit install makes one"
	if dir == unitgen.Dir && configs.CheckName(name) == nil {
		hint += "; without one, systemctl disable --now " + serviceName(name) + " ends it and keeps it from starting"
	}
	return nil, hinted{fmt.Errorf("%s: no unit file of it in %s", name, dir), hint}
}

// retire stops and disables a service, without a reload: there is one when its files are gone.
func retire(ctx context.Context, unit string, files bool) error {
	args := []string{"--no-reload", "disable", "--now", unit}
	if !files { // then it is disabled
		args = []string{"stop", unit}
	}
	if err := systemctl(ctx, args...); err != nil {
		return err
	}
	if err := forgetChanges(unit); err != nil {
		return err
	}
	_ = systemctl(ctx, "reset-failed", unit) // it need not have failed
	return nil
}

func (a *app) removeUnits(files []string) error {
	for _, path := range files {
		if err := removeUnit(path); err != nil {
			return err
		}
		if err := a.println(path); err != nil {
			return err
		}
	}
	return nil
}

// removeUnit removes a file of ours, and its directory if that is empty then.
func removeUnit(path string) error {
	if err := checkOurs(path); err != nil {
		return err
	}
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && filepath.Base(path) == unitgen.TemplateDropIn {
		_ = os.Remove(filepath.Dir(path)) // others may have drop-ins in it
	}
	return err
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
