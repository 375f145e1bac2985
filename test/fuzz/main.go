// SPDX-License-Identifier: Apache-2.0

// Command fuzz runs every fuzz target of the module in turn, then the C fuzzer of the
// interpreter's parser, and ends with one line for each:
//
//	fuzz [-time 30s] [-runs N] [-run REGEXP] [-keep] [-out bin/fuzz.json] [PACKAGE...]
//
// -runs is for the C fuzzer: so many executions, however long they take. -keep adds the
// inputs that reached something new in C to the corpus the Go tests replay. A finding of a
// Go target lies in its package's testdata/fuzz, where the go command put it; one of the C
// fuzzer is put there too. Exit status 1: something was found, or a target did not run.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

type options struct {
	time time.Duration
	runs uint64
	run  *regexp.Regexp
	keep bool
	out  string
	in   []string
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
	var all []outcome
	for _, t := range targets {
		if o.run.MatchString(t.name()) && ctx.Err() == nil {
			all = append(all, t.fuzz(ctx, o.time))
		}
	}
	if o.run.MatchString(parserTarget) && ctx.Err() == nil {
		all = append(all, fuzzParser(ctx, o))
	}
	return report(os.Stdout, all), errors.Join(write(o.out, all), ctx.Err())
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("fuzz", flag.ContinueOnError)
	flags.DurationVar(&o.time, "time", 30*time.Second, "how long each target runs")
	flags.Uint64Var(&o.runs, "runs", 0, "so many executions of the C fuzzer instead")
	run := flags.String("run", "", "only targets matching this `regexp`: configs.FuzzLoad, "+parserTarget)
	flags.BoolVar(&o.keep, "keep", false, "add what reached something new in C to the kept corpus")
	flags.StringVar(&o.out, "out", "bin/fuzz.json", "`file` for the figures")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.in = flags.Args(); len(o.in) == 0 {
		o.in = []string{"./..."}
	}
	var err error
	o.run, err = regexp.Compile(*run)
	return o, err
}

// target is one Go fuzz target.
type target struct{ pkg, function string }

const module = "github.com/sdcontainer/sdcontainer"

func (t target) name() string {
	return strings.TrimPrefix(strings.TrimPrefix(t.pkg, module), "/") + "." + t.function
}

var declared = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(f \*testing\.F\)`)

// list reads the test files: building all test binaries to ask them takes longer.
func list(ctx context.Context, packages []string) ([]target, error) {
	const format = "{{$p := .}}{{range .TestGoFiles}}{{$p.ImportPath}} {{$p.Dir}}/{{.}}\n{{end}}" +
		"{{range .XTestGoFiles}}{{$p.ImportPath}} {{$p.Dir}}/{{.}}\n{{end}}"
	cmd := exec.CommandContext(ctx, "go", append([]string{"list", "-f", format}, packages...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list packages: %w", err)
	}
	var targets []target
	for line := range strings.Lines(string(out)) {
		pkg, file, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for _, m := range declared.FindAllSubmatch(text, -1) {
			targets = append(targets, target{pkg, string(m[1])})
		}
	}
	return targets, nil
}

var (
	progress = regexp.MustCompile(`^fuzz: elapsed: .*, execs: (\d+) .*new interesting: (\d+) \(total: (\d+)\)`)
	found    = regexp.MustCompile(`Failing input written to|Test unit written to`)
)

// fuzz runs the go command's fuzzer. What it says is shown only when something is wrong.
func (t target) fuzz(ctx context.Context, limit time.Duration) outcome {
	o := outcome{Target: t.name()}
	// Else the go command may spend all of the time on making one large input smaller.
	minimize := min(limit, time.Second)
	cmd := exec.CommandContext(ctx, "go", "test", "-run=^$", "-fuzz=^"+t.function+"$", "-fuzztime="+limit.String(), "-fuzzminimizetime="+minimize.String(), t.pkg)
	o.watch(cmd, func(line string) {
		if m := progress.FindStringSubmatch(line); m != nil {
			o.Execs, o.New, o.Corpus = number(m[1]), number(m[2]), number(m[3])
		}
	})
	return o
}

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
	if cmd.ProcessState == nil || !cmd.ProcessState.Success() {
		o.Error = "did not end well"
		fmt.Println(strings.Join(said, "\n"))
	}
}

func number(s string) uint64 {
	n, _ := strconv.ParseUint(s, 10, 64) // of an expression that has only digits
	return n
}

func report(w io.Writer, all []outcome) bool {
	ok := len(all) > 0
	fmt.Fprintf(w, "\n%-34s %12s %9s %6s %7s %9s\n", "target", "executions", "seconds", "new", "corpus", "findings")
	for _, o := range all {
		fmt.Fprintf(w, "%-34s %12d %9.1f %6d %7d %9d  %s\n", o.Target, o.Execs, o.Seconds, o.New, o.Corpus, o.Findings, o.Error)
		ok = ok && o.Findings == 0 && o.Error == "" && o.Execs > 0
	}
	return ok
}

func write(file string, all []outcome) error {
	b, err := json.MarshalIndent(all, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644)
}
