// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// contender is one program that does what a scenario is about.
type contender struct {
	name    string
	samples []time.Duration
	// command is round n of it; a fresh name each time, so that none waits for another's end.
	command func(n int) *exec.Cmd
	after   func() error // what is not measured; nil is nothing
	flaky   bool         // fails now and then by itself: a round is tried once more
}

// summary is what a contender's samples come to. Times are in milliseconds.
type summary struct {
	Name   string  `json:"name"`
	Runs   int     `json:"runs"`
	Median float64 `json:"medianMs"`
	P10    float64 `json:"p10Ms"`
	P90    float64 `json:"p90Ms"`
	// Ratio is the median of each round's time divided by the base's of the
	// same round: what disturbs a round disturbs both.
	Ratio map[string]float64 `json:"ratio"`
}

// bases are the contenders everything is compared with.
var bases = []string{"crun", "systemd-run --scope", "bare Type=exec", emptyProgram}

const emptyProgram = "empty Go program"

// compare runs every contender once a round, in an order drawn for each: none always comes after the same one, of which the kernel
// and systemd may still have to clear something away.
func compare(all []*contender, warm, rounds int, progress io.Writer) error {
	draw := rand.New(rand.NewPCG(1, 2)) // the same orders in each benchmark
	for n := range warm + rounds {
		for _, i := range draw.Perm(len(all)) {
			c := all[i]
			took, err := c.round(n, progress)
			if err != nil {
				return err
			}
			if c.after != nil {
				if err := c.after(); err != nil {
					return fmt.Errorf("%s, after round %d: %w", c.name, n, err)
				}
			}
			if n >= warm {
				c.samples = append(c.samples, took)
			}
		}
		if (n+1)%20 == 0 {
			fmt.Fprintf(progress, "%d of %d rounds\n", n+1, warm+rounds)
		}
	}
	return nil
}

// round is round n of it.
func (c *contender) round(n int, progress io.Writer) (time.Duration, error) {
	took, err := once(c.command(n))
	if err != nil && c.flaky {
		fmt.Fprintf(progress, "%s, round %d, once more: %v\n", c.name, n, err)
		took, err = once(c.command(n))
	}
	if err != nil {
		err = fmt.Errorf("%s, round %d: %w", c.name, n, err)
	}
	return took, err
}

func once(cmd *exec.Cmd) (time.Duration, error) {
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	start := time.Now()
	err := cmd.Run()
	took := time.Since(start)
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, said.Bytes())
	}
	return took, err
}

func summarize(all []*contender) []summary {
	out := make([]summary, 0, len(all))
	for _, c := range all {
		s := summary{Name: c.name, Runs: len(c.samples), Ratio: map[string]float64{},
			Median: quantile(millis(c.samples), 0.5), P10: quantile(millis(c.samples), 0.1), P90: quantile(millis(c.samples), 0.9)}
		for _, base := range bases {
			i := slices.IndexFunc(all, func(b *contender) bool { return b.name == base })
			if i < 0 {
				continue
			}
			ratios := make([]float64, len(c.samples))
			for n := range ratios {
				ratios[n] = float64(c.samples[n]) / float64(all[i].samples[n])
			}
			s.Ratio[base] = quantile(ratios, 0.5)
		}
		out = append(out, s)
	}
	return out
}

func millis(d []time.Duration) []float64 {
	out := make([]float64, len(d))
	for i := range d {
		out[i] = float64(d[i]) / float64(time.Millisecond)
	}
	return out
}

// quantile interpolates between the two nearest samples.
func quantile(samples []float64, q float64) float64 {
	if len(samples) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(samples))
	at := q * float64(len(s)-1)
	low := int(at)
	high := min(low+1, len(s)-1)
	return s[low] + (s[high]-s[low])*(at-float64(low))
}

func table(w io.Writer, title string, sums []summary) {
	fmt.Fprintf(w, "\n%s\n%-22s %9s %9s %9s", title, "", "median", "p10", "p90")
	var bases []string
	for _, s := range sums {
		if _, ok := sums[0].Ratio[s.Name]; ok {
			bases = append(bases, s.Name)
			fmt.Fprintf(w, " %22s", "/ "+s.Name)
		}
	}
	fmt.Fprintln(w)
	for _, s := range sums {
		fmt.Fprintf(w, "%-22s %6.2f ms %6.2f ms %6.2f ms", s.Name, s.Median, s.P10, s.P90)
		for _, b := range bases {
			fmt.Fprintf(w, " %22.2f", s.Ratio[b])
		}
		fmt.Fprintln(w)
	}
}

// said are the last lines: of each scenario the ratio of ours, which comes first, to what it is compared with.
func said(all []scenarioResult, took time.Duration) string {
	text := "bench: in " + sdtest.Took(took)
	for _, s := range all {
		for _, base := range bases {
			if ratio, ok := s.Contenders[0].Ratio[base]; ok {
				text += fmt.Sprintf("\n  %.2f of %s: %s", ratio, base, s.Name)
				break
			}
		}
	}
	return text
}
