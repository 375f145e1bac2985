// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer"
	"github.com/sdcontainer/sdcontainer/configs"
)

type execOptions struct {
	terminal, interactive bool

	user, cwd string
	env       []string
}

func (a *app) exec() *cobra.Command {
	var o execOptions
	cmd := &cobra.Command{
		Use:   "exec [flags] NAME COMMAND [ARG...]",
		Short: "Run a command in a running container",
		Long: `Runs a command in all namespaces and the cgroup of a running container, with the
limits, capabilities and filter its own process has, and the priorities that
[process] gives that; where only directives of a service do, as Nice=, the command has
those of its caller. What it leaves behind and still writes to the terminal is shown
for a minute at most, or until ^C. Pipes can be opened by name, as those of run.

The exit status is the command's; 128+n when signal n ended it; 124 when what
sdcontainer waited for did not come in time, 125 when it failed otherwise, 126 when
the command cannot be executed, 127 when it is not there.`,
		Example: `  sdcontainer exec web nginx -t
  sdcontainer exec -t web sh
  sdcontainer exec -u www-data -e LANG=C web id
  sdcontainer exec -i web sh -c 'cat >/tmp/in' <in`,
		ValidArgsFunction: a.completeFirst,
		Args:              arguments(2, -1, "NAME COMMAND [ARG...]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(); err != nil {
				return err
			}
			a.rt.PrepareExec()
			c, err := a.load(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.execIn(cmd.Context(), c, o.process(args[1:]), o)
		},
	}
	f := cmd.Flags()
	f.SetInterspersed(false)
	addStdioFlags(f, "command", &o.terminal, &o.interactive)
	f.StringVarP(&o.user, "user", "u", "", "`user[:group]`, by name or number, of the container")
	f.StringVarP(&o.cwd, "workdir", "w", "", "working `directory`")
	f.StringArrayVarP(&o.env, "env", "e", nil, "`NAME=VALUE` added to the environment; NAME alone takes ours")
	must(cmd.RegisterFlagCompletionFunc("workdir", cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault)))
	return cmd
}

// check refuses what makes no sense in any container, as run does.
func (o execOptions) check() error {
	if o.cwd != "" && !path.IsAbs(o.cwd) {
		return usage("--workdir %q: want an absolute path", o.cwd)
	}
	for _, e := range o.env {
		if err := checkVariable(e); err != nil {
			return usage("--env %q: %w", e, err)
		}
	}
	return nil
}

// process is what the flags say; the library fills in the container's own for the rest.
func (o execOptions) process(args []string) *specs.Process {
	return &specs.Process{Args: args, Cwd: o.cwd, Terminal: o.terminal, Env: environment(o.env),
		User: specs.User{Username: o.user}}
}

// checkVariable refuses an --env without a name, or one that cannot be one.
func checkVariable(text string) error {
	name, _, _ := strings.Cut(text, "=")
	if !configs.IsVariable(name) {
		return errors.New("want NAME=VALUE or NAME, the name without spaces and control characters")
	}
	return nil
}

// environment is what --env flags say: NAME=VALUE, or NAME for the value it has here. Of one name the last counts.
func environment(flags []string) []string {
	var env []string
	for _, e := range flags {
		name, _, ok := strings.Cut(e, "=")
		if !ok {
			v, have := os.LookupEnv(name)
			if !have {
				continue
			}
			e = name + "=" + v
		}
		env = slices.DeleteFunc(env, func(kv string) bool { return strings.HasPrefix(kv, name+"=") })
		env = append(env, e)
	}
	return env
}

func (a *app) execIn(ctx context.Context, c *sdcontainer.Container, spec *specs.Process, o execOptions) error {
	s := &streams{}
	if !o.terminal {
		var err error
		if s, err = a.pipes(o.interactive); err != nil {
			return err
		}
	}
	defer s.restore()
	sigs := catch(o.terminal)
	var p *sdcontainer.Process
	var err error
	sig, called := sigs.callable(ctx, func(ctx context.Context) {
		p, err = c.Exec(ctx, spec, sdcontainer.ExecOptions{Stdin: s.in, Stdout: s.out, Stderr: s.err, Terminal: o.terminal})
		s.started()
	})
	if err != nil && called {
		return fmt.Errorf("%s: %w", c.ID(), sig)
	}
	if err != nil {
		return commandHint(err, spec.Args)
	}
	if p.Terminal != nil {
		if err := a.attach(s, p.Terminal); err != nil {
			_ = p.Signal(unix.SIGKILL) // nobody can use it
			return err
		}
	}
	if called {
		_ = p.Signal(sig.sig) // too late to call it off
	}
	s.resize() // the size may have changed while nobody looked
	sigs.catchRest()
	sigs.hand(func(sig unix.Signal) {
		if !s.handle(sig) {
			_ = p.Signal(sig) // it may just have ended
		}
	})
	exit, err := p.Wait(ctx)
	s.finish()
	a.code = exit.Code
	return err
}
