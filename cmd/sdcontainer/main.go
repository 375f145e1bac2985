// SPDX-License-Identifier: Apache-2.0

// Sdcontainer runs containers as systemd units.
//
// The command is a thin layer over the library at the module root: one file for a
// verb or two of a kind parses flags, calls the library and prints. Its own is what it
// does for people: examining the machine (doctor), and saying why a service did not start
// or how it ended.
package main

//go:generate go test -count=1 -run=^TestManPages$ -update .

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer"
	"github.com/sdcontainer/sdcontainer/unitgen"
)

func main() {
	if secure() {
		fmt.Fprintln(os.Stderr, "sdcontainer: refuses to run with more rights than its caller has (remove set-user-ID, set-group-ID and file capabilities)")
		os.Exit(exitEngine)
	}
	os.Exit(newApp(os.Stdin, os.Stdout, os.Stderr).main(context.Background(), os.Args[1:]))
}

const atSecure = 23 // AT_SECURE

// secure says whether the kernel gave this process other rights than its caller's (AT_SECURE, getauxval(3)): what
// it does is for who is root, and its arguments and environment come from the caller.
func secure() bool {
	if os.Getuid() != os.Geteuid() || os.Getgid() != os.Getegid() {
		return true
	}
	vector, err := unix.Auxv()
	// Of root it only says that a security module made a transition.
	return os.Getuid() != 0 && (err != nil || slices.ContainsFunc(vector, func(v [2]uintptr) bool { return v[0] == atSecure && v[1] != 0 }))
}

// An app is one invocation of the command.
type app struct {
	stdin          *os.File
	stdout, stderr *os.File
	rt             sdcontainer.Runtime
	// verb is the one that was called, for messages.
	verb  string
	began time.Time
	// code is the exit status when the verb itself succeeded.
	code int
}

func newApp(stdin, stdout, stderr *os.File) *app {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr, began: time.Now()}
	a.rt = sdcontainer.Runtime{Dir: sdcontainer.DefaultDir, Warn: a.warn}
	return a
}

// A verb is one subcommand. Only the one that is called is built: help,
// completion and unknown words build them all.
type verb struct {
	name    string
	aliases []string
	group   string
	build   func(*app) *cobra.Command
}

func (v verb) command(a *app) *cobra.Command {
	cmd := v.build(a)
	cmd.Aliases = v.aliases
	return cmd
}

const (
	groupRun   = "run"
	groupLook  = "look"
	groupUnits = "units"
	groupOther = "other"
)

func verbs() []verb {
	return []verb{
		{"run", nil, groupRun, (*app).run},
		{"exec", nil, groupRun, (*app).exec},
		{"stop", nil, groupRun, (*app).stop},
		{"kill", nil, groupRun, (*app).kill},
		{"wait", nil, groupRun, (*app).wait},
		{"pause", nil, groupRun, (*app).pause},
		{"resume", []string{"unpause"}, groupRun, (*app).resume},
		{"update", nil, groupRun, (*app).update},
		{"rm", []string{"delete"}, groupRun, (*app).rm},
		{"ps", []string{"ls", "list"}, groupLook, (*app).ps},
		{"top", nil, groupLook, (*app).top},
		{"logs", nil, groupLook, (*app).logs},
		{"stats", nil, groupLook, (*app).stats},
		{"inspect", nil, groupLook, (*app).inspect},
		{"check", nil, groupUnits, (*app).check},
		{"explain", nil, groupUnits, (*app).explain},
		{"unit", nil, groupUnits, (*app).unit},
		{"doctor", nil, groupOther, (*app).doctor},
		{"version", nil, groupOther, (*app).version},
	}
}

// main runs one command line and returns the exit status.
func (a *app) main(ctx context.Context, args []string) int {
	switch {
	case len(args) == 2 && args[0] == "cleanup": // as unit files have it
		return a.cleanup(ctx, args[1])
	case len(args) == 2 && args[0] == "prestop":
		return a.prestop(ctx, args[1])
	case len(args) == 4 && args[0] == "cleanup" && args[1] == "--run-dir": // as keepers do
		a.rt.Dir = args[2]
		return a.cleanup(ctx, args[3])
	}
	root := a.root(args)
	if _, one := called(args); !one {
		strict(root)
	}
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return a.code
	}
	a.verb = verbName(cmd)
	return a.fail(cmd, err)
}

// root is the command with the verb that args call, or with every verb.
func (a *app) root(args []string) *cobra.Command {
	root := &cobra.Command{
		Use:               "sdcontainer",
		Short:             "Run containers as systemd units",
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,
		Args:              unknownVerb,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.PersistentFlags().StringVar(&a.rt.Dir, "run-dir", a.rt.Dir, "`directory` of the containers' records")
	root.CompletionOptions.SetDefaultShellCompDirective(noFiles) // most flags take no path
	must(root.MarkPersistentFlagDirname("run-dir"))
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{inWords(err)} })
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error { return excluded(cmd) }
	if v, ok := called(args); ok {
		root.CompletionOptions.DisableDefaultCmd = true
		root.AddCommand(v.command(a))
		return root
	}
	a.addAll(root)
	if len(args) > 0 && args[0] == cobra.ShellCompRequestCmd {
		plainUsages(root)
	}
	return root
}

// strict makes cobra's own verbs refuse what they do not know, where they show some help and say that all is well, and
// puts what they say of themselves in our words.
func strict(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case "help":
			cmd.Short, cmd.Long = "Show the help of a verb", "Shows what a verb does, with its flags and examples."
			cmd.Args = func(_ *cobra.Command, args []string) error {
				if _, rest, err := root.Find(args); err != nil || len(rest) > 0 {
					return unknownVerb(root, []string{strings.Join(args, " ")})
				}
				return nil
			}
		case "completion":
			describeCompletion(cmd)
			cmd.Args = func(_ *cobra.Command, args []string) error {
				const want = "want bash, fish, powershell or zsh"
				if len(args) > 0 {
					return usage("%q: %s", args[0], want)
				}
				return usage(want)
			}
			cmd.RunE = func(*cobra.Command, []string) error { return nil }
			for _, shell := range cmd.Commands() {
				shell.Args = arguments(0, 0, "no arguments")
			}
		}
	}
}

// unknownVerb refuses a word that is no verb.
func unknownVerb(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := usage("unknown verb %q", args[0])
	if use, ok := foreignVerbs()[args[0]]; ok {
		return hinted{err, use}
	}
	root.SuggestionsMinimumDistance = min(2, max(1, len(args[0])/3)) // three letters with two others are another word
	if near := root.SuggestionsFor(args[0]); len(near) > 0 {
		return hinted{err, "did you mean " + strings.Join(near, " or ") + "?"}
	}
	return err
}

// foreignVerbs are those of other tools, with what to use here.
func foreignVerbs() map[string]string {
	return map[string]string{
		"start": "sdcontainer run FILE, or systemctl start sdcontainer@NAME", "create": "sdcontainer run FILE creates and starts",
		"restart": "systemctl restart sdcontainer@NAME", "status": "sdcontainer ps, sdcontainer inspect NAME, or systemctl status UNIT",
		"state": "sdcontainer inspect NAME", "show": "sdcontainer inspect NAME", "info": "sdcontainer doctor",
		"attach": "sdcontainer logs -f NAME, or sdcontainer exec -it NAME CMD", "shell": "sdcontainer exec -it NAME CMD",
		"enter": "sdcontainer exec -it NAME CMD", "login": "sdcontainer exec -it NAME CMD",
		"enable": "sdcontainer unit install --enable FILE", "disable": "sdcontainer unit rm NAME",
		"freeze": "sdcontainer pause NAME", "thaw": "sdcontainer resume NAME", "remove": "sdcontainer rm NAME",
		"destroy": "sdcontainer rm NAME", "terminate": "sdcontainer stop NAME",
		"validate": "sdcontainer check FILE", "verify": "sdcontainer check FILE",
	}
}

// called is the verb that args name first, if they name one.
func called(args []string) (verb, bool) {
	for len(args) >= 2 && args[0] == "--run-dir" {
		args = args[2:]
	}
	if len(args) == 0 {
		return verb{}, false
	}
	for _, v := range verbs() {
		if v.name == args[0] || slices.Contains(v.aliases, args[0]) {
			return v, true
		}
	}
	return verb{}, false
}

func (a *app) addAll(root *cobra.Command) {
	root.Long = rootLong + "\n\nExit status. " + exitStatuses
	root.Version = versionOf().String()
	root.Flags().BoolP("version", "v", false, "print the version")
	root.SetVersionTemplate("{{.Version}}\n")
	root.AddGroup(
		&cobra.Group{ID: groupRun, Title: "Run and control:"},
		&cobra.Group{ID: groupLook, Title: "Look:"},
		&cobra.Group{ID: groupUnits, Title: "Configurations and services:"},
		&cobra.Group{ID: groupOther, Title: "Other:"})
	for _, v := range verbs() {
		cmd := v.command(a)
		cmd.GroupID = v.group
		root.AddCommand(cmd)
	}
	root.SetHelpCommandGroupID(groupOther)
	root.SetCompletionCommandGroupID(groupOther)
}

const rootLong = `sdcontainer runs containers as systemd units: each is a scope or a service that
systemctl shows, limits and stops, with its output in the journal.

A container is described by a few lines of TOML:

    version = 1
    [rootfs]
    path = "/var/lib/machines/busybox"
    [process]
    args = ["/bin/sh", "-c", "echo hello from $(hostname)"]`

const exitStatuses = `Of run and exec: that of the payload, 128+n when signal n ended it,
125 when sdcontainer failed, 126 when the program cannot be executed, 127 when it is
not there. Of wait: the first that is not 0; 125 when one is not known or sdcontainer
failed. Of other verbs: 0, 1 after a failure or when check or doctor found an error,
2 for a command line that makes no sense. Of all: 124 when what sdcontainer waited
for (systemd, another command, a filesystem, a process) did not come in time.`

// verbName is the command's path below the root: "unit install".
func verbName(cmd *cobra.Command) string {
	_, name, _ := strings.Cut(cmd.CommandPath(), " ")
	return name
}

// cleanup is what the keeper and ExecStopPost= execute when a container has
// ended: --run-dir alone, which main takes, no help, nothing of cobra.
func (a *app) cleanup(ctx context.Context, id string) int {
	a.verb = "cleanup"
	if err := a.rt.Cleanup(ctx, id); err != nil {
		return a.fail(nil, err)
	}
	return 0
}

// prestop is what ExecStop= executes, as lean as cleanup.
func (a *app) prestop(ctx context.Context, id string) int {
	a.verb = "prestop"
	if err := a.rt.PreStop(ctx, id); err != nil {
		return a.fail(nil, err)
	}
	return 0
}

// load finds a container by its name or its unit's.
func (a *app) load(ctx context.Context, name string) (*sdcontainer.Container, error) {
	id := cmp.Or(unitgen.InstanceName(name), name)
	c, err := a.rt.Load(id)
	if err == nil && id != name {
		err = inUnit(c, name)
	}
	if err == nil || !errors.Is(err, sdcontainer.ErrNotExist) {
		return c, err
	}
	if other, err := a.rt.LoadUnit(name); err == nil { // a record that cannot be read is not the one
		return other, nil
	}
	if hint := serviceHint(ctx, id); hint != "" {
		err = hinted{err, hint}
	}
	return nil, err
}

// inUnit returns ErrNotExist of a container in another unit: a service and a scope may have had the same name.
func inUnit(c *sdcontainer.Container, unit string) error {
	if st, err := c.State(); err == nil && st.Unit != unit { // without its state it is told by the verb
		return &sdcontainer.Error{Op: "load", ID: unit, Err: sdcontainer.ErrNotExist}
	}
	return nil
}

// each calls f for every named container and joins the errors, so that one that
// fails keeps nobody from the rest.
func (a *app) each(ctx context.Context, names []string, f func(*sdcontainer.Container) error) error {
	var errs []error
	for _, name := range names {
		c, err := a.load(ctx, name)
		if err == nil {
			err = f(c)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// errNothing says there was nothing to do: no failure, and no name to print.
var errNothing = errors.New("nothing to do")

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
		switch {
		case err == nil:
			err = a.println(name)
		case errors.Is(err, errNothing):
			err = nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// control does something to all named containers, as together does it.
func (a *app) control(ctx context.Context, names []string, f func(*sdcontainer.Container) error) error {
	return a.together(names, func(name string) error {
		c, err := a.load(ctx, name)
		if err != nil {
			return err
		}
		return f(c)
	})
}

// println writes a line of data.
func (a *app) println(s string) error {
	_, err := io.WriteString(a.stdout, a.escape(s)+"\n")
	return err
}
