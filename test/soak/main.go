// SPDX-License-Identifier: Apache-2.0

// Command soak runs the tests for which nobody waits, and ends with one line for all:
//
//	soak [-run REGEXP]
//
// First the sweeps, in two halves at once, and the crowd, then the storm of reloads in a guest, where cgroups have controllers, and the races of
// known escapes, which -run leaves out. All are run whatever the first comes to, and bin/soak.json is written whatever they come to, if nothing was chosen.
// Exit status 1: something failed.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
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
	"strconv"
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
	crowdFile  = "bin/crowd.json"
	soakFile   = "bin/soak.json"
)

// swept are the packages that are run whole; races are the tests of the racing ones: those of known escapes, and whatever else makes
// more attempts here than elsewhere.
var (
	swept  = []string{"./test/sweep", "./test/crowd"}
	racing = []string{".", "./nsexec", "./rootfs", "./cmd/sdcontainer"}
)

// firstHalf are the sweeps that take as long as all others together.
const firstHalf = "^(TestCommandErrnos|TestStepFaults|TestKillHelper|TestKillService|TestSignals)$"

const races = "Test[A-JR][0-9]|TestHistories|TestExecRacesStop|TestReadWhileItIsReplaced"

// counts are what the last line is made of.
type counts struct {
	out            io.Writer         // what the tests say is shown there
	stopped, clean int               // interruptions
	limits, kept   int               // that were tried, and left nothing
	starts, failed int               // of containers in a crowd or a storm
	attempts       int               // at races
	tests          int               // that failed
	crowds         []json.RawMessage // in guests
	passed         map[string]string // tests, as sdtest.Listed has them, and what amounts they said
	broken         bool
}

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
	for _, file := range []string{sweepFile, secondFile, crowdFile} { // what an earlier run left is not of this one
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	start := time.Now()
	c := counts{out: os.Stdout}
	if run == "" {
		c.halves(ctx)
		c.test(ctx, nil, nil, "./test/crowd")
	} else {
		c.test(ctx, []string{"-run=" + run}, nil, swept...)
	}
	if storm, err := regexp.MatchString(run, "TestReloadStorm"); err != nil {
		return false, err
	} else if storm {
		c.command(ctx, nil, "go", "run", "./test/tiers", "-tiers=vm13", "-v", "-stage=bin/stage", "-run=^TestReloadStorm$", "./test/crowd")
	}
	if run == "" {
		c.test(ctx, []string{"-run=" + races}, nil, racing...)
	}
	lines, err := c.collect(sweepFile, secondFile, crowdFile)
	said := c.said(time.Since(start))
	fmt.Println(said)
	if run == "" && ctx.Err() == nil {
		err = errors.Join(err, sdtest.WriteMeasured(soakFile, struct {
			sdtest.Verdict
			Lines  json.RawMessage   `json:"lines"`
			Passed map[string]string `json:"passed"` // for docs/security-tests.md
		}{sdtest.Verdicted(ctx, said), lines, c.passed}))
	}
	return c.ok(), errors.Join(err, ctx.Err())
}

// halves runs the sweeps, half of them beside the other: each mostly waits for a systemd, of which either has its own. What the
// second says is shown when both are done.
func (c *counts) halves(ctx context.Context) {
	var said bytes.Buffer
	second := counts{out: &said}
	var other sync.WaitGroup
	other.Go(func() {
		second.test(ctx, []string{"-skip=" + firstHalf}, []string{sdtest.SweepEnv + "=" + filepath.Base(secondFile)}, "./test/sweep")
	})
	c.test(ctx, []string{"-run=" + firstHalf}, nil, "./test/sweep")
	other.Wait()
	_, _ = said.WriteTo(c.out) // the summary would fail too
	c.add(&second)
}

// add adds what others' tests told.
func (c *counts) add(other *counts) {
	c.attempts += other.attempts
	c.tests += other.tests
	c.broken = c.broken || other.broken
	c.crowds = append(c.crowds, other.crowds...)
	for test, amounts := range other.passed {
		c.pass(test, amounts)
	}
}

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
		fmt.Fprintln(c.out, strings.Join(args[:2], " ")+":", err)
		c.broken = true
	}
}

var (
	running  = regexp.MustCompile(`^=== (?:RUN|NAME|CONT|ATTR) +([^/ ]+)`)
	amount   = regexp.MustCompile(`: amount: (\d+) ([a-z]+)$`)
	success  = regexp.MustCompile(`^--- PASS: (\S+)`)
	packaged = regexp.MustCompile(`^(?:ok  |FAIL)\t(\S+)`)
	crowded  = regexp.MustCompile(`: crowd: (\{.*\})$`) // in a guest: natively it is in the file
	failure  = "--- FAIL: "
)

// read counts what lines of go test -v tell: what sdtest.Loops says, and tests that passed or failed. Of which package
// they were comes last.
func (c *counts) read(r io.Reader) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	var test string
	said, passed := map[string]map[string]int{}, map[string]bool{}
	for lines.Scan() {
		line := lines.Text()
		if m := running.FindStringSubmatch(line); m != nil {
			test = m[1]
		} else if m := amount.FindStringSubmatch(line); m != nil {
			if said[test] == nil {
				said[test] = map[string]int{}
			}
			n, _ := strconv.Atoi(m[1]) // they are digits
			said[test][m[2]] += n
		} else if m := success.FindStringSubmatch(line); m != nil {
			passed[m[1]] = true
		} else if m := crowded.FindStringSubmatch(line); m != nil {
			c.crowds = append(c.crowds, json.RawMessage(m[1]))
		} else if strings.HasPrefix(line, failure) {
			c.tests++
		} else if m := packaged.FindStringSubmatch(line); m != nil {
			c.keep(m[1], said, passed)
			said, passed = map[string]map[string]int{}, map[string]bool{}
		}
	}
}

// keep adds the tests of a package.
func (c *counts) keep(pkg string, said map[string]map[string]int, passed map[string]bool) {
	for _, units := range said {
		c.attempts += units["attempts"]
	}
	for test := range passed {
		var amounts []string
		for unit, n := range said[test] {
			amounts = append(amounts, fmt.Sprintf("%d %s", n, unit))
		}
		slices.Sort(amounts)
		c.pass(sdtest.Listed(pkg, test), strings.Join(amounts, ", "))
	}
}

func (c *counts) pass(test, amounts string) {
	if c.passed == nil {
		c.passed = map[string]string{}
	}
	c.passed[test] = amounts
}

// collect adds up what the tests left, and returns the lines of the sweeps. A file that is not there was not
// written since its tests were not run, or died.
func (c *counts) collect(sweep, second, crowd string) (json.RawMessage, error) {
	var sweeps []struct {
		Sweep          string
		Stopped, Clean int
	}
	var crowds []struct{ Starts, Failed int }
	var others []json.RawMessage
	_, err := load(second, &others)
	if err == nil {
		err = appendTo(sweep, others)
	}
	var lines json.RawMessage
	if err == nil {
		lines, err = load(sweep, &sweeps)
	}
	crowdErr := appendTo(crowd, c.crowds) // of guests
	if crowdErr == nil {
		_, crowdErr = load(crowd, &crowds)
	}
	for _, s := range sweeps {
		if sdtest.OfLimits(s.Sweep) {
			c.limits += s.Stopped
			c.kept += s.Clean
			continue
		}
		c.stopped += s.Stopped
		c.clean += s.Clean
	}
	for _, s := range crowds {
		c.starts += s.Starts
		c.failed += s.Failed
	}
	return lines, errors.Join(err, crowdErr)
}

// appendTo adds lines to those of a file.
func appendTo(file string, more []json.RawMessage) error {
	if len(more) == 0 {
		return nil
	}
	var lines []json.RawMessage
	if _, err := load(file, &lines); err != nil {
		return err
	}
	b, err := json.MarshalIndent(append(lines, more...), "", "  ")
	return errors.Join(err, os.WriteFile(file, append(b, '\n'), 0o644))
}

func load(file string, into any) (json.RawMessage, error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return json.RawMessage("[]"), nil
	}
	if err != nil {
		return nil, err
	}
	return b, json.Unmarshal(b, into)
}

func (c *counts) ok() bool {
	return !c.broken && c.tests == 0 && c.failed == 0 && c.clean == c.stopped && c.kept == c.limits && c.stopped+c.limits+c.starts+c.attempts > 0
}

// said is the last line.
func (c *counts) said(took time.Duration) string {
	verdict := ""
	if !c.ok() {
		verdict = "FAILED, "
	}
	return fmt.Sprintf("soak: %s%d of %d interruptions and %d of %d limits clean, %d of %d starts in crowds and storms failed, %d attempts at races, "+
		"%d tests failed, in %s", verdict, c.clean, c.stopped, c.kept, c.limits, c.failed, c.starts, c.attempts, c.tests, sdtest.Took(took))
}
