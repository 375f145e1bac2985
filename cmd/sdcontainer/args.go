// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sdcontainer/sdcontainer/configs"
)

// arguments checks the number of arguments; most < 0 is any number.
func arguments(least, most int, want string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return usage("want %s", want)
		case most >= 0 && len(args) > most:
			return usage("%q is too much: want %s", args[most], want)
		}
		return nil
	}
}

// names is for verbs that take containers.
func names(least int) cobra.PositionalArgs { return arguments(least, -1, "the name of a container") }

// alias makes flags known by other tools' names for them too.
func alias(flags *pflag.FlagSet, names map[string]string) {
	flags.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if ours, ok := names[name]; ok {
			name = ours
		}
		return pflag.NormalizedName(name)
	})
}

// exclusive is where cobra notes the flags that exclude each other, by which it also completes them.
const exclusive = "cobra_annotation_mutually_exclusive"

// excluded refuses flags that exclude each other, before cobra does, whose error is none of usage and names groups.
func excluded(cmd *cobra.Command) (err error) {
	given := map[string]string{}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		for _, group := range f.Annotations[exclusive] {
			if first := given[group]; first != "" && err == nil {
				err = usage("--%s excludes --%s", first, f.Name)
			}
			given[group] = f.Name
		}
	})
	return err
}

// inWords is the error of a flag without the names of the functions that read it.
func inWords(err error) error {
	var invalid *pflag.InvalidValueError
	var number *strconv.NumError
	if !errors.As(err, &invalid) || !errors.As(err, &number) {
		return err
	}
	want := "a whole number"
	if invalid.GetFlag().Value.Type() == "bool" {
		want = "true or false"
	}
	return fmt.Errorf("--%s %q: want %s", invalid.GetFlag().Name, invalid.GetValue(), want)
}

// addStdioFlags adds what connects our input and terminal with the one who runs.
func addStdioFlags(flags *pflag.FlagSet, who string, terminal, interactive *bool) {
	flags.BoolVarP(terminal, "terminal", "t", false, "give the "+who+" a terminal, connected to ours")
	flags.BoolVarP(interactive, "interactive", "i", false, "give the "+who+" our standard input")
	alias(flags, map[string]string{"tty": "terminal"}) // podman's
}

// plainUsages takes the quotes out of what flags say, which mark the value's name for help and the
// manual: a shell shows the text as it is.
func plainUsages(cmd *cobra.Command) {
	plain := func(f *pflag.Flag) { f.Usage = strings.ReplaceAll(f.Usage, "`", "") }
	cmd.PersistentFlags().VisitAll(plain)
	cmd.Flags().VisitAll(plain)
	for _, sub := range cmd.Commands() {
		plainUsages(sub)
	}
}

// describeCompletion says what cobra's verb for the shell prints, and where that goes.
func describeCompletion(cmd *cobra.Command) {
	cmd.Short = "Print the completion script of a shell"
	cmd.Long = "Prints the script that makes a shell complete verbs, flags, and names of containers\nand configurations."
	for _, shell := range cmd.Commands() {
		name := shell.Name()
		shell.Short = "Print the completion script of " + name
		shell.Long = "Prints the completion script of " + name + ". " + map[string]string{
			"bash": "With the package bash-completion, for this shell\nand for every new one:\n\n" +
				"    source <(sdcontainer completion bash)\n    sdcontainer completion bash >/etc/bash_completion.d/sdcontainer",
			"fish": "For this shell and for every new one:\n\n" +
				"    sdcontainer completion fish | source\n    sdcontainer completion fish >~/.config/fish/completions/sdcontainer.fish",
			"powershell": "For this shell; a profile\nhas the same line:\n\n" +
				"    sdcontainer completion powershell | Out-String | Invoke-Expression",
			"zsh": "After compinit, for this shell and for every\nnew one:\n\n" +
				"    source <(sdcontainer completion zsh)\n    sdcontainer completion zsh >\"${fpath[1]}/_sdcontainer\"",
		}[name]
		if f := shell.Flags().Lookup("no-descriptions"); f != nil {
			f.Usage = "leave out what each word means"
		}
	}
}

const noFiles = cobra.ShellCompDirectiveNoFileComp

// containers lists the names there are, from the directory alone: the shell waits.
func (a *app) containers() []string {
	entries, err := os.ReadDir(a.rt.Dir)
	if err != nil {
		return nil
	}
	var all []string
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			all = append(all, e.Name())
		}
	}
	return all
}

// completeNames offers the containers that are not on the line yet.
func (a *app) completeNames(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	left := slices.DeleteFunc(a.containers(), func(n string) bool { return slices.Contains(args, n) })
	return left, noFiles
}

// completeFirst offers containers for the first argument and files after it.
func (a *app) completeFirst(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return a.completeNames(cmd, args, word)
}

// completeOne offers containers for the only argument.
func (a *app) completeOne(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, noFiles
	}
	return a.completeNames(cmd, args, word)
}

// completeConfigs offers the configurations in /etc by name, and files.
func (a *app) completeConfigs(_ *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return configNames(word), cobra.ShellCompDirectiveDefault
}

func configNames(word string) []string {
	if strings.Contains(word, "/") {
		return nil
	}
	files, _ := filepath.Glob(filepath.Join(configs.Dir, "*.toml")) // the pattern is a good one
	for i, f := range files {
		files[i] = strings.TrimSuffix(filepath.Base(f), ".toml")
	}
	return files
}

// completeFiles offers configurations for every argument.
func (a *app) completeFiles(_ *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
	return configNames(word), cobra.ShellCompDirectiveDefault
}
