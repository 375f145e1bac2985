// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// share is what a guest runs of the tests. Where guests are emulated, each test runs in one of the two, and
// on average every other commit exchanges the halves. What asks for no more than a Go program, and has passed on this machine,
// is in neither. Of what asks for a systemd or for root and has passed here, half is in neither either, but for CI.
type share int

const (
	firstHalf share = iota
	secondHalf
	allTests
)

var shareNames = []string{"first", "second", "all"}

func (s share) other() share {
	switch s {
	case firstHalf:
		return secondHalf
	case secondHalf:
		return firstHalf
	}
	return s
}

// shareOf says what the first of the wanted guests runs. Whoever asks for one guest or for some
// tests gets all of them, and so do those who need not wait.
func shareOf(ctx context.Context, o options, wanted []string, emulated bool) (share, error) {
	if o.share != "" && o.run == "" {
		return share(slices.Index(shareNames, o.share)), nil
	}
	if len(wanted) < 2 || o.run != "" || !slices.Equal(o.packages, everything) || !emulated {
		return allTests, nil
	}
	return share(lastDigit(ctx) & 1), ctx.Err()
}

// lastDigit is that of the commit, whose name changes with each and is there in a shallow clone too; '0' for sources without a
// repository.
func lastDigit(ctx context.Context) byte {
	commit, err := exec.CommandContext(ctx, "git", "rev-parse", "HEAD").Output()
	if err != nil {
		return '0'
	}
	last := strings.TrimSpace(string(commit))
	return last[len(last)-1]
}

// otherTurn is the half of tests, by package and name, that another turn has.
func otherTurn(tests []string, turn byte) (half []string) {
	slices.SortFunc(tests, func(a, b string) int {
		return cmp.Or(cmp.Compare(named{test: nameOf(b)}.weight(), named{test: nameOf(a)}.weight()), strings.Compare(a, b))
	})
	for i, test := range tests {
		if byte(i&1) != turn&1 {
			half = append(half, test)
		}
	}
	return half
}

// named is a test of one of several binaries.
type named struct {
	binary int
	test   string
}

// choose sets what is run of each of binaries; without are the tests that a half goes without.
func (s share) choose(ctx context.Context, run string, binaries []testBinary, without map[string]bool) ([]testBinary, error) {
	chosen := slices.Clone(binaries)
	if run != "" {
		for i := range chosen {
			chosen[i].run = run
		}
		return chosen, nil
	}
	var all []named
	for i, b := range binaries {
		names, err := b.tests(ctx)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if s == allTests || !without[b.pkg+" "+name] {
				all = append(all, named{i, name})
			}
		}
	}
	mine := make([][]string, len(binaries))
	for _, n := range s.of(all) {
		mine[n.binary] = append(mine[n.binary], n.test)
	}
	for i := range chosen {
		chosen[i].run = "^(" + strings.Join(mine[i], "|") + ")$"
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

// heavy are the tests that take an emulated processor ten seconds and more; all else counts as light. Only
// how long both guests take depends on these.
var heavy = map[string]int{
	"TestSystemdScripts": 80, "TestExamples": 55, "TestE8LimitsHold": 42, "TestB23SeenFromInside": 33, "TestDeadlinePasses": 33,
	"TestR24StrangeCgroups": 32, "TestReloadStorm": 32, "TestR16KilledByOomd": 22, "TestParallelStarts": 20, "TestExecIntoFullMemory": 19,
	"TestE13HostileMessages": 18, "TestR4StoppedHelper": 18, "TestServiceMainPIDIsThePayload": 18, "TestClockJumps": 17, "TestCrowd": 17,
	"TestEveryLimitIsTheUnits": 17, "TestHostileRootfs": 16, "TestPausedServiceStops": 16, "TestAttestNamesEverySabotage": 15,
	"TestCommandOutOfMemory": 15, "TestJournal": 15, "TestServiceThatHearsNoSignalStopsAtOnce": 15, "TestWatchdog": 15,
	"TestServiceWithLimitsSystemdLacks": 14, "TestAttestNamesEverySabotageOfExec": 13, "TestEndedOneLeavesItsNamesakeAlone": 13, "TestHistories": 13,
	"TestManagerFaults": 13, "TestA5LeakyManager": 12, "TestExitIsUnknownAfterTheKeeperWasKilled": 12, "TestJoinsEachNamespace": 12,
	"TestDamagedState": 11, "TestExitCodes": 11, "TestFewTasks": 11, "TestA6ExchangedWorkingDirectory": 10, "TestB2ConsoleIsLink": 10,
	"TestServiceKilledByOthersHasFailed": 10, "TestServiceOutOfMemorySaysSo": 10, "TestServiceRestartsByItself": 10, "TestServiceWithInitStops": 10,
	"TestServiceWithoutTheControllerSaysWhich": 10, "TestSystemInAServiceHasControllers": 10,
}

const light = 1

func (n named) weight() int { return cmp.Or(heavy[n.test], light) }

// of is the half of all that s is: the heaviest first, each goes to the half that has less to do yet.
func (s share) of(all []named) []named {
	if s == allTests {
		return all
	}
	var halves [2][]named
	var load [2]int
	for _, n := range slices.SortedStableFunc(slices.Values(all), func(a, b named) int { return cmp.Compare(b.weight(), a.weight()) }) {
		i := 0
		if load[1] < load[0] {
			i = 1
		}
		halves[i] = append(halves[i], n)
		load[i] += n.weight()
	}
	return halves[s]
}
