// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// A record is what a whole run leaves in bin/test.json, for docs/figures.md and docs/security-tests.md.
type record struct {
	sdtest.Verdict // the last lines
	// Passed says of the tests on the page of known escapes in which tiers each has passed.
	Passed map[string]string `json:"passed"`
}

const (
	escapes  = "docs/security-tests.md"
	recorded = "bin/test.json"
)

// whole says whether nothing was chosen or left out: part of a run is no measurement.
func (o options) whole() bool {
	return o.run == "" && slices.Equal(o.packages, everything) && slices.Equal(o.tiers, tiers) && !(sdtest.Emulated() && o.takesTurns())
}

// takesTurns says whether not all has to be run wherever it can be: emulated guests may leave out most of what has passed on the machine itself,
// and that what has passed as pure.
func (o options) takesTurns() bool { return o.share == "" && os.Getenv("CI") == "" }

// keep writes the record of a run.
func keep(ctx context.Context, file, page, said string, all map[string]*tally) error {
	known, err := os.ReadFile(page)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	r := record{sdtest.Verdicted(ctx, strings.TrimSpace(said)), map[string]string{}}
	for _, tier := range tiers {
		for name := range all[tier].some {
			pkg, test, _ := strings.Cut(name, " ")
			if test = sdtest.Listed(pkg, test); strings.Contains(string(known), test) {
				r.Passed[test] = strings.TrimPrefix(r.Passed[test]+", "+tier, ", ")
			}
		}
	}
	return sdtest.WriteMeasured(file, r)
}
