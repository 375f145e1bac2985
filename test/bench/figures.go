// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
)

// growthResult says whether starts get slower with how many there were.
type growthResult struct {
	Runs    int     `json:"runs"`
	FirstMs float64 `json:"firstTenthMs"` // median
	LastMs  float64 `json:"lastTenthMs"`
}

// growth runs one container after the other.
func growth(b *bed, runs int) (growthResult, error) {
	c := b.runs("bench.toml", "")[0]
	for n := range runs {
		took, err := once(c.command(2_000_000 + n))
		if err != nil {
			return growthResult{}, err
		}
		c.samples = append(c.samples, took)
	}
	tenth := max(runs/10, 1)
	return growthResult{
		Runs: runs, FirstMs: quantile(millis(c.samples[:min(tenth, runs)]), 0.5), LastMs: quantile(millis(c.samples[max(runs-tenth, 0):]), 0.5),
	}, nil
}

func printGrowth(w io.Writer, g growthResult) {
	fmt.Fprintf(w, "\n%d in sequence: median of the first tenth %.2f ms, of the last %.2f ms\n", g.Runs, g.FirstMs, g.LastMs)
}
