// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"cmp"
	"compress/flate"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// The C fuzzer and its files: seeds are the programs of the Go tests and the kept corpus;
// what it finds on the way stays in the working directory.
const (
	parserTarget = "nsexec/parse.c"
	parserBinary = "bin/fuzz/parser"
	parserWork   = "bin/fuzz/corpus"
	parserSeeds  = "bin/fuzz/seeds"
	parserKept   = "nsexec/testdata/parser.corpus"
	parserFound  = "nsexec/testdata/fuzz/FuzzParse"
)

var (
	units = regexp.MustCompile(`^stat::number_of_executed_units:\s+(\d+)`)
	added = regexp.MustCompile(`^stat::new_units_added:\s+(\d+)`)
	cover = regexp.MustCompile(`\tDONE +cov: (\d+) ft: \d+ corp: (\d+)/`)
	unit  = regexp.MustCompile(`Test unit written to (\S+)`)
)

func fuzzParser(ctx context.Context, o options) outcome {
	r := outcome{Target: parserTarget}
	if err := prepareParser(ctx); err != nil {
		r.Error = err.Error()
		return r
	}
	limit := fmt.Sprintf("-max_total_time=%d", max(1, int(o.limit.time/time.Second))) // 0 is for ever
	if runs := cmp.Or(o.runs, o.limit.runs); runs > 0 {
		limit = fmt.Sprintf("-runs=%d", runs)
	}
	cmd := exec.CommandContext(ctx, parserBinary, limit, "-max_len=1024", "-print_final_stats=1", "-reduce_inputs=0",
		"-artifact_prefix=bin/fuzz/", parserWork, parserSeeds)
	// Without a long memory of freed blocks: there is one block to overrun.
	cmd.Env = append(os.Environ(), "ASAN_OPTIONS=quarantine_size_mb=0:thread_local_quarantine_size_kb=0:malloc_context_size=0")
	r.watch(cmd, func(line string) {
		if m := units.FindStringSubmatch(line); m != nil {
			r.Execs = number(m[1])
		} else if m := added.FindStringSubmatch(line); m != nil {
			r.New = number(m[1])
		} else if m := cover.FindStringSubmatch(line); m != nil {
			r.Edges, r.Corpus = number(m[1]), number(m[2])
		} else if m := unit.FindStringSubmatch(line); m != nil {
			if err := keepFinding(m[1]); err != nil {
				fmt.Println(err)
			}
		}
	})
	if o.keep && r.Findings == 0 && r.Error == "" {
		if err := keep(ctx); err != nil {
			r.Error = err.Error()
		}
	}
	return r
}

// prepareParser builds the fuzzer and lays out its seeds.
func prepareParser(ctx context.Context) error {
	if err := os.RemoveAll(parserSeeds); err != nil {
		return err
	}
	if err := os.MkdirAll(parserWork, 0o755); err != nil {
		return err
	}
	seeds, err := filepath.Abs(parserSeeds)
	if err != nil {
		return err
	}
	for _, c := range [][]string{
		{"make", "--no-print-directory", "-C", "nsexec", "FUZZER=../" + parserBinary, "fuzzer"},
		{"go", "test", "-count=1", "-run=^TestWriteCorpus$", "./nsexec", "-corpus=" + seeds},
	} {
		if out, err := exec.CommandContext(ctx, c[0], c[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", strings.Join(c, " "), err, out)
		}
	}
	return nil
}

// keepFinding puts an input where the Go target replays it: as its third kind of program.
func keepFinding(file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(parserFound, 0o755); err != nil {
		return err
	}
	text := fmt.Sprintf("go test fuzz v1\nbyte('\\x02')\n[]byte(%q)\n", b)
	return os.WriteFile(filepath.Join(parserFound, fmt.Sprintf("%x", sha256.Sum256([]byte(text)))[:16]), []byte(text), 0o644)
}

// keep writes the corpus anew: the least that reaches all that the seeds and the working
// corpus reach. One program a line, compressed, as base64.
func keep(ctx context.Context) error {
	least, err := os.MkdirTemp("bin/fuzz", "least")
	if err != nil {
		return err
	}
	defer os.RemoveAll(least)
	cmd := exec.CommandContext(ctx, parserBinary, "-merge=1", "-max_len=1024", least, parserSeeds, parserWork)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("merge: %w\n%s", err, out)
	}
	files, err := filepath.Glob(least + "/*")
	if err != nil {
		return err
	}
	var lines []string
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		var packed bytes.Buffer
		w, _ := flate.NewWriter(&packed, flate.BestCompression) // the level is one
		if _, err := w.Write(b); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		lines = append(lines, base64.StdEncoding.EncodeToString(packed.Bytes())+"\n")
	}
	slices.Sort(lines)
	return os.WriteFile(parserKept, []byte(strings.Join(lines, "")), 0o644)
}
