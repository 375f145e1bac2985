// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// target is one Go fuzz target.
type target struct{ pkg, dir, function string }

const module = "github.com/sdcontainer/sdcontainer"

func (t target) name() string {
	return strings.TrimPrefix(strings.TrimPrefix(t.pkg, module), "/") + "." + t.function
}

var declared = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(f \*testing\.F\)`)

// list reads the test files: building all test binaries to ask them takes longer.
func list(ctx context.Context, packages []string) ([]target, error) {
	const format = "{{$p := .}}{{range .TestGoFiles}}{{$p.ImportPath}} {{$p.Dir}} {{.}}\n{{end}}" +
		"{{range .XTestGoFiles}}{{$p.ImportPath}} {{$p.Dir}} {{.}}\n{{end}}"
	cmd := exec.CommandContext(ctx, "go", append([]string{"list", "-f", format}, packages...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list packages: %w", err)
	}
	var targets []target
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		text, err := os.ReadFile(filepath.Join(f[1], f[2]))
		if err != nil {
			return nil, err
		}
		for _, m := range declared.FindAllSubmatch(text, -1) {
			targets = append(targets, target{f[0], f[1], string(m[1])})
		}
	}
	return targets, nil
}

// binaries are the packages' fuzzers, each built once: go test links one anew for each target.
type binaries struct {
	dir     string
	of      map[string]func() (string, error) // by package
	corpus  string                            // where the go command has what it found interesting in earlier runs
	builder sync.WaitGroup
}

// newBinaries begins to build what the targets need, in their order: one is built while another runs.
func newBinaries(ctx context.Context, targets []target) (*binaries, error) {
	cache, err := exec.CommandContext(ctx, "go", "env", "GOCACHE").Output()
	if err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	dir, err := os.MkdirTemp("", "sdfuzz-")
	if err != nil {
		return nil, err
	}
	b := &binaries{dir: dir, of: map[string]func() (string, error){}, corpus: filepath.Join(strings.TrimSpace(string(cache)), "fuzz")}
	var all []func() (string, error)
	for _, t := range targets {
		if b.of[t.pkg] == nil {
			file := filepath.Join(dir, fmt.Sprintf("%d.test", len(all)))
			b.of[t.pkg] = sync.OnceValues(func() (string, error) { return file, build(ctx, t.pkg, file) })
			all = append(all, b.of[t.pkg])
		}
	}
	b.builder.Go(func() {
		for _, build := range all {
			_, _ = build() // who asks is told
		}
	})
	return b, nil
}

func build(ctx context.Context, pkg, file string) error {
	out, err := exec.CommandContext(ctx, "go", "test", "-c", "-fuzz=Fuzz", "-o", file, pkg).CombinedOutput()
	if err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	return nil
}

func (b *binaries) close() {
	b.builder.Wait()
	os.RemoveAll(b.dir)
}

var progress = regexp.MustCompile(`^fuzz: elapsed: .*, execs: (\d+) .*new interesting: (\d+) \(total: (\d+)\)`)

// fuzz runs Go's fuzzer. What it says is shown only when something is wrong.
func (t target) fuzz(ctx context.Context, o options, b *binaries) outcome {
	r := outcome{Target: t.name()}
	binary, err := b.of[t.pkg]()
	if err != nil {
		r.Error = err.Error()
		return r
	}
	// Else it may spend all of the time on making one large input smaller.
	minimize, corpus := min(o.limit.time, time.Second).String(), filepath.Join(b.corpus, t.pkg)
	if o.limit.runs > 0 {
		// The corpus is run first and counts: a count begins with what everybody has.
		minimize, corpus = "10x", filepath.Join(b.dir, "corpus", t.pkg)
	}
	cmd := exec.CommandContext(ctx, binary, "-test.run=^$", "-test.fuzz=^"+t.function+"$", "-test.fuzztime="+o.limit.String(),
		"-test.fuzzminimizetime="+minimize, "-test.fuzzcachedir="+corpus)
	cmd.Dir = t.dir
	r.watch(cmd, func(line string) {
		if m := progress.FindStringSubmatch(line); m != nil {
			r.Execs, r.New, r.Corpus = number(m[1]), number(m[2]), number(m[3])
		}
	})
	if o.keep && r.Findings == 0 && r.Error == "" {
		if err := t.keep(filepath.Join(corpus, t.function)); err != nil {
			r.Error = err.Error()
		}
	}
	return r
}

// Of a Go target so many inputs are kept, none larger: they are run with the unit tests.
const (
	keptInputs = 12
	keptBytes  = 512
)

// keep copies inputs that reached something new to where the go command looks for seeds. Which it takes is spread over
// their sizes: Go does not tell what each one reaches.
func (t target) keep(corpus string) error {
	kept := filepath.Join(t.dir, "testdata", "fuzz", t.function)
	have, err := os.ReadDir(kept)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	inputs, err := small(corpus)
	room := keptInputs - len(have)
	if err != nil || room <= 0 || len(inputs) == 0 {
		return err
	}
	if err := os.MkdirAll(kept, 0o755); err != nil {
		return err
	}
	for i := range min(room, len(inputs)) {
		name := inputs[i*len(inputs)/min(room, len(inputs))]
		text, err := os.ReadFile(filepath.Join(corpus, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(kept, name), text, 0o644)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// small are the names of the inputs that may be kept, by size.
func small(corpus string) ([]string, error) {
	entries, err := os.ReadDir(corpus)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // nothing was new
		return nil, err
	}
	type input struct {
		name string
		size int64
	}
	var all []input
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		if info.Size() <= keptBytes {
			all = append(all, input{e.Name(), info.Size()})
		}
	}
	slices.SortFunc(all, func(a, b input) int { return cmp.Or(cmp.Compare(a.size, b.size), cmp.Compare(a.name, b.name)) })
	var names []string
	for _, i := range all {
		names = append(names, i.name)
	}
	return names, nil
}
