// SPDX-License-Identifier: Apache-2.0

// Command fuzz runs every fuzz target of the module in turn, then the C fuzzer of the
// interpreter's parser, and ends with one line for each and one for all:
//
//	fuzz [-time 30s|1000x] [-runs N] [-run REGEXP] [-keep] [-out bin/fuzz.json] [PACKAGE...]
//
// -time is for each target; a number of executions is the same on a machine that is busy. -runs
// is for the C fuzzer: so many executions, however long they take. -keep adds inputs that reached
// something new to the corpus that tests replay. A finding of a Go target lies in its package's
// testdata/fuzz, where Go's fuzzer put it; one of the C fuzzer is put there too. -out is written
// when nothing was chosen. Exit status 1: something was found, or a target did not run.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

type options struct {
	limit limit
	runs  uint64
	run   *regexp.Regexp
	keep  bool
	out   string
	in    []string
}

// limit is how long a target runs, or how often if that is not 0.
type limit struct {
	time time.Duration
	runs uint64
}

func (l *limit) String() string {
	if l.runs > 0 {
		return fmt.Sprintf("%dx", l.runs)
	}
	return l.time.String()
}

// Set is for package flag.
func (l *limit) Set(text string) (err error) {
	if count, ok := strings.CutSuffix(text, "x"); ok {
		if l.runs, err = strconv.ParseUint(count, 10, 32); err == nil && l.runs == 0 {
			err = errors.New("want at least one execution")
		}
		return err
	}
	l.time, err = time.ParseDuration(text)
	return err
}

// outcome is what one target did.
type outcome struct {
	Target   string  `json:"target"`
	Execs    uint64  `json:"executions"`
	Seconds  float64 `json:"seconds"`
	New      uint64  `json:"newInteresting"`
	Corpus   uint64  `json:"corpus"`
	Findings int     `json:"findings"`
	Edges    uint64  `json:"edges,omitempty"` // of C
	Error    string  `json:"error,omitempty"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	ok, err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "fuzz:", err)
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
	targets, err := list(ctx, o.in)
	if err != nil {
		return false, err
	}
	targets = slices.DeleteFunc(targets, func(t target) bool { return !o.run.MatchString(t.name()) })
	start := time.Now()
	b, err := newBinaries(ctx, targets)
	if err != nil {
		return false, err
	}
	defer b.close()
	var all []outcome
	for _, t := range targets {
		if ctx.Err() == nil {
			all = append(all, t.fuzz(ctx, o, b))
		}
	}
	if o.run.MatchString(parserTarget) && ctx.Err() == nil {
		all = append(all, fuzzParser(ctx, o))
	}
	said, ok := report(os.Stdout, all, time.Since(start))
	if o.whole() && ctx.Err() == nil {
		err = write(ctx, o.out, said, all)
	}
	return ok, errors.Join(err, ctx.Err())
}

// everything is the packages with targets when none is named.
var everything = []string{"./..."}

// whole says whether nothing was chosen: part of a run is no measurement.
func (o options) whole() bool { return o.run.String() == "" && slices.Equal(o.in, everything) }

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("fuzz", flag.ContinueOnError)
	o.limit.time = 30 * time.Second
	flags.Var(&o.limit, "time", "how `long` each target runs, 30s, or how often, 1000x")
	flags.Uint64Var(&o.runs, "runs", 0, "so many executions of the C fuzzer instead")
	run := flags.String("run", "", "only targets matching this `regexp`: configs.FuzzLoad, "+parserTarget)
	flags.BoolVar(&o.keep, "keep", false, "add what reached something new to the kept corpora")
	flags.StringVar(&o.out, "out", "bin/fuzz.json", "`file` for the figures")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.in = flags.Args(); len(o.in) == 0 {
		o.in = everything
	}
	var err error
	o.run, err = regexp.Compile(*run)
	return o, err
}

var found = regexp.MustCompile(`Failing input written to|Test unit written to`)

// deadline is how Go's fuzzer may end when its time is over and nothing was found (golang.org/issue/75804): removable with Go 1.27.
var deadline = regexp.MustCompile(`\nfuzz: elapsed: .*\n--- FAIL: Fuzz\w+ \([\d.]+s\)\n    context deadline exceeded\nFAIL$`)

// watch runs a fuzzer and has each line of its output looked at.
func (o *outcome) watch(cmd *exec.Cmd, look func(string)) {
	fmt.Printf("== %s\n", o.Target)
	start := time.Now()
	out, in := io.Pipe()
	cmd.Stdout, cmd.Stderr = in, in
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = 10 * time.Second
	go func() { in.CloseWithError(errors.Join(cmd.Run(), io.EOF)) }()
	var said []string
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		look(lines.Text())
		if found.MatchString(lines.Text()) {
			o.Findings++
		}
		if said = append(said, lines.Text()); len(said) > 200 {
			said = said[1:]
		}
	}
	o.Seconds = time.Since(start).Seconds()
	all := strings.Join(said, "\n")
	if cmd.ProcessState == nil || !cmd.ProcessState.Success() && (o.Findings > 0 || !deadline.MatchString(all)) {
		o.Error = "did not end well"
		fmt.Println(all)
	}
}

func number(s string) uint64 {
	n, _ := strconv.ParseUint(s, 10, 64) // of an expression that has only digits
	return n
}

// report prints a line for each target and one for all, which it returns.
func report(w io.Writer, all []outcome, took time.Duration) (said string, ok bool) {
	var sum outcome
	wrong := 0
	fmt.Fprintf(w, "\n%-34s %12s %9s %6s %7s %9s\n", "target", "executions", "seconds", "new", "corpus", "findings")
	for _, o := range all {
		fmt.Fprintf(w, "%-34s %12d %9.1f %6d %7d %9d  %s\n", o.Target, o.Execs, o.Seconds, o.New, o.Corpus, o.Findings, o.Error)
		sum.Execs += o.Execs
		sum.Findings += o.Findings
		if o.Findings == 0 && (o.Error != "" || o.Execs == 0) {
			wrong++
		}
	}
	said = fmt.Sprintf("fuzz: %d targets, %d executions, %d findings, %d did not run, in %s", len(all), sum.Execs, sum.Findings, wrong, sdtest.Took(took))
	fmt.Fprintln(w, said)
	return said, len(all) > 0 && sum.Findings == 0 && wrong == 0
}

func write(ctx context.Context, file, said string, all []outcome) error {
	return sdtest.WriteMeasured(file, struct {
		sdtest.Verdict
		Lines []outcome `json:"lines"`
	}{sdtest.Verdicted(ctx, said), all})
}
