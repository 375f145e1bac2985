// SPDX-License-Identifier: Apache-2.0

// Command figures writes docs/figures.md and docs/figures.svg from what make test, make bench,
// make soak, make fuzz and make coverage measured:
//
//	figures [-take DIR]
//
// The measurements are kept in docs/figures, each with the machine it was made on; -take
// copies newer ones there from DIR, which is bin.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

const kept = "docs/figures"

// A sheet is one measurement as it is kept.
type sheet struct {
	At      time.Time       `json:"at"`
	Machine string          `json:"machine"`
	Results json.RawMessage `json:"results"`
}

// sections are the parts of the page, in their order.
var sections = []struct {
	file   string
	render func(*strings.Builder, sheet) error
}{
	{"test.json", renderTests},
	{"bench.json", renderBench},
	{"soak.json", renderSoak},
	{"crowd.json", renderCrowd},
	{"fuzz.json", renderFuzz},
	{"coverage.txt", renderCoverage},
}

func main() {
	from := flag.String("take", "", "take the measurements in `directory`")
	flag.Parse()
	if err := run(*from); err != nil {
		fmt.Fprintln(os.Stderr, "figures:", err)
		os.Exit(1)
	}
}

func run(from string) error {
	if from != "" {
		if err := take(from); err != nil {
			return err
		}
	}
	var page strings.Builder
	page.WriteString("# Figures\n\nWritten by `make figures` from what was measured; each part says when and on what. Ratios are of runs that took turns, in an\n" +
		"order drawn for each round; absolute times are of a shared virtual machine.\n")
	for _, s := range sections {
		sh, err := load(filepath.Join(kept, s.file))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := s.render(&page, sh); err != nil {
			return fmt.Errorf("%s: %w", s.file, err)
		}
	}
	return os.WriteFile("docs/figures.md", []byte(page.String()), 0o644)
}

func load(path string) (s sheet, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(b, &s)
}

// take keeps the measurements that are in a directory. Those that are not stay as they were.
func take(dir string) error {
	if err := os.MkdirAll(kept, 0o755); err != nil {
		return err
	}
	for _, s := range sections {
		file := filepath.Join(dir, s.file)
		b, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		info, err := os.Stat(file)
		if err != nil {
			return err
		}
		if !json.Valid(b) { // text is kept as a string
			if b, err = json.Marshal(string(b)); err != nil {
				return err
			}
		}
		out, err := json.MarshalIndent(sheet{info.ModTime().UTC().Truncate(time.Second), machine(), b}, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(kept, s.file), append(out, '\n'), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// machine says in a few words what this is.
func machine() string {
	var u unix.Utsname
	_ = unix.Uname(&u) // then it has no name
	release, _, _ := strings.Cut(unix.ByteSliceToString(u.Release[:]), "-")
	return fmt.Sprintf("Linux %s, %s, %d processors", release, runtime.GOARCH, runtime.NumCPU())
}

// heading begins a section: when it was measured, on what, and of which commit.
func heading(b *strings.Builder, title string, s sheet, v sdtest.Verdict) {
	commit := ""
	if v.Commit != "" {
		commit = ", commit " + v.Commit
	}
	fmt.Fprintf(b, "\n## %s\n\n%s, on %s%s.\n", title, s.At.Format("2 January 2006"), s.Machine, commit)
}

// quote has the last lines of a command as it printed them.
func quote(b *strings.Builder, command string, v sdtest.Verdict) {
	if v.Said != "" {
		fmt.Fprintf(b, "`%s`, which ends with\n\n```\n%s\n```\n\n", command, v.Said)
	}
}
