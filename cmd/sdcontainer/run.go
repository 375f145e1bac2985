// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer"
	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/unitgen"
)

type runOptions struct {
	detach, terminal, interactive, remove, replace, unit, lenient bool

	name, rootfs string
	settings     []configs.Setting
}

func (a *app) run() *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run [flags] FILE [COMMAND [ARG...]]\n  sdcontainer run [flags] --rootfs DIR -- COMMAND [ARG...]",
		Short: "Start a container and wait for it",
		Long: `Starts a container and waits for it, or with -d returns once it runs.

FILE is a TOML configuration. A bare name such as web is
` + configs.Dir + `/web.toml, where that exists; web.toml is first the file in the
working directory. COMMAND replaces process.args, which the configuration need not
have then.

Flags that are keys of the TOML, as --memory is resources.memory.max, take what the
key takes and are laid over the configuration, with nothing in them expanded; lists
and mounts are added to its own.

With -t and a standard input that is no terminal, what comes is typed, and ^D at its
end; a program that reads keys may miss that.

A pipe of the shell's, or of ours at a terminal, can be opened by the payload as
/dev/stdin, to read, or /dev/stdout and /dev/stderr, to write: its mode allows that to
everybody who has it then. What has a name, as files and named pipes have, keeps owner
and mode, and so do sockets and devices.

In the foreground signals are forwarded to the payload. As process 1 of its
namespace it ignores those that it has no handler for; with process.init it is
another that is process 1. At a terminal a third ^C in a row kills it.

Its exit status becomes ours: its own code, 128+n when signal n ended it, 124 when
what sdcontainer waited for did not come in time, 125 when it failed otherwise, 126
when the program cannot be executed, 127 when it is not there.`,
		Example: `  sdcontainer run hello.toml
  sdcontainer run -d --name web1 web.toml
  sdcontainer run --rm --memory 256M --cpus 1.5 -v ./data:/data:ro web.toml
  sdcontainer run --rm -t --rootfs /var/lib/machines/debian -- bash
  echo text | sdcontainer run --rm -i --rootfs /var/lib/machines/busybox -- cat`,
		ValidArgsFunction: a.completeConfigs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.rootfs == "" && cmd.Flags().Changed("rootfs") {
				return usage(`--rootfs "": want a directory`)
			}
			a.rt.PrepareCreate(sdcontainer.CreateOptions{Service: o.unit})
			spec, err := o.spec(args)
			if err != nil {
				return err
			}
			return a.runSpec(cmd.Context(), spec, o)
		},
	}
	o.addFlags(cmd)
	return cmd
}

func (o *runOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.SetInterspersed(false)
	f.BoolVarP(&o.detach, "detach", "d", false, "return once the payload runs; its output goes to the journal")
	addStdioFlags(f, "payload", &o.terminal, &o.interactive)
	f.BoolVar(&o.remove, "rm", false, "remove the container when it has ended")
	f.BoolVar(&o.replace, "replace", false, "remove a container of the same name first, by force")
	f.StringVar(&o.name, "name", "", "`name` of the container")
	f.StringVar(&o.rootfs, "rootfs", "", "run a command in `directory`, without a configuration")
	f.BoolVar(&o.unit, "unit", false, "become the main process of the systemd service that called (for ExecStart=)")
	f.BoolVar(&o.lenient, "no-strict", false, "do without what this machine lacks, with a warning, as systemd.strict = false does")
	addKeyFlags(cmd, &o.settings)
	must(cmd.MarkFlagDirname("rootfs"))
}

// check refuses combinations that contradict themselves.
func (o runOptions) check() error {
	if err := configs.CheckName(o.name); o.name != "" && err != nil {
		return usage("--name %w", err)
	}
	switch {
	case o.detach && (o.terminal || o.interactive):
		return usage("-d excludes -t and -i: nobody would be connected")
	case o.unit && (o.detach || o.terminal || o.interactive):
		return usage("--unit excludes -d, -t and -i: systemd supervises the payload")
	case o.unit && o.replace:
		return usage("--unit excludes --replace: systemctl restart does that")
	}
	return nil
}

// spec is what is to run.
func (o *runOptions) spec(args []string) (*specs.Spec, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.lenient {
		o.settings = append(o.settings, configs.Setting{Flag: "--no-strict", Key: "systemd.strict", Value: false})
	}
	var spec *specs.Spec
	var err error
	switch {
	case o.rootfs != "":
		if len(args) == 0 {
			return nil, usage("--rootfs %s: no command: put it after --", o.rootfs)
		}
		if o.name == "" {
			o.name = generatedName(o.rootfs)
		}
		spec, err = configs.FromRootfs(o.name, o.rootfs, args, o.settings...)
	case len(args) == 0:
		return nil, usage("want a configuration, or --rootfs DIR -- COMMAND")
	default:
		if o.name != "" {
			o.settings = append(o.settings, configs.Setting{Flag: "--name", Key: "name", Value: o.name})
		}
		set := configs.LoadOptions{Set: o.settings, Env: o.callers}
		if len(args) > 1 {
			set.Args = args[1:]
		}
		spec, err = loadConfig(args[0], set)
	}
	switch {
	case flagsOnly(err):
		return nil, hinted{err, "sdcontainer run --help shows what it takes"}
	case err != nil:
		return nil, err
	}
	return spec, o.apply(spec)
}

// apply lays the flags that are no keys over a configuration.
func (o *runOptions) apply(spec *specs.Spec) error {
	s, err := configs.SettingsOf(spec)
	if err != nil {
		return err
	}
	o.name = s.Name
	if o.terminal {
		spec.Process.Terminal = true
	}
	if spec.Process.Terminal && (o.detach || o.unit) {
		return hinted{errors.New("process.terminal is set, and nobody would hold the terminal"),
			"run it in the foreground with -t, or take process.terminal out of the configuration"}
	}
	return nil
}

// loadConfig compiles a configuration given by path, or by name in /etc.
func loadConfig(file string, o configs.LoadOptions) (*specs.Spec, error) {
	path := configs.Find(file)
	spec, err := configs.Load(path, o)
	if flagsOnly(err) {
		return nil, err
	}
	if err != nil {
		return nil, hinted{err, configHint(file, path)}
	}
	return spec, nil
}

func fileExists(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular()
}

func configHint(file, path string) string {
	if _, err := os.Stat(path); err != nil {
		return pathHint(file, path)
	}
	return cmp.Or(pathHint(file, path), "sdcontainer check "+quote(file)+" repeats this without running anything")
}

// placeHint says who tells the places of what the planners find wrong with a configuration.
func placeHint(err error, spec *specs.Spec) error {
	s, unknown := configs.SettingsOf(spec)
	planned := errors.As(err, new(*configs.FieldError)) || errors.As(err, new(*unitgen.DirectiveError))
	if !planned || unknown != nil || s.Source == "" {
		return err
	}
	return hinted{err, "sdcontainer check " + quote(s.Source) + " tells the key, its place and what else is wrong"}
}

// pathHint is for a configuration that is no file at all.
func pathHint(file, path string) string {
	st, err := os.Stat(path)
	switch {
	case err == nil && st.IsDir():
		return "a directory: --rootfs " + quote(file) + " -- COMMAND runs a command in it"
	case err != nil && !strings.Contains(file, "/"):
		return "looked for " + quote(file) + " here and in " + configs.Dir
	}
	return ""
}

// generatedName makes up a name for a container that has none.
func generatedName(dir string) string {
	keep := func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}
	base := strings.Map(keep, filepath.Base(filepath.Clean(dir)))
	if base == "" {
		base = "rootfs"
	}
	return fmt.Sprintf("%s-%08x", base[:min(len(base), 32)], rand.Uint32())
}

// runSpec creates, starts and, in the foreground, waits.
func (a *app) runSpec(ctx context.Context, spec *specs.Spec, o runOptions) error {
	s := &streams{}
	foreground := !o.detach && !o.unit
	if foreground && !spec.Process.Terminal {
		var err error
		if s, err = a.pipes(o.interactive); err != nil {
			return err
		}
	}
	defer s.restore()
	timing := a.timing()
	sigs := catch(spec.Process.Terminal)
	self, err1 := os.Executable() // not what PATH has: root executes it in the end
	dir, err2 := filepath.Abs(a.rt.Dir)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if o.replace {
		if err := a.replace(ctx, sigs, o.name); err != nil {
			return err
		}
	}
	c, err := a.start(ctx, spec, s, sigs, sdcontainer.CreateOptions{
		Cleanup: []string{self, "cleanup", "--run-dir", dir},
		Stdin:   s.in, Stdout: s.out, Stderr: s.err,
		Detach: o.detach, Service: o.unit, Timing: timing.add,
		Remove: o.remove || o.unit, // systemd keeps how a service ended
	}, o.name)
	timing.print(a.stderr)
	if err != nil {
		return placeHint(commandHint(err, spec.Process.Args), spec)
	}
	if !foreground {
		return a.greet(c, o)
	}
	sigs.catchRest()
	sigs.hand(a.forward(ctx, c, s))
	exit, err := c.Wait(ctx)
	s.finish()
	switch { // a bare 137 would tell nobody why
	case exit.ManagedOOM:
		fmt.Fprintf(a.stderr, "sdcontainer: %s: %v (why: journalctl -u systemd-oomd)\n", c.ID(), exit)
	case exit.OOMKilled:
		fmt.Fprintf(a.stderr, "sdcontainer: %s: %v (raise resources.memory.max)\n", c.ID(), exit)
	}
	a.code = exit.Code
	return err
}

// replace removes a container of the name that is to be given anew. Signals call it off.
func (a *app) replace(ctx context.Context, sigs *signals, name string) error {
	var err error
	sig, called := sigs.callable(ctx, func(ctx context.Context) { err = a.rt.Remove(ctx, name, true) })
	if errors.Is(err, sdcontainer.ErrNotExist) || called && errors.Is(err, context.Canceled) {
		err = nil
	}
	if called {
		return errors.Join(fmt.Errorf("%s: %w", name, sig), err)
	}
	return err
}

// forward gives signals to the payload. The container is loaded anew: the other one
// is busy waiting. When it has ended, and its last output is still being written, another may have its name.
func (a *app) forward(ctx context.Context, started *sdcontainer.Container, s *streams) func(unix.Signal) {
	var p patience
	s.resize() // the size may have changed while nobody looked
	return func(sig unix.Signal) {
		if s.handle(sig) {
			return
		}
		c, err := a.rt.Load(started.ID())
		switch {
		case err != nil || !started.Same(c): // it has just ended
		case sig == unix.SIGINT && p.over(a, c.ID()):
			_ = c.Stop(ctx, 0) // Wait tells how it ended
		default:
			_ = c.Signal(ctx, sig, false) // it may just have ended
		}
	}
}

// start creates and starts a container and connects its terminal. Signals call it
// off until the payload may run; from then on they are kept for it.
func (a *app) start(ctx context.Context, spec *specs.Spec, s *streams, sigs *signals, o sdcontainer.CreateOptions, name string) (c *sdcontainer.Container, err error) {
	sig, called := sigs.callable(ctx, func(ctx context.Context) {
		c, err = a.rt.Create(ctx, name, spec, o)
		s.started()
	})
	if called {
		if err == nil {
			err = c.Destroy(ctx, true)
		}
		if errors.Is(err, context.Canceled) {
			err = nil
		}
		return nil, errors.Join(fmt.Errorf("%s: %w", name, sig), err)
	}
	if err != nil {
		return nil, err
	}
	if master := c.Terminal(); master != nil {
		if err := a.attach(s, master); err != nil {
			return nil, errors.Join(err, c.Destroy(ctx, true))
		}
	}
	return c, c.Start(ctx)
}

// greet says what a detached container is called and, to people, what to do with it.
func (a *app) greet(c *sdcontainer.Container, o runOptions) error {
	if o.unit {
		return nil
	}
	if isTerminal(a.stderr) && isTerminal(a.stdout) {
		st, err := c.State()
		if err == nil {
			fmt.Fprintf(a.stderr, "%s\n", paint(a.stderr, dim, fmt.Sprintf(
				"%s runs as %s. See: sdcontainer logs -f %s; systemctl status %s", c.ID(), st.Unit, c.ID(), st.Unit)))
		}
	}
	return a.println(c.ID())
}

// timingEnv asks for the times of a start's phases, as JSON lines on stderr.
const timingEnv = "SDCONTAINER_TIMING"

// timings collects phases: printing each at once would be part of the next.
type timings struct {
	began  time.Time
	wanted bool
	phases []phase
}

type phase struct {
	Phase string  `json:"phase"`
	Ms    float64 `json:"ms"` // since the command began
}

func (a *app) timing() *timings {
	return &timings{began: a.began, wanted: os.Getenv(timingEnv) == "1"}
}

func (t *timings) add(name string, at time.Time) {
	if t.wanted {
		t.phases = append(t.phases, phase{name, float64(at.Sub(t.began).Microseconds()) / 1000})
	}
}

func (t *timings) print(to *os.File) {
	e := json.NewEncoder(to)
	for _, p := range t.phases {
		_ = e.Encode(p) // stderr is the last resort
	}
}
