// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
)

// growthResult says whether starts get slower with how many there were.
type growthResult struct {
	Runs    int     `json:"runs"`
	FirstMs float64 `json:"firstTenthMs"` // median
	LastMs  float64 `json:"lastTenthMs"`
	// Peers are the others, which took turns with ours.
	Peers []peerGrowth `json:"peers,omitempty"`
}

type peerGrowth struct {
	Name string `json:"name"`
	growthResult
}

// growth runs one container after the other, of each runtime in each round.
func growth(b *bed, k kind, runs int) (growthResult, error) {
	all := b.runs(k)
	if err := compare(all, 0, runs, os.Stderr); err != nil {
		return growthResult{}, err
	}
	g := grown(all[0])
	for _, c := range all[1:] {
		g.Peers = append(g.Peers, peerGrowth{c.name, grown(c)})
	}
	printGrowth(os.Stdout, k, g)
	return g, nil
}

func grown(c *contender) growthResult {
	ms := millis(c.samples)
	tenth := max(len(ms)/10, min(1, len(ms)))
	return growthResult{Runs: len(ms), FirstMs: quantile(ms[:tenth], 0.5), LastMs: quantile(ms[len(ms)-tenth:], 0.5)}
}

func printGrowth(w io.Writer, k kind, g growthResult) {
	fmt.Fprintf(w, "\n%d in sequence%s: median of the first tenth %.2f ms, of the last %.2f ms\n", g.Runs, k.said, g.FirstMs, g.LastMs)
	for _, p := range g.Peers {
		fmt.Fprintf(w, "  %s: %.2f ms, %.2f ms\n", p.Name, p.FirstMs, p.LastMs)
	}
}
