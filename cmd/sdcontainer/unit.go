// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/spf13/cobra"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/journal"
	"github.com/sdcontainer/sdcontainer/unitgen"
)

func (a *app) unit() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "unit",
		Short: "Run containers as systemd services",
		Long: `Makes the systemd service of a configuration: sdcontainer@NAME.service. Its main
process is the payload itself; its limits are directives of the unit.

systemctl stop and restart send the stop signal and wait as for any service. Only a
payload that is pid 1 of its namespace and has no handler for the signal, which
would never hear it, is ended at once; systemd then reports SIGINT, and success. One
that is paused is best stopped with sdcontainer stop: systemd 257 refuses to stop
what is frozen, 252 thaws it.

For a configuration in ` + configs.Dir + `, install writes only a drop-in of the shipped
template; one elsewhere gets a unit file of its own, under the same name.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage("%q: want generate, install or rm", args[0])
			}
			return usage("want generate, install or rm")
		},
		RunE: func(*cobra.Command, []string) error { return nil },
	}
	cmd.AddCommand(a.unitGenerate(), a.unitInstall(), a.unitRemove())
	return cmd
}

func (a *app) unitGenerate() *cobra.Command {
	var dropIn bool
	var version int
	cmd := &cobra.Command{
		Use:   "generate [flags] FILE",
		Short: "Print the unit file of a configuration",
		Long: `Prints the whole service, or with --drop-in what unit install writes beside the
shipped template. Nothing is written, and systemd is asked for its version only; with
--systemd not even for that. The service's ExecStart= is the sdcontainer that was
called.`,
		Example: `  sdcontainer unit generate web.toml
  sdcontainer unit generate --systemd 257 web.toml >web.service`,
		ValidArgsFunction: a.completeFiles,
		Args:              arguments(1, 1, "one configuration"),
		RunE: func(cmd *cobra.Command, args []string) error {
			g, err := loadUnit(cmd.Context(), args[0], version)
			if err != nil {
				return err
			}
			text, err := g.text(dropIn)
			if err != nil {
				return err
			}
			_, err = a.stdout.WriteString(a.escapeLines(text))
			return err
		},
	}
	cmd.Flags().BoolVar(&dropIn, "drop-in", false, "print the drop-in for the instance of "+unitgen.Template)
	cmd.Flags().IntVar(&version, "systemd", 0, "for this `version` of systemd (default: the running one)")
	return cmd
}

// A generated unit is one in the making.
type generated struct {
	spec     *specs.Spec
	settings configs.Settings
	options  unitgen.Options
}

func loadUnit(ctx context.Context, file string, version int) (*generated, error) {
	spec, err := loadConfig(file, configs.LoadOptions{})
	if err != nil {
		return nil, err
	}
	s, err := configs.SettingsOf(spec)
	if err != nil {
		return nil, err
	}
	o, err := unitOptions(ctx, version)
	return &generated{spec, s, o}, err
}

// unitOptions is for units that run this program, with that systemd or with the running one.
func unitOptions(ctx context.Context, version int) (o unitgen.Options, err error) {
	o.Version = version
	if version == 0 {
		o.Version = runningSystemd(ctx)
		o.Running = o.Version != 0
	}
	o.Binary, err = os.Executable()
	return o, err
}

func (g *generated) text(dropIn bool) (string, error) {
	write := unitgen.Service
	if dropIn {
		write = unitgen.DropIn
	}
	text, err := write(g.spec, g.settings, g.options)
	return text, placeHint(err, g.spec)
}

type installOptions struct {
	enable, now bool

	dir string
}

func (a *app) unitInstall() *cobra.Command {
	var o installOptions
	cmd := &cobra.Command{
		Use:   "install [flags] FILE",
		Short: "Write the unit file of a configuration",
		Long: `Writes the unit file of a configuration and has systemd read it. With --enable
it starts at boot; with --now it starts at once.

What is installed is a snapshot: run it again after a change of the configuration.
What update or systemctl set-property --runtime changed meanwhile is undone.

Without it, an instance of the shipped template gets its limits at each start, as by
set-property --runtime; systemd keeps them until a reboot, even one that the
configuration has no longer. Drop-ins of systemctl edit win over them. A setting that
systemd must know before the start, such as the stop signal or Restart=, makes the
start fail, or with systemd.strict = false is a warning.`,
		Example: `  sdcontainer unit install /etc/sdcontainer/web.toml
  sdcontainer unit install --enable --now web`,
		ValidArgsFunction: a.completeConfigs,
		Args:              arguments(1, 1, "one configuration"),
		RunE:              func(cmd *cobra.Command, args []string) error { return a.install(cmd.Context(), args[0], o) },
	}
	cmd.Flags().BoolVar(&o.enable, "enable", false, "start it at boot")
	cmd.Flags().BoolVar(&o.now, "now", false, "start it at once")
	cmd.Flags().StringVar(&o.dir, "dir", unitgen.Dir, "`directory` to write to; another one is not made known to systemd")
	must(cmd.MarkFlagDirname("dir"))
	return cmd
}

func (a *app) install(ctx context.Context, file string, o installOptions) error {
	g, err := loadUnit(ctx, file, 0)
	if err != nil {
		return err
	}
	if o.enable && !unitgen.Wanted(g.settings) {
		return hinted{fmt.Errorf("%s: nothing to enable: its systemd.wanted_by is empty", file), "leave out --enable"}
	}
	if o.dir = filepath.Clean(o.dir); o.dir != unitgen.Dir && (o.enable || o.now) {
		return usage("--dir %s: systemd does not know what is there, and --enable and --now would have no effect", o.dir)
	}
	path, err := unitgen.Install(ctx, o.dir, g.spec, g.settings, g.options)
	if path != "" {
		err = errors.Join(a.println(path), err)
	}
	err = placeHint(err, g.spec)
	if err != nil || o.dir != unitgen.Dir {
		return err
	}
	return a.activate(ctx, g.settings.Name, o)
}

// activate has systemd do with a service what the flags say.
func (a *app) activate(ctx context.Context, name string, o installOptions) error {
	unit := unitgen.Instance(name)
	began := time.Now()
	var todo []string
	for _, step := range []struct {
		wanted bool
		verb   string
		do     func(context.Context, string) error
	}{{o.enable, "enable", unitgen.Enable}, {o.now, "start", unitgen.Start}} {
		if !step.wanted {
			todo = append(todo, step.verb)
			continue
		}
		if err := step.do(ctx, name); err != nil {
			return errors.Join(append([]error{err}, complaints(ctx, unit, began)...)...)
		}
	}
	if len(todo) > 0 && isTerminal(a.stderr) {
		fmt.Fprintf(a.stderr, "%s\n", paint(a.stderr, dim, "next: systemctl "+strings.Join(todo, "|")+" "+unit))
	}
	return nil
}

// complaints are what a unit wrote since it began to fail: systemctl only says where to look.
func complaints(ctx context.Context, unit string, since time.Time) (errs []error) {
	_ = journal.Sync(ctx) // without, what the journal has
	q := journal.Query{Match: []string{"_SYSTEMD_UNIT=" + unit}, Since: fmt.Sprintf("@%d", since.Unix())}
	for e, err := range journal.Read(ctx, q) {
		if err != nil {
			return errs
		}
		errs = append(errs, fmt.Errorf("%s: %s", unit, e.Message()))
	}
	const enough = 5
	return errs[max(0, len(errs)-enough):]
}
