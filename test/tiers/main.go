// SPDX-License-Identifier: Apache-2.0

// Command tiers runs the tests of the module tier by tier and prints one line
// of summary for each, then the sum:
//
//	tiers [-tiers pure,bus,root,systemd,vm12,vm13] [-run REGEXP] [-share all] [-v] [-stage DIR] [PACKAGE...]
//
// A test belongs to the tier it asks sdtest.Require for, else it is pure. Pure
// and bus tests run under the race detector. The vm tiers run the tests of
// vmPackages inside the guests, with the installation found in -stage; two guests
// share them. What the tiers asked for need must be there, or their tests fail instead of
// skipping (SDCONTAINER_MUST); where all tiers are asked for, nothing at all may be skipped.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

type options struct {
	tiers    []string
	run      string
	share    string
	verbose  bool
	stage    string
	packages []string
}

// everything is the packages tested when none is named.
var everything = []string{"./..."}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	ok, err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "tiers:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (bool, error) {
	o, err := parse(args)
	if err != nil {
		return false, err
	}
	all := newTallies()
	var errs []error
	for _, p := range []struct {
		tiers []string
		run   func(context.Context, options, []string, map[string]*tally) error
	}{
		{[]string{"pure", "bus"}, raced},
		{[]string{"root", "systemd"}, privileged},
		{[]string{"vm12", "vm13"}, guests},
	} {
		wanted := slices.DeleteFunc(p.tiers, func(t string) bool { return !slices.Contains(o.tiers, t) })
		if len(wanted) > 0 && ctx.Err() == nil {
			errs = append(errs, p.run(ctx, o, wanted, all))
		}
	}
	var said strings.Builder
	ok := report(io.MultiWriter(os.Stdout, &said), all, slices.Equal(o.tiers, tiers))
	if o.whole() && ctx.Err() == nil {
		errs = append(errs, keep(ctx, recorded, escapes, said.String(), all))
	}
	return ok, errors.Join(append(errs, ctx.Err())...)
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("tiers", flag.ContinueOnError)
	list := flags.String("tiers", strings.Join(tiers, ","), "comma-separated `tiers`")
	flags.StringVar(&o.run, "run", "", "only tests matching this `regexp`")
	flags.StringVar(&o.share, "share", "", "`all` for every test in each guest, emulated or not")
	flags.BoolVar(&o.verbose, "v", false, "show the output of tests that pass")
	flags.StringVar(&o.stage, "stage", "", "`directory` with an installation to copy into the guests")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.share != "" && o.share != "all" {
		return o, fmt.Errorf("share %q: want all", o.share)
	}
	o.tiers = strings.Split(*list, ",")
	for _, t := range o.tiers {
		if !slices.Contains(tiers, t) {
			return o, fmt.Errorf("tier %q: want some of %s", t, strings.Join(tiers, ","))
		}
	}
	if o.packages = flags.Args(); len(o.packages) == 0 {
		o.packages = everything
	}
	return o, nil
}

func newTallies() map[string]*tally {
	all := map[string]*tally{}
	for _, t := range tiers {
		all[t] = &tally{tests: map[string]bool{}, some: map[string]bool{}, others: map[string]bool{}}
	}
	return all
}

// raced runs what needs no privilege, under the race detector.
func raced(ctx context.Context, o options, wanted []string, all map[string]*tally) error {
	counted := map[string]string{}
	for _, t := range wanted {
		counted[strings.TrimPrefix(t, "pure")] = t
	}
	// The race detector's run time is C, and waits for a second at the end of each program, the command in scripts included.
	return goTest(ctx, o, wanted, counted, all, []string{"-race"}, []string{"CGO_ENABLED=1", "CGO_CFLAGS=-O2", "GORACE=atexit_sleep_ms=0"})
}

// privileged runs what needs root or a booted systemd. Whoever waits for it need not wait for what has passed without to pass once more, as
// it is shipped: without the race detector and C.
func privileged(ctx context.Context, o options, wanted []string, all map[string]*tally) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("the tiers %s need root", strings.Join(wanted, " and "))
	}
	counted := map[string]string{}
	for _, t := range wanted {
		counted[t] = t
	}
	if slices.Equal(o.packages, everything) {
		o.packages = slices.Concat(longest, o.packages)
	}
	// Much of what needs a systemd waits for it, or for a deadline: one package more than there are processors is tested at the same time.
	flags := []string{fmt.Sprintf("-p=%d", runtime.NumCPU()+1)}
	if names := all["pure"].names(); len(names) > 0 && o.takesTurns() {
		flags = append(flags, "-skip=^("+strings.Join(names, "|")+")$")
	}
	return goTest(ctx, o, wanted, counted, all, flags, []string{"CGO_ENABLED=0"})
}

// longest is begun first, for nothing else to wait for it alone in the end: packages are tested in the order they are named.
var longest = []string{"./test/sweep"}

// tools are what the Makefile has installed for all tiers, or could not have come here without.
var tools = []sdtest.Cap{sdtest.Tool("go"), sdtest.Tool("gcc"), sdtest.Tool("gcov")}

// promised is what this machine must have for the wanted tiers: the guests too that were built for others.
func promised(o options, wanted []string) []string {
	must := append(slices.Clone(wanted), "userns", "overlay", "static")
	for _, c := range tools {
		must = append(must, string(c))
	}
	for _, t := range o.tiers {
		if release, ok := strings.CutPrefix(t, "vm"); ok {
			must = append(must, string(sdtest.Built(release)))
		}
	}
	return must
}

func goTest(ctx context.Context, o options, wanted []string, counted map[string]string, all map[string]*tally, flags, env []string) error {
	fmt.Printf("\n== %s\n", strings.Join(wanted, ", "))
	args := append([]string{"test", "-json", "-count=1", "-timeout=10m"}, flags...)
	if o.run != "" {
		args = append(args, "-run", o.run)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, o.packages...)...)
	cmd.Env = append(os.Environ(), append(env, "SDCONTAINER_MUST="+strings.Join(promised(o, wanted), ","), "SDCONTAINER_TIERS="+strings.Join(wanted, ","))...)
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	r := newResults(os.Stdout, counted, wanted[0])
	r.verbose = o.verbose
	err = r.read(out)
	waited := cmd.Wait()
	r.count(all)
	r.showSlow()
	for _, t := range wanted {
		all[t].took = time.Since(start)
	}
	if waited != nil && !anyFailed(all) {
		err = errors.Join(err, fmt.Errorf("go test: %w", waited))
	}
	return err
}

func anyFailed(all map[string]*tally) bool {
	for _, t := range all {
		if t.failed > 0 {
			return true
		}
	}
	return false
}
