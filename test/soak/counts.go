// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

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
func (c *counts) collect(sweeps []string, crowd string) ([]line, error) {
	lines := []line{}
	var err error
	for _, file := range sweeps {
		err = errors.Join(err, load(file, &lines))
	}
	var crowds []struct{ Starts, Failed int }
	err = errors.Join(err, appendTo(crowd, c.crowds), load(crowd, &crowds)) // those of guests too
	c.broken = c.broken || err != nil
	slices.SortFunc(lines, func(a, b line) int { return strings.Compare(a.Sweep, b.Sweep) })
	for _, s := range lines {
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
	return lines, err
}

// A line is what a sweep came to, whole as it was told.
type line struct {
	Sweep          string
	Stopped, Clean int
	told           json.RawMessage
}

func (l *line) UnmarshalJSON(b []byte) error {
	type plain line
	l.told = slices.Clone(b)
	return json.Unmarshal(b, (*plain)(l))
}

func (l line) MarshalJSON() ([]byte, error) { return l.told, nil }

// appendTo adds lines to those of a file.
func appendTo(file string, more []json.RawMessage) error {
	if len(more) == 0 {
		return nil
	}
	var lines []json.RawMessage
	if err := load(file, &lines); err != nil {
		return err
	}
	b, err := json.MarshalIndent(append(lines, more...), "", "  ")
	return errors.Join(err, os.WriteFile(file, append(b, '\n'), 0o644))
}

// load appends what a file has, if there is one.
func load[T any](file string, into *[]T) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return ignoreMissing(err)
	}
	var more []T
	err = json.Unmarshal(b, &more)
	*into = append(*into, more...)
	return err
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
