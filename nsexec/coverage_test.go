// SPDX-License-Identifier: Apache-2.0

package nsexec

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// gcovFile is one source file in gcov's report.
type gcovFile struct {
	File  string
	Lines []struct {
		Number   int `json:"line_number"`
		Count    uint64
		Branches []struct{ Count uint64 }
	}
}

// TestParserCoverage: the corpus takes every line of the parser, and every branch both ways.
func TestParserCoverage(t *testing.T) {
	sdtest.Require(t, sdtest.Tool("gcc"), sdtest.Tool("gcov"))
	dir := t.TempDir()
	object, binary := filepath.Join(dir, "parser.o"), filepath.Join(dir, "parser")
	for _, args := range [][]string{{"-std=gnu11", "-O0", "-c", "-o", object, "testdata/parser.c"}, {"-o", binary, object}} {
		if out, err := exec.Command("gcc", append(args, "--coverage")...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	t.Run("run", func(t *testing.T) { // its end is the parser's, which writes what it counted
		p := startProgram(t, binary)
		for _, v := range corpus(t) {
			p.accepts(t, v.program)
		}
	})
	f := gcov(t, dir)
	var lines, missed, branches, untaken int
	for _, l := range f.Lines {
		lines++
		if l.Count == 0 {
			missed++
			t.Errorf("parse.c:%d: never reached", l.Number)
		}
		for i, b := range l.Branches {
			branches++
			if b.Count == 0 {
				untaken++
				t.Errorf("parse.c:%d: branch %d of %d never taken", l.Number, i+1, len(l.Branches))
			}
		}
	}
	if lines < 20 || branches < 50 {
		t.Errorf("%d lines, %d branches: that is not the parser", lines, branches)
	}
	t.Attr("coverage", fmt.Sprintf("parse.c, unit tests: %d of %d lines, %d of %d branches", lines-missed, lines, branches-untaken, branches))
}

func gcov(t *testing.T, dir string) gcovFile {
	t.Helper()
	cmd := exec.Command("gcov", "--json-format", "--stdout", "--branch-probabilities", "parser.gcda")
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("gcov: %v", err)
	}
	var report struct{ Files []gcovFile }
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatal(err)
	}
	for _, f := range report.Files {
		if strings.HasSuffix(f.File, "/parse.c") {
			return f
		}
	}
	t.Fatalf("gcov says nothing of parse.c")
	return gcovFile{}
}
