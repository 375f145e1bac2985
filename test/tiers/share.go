// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// A queue is what the guests have yet to run. Where they are emulated both take from one: each test runs in one of the two, and the
// commit draws in which order they come. What asks for no more than a Go program, and has passed on this machine, is not in it. Of what
// asks for a systemd or for root and has passed here, three quarters are not in it either, but for CI.
type queue struct {
	mu     sync.Mutex
	lists  []testList // in the order in which they are run
	shared bool
}

// testList is what a queue has yet of one binary: some of its tests, or what the binary's own run selects.
type testList struct {
	testBinary
	tests []string
}

// shares says whether the wanted guests share the tests. Whoever asks for one guest or for some tests gets all of them, and so do
// those who need not wait.
func (o options) shares(wanted []string, emulated bool) bool {
	return emulated && o.share == "" && o.run == "" && len(wanted) > 1 && slices.Equal(o.packages, everything)
}

// draw is the number of a test, by package and name, in a commit.
func draw(commit, test string) uint64 {
	h := fnv.New64a()
	fmt.Fprint(h, commit, " ", test) // a hash takes it
	return h.Sum64()
}

// turns is how many commits it takes on average for all of what has passed on this machine to be run in a guest too.
const turns = 4

// hasTurn says whether it is a test's turn in a commit.
func hasTurn(commit, test string) bool { return draw(commit, test)%turns == 0 }

// newQueue is what is to be run of binaries: what run selects, or all but the tests in without, in the order that commit draws.
func newQueue(ctx context.Context, commit, run string, binaries []testBinary, without map[string]bool) (*queue, error) {
	var q queue
	for _, b := range binaries {
		if b.run = run; run != "" {
			q.lists = append(q.lists, testList{testBinary: b})
			continue
		}
		tests, err := b.tests(ctx)
		if err != nil {
			return nil, err
		}
		tests = slices.DeleteFunc(tests, func(test string) bool { return without[b.pkg+" "+test] })
		slices.SortFunc(tests, func(x, y string) int { return cmp.Compare(draw(commit, b.pkg+" "+x), draw(commit, b.pkg+" "+y)) })
		if len(tests) > 0 {
			q.lists = append(q.lists, testList{b, tests})
		}
	}
	return &q, nil
}

// few tests are not worth another start of their binary, unless nothing else is left to do.
const few = 8

// next takes what a guest is to run: all of a binary, or where another one takes from the queue too a quarter of what is left of it.
func (q *queue) next() (testBinary, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.lists) == 0 {
		return testBinary{}, false
	}
	l := &q.lists[0]
	b, n := l.testBinary, len(l.tests)
	if q.shared {
		least := few
		if len(q.lists) == 1 {
			least = 1
		}
		n = min(n, max(n/4, least))
	}
	if n > 0 {
		b.run = "^(" + strings.Join(l.tests[:n], "|") + ")$"
	}
	if l.tests = l.tests[n:]; len(l.tests) == 0 {
		q.lists = q.lists[1:]
	}
	return b, true
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
