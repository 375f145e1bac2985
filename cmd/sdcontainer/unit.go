// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/spf13/cobra"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/journal"
	"github.com/sdcontainer/sdcontainer/unitgen"
)

const madeByUs = "# Made by sdcontainer "

// templateDirs are where systemd finds shipped units.
var templateDirs = []string{unitgen.Dir, "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"}

// serviceName is the unit of a container that runs as a service.
func serviceName(name string) string { return "sdcontainer@" + name + ".service" }

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

For a configuration in ` + unitgen.ConfigDir + `, install writes only a drop-in of the shipped
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
	spec, err := loadConfig(file)
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
	if dropIn {
		return unitgen.DropIn(g.spec, g.settings, g.options)
	}
	return unitgen.Service(g.spec, g.settings, g.options)
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

Without it, an instance of the shipped template gets its limits when it starts, as by
set-property --runtime. systemd keeps these until a reboot, even one that the
configuration no longer has. What systemd has to know before, like the stop signal or
Restart=, makes the start fail there, or with systemd.strict = false a warning.`,
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
	name := g.settings.Name
	if o.enable && !wanted(g.settings) {
		return hinted{fmt.Errorf("%s: nothing to enable: its systemd.wanted_by is empty", file), "leave out --enable"}
	}
	dropIn := g.settings.Source == filepath.Join(unitgen.ConfigDir, name+".toml") && templateInstalled()
	text, err := g.text(dropIn)
	if err != nil {
		return err
	}
	path, other := unitPaths(o.dir, name)
	if dropIn {
		path, other = other, path
	}
	if err := writeUnit(path, text); err != nil {
		return err
	}
	if err := removeUnit(other); err != nil { // the configuration has moved
		return err
	}
	if err := a.println(path); err != nil || o.dir != unitgen.Dir {
		return err
	}
	return a.activate(ctx, serviceName(name), o)
}

// wanted says whether there is something that wants a container's unit, by default or by its configuration.
func wanted(s configs.Settings) bool {
	for _, units := range s.Install {
		if len(units) > 0 {
			return true
		}
	}
	return len(s.Install) == 0
}

// unitPaths are where a container's unit and its drop-in are.
func unitPaths(dir, name string) (unit, dropIn string) {
	return filepath.Join(dir, serviceName(name)), filepath.Join(dir, serviceName(name)+".d", unitgen.TemplateDropIn)
}

func templateInstalled() bool {
	for _, dir := range templateDirs {
		if fileExists(filepath.Join(dir, unitgen.Template)) {
			return true
		}
	}
	return false
}

// activate has systemd read the unit and do with it what the flags say.
func (a *app) activate(ctx context.Context, unit string, o installOptions) error {
	if err := forgetChanges(unit); err != nil {
		return err
	}
	if err := systemctl(ctx, "daemon-reload"); err != nil {
		return err
	}
	began := time.Now()
	var todo []string
	for _, step := range []struct {
		wanted bool
		verb   string
	}{{o.enable, "enable"}, {o.now, "start"}} {
		if !step.wanted {
			todo = append(todo, step.verb)
			continue
		}
		if err := systemctl(ctx, step.verb, unit); err != nil {
			return errors.Join(append([]error{err}, complaints(ctx, unit, began)...)...)
		}
	}
	if len(todo) > 0 && isTerminal(a.stderr) {
		fmt.Fprintf(a.stderr, "%s\n", paint(a.stderr, dim, "next: systemctl "+strings.Join(todo, "|")+" "+unit))
	}
	return nil
}

// forgetChanges removes what was set on a unit while it ran, and would meet its next start until a
// reboot; systemd has to read its units then.
func forgetChanges(unit string) error {
	return os.RemoveAll(filepath.Join(unitgen.ControlDir, unit+".d"))
}

// complaints are what a unit wrote since it began to fail: systemctl only says where to look.
func complaints(ctx context.Context, unit string, since time.Time) (errs []error) {
	_ = syncJournal(ctx) // without, what the journal has
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

func systemctl(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(ctx, "systemctl", args...).CombinedOutput()
	if err == nil {
		return nil
	}
	text, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if text == "" {
		text = err.Error()
	}
	return fmt.Errorf("systemctl %s: %s", strings.Join(args, " "), text)
}

// writeUnit puts a file there whole or not at all, and never over one that is not ours.
func writeUnit(path, text string) error {
	if err := checkOurs(path); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".sdcontainer-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.WriteString(text)
	if err := errors.Join(err, tmp.Chmod(0o644), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// checkOurs refuses a file that somebody else wrote.
func checkOurs(path string) error {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && strings.HasPrefix(string(b), madeByUs) {
		return nil
	}
	if err != nil {
		return err
	}
	return hinted{fmt.Errorf("%s: not made by sdcontainer", path), "move it away first"}
}
