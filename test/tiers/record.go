// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A record is what a whole run leaves in bin/test.json, for docs/figures.md and docs/security-tests.md.
type record struct {
	Said string `json:"said"` // the last lines
	// Passed says of the tests on the page of known escapes in which tiers each has passed.
	Passed map[string]string `json:"passed"`
}

const (
	module   = "github.com/sdcontainer/sdcontainer"
	escapes  = "docs/security-tests.md"
	recorded = "bin/test.json"
)

// whole says whether nothing was chosen: part of a run is no measurement.
func (o options) whole() bool {
	return o.run == "" && slices.Equal(o.packages, everything) && slices.Equal(o.tiers, tiers)
}

// keep writes the record of a run.
func keep(file, page, said string, all map[string]*tally) error {
	known, err := os.ReadFile(page)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	r := record{Said: strings.TrimSpace(said), Passed: map[string]string{}}
	for _, tier := range tiers {
		for name := range all[tier].some {
			if test := listed(name); strings.Contains(string(known), test) {
				r.Passed[test] = strings.TrimPrefix(r.Passed[test]+", "+tier, ", ")
			}
		}
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, append(b, '\n'), 0o644))
}

// listed is a test, given as package and name, as the page has it.
func listed(name string) string {
	pkg, test, _ := strings.Cut(name, " ")
	dir := "."
	if pkg != module {
		dir = strings.TrimPrefix(pkg, module+"/")
	}
	return "`" + test + "` in `" + dir + "`"
}
