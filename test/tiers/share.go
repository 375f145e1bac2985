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

// share is what a guest runs of the other packages' tests, which this machine's own kernel has
// had already: of two guests each runs every second one. Which begins changes from
// commit to commit. What asks for no more than a Go program, and has passed here, is run in none.
type share int

const (
	evenTests share = iota
	oddTests
	allTests
)

var shareNames = []string{"even", "odd", "all"}

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

// choose sets what is run of each of binaries; pure are the tests that no kernel matters to.
func (s share) choose(ctx context.Context, run string, binaries []testBinary, pure map[string]bool) ([]testBinary, error) {
	chosen := slices.Clone(binaries)
	for i, b := range binaries {
		chosen[i].run = run
		if run != "" || b.dir == filepath.FromSlash(guestPackage) {
			continue
		}
		names, err := b.tests(ctx)
		if err != nil {
			return nil, err
		}
		names = slices.DeleteFunc(names, func(name string) bool { return pure[b.pkg+" "+name] })
		chosen[i].run = pattern(s.of(names))
	}
	return chosen, nil
}

func (b testBinary) tests(ctx context.Context) ([]string, error) {
	root, err := sdtest.ModuleRoot()
	if err != nil {
		return nil, err
	}
	list := exec.CommandContext(ctx, b.file, "-test.list=^(Test|Fuzz|Example)")
	list.Dir = filepath.Join(root, b.dir)
	names, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("list the tests of %s: %w", b.pkg, err)
	}
	return strings.Fields(string(names)), nil
}

// of is every second one of names, or each.
func (s share) of(names []string) []string {
	if s == allTests {
		return names
	}
	var mine []string
	for i := int(s); i < len(names); i += 2 {
		mine = append(mine, names[i])
	}
	return mine
}

func pattern(names []string) string { return "^(" + strings.Join(names, "|") + ")$" }
