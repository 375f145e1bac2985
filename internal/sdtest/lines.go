// SPDX-License-Identifier: Apache-2.0

package sdtest

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Lines are a report, a line for each name: tests in a system leave them in its share with
// [Tell], and the test outside collects them.
type Lines[T any] map[string]T

const linePrefix, lineSuffix = "line-", ".json"

// limits begin the names of those lines of test/sweep that are about limits.
var limits = []string{"RLIMIT_", "tasks of "}

// OfLimits says whether a line of test/sweep counts limits that the command was given, most of which it works with, and no interruptions.
func OfLimits(sweep string) bool {
	return slices.ContainsFunc(limits, func(prefix string) bool { return strings.HasPrefix(sweep, prefix) })
}

// SweepEnv is another name for the file in bin in which test/sweep leaves its lines: two of it may be at work.
const SweepEnv = "SDCONTAINER_SWEEP"

// Tell leaves a line for [Lines.Collect].
func Tell(t testing.TB, name string, line any) {
	t.Helper()
	b, err := json.Marshal(map[string]any{name: line})
	if err == nil {
		file := linePrefix + strings.ReplaceAll(name, " ", "-") + lineSuffix
		err = os.WriteFile(filepath.Join(ShareInside, file), b, 0o644)
	}
	if err != nil {
		t.Error(err)
	}
}

// Collect takes the lines that were left in a share.
func (l Lines[T]) Collect(share string) error {
	files, err := filepath.Glob(filepath.Join(share, linePrefix+"*"+lineSuffix))
	for _, f := range files {
		b, readErr := os.ReadFile(f)
		var one map[string]T
		err = errors.Join(err, readErr, json.Unmarshal(b, &one), os.Remove(f))
		maps.Copy(l, one)
	}
	return err
}

// Sorted are the lines by name.
func (l Lines[T]) Sorted() []T {
	list := make([]T, 0, len(l))
	for _, name := range slices.Sorted(maps.Keys(l)) {
		list = append(list, l[name])
	}
	return list
}

// Write writes them to a file in bin.
func (l Lines[T]) Write(name string) error {
	b, err := json.MarshalIndent(l.Sorted(), "", "  ")
	if err != nil {
		return err
	}
	root, err := ModuleRoot()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(root, "bin"), 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(root, "bin", name), append(b, '\n'), 0o644)
}
