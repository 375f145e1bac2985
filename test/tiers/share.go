// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// guestPackage has the tests that are about guests; each guest runs all of them.
const guestPackage = "test/vm/guest"

// share is what a guest runs of the other packages' tests, which the machine's own kernel has
// had already: of two guests each runs every second one. Which begins changes from
// commit to commit.
type share int

const (
	evenTests share = iota
	oddTests
	allTests
)

var shareNames = []string{"even", "odd", "all"}

func (s share) String() string {
	if s == allTests {
		return ""
	}
	return fmt.Sprintf(" (the %s tests; SHARE=all for all in both)", shareNames[s])
}

func (s share) other() share {
	switch s {
	case evenTests:
		return oddTests
	case oddTests:
		return evenTests
	}
	return s
}

// firstHalf says what the first guest runs. Whoever asks for one guest or for some tests gets all of
// them.
func firstHalf(ctx context.Context, o options, wanted []string) (share, error) {
	if o.share != "" {
		return share(slices.Index(shareNames, o.share)), nil
	}
	if len(wanted) < 2 || o.run != "" || !slices.Equal(o.packages, everything) {
		return allTests, nil
	}
	commit, err := exec.CommandContext(ctx, "git", "rev-parse", "HEAD").Output()
	if err != nil {
		return evenTests, ctx.Err() // sources without a repository
	}
	last := strings.TrimSpace(string(commit))
	return share(last[len(last)-1] & 1), nil
}

// pattern is -test.run for b's tests.
func (s share) pattern(ctx context.Context, run string, b testBinary) (string, error) {
	if s == allTests || b.dir == filepath.FromSlash(guestPackage) {
		return run, nil
	}
	root, err := sdtest.ModuleRoot()
	if err != nil {
		return "", err
	}
	list := exec.CommandContext(ctx, b.file, "-test.list=^(Test|Fuzz|Example)")
	list.Dir = filepath.Join(root, b.dir)
	names, err := list.Output()
	if err != nil {
		return "", fmt.Errorf("list the tests of %s: %w", b.pkg, err)
	}
	return pattern(s.of(strings.Fields(string(names)))), nil
}

// of is every second one of names.
func (s share) of(names []string) []string {
	var mine []string
	for i := int(s); i < len(names); i += 2 {
		mine = append(mine, names[i])
	}
	return mine
}

func pattern(names []string) string { return "^(" + strings.Join(names, "|") + ")$" }
