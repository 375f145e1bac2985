// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
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

// A footprint is the memory of one program, in KiB.
type footprint struct {
	Name    string `json:"name"`
	Peak    int64  `json:"peakKiB,omitempty"`    // resident, while it starts a container
	Private int64  `json:"privateKiB,omitempty"` // what only it uses, while a detached container runs
	Pss     int64  `json:"pssKiB,omitempty"`     // with its part of what it shares
}

func memory(b *bed) ([]footprint, error) {
	var all []footprint
	for _, c := range b.runs("bench.toml", "bundle") {
		cmd := c.command(3_000_000)
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s: %w: %s", c.name, err, out)
		}
		all = append(all, footprint{Name: c.name, Peak: cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss})
	}
	keeper, err := b.keeper()
	return append(all, keeper), err
}

// keeper measures what stays beside a detached container.
func (b *bed) keeper() (footprint, error) {
	f := footprint{Name: "keeper of a detached container"}
	run := func(args ...string) (string, error) {
		args = b.ours(args...)
		cmd := exec.CommandContext(b.ctx, args[0], args[1:]...)
		out, err := cmd.Output()
		if err != nil {
			err = fmt.Errorf("%s: %w", strings.Join(args, " "), err)
		}
		return strings.TrimSpace(string(out)), err
	}
	if _, err := run("run", "-d", "--name=keeper", b.here+"/bench.toml", "/bin/sleep", "1000000"); err != nil {
		return f, err
	}
	pid, err := run("inspect", "--format={{.KeeperPid}}", "keeper")
	if err != nil {
		return f, err
	}
	text, err := os.ReadFile("/proc/" + pid + "/smaps_rollup")
	if err != nil {
		return f, err
	}
	for line := range strings.Lines(string(text)) {
		field := strings.Fields(line)
		if len(field) < 3 {
			continue
		}
		n, _ := strconv.ParseInt(field[1], 10, 64) // the kernel's own number
		switch field[0] {
		case "Pss:":
			f.Pss = n
		case "Private_Clean:", "Private_Dirty:":
			f.Private += n
		}
	}
	_, err = run("rm", "-f", "keeper")
	return f, err
}

func printMemory(w io.Writer, all []footprint) {
	fmt.Fprintf(w, "\n%-32s %10s %10s %10s\n", "memory", "peak", "private", "pss")
	for _, f := range all {
		fmt.Fprintf(w, "%-32s %6d KiB %6d KiB %6d KiB\n", f.Name, f.Peak, f.Private, f.Pss)
	}
}
