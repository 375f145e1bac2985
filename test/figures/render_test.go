// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPageFromMeasurements(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"docs/x":        "", // the directory
		"bin/test.json": `{"said":"tier ran\n7 passed, 0 failed, 0 skipped","passed":{"x":"root"}}`,
		"bin/bench.json": `{"said":"bench: 0.50 of crun","limits":false,"scenarios":[{"name":"run","contenders":[{"name":"sdcontainer","medianMs":5,"ratio":{"crun":0.5}},{"name":"crun","medianMs":10,"ratio":{"crun":1}}]}],
			"phases":[{"phase":"check","ms":1}],"growth":{"runs":3,"firstTenthMs":1,"lastTenthMs":2,"peers":[{"name":"crun","firstTenthMs":3,"lastTenthMs":4}]},"memory":[{"name":"keeper","residentKiB":32}]}`,
		"bin/soak.json":    `{"said":"soak: 5 of 6","commit":"abc123+","lines":[{"sweep":"RLIMIT_DATA of run","calls":4,"stopped":4,"clean":3,"note":"(works with 9)"},{"sweep":"kill run","calls":7,"stopped":6,"clean":5}]}`,
		"bin/crowd.json":   `[{"test":"crowd of 9","starts":9,"failed":1,"startMs":[30.4,31],"note":"ps 5 ms"}]`,
		"bin/coverage.txt": "all of it\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	if err := run("bin"); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("docs/figures.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| sdcontainer | 5.0 ms |", "| 0.50 |", "|---|---|---|---|---|---|\n| kill run | 7 | 6 | 5 | 0 ms | 0 ms |\n\nLimits that", "| RLIMIT_DATA of run (works with 9) | 4 | 3 | 0 ms |", "| crowd of 9 (ps 5 ms) | 9 | 1 | 30 31 |  |  |", "32 KiB", "those of crun in between 3.0 and 4.0 ms.", "\n`CI=true make test`, which ends with\n\n```\ntier ran\n7 passed, 0 failed, 0 skipped\n```", "Nobody has a limit", "all of it", "processors",
		"processors, commit abc123+.\n`make soak`, which ends with\n\n```\nsoak: 5 of 6\n```\n", "processors.\n`make bench`, which ends with\n\n```\nbench: 0.50 of crun\n```\n"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
	if strings.Contains(string(page), "Fuzzing") {
		t.Error("a part that was not measured")
	}
	svg, err := os.Open("docs/figures.svg")
	if err != nil {
		t.Fatal(err)
	}
	defer svg.Close()
	for d := xml.NewDecoder(svg); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	// Again from what is kept alone: the same page.
	if err := run(""); err != nil {
		t.Fatal(err)
	}
	if again, _ := os.ReadFile("docs/figures.md"); string(again) != string(page) {
		t.Errorf("it differs:\n%s", again)
	}
}
