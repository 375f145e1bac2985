// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
)

// Stats is one reading of a container's cgroup.
type Stats struct {
	At       time.Time `json:"at"`
	CPU      CPUStats  `json:"cpu"`
	Memory   MemStats  `json:"memory"`
	Tasks    TaskStats `json:"tasks"`
	IO       IOStats   `json:"io"`
	OOMKills uint64    `json:"oomKills"`
}

// CPUStats is cpu.stat.
type CPUStats struct {
	Usage     time.Duration `json:"usageNsec"`
	User      time.Duration `json:"userNsec"`
	System    time.Duration `json:"systemNsec"`
	Periods   uint64        `json:"periods"`
	Throttled uint64        `json:"throttledPeriods"`
}

// MemStats is memory.*, in bytes; a limit of 0 means none.
type MemStats struct {
	Current uint64 `json:"current"`
	Peak    uint64 `json:"peak"` // Linux 5.19
	Max     uint64 `json:"max"`
	High    uint64 `json:"high"`
	Swap    uint64 `json:"swap"`
	SwapMax uint64 `json:"swapMax"`
}

// TaskStats is pids.*; a limit of 0 means none.
type TaskStats struct {
	Current uint64 `json:"current"`
	Peak    uint64 `json:"peak"` // Linux 6.1
	Max     uint64 `json:"max"`
}

// IOStats sums io.stat over all devices.
type IOStats struct {
	ReadBytes  uint64 `json:"readBytes"`
	WriteBytes uint64 `json:"writeBytes"`
	ReadOps    uint64 `json:"readOps"`
	WriteOps   uint64 `json:"writeOps"`
}

// ReadStats reads the cgroup's counters. Files of controllers that are off, or that the
// kernel does not have, count as 0. Errors: fs.ErrNotExist when there is no such cgroup.
func ReadStats(cgroup string) (Stats, error) {
	d, err := unitDir(cgroup)
	if err != nil {
		return Stats{}, err
	}
	cpu, err := readFlat(filepath.Join(d, "cpu.stat")) // there in every cgroup
	if err != nil {
		return Stats{}, err
	}
	r := statReader(cgroup)
	return Stats{
		At: time.Now(),
		CPU: CPUStats{
			Usage: micro(cpu["usage_usec"]), User: micro(cpu["user_usec"]), System: micro(cpu["system_usec"]),
			Periods: cpu["nr_periods"], Throttled: cpu["nr_throttled"],
		},
		Memory: MemStats{
			Current: r.number("memory.current"), Peak: r.number("memory.peak"),
			Max: r.number("memory.max"), High: r.number("memory.high"),
			Swap: r.number("memory.swap.current"), SwapMax: r.number("memory.swap.max"),
		},
		Tasks:    TaskStats{Current: r.number("pids.current"), Peak: r.number("pids.peak"), Max: r.number("pids.max")},
		IO:       parseIO(r.text("io.stat")),
		OOMKills: parseFlat(r.text("memory.events"))["oom_kill"],
	}, nil
}

func micro(n uint64) time.Duration { return time.Duration(n) * time.Microsecond }

// A statReader reads the files of one cgroup.
type statReader string

func (r statReader) text(file string) string {
	b, err := kernel.ReadFile(dir(string(r), file))
	if err != nil {
		return "" // the controller is off
	}
	return strings.TrimSpace(string(b))
}

// number reads a file of one number; "max" is 0.
func (r statReader) number(file string) uint64 {
	n, err := strconv.ParseUint(r.text(file), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// parseIO reads lines like "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6".
func parseIO(text string) (s IOStats) {
	fields := map[string]*uint64{"rbytes": &s.ReadBytes, "wbytes": &s.WriteBytes, "rios": &s.ReadOps, "wios": &s.WriteOps}
	for word := range strings.FieldsSeq(text) {
		key, value, _ := strings.Cut(word, "=")
		if f := fields[key]; f != nil {
			n, _ := strconv.ParseUint(value, 10, 64) // the kernel's own number
			*f += n
		}
	}
	return s
}
