// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer"
)

// sample is one reading of one container.
type sample struct {
	ID string `json:"id"`
	sdcontainer.Stats
	// CPUPercent is the share of one CPU since the reading before, or at first
	// since the start.
	CPUPercent float64 `json:"cpuPercent"`
}

// leastInterval is how often stats may be asked for: reading them is work for the kernel.
const leastInterval = 100 * time.Millisecond

type statsOptions struct {
	once     bool
	format   string
	interval span
}

func (a *app) stats() *cobra.Command {
	o := statsOptions{interval: span{time.Second}}
	cmd := &cobra.Command{
		Use:   "stats [flags] [NAME...]",
		Short: "Show what containers use",
		Long: `Shows CPU time, memory, tasks and I/O of the named containers, or of all that
run, as a table that refreshes itself until interrupted. Where standard output is
no terminal, or with --no-stream, it is printed once.

CPU % is the share of one CPU since the last reading, at first since the start. TASKS
are processes and threads, with the most that there may be.

--format json prints an array; with --stream one JSON object a line, for ever. Its
fields, which stay:

    id, at, cpuPercent, oomKills
    cpu     usageNsec, userNsec, systemNsec, periods, throttledPeriods
    memory  current, peak, max, high, swap, swapMax: bytes; 0 is no limit
    tasks   current, peak, max; 0 is no limit
    io      readBytes, writeBytes, readOps, writeOps

A Go template has them by their Go names: ID, CPUPercent, CPU.Usage, Memory.Max.`,
		Example: `  sdcontainer stats
  sdcontainer stats --no-stream web
  sdcontainer stats --no-stream --format '{{.ID}} {{.Memory.Current}}'`,
		ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkFormat(o.format, "table", "json"); err != nil {
				return err
			}
			if o.interval.Duration < leastInterval {
				return usage("--interval %v: want at least %v", o.interval.Duration, leastInterval)
			}
			return a.showStats(cmd, args, o)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.once, "no-stream", false, "print once")
	f.Bool("stream", false, "go on, also where standard output is no terminal")
	f.VarP(&o.interval, "interval", "i", "how often, at least 100ms")
	formatFlag(cmd, &o.format, "table", "json")
	cmd.MarkFlagsMutuallyExclusive("stream", "no-stream")
	return cmd
}

func (a *app) showStats(cmd *cobra.Command, names []string, o statsOptions) error {
	stream, _ := cmd.Flags().GetBool("stream") // it is defined
	m := meter{a: a, names: names, last: map[string]sdcontainer.Stats{}}
	samples, err := m.read(cmd.Context())
	if err != nil && len(samples) == 0 && o.format == "table" {
		return err // a header alone says nothing
	}
	if err != nil || o.once || !stream && !isTerminal(a.stdout) {
		return errors.Join(err, a.printStats(samples, o.format))
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	return a.streamStats(ctx, &m, samples, o)
}

func (a *app) streamStats(ctx context.Context, m *meter, samples []sample, o statsOptions) error {
	tick := time.NewTicker(o.interval.Duration)
	defer tick.Stop()
	for {
		if err := a.refresh(samples, o.format); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		var err error
		if samples, err = m.read(ctx); err != nil {
			return err
		}
		if len(m.names) > 0 && len(samples) == 0 {
			return nil // all have ended
		}
	}
}

// refresh prints a reading over the last one, or after it where that cannot be.
func (a *app) refresh(samples []sample, format string) error {
	if format == "json" {
		e := json.NewEncoder(a.stdout)
		for _, s := range samples {
			if err := e.Encode(s); err != nil {
				return err
			}
		}
		return nil
	}
	if isTerminal(a.stdout) && os.Getenv("TERM") != "dumb" {
		const home, clear = "\x1b[H", "\x1b[J"
		if _, err := io.WriteString(a.stdout, home+clear); err != nil {
			return err
		}
	}
	return a.printStats(samples, format)
}

func (a *app) printStats(samples []sample, format string) error {
	switch format {
	case "json":
		return a.writeJSON(samples)
	case "table":
		return a.statsTable(samples)
	}
	return writeTemplate(a, format, samples)
}

func (a *app) statsTable(samples []sample) error {
	t := a.table(false, "NAME", "CPU %", "CPU TIME", "MEM USAGE / LIMIT", "MEM %", "TASKS", "READ", "WRITTEN", "OOM KILLS")
	for _, s := range samples {
		limit, percent, colour := "-", "-", ""
		if s.Memory.Max > 0 {
			share := float64(s.Memory.Current) / float64(s.Memory.Max)
			limit, percent, colour = size(s.Memory.Max), fmt.Sprintf("%.1f%%", 100*share), heat(share)
		}
		memory, taskText := size(s.Memory.Current), strconv.FormatUint(s.Tasks.Current, 10)
		if s.Memory.Current == 0 { // no process lives without memory: the controller is missing
			memory, percent = "-", "-"
		}
		if s.Tasks.Current == 0 {
			taskText = "-"
		} else if s.Tasks.Max > 0 {
			taskText += "/" + strconv.FormatUint(s.Tasks.Max, 10)
		}
		t.add(text(s.ID), number(fmt.Sprintf("%.1f%%", s.CPUPercent)), number(cpuTime(s.CPU.Usage)),
			number(memory+" / "+limit), cell{text: percent, colour: colour, right: true}, number(taskText),
			number(size(s.IO.ReadBytes)), number(size(s.IO.WriteBytes)), number(strconv.FormatUint(s.OOMKills, 10)))
	}
	return t.write(a.stdout)
}

// heat colours a share of a limit.
func heat(share float64) string {
	switch {
	case share > 0.9:
		return red
	case share > 0.75:
		return yellow
	}
	return ""
}

// A meter reads containers again and again.
type meter struct {
	a     *app
	names []string
	last  map[string]sdcontainer.Stats // by the name that was asked for
}

// read takes a sample of each container. One that has ended is left out, at the
// first reading only if it was not asked for by name.
func (m *meter) read(ctx context.Context) ([]sample, error) {
	samples := []sample{}
	names := m.names
	if len(names) == 0 {
		states, err := m.a.states(false)
		if err != nil {
			return nil, err
		}
		for _, st := range states {
			names = append(names, st.ID)
		}
	}
	var errs []error
	for _, name := range names {
		s, err := m.sample(ctx, name)
		switch {
		case err == nil:
			samples = append(samples, s)
			m.last[name] = s.Stats
		case !m.over(name, err):
			errs = append(errs, err)
		}
	}
	return samples, errors.Join(errs...)
}

// over says whether an error only means that a container has ended since it was seen, and
// perhaps was removed.
func (m *meter) over(name string, err error) bool {
	_, seen := m.last[name]
	ended := errors.Is(err, sdcontainer.ErrNotRunning) || errors.Is(err, sdcontainer.ErrNotExist)
	return ended && (seen || len(m.names) == 0)
}

func (m *meter) sample(ctx context.Context, name string) (sample, error) {
	c, err := m.a.load(ctx, name)
	if err != nil {
		return sample{}, err
	}
	now, err := c.Stats()
	if err != nil {
		return sample{}, err
	}
	s := sample{ID: c.ID(), Stats: now}
	used, since := now.CPU.Usage, time.Duration(0)
	if last, ok := m.last[name]; ok {
		used, since = used-last.CPU.Usage, now.At.Sub(last.At)
	} else if st, err := c.State(); err == nil && st.Started != nil {
		since = now.At.Sub(*st.Started)
	}
	if since > 0 {
		s.CPUPercent = 100 * float64(used) / float64(since)
	}
	return s, nil
}
