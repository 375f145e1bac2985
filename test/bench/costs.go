// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest/trace"
)

// A cost is what one start comes to in things that can be counted, so that it says the same on a busy machine. The
// command itself is not counted, and the payload is.
type cost struct {
	Name      string `json:"name"`
	Processes int    `json:"processes"`
	Execs     int    `json:"execs"`
	Threads   int    `json:"threads"` // of the command itself
	Calls     int    `json:"systemCalls"`
	Messages  int    `json:"busMessages"`
}

// counted is how often each start is: runtimes of Go and C make a few calls more or less as things happen sooner or later.
const counted = 5

// costs are those of the foreground. The command's memory comes along.
func costs(b *bed) (all []cost, peaks []footprint, err error) {
	for _, c := range b.runs(plain) {
		rounds := make([]cost, counted)
		memory := make([]int, counted)
		for n := range rounds {
			t, err := traced(c.command(3_000_000+n), trace.Count)
			if err != nil {
				return nil, nil, fmt.Errorf("count what %s costs: %w", c.name, err)
			}
			own, err := traced(c.command(3_100_000+n), trace.Measure)
			if err != nil {
				return nil, nil, fmt.Errorf("measure %s: %w", c.name, err)
			}
			rounds[n] = cost{c.name, t.Processes, t.Execs, own.Threads, t.Calls, t.Messages}
			memory[n] = int(own.Peak)
		}
		all = append(all, middle(rounds))
		peaks = append(peaks, footprint{Name: c.name, Peak: int64(median(memory))})
	}
	return all, peaks, nil
}

// traced runs one of the two, and says what the command did if it failed.
func traced[T any](cmd *exec.Cmd, run func(*exec.Cmd, time.Duration) (T, unix.WaitStatus, error)) (result T, err error) {
	said, err := os.CreateTemp("", "bench-")
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, said.Close(), os.Remove(said.Name())) }()
	cmd.Stdout, cmd.Stderr = said, said
	result, ws, err := run(cmd, time.Minute)
	if err == nil && ws.ExitStatus() != 0 {
		text, _ := os.ReadFile(said.Name()) // then it says nothing
		err = fmt.Errorf("it ended with %d: %s", ws.ExitStatus(), text)
	}
	return result, err
}

// middle is the median of each number.
func middle(rounds []cost) cost {
	of := func(field func(cost) int) int {
		var all []int
		for _, r := range rounds {
			all = append(all, field(r))
		}
		return median(all)
	}
	return cost{
		Name:      rounds[0].Name,
		Processes: of(func(c cost) int { return c.Processes }),
		Execs:     of(func(c cost) int { return c.Execs }),
		Threads:   of(func(c cost) int { return c.Threads }),
		Calls:     of(func(c cost) int { return c.Calls }),
		Messages:  of(func(c cost) int { return c.Messages }),
	}
}

// median is one of them.
func median(all []int) int {
	return slices.Sorted(slices.Values(all))[len(all)/2]
}

func printCosts(w io.Writer, all []cost) {
	fmt.Fprintf(w, "\n%-22s %10s %10s %10s %13s %14s\n", "one start", "processes", "execs", "threads", "system calls", "D-Bus messages")
	for _, c := range all {
		fmt.Fprintf(w, "%-22s %10d %10d %10d %13d %14d\n", c.Name, c.Processes, c.Execs, c.Threads, c.Calls, c.Messages)
	}
}

// A size is that of a program on disk, without the libraries it may load.
type size struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
}

func sizes(b *bed) ([]size, error) {
	all := []size{{Name: "sdcontainer"}, {Name: "nsexec, in it"}, {Name: "crun"}, {Name: "runc"}}
	files := []string{b.here + "/sdcontainer", b.here + "/nsexec", "", ""}
	for i := range all {
		if files[i] == "" {
			path, err := exec.LookPath(all[i].Name)
			if err != nil {
				return nil, err
			}
			files[i] = path
		}
		info, err := os.Stat(files[i])
		if err != nil {
			return nil, err
		}
		all[i].Bytes = info.Size()
	}
	return all, nil
}

func printSizes(w io.Writer, all []size) {
	fmt.Fprintf(w, "\n%-22s %10s\n", "on disk", "bytes")
	for _, s := range all {
		fmt.Fprintf(w, "%-22s %10d\n", s.Name, s.Bytes)
	}
}
