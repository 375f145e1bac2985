// SPDX-License-Identifier: Apache-2.0

// Command soak runs the tests for which nobody waits, and ends with one line for all:
//
//	soak [-run REGEXP]
//
// First the sweeps, in two halves at once, but for those that want the machine for themselves, and the crowd; then the storm of reloads in a guest, where
// cgroups have controllers, and the races of known escapes. With -run it is the sweeps and crowds that match, one after the other.
// All are run whatever the first comes to, and bin/soak.json is written whatever they come to, if nothing was chosen.
// Exit status 1: something failed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// What the tests leave, and what is made of it.
const (
	sweepFile  = "bin/sweep.json"
	secondFile = "bin/sweep-second.json"
	aloneFile  = "bin/sweep-alone.json"
	secondLog  = "bin/sweep-second.log"
	crowdFile  = "bin/crowd.json"
	soakFile   = "bin/soak.json"
)

// sweeps and crowds are the packages that are run whole; races are the tests of the racing ones: those of known escapes, and whatever else makes
// more attempts here than elsewhere.
const (
	sweeps = "./test/sweep"
	crowds = "./test/crowd"
)

var racing = []string{".", "./nsexec", "./rootfs", "./cmd/sdcontainer"}

// The halves of the sweeps: firstHalf are those that take as long as all others but alone, which keeps a processor busy.
const (
	firstHalf = "TestCommandErrnos|TestStepFaults|TestKillHelper|TestKillService|TestSignals"
	alone     = "TestR50LittleTime"
)

// exactly is the regexp of tests by their names.
func exactly(names string) string { return "^(" + names + ")$" }

const races = "Test[A-JR][0-9]|TestHistories|TestExecRacesStop|TestReadWhileItIsReplaced"

func main() {
	run := flag.String("run", "", "only sweeps and crowds matching this `regexp`, and no races")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	ok, err := soak(ctx, *run)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

func soak(ctx context.Context, run string) (bool, error) {
	for _, file := range []string{sweepFile, secondFile, aloneFile, crowdFile} { // what an earlier run left is not of this one
		if err := ignoreMissing(os.Remove(file)); err != nil {
			return false, err
		}
	}
	start := time.Now()
	c := counts{out: os.Stdout}
	if run == "" {
		if err := c.halves(ctx); err != nil {
			return false, err
		}
		c.test(ctx, []string{"-run=" + exactly(alone)}, into(aloneFile), sweeps)
		c.test(ctx, nil, nil, crowds)
	} else {
		c.test(ctx, []string{"-run=" + run}, nil, sweeps, crowds)
	}
	if storm, err := regexp.MatchString(run, "TestReloadStorm"); err != nil {
		return false, err
	} else if storm {
		c.command(ctx, nil, "go", "run", "./test/tiers", "-tiers=vm13", "-v", "-stage=bin/stage", "-run=^TestReloadStorm$", "./test/crowd")
	}
	if run == "" {
		c.test(ctx, []string{"-run=" + races}, nil, racing...)
	}
	lines, err := c.collect([]string{sweepFile, secondFile, aloneFile}, crowdFile)
	said := c.said(time.Since(start))
	fmt.Println(said)
	if run == "" && ctx.Err() == nil {
		err = errors.Join(err, sdtest.WriteMeasured(soakFile, struct {
			sdtest.Verdict
			Lines  []line            `json:"lines"`
			Passed map[string]string `json:"passed"` // for docs/security-tests.md
		}{sdtest.Verdicted(ctx, said), lines, c.passed}))
	}
	return c.ok(), errors.Join(err, ctx.Err())
}

// halves runs the sweeps, half of them beside the other: each mostly waits for a systemd, of which either has its own. What the
// second says is in its log, and shown when both are done.
func (c *counts) halves(ctx context.Context) error {
	said, err := os.Create(secondLog)
	if err != nil {
		return err
	}
	defer said.Close()
	second := counts{out: said}
	var other sync.WaitGroup
	other.Go(func() {
		second.test(ctx, []string{"-skip=" + exactly(firstHalf+"|"+alone)}, into(secondFile), sweeps)
	})
	c.test(ctx, []string{"-run=" + exactly(firstHalf)}, nil, sweeps)
	other.Wait()
	c.add(&second)
	_, err = said.Seek(0, io.SeekStart)
	if err == nil {
		_, err = io.Copy(c.out, said)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		c.broken = true
	}
	return nil
}

// into has the sweeps leave their lines in another file.
func into(file string) []string { return []string{sdtest.SweepEnv + "=" + filepath.Base(file)} }

// test runs tests, shows what they say and counts what they tell.
func (c *counts) test(ctx context.Context, which, env []string, packages ...string) {
	args := slices.Concat([]string{"test", "-count=1", "-timeout=4h", "-v", "-p=1"}, which, packages)
	c.command(ctx, env, "go", args...)
}

// command runs tests in whatever way.
func (c *counts) command(ctx context.Context, env []string, name string, args ...string) {
	if ctx.Err() != nil {
		return
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), append(env, "CGO_ENABLED=0", "SDCONTAINER_SOAK=1", "SDCONTAINER_MUST=root,systemd")...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = 10 * time.Second
	out, in := io.Pipe()
	cmd.Stdout, cmd.Stderr = in, in
	done := make(chan error, 1)
	go func() {
		err := cmd.Run()
		in.Close()
		done <- err
	}()
	c.read(io.TeeReader(out, c.out))
	_, _ = io.Copy(c.out, out) // what read could not: it is shown at least
	if err := <-done; err != nil {
		fmt.Fprintln(c.out, name, strings.Join(args, " ")+":", err)
		c.broken = true
	}
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
