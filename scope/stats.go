// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"
)

// Stats is what a cgroup has used. A nil part has no controller here.
type Stats struct {
	CPU    *CPUStats    `json:"cpu,omitempty"`
	Memory *MemoryStats `json:"memory,omitempty"`
	Pids   *PidsStats   `json:"pids,omitempty"`
	IO     []IOStats    `json:"io,omitempty"`
	// Pressure is "cpu", "memory" and "io", where the kernel measures it.
	Pressure map[string]Pressure `json:"pressure,omitempty"`
}

// CPUStats is time used, and how often the quota held the processes back.
type CPUStats struct {
	Usage            time.Duration `json:"usage"`
	User             time.Duration `json:"user"`
	System           time.Duration `json:"system"`
	Periods          uint64        `json:"periods"`
	ThrottledPeriods uint64        `json:"throttledPeriods"`
	Throttled        time.Duration `json:"throttled"`
}

// MemoryStats is in bytes. A limit of Infinity is none.
type MemoryStats struct {
	Current     uint64            `json:"current"`
	Peak        uint64            `json:"peak,omitempty"` // Linux 5.19
	Max         uint64            `json:"max"`
	High        uint64            `json:"high"`
	SwapCurrent uint64            `json:"swapCurrent"`
	SwapMax     uint64            `json:"swapMax"`
	Events      map[string]uint64 `json:"events"` // low, high, max, oom, oom_kill, oom_group_kill
	Stat        map[string]uint64 `json:"stat"`   // the lines of memory.stat
}

// PidsStats counts tasks.
type PidsStats struct {
	Current uint64 `json:"current"`
	Peak    uint64 `json:"peak,omitempty"` // Linux 6.1
	Max     uint64 `json:"max"`
	Refused uint64 `json:"refused"` // forks that the limit stopped
}

// IOStats is what went to and from one block device.
type IOStats struct {
	Device       string `json:"device"` // major:minor
	ReadBytes    uint64 `json:"readBytes"`
	WriteBytes   uint64 `json:"writeBytes"`
	DiscardBytes uint64 `json:"discardBytes"`
	Reads        uint64 `json:"reads"`
	Writes       uint64 `json:"writes"`
	Discards     uint64 `json:"discards"`
}

// Pressure is the share of time in which some, or all, processes waited: percent over
// the last ten seconds, and in all.
type Pressure struct {
	Some10    float64       `json:"some10"`
	SomeTotal time.Duration `json:"someTotal"`
	Full10    float64       `json:"full10"`
	FullTotal time.Duration `json:"fullTotal"`
}

// ReadStats reads what a cgroup has used. Files that are not there are left out. Errors:
// fs.ErrNotExist when there is no such cgroup.
func ReadStats(cgroup string) (Stats, error) {
	var s Stats
	cpu, err := readFlat(dir(cgroup, "cpu.stat")) // there in every cgroup, with or without controller
	if err != nil {
		return s, err
	}
	s.CPU = &CPUStats{
		Usage: micro(cpu["usage_usec"]), User: micro(cpu["user_usec"]), System: micro(cpu["system_usec"]),
		Periods: cpu["nr_periods"], ThrottledPeriods: cpu["nr_throttled"], Throttled: micro(cpu["throttled_usec"]),
	}
	r := &reader{cgroup: cgroup}
	s.Memory, s.Pids, s.IO = r.memory(), r.pids(), r.io()
	s.Pressure = map[string]Pressure{}
	for _, name := range []string{"cpu", "memory", "io"} {
		if p, ok := r.pressure(name + ".pressure"); ok {
			s.Pressure[name] = p
		}
	}
	return s, r.err
}

func micro(n uint64) time.Duration { return time.Duration(n) * time.Microsecond }

// A reader reads files of one cgroup. The first error other than a missing file stays.
type reader struct {
	cgroup string
	err    error
}

func (r *reader) text(file string) (string, bool) {
	b, err := os.ReadFile(dir(r.cgroup, file))
	if err != nil && !vanished(err) && !errors.Is(err, errors.ErrUnsupported) && r.err == nil {
		r.err = err
	}
	return strings.TrimSpace(string(b)), err == nil
}

func (r *reader) number(file string) (uint64, bool) {
	text, ok := r.text(file)
	if !ok {
		return 0, false
	}
	if text == "max" {
		return Infinity, true
	}
	n, err := strconv.ParseUint(text, 10, 64)
	return n, err == nil
}

func (r *reader) flat(file string) map[string]uint64 {
	m, err := readFlat(dir(r.cgroup, file))
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !vanished(err) && r.err == nil {
		r.err = err
	}
	return m
}

func (r *reader) memory() *MemoryStats {
	current, ok := r.number("memory.current")
	if !ok {
		return nil
	}
	m := &MemoryStats{Current: current, Events: r.flat("memory.events"), Stat: r.flat("memory.stat")}
	m.Peak, _ = r.number("memory.peak")
	m.Max, _ = r.number("memory.max")
	m.High, _ = r.number("memory.high")
	m.SwapCurrent, _ = r.number("memory.swap.current")
	m.SwapMax, _ = r.number("memory.swap.max")
	return m
}

func (r *reader) pids() *PidsStats {
	current, ok := r.number("pids.current")
	if !ok {
		return nil
	}
	p := &PidsStats{Current: current, Refused: r.flat("pids.events")["max"]}
	p.Peak, _ = r.number("pids.peak")
	p.Max, _ = r.number("pids.max")
	return p
}

// io reads lines "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6".
func (r *reader) io() []IOStats {
	text, ok := r.text("io.stat")
	if !ok {
		return nil
	}
	var all []IOStats
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		v := map[string]uint64{}
		for _, f := range fields[1:] {
			key, value, _ := strings.Cut(f, "=")
			v[key], _ = strconv.ParseUint(value, 10, 64) // other keys have other values
		}
		all = append(all, IOStats{fields[0], v["rbytes"], v["wbytes"], v["dbytes"], v["rios"], v["wios"], v["dios"]})
	}
	return all
}

// pressure reads lines "some avg10=0.00 avg60=0.00 avg300=0.00 total=0" and "full ...".
func (r *reader) pressure(file string) (p Pressure, ok bool) {
	text, ok := r.text(file)
	for line := range strings.Lines(text) {
		kind, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		var avg float64
		var total uint64
		for pair := range strings.FieldsSeq(rest) {
			switch key, v, _ := strings.Cut(pair, "="); key {
			case "avg10":
				avg, _ = strconv.ParseFloat(v, 64) // the kernel's own number
			case "total":
				total, _ = strconv.ParseUint(v, 10, 64) // the kernel's own number
			}
		}
		switch kind {
		case "some":
			p.Some10, p.SomeTotal = avg, micro(total)
		case "full":
			p.Full10, p.FullTotal = avg, micro(total)
		}
	}
	return p, ok
}
