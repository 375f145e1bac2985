// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestLimit(t *testing.T) {
	for text, want := range map[string]limit{"700x": {runs: 700}, "2s": {time: 2 * time.Second}} {
		var l limit
		if err := l.Set(text); err != nil || l != want || l.String() != text {
			t.Errorf("%s: %+v, %q, %v", text, l, l.String(), err)
		}
	}
	for _, text := range []string{"", "x", "0x", "-1x", "700", "1.5x"} {
		if err := new(limit).Set(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// TestKeepIsBounded: so many inputs, none large, however often the fuzzer is run; what is there stays.
func TestKeepIsBounded(t *testing.T) {
	tg, corpus := target{dir: t.TempDir(), function: "FuzzX"}, t.TempDir()
	write := func(dir, name string, size int) {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.Repeat("x", size)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kept := filepath.Join(tg.dir, "testdata/fuzz/FuzzX")
	write(kept, "finding", 3*keptBytes)
	for i := range 100 {
		write(corpus, fmt.Sprintf("%02d", i), 8*i)
	}
	for range 2 {
		if err := tg.keep(corpus); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(kept + "/*")
	if err != nil || len(files) != keptInputs {
		t.Errorf("%d are kept, %v: want %d", len(files), err, keptInputs)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || filepath.Base(f) != "finding" && info.Size() > keptBytes {
			t.Errorf("%s: %v, %v", f, info, err)
		}
	}
	if _, err := os.Stat(filepath.Join(kept, "finding")); err != nil {
		t.Error(err)
	}
}

func TestReportCountsWhatDidNotRun(t *testing.T) {
	var out strings.Builder
	said, ok := report(&out, []outcome{{Target: "a", Execs: 7}, {Target: "b"}, {Target: "c", Execs: 1, Findings: 2, Error: "did not end well"}}, 3*time.Second)
	if want := "fuzz: 3 targets, 8 executions, 2 findings, 1 did not run, in 3 s"; ok || said != want || !strings.HasSuffix(out.String(), "\n"+want+"\n") {
		t.Errorf("%v %q in %s", ok, said, out.String())
	}
}

// What a fuzzer says with its last words is wrong or only late.
func TestDeadlineOfGoIsNoFailure(t *testing.T) {
	const late = "fuzz: elapsed: 30s, execs: 9 (0/sec), new interesting: 1 (total: 8)\n--- FAIL: FuzzX (30.14s)\n    context deadline exceeded\nFAIL"
	const crash = "Failing input written to testdata/fuzz/FuzzX/1\n" + late
	for said, wrong := range map[string]bool{late: false, crash: true, strings.Replace(late, "context deadline", "x: context deadline", 1): true, "FAIL": true} {
		var o outcome
		cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", `printf 'fuzz: start\n%s\n' "$1"; exit 1`, "sh", said)
		o.watch(cmd, func(string) {})
		if (o.Error != "") != wrong {
			t.Errorf("%s: %q", said, o.Error)
		}
	}
}
