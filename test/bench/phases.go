// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// phase is one line of what `sdcontainer run` prints with SDCONTAINER_TIMING=1:
// where the start was, in milliseconds since the command began.
type phase struct {
	Phase string  `json:"phase"`
	Ms    float64 `json:"ms"`
}

// phases runs our command a few times and returns the median of each phase.
func phases(b *bed, runs int) ([]phase, error) {
	var order []string
	samples := map[string][]float64{}
	for n := range runs {
		args := b.ours("run", "--rm", fmt.Sprintf("--name=phase-%d", n), b.here+"/bench.toml")
		cmd := exec.CommandContext(b.ctx, args[0], args[1:]...)
		cmd.Env = append(os.Environ(), "SDCONTAINER_TIMING=1")
		var said bytes.Buffer
		cmd.Stderr = &said
		if err := cmd.Run(); err != nil {
			return nil, fmt.Errorf("sdcontainer with timing: %w: %s", err, said.Bytes())
		}
		for line := range bytes.Lines(said.Bytes()) {
			var p phase
			if json.Unmarshal(line, &p) != nil {
				continue // a warning
			}
			if samples[p.Phase] == nil {
				order = append(order, p.Phase)
			}
			samples[p.Phase] = append(samples[p.Phase], p.Ms)
		}
	}
	out := make([]phase, len(order))
	for i, name := range order {
		out[i] = phase{name, quantile(samples[name], 0.5)}
	}
	return out, nil
}

func printPhases(w io.Writer, all []phase) {
	fmt.Fprintf(w, "\n%-22s %9s %9s\n", "phase of our start", "at", "took")
	last := 0.0
	for _, p := range all {
		fmt.Fprintf(w, "%-22s %6.2f ms %6.2f ms\n", p.Phase, p.Ms, p.Ms-last)
		last = p.Ms
	}
}
