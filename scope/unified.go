// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/sdcontainer/sdcontainer/configs"
)

// unifiedKeys says how a cgroup v2 file becomes a property. What is not here goes
// to the payload's sub-cgroup.
func unifiedKeys() map[string]func(p *planner, at, value string) {
	return map[string]func(p *planner, at, value string){
		"memory.min":             sizeKey("MemoryMin"),
		"memory.low":             sizeKey("MemoryLow"),
		"memory.high":            sizeKey("MemoryHigh"),
		"memory.max":             sizeKey("MemoryMax"),
		"memory.swap.max":        sizeKey("MemorySwapMax"),
		"memory.zswap.max":       sizeKey("MemoryZSwapMax"),
		"memory.zswap.writeback": boolKey("MemoryZSwapWriteback"),
		"memory.oom.group":       (*planner).oomGroup,
		"pids.max":               (*planner).pidsMax,
		"cpu.weight":             weightKey("CPUWeight"),
		"cpu.idle":               (*planner).cpuIdle,
		"cpu.max":                (*planner).cpuMax,
		"cpuset.cpus":            func(p *planner, at, v string) { p.cpuSet(at, "AllowedCPUs", v) },
		"cpuset.mems":            func(p *planner, at, v string) { p.cpuSet(at, "AllowedMemoryNodes", v) },
		"io.weight":              (*planner).ioWeights,
		"io.max":                 (*planner).ioMax,
		"io.latency":             (*planner).ioLatency,
	}
}

// unifiedField is where the Spec has them.
const unifiedField = "linux.resources.unified"

// wrong reports the value at a field of the Spec.
func (p *planner) wrong(at, format string, args ...any) {
	err := fmt.Errorf(format, args...)
	if file, ok := strings.CutPrefix(at, unifiedField+"."); ok {
		p.errs = append(p.errs, &configs.FieldError{Field: unifiedField, Entry: file, Err: err})
		return
	}
	p.fail("%s: %w", at, err)
}

func (p *planner) unified(at, key, value string) {
	value = strings.TrimSpace(value)
	if f, ok := unifiedKeys()[key]; ok {
		f(p, at, value)
		return
	}
	if err := checkFile(key); err != nil {
		p.wrong(at, "%w", err)
		return
	}
	p.checkPayload(at, key, value)
	p.unit.Payload[key] = value
}

// controllers are those of cgroup v2 whose files may be written in the payload's sub-cgroup.
var controllers = map[string]bool{
	"cpu": true, "cpuset": true, "io": true, "memory": true, "pids": true, "hugetlb": true, "rdma": true, "misc": true, "dmem": true,
}

var errNoFile = errors.New("want one of a cgroup v2 controller's files, such as memory.high")

// checkFile accepts the name of a controller's file. The files cgroup.* steer the tree itself.
func checkFile(name string) error {
	controller, _, ok := strings.Cut(name, ".")
	for i := range len(name) {
		ok = ok && (isNameByte(name[i]) && name[i] != ':')
	}
	if !ok || !controllers[controller] || strings.HasSuffix(name, ".") || len(name) > 64 {
		return errNoFile
	}
	return settable(name)
}

// settable says why a controller's file is no setting, by the last word of its name: no start could find there what it wrote.
func settable(name string) error {
	switch name[strings.LastIndexByte(name, '.')+1:] {
	case "current", "peak", "events", "stat", "local", "numa_stat", "effective", "isolated", "capacity":
		return errors.New("is no setting: the kernel tells something there (want a limit, such as memory.high)")
	case "reclaim", "pressure":
		return errors.New("is no setting: what is written there is for that moment, or for as long as its writer has it open (want a limit, such as memory.high)")
	}
	return nil
}

func parseMax(value string) (uint64, error) {
	if value == "max" {
		return Infinity, nil
	}
	return strconv.ParseUint(value, 10, 63)
}

func sizeKey(name string) func(*planner, string, string) {
	return func(p *planner, at, value string) {
		n, err := parseMax(value)
		if err != nil {
			p.wrong(at, "%q: want bytes or max", value)
			return
		}
		if info, _ := Lookup(name); info.check(n) != nil {
			p.wrong(at, "%w", info.check(n))
			return
		}
		p.set(at, name, n)
	}
}

func boolKey(name string) func(*planner, string, string) {
	return func(p *planner, at, value string) {
		if value != "0" && value != "1" {
			p.wrong(at, "%q: want 0 or 1", value)
			return
		}
		p.set(at, name, value == "1")
	}
}

func weightKey(name string) func(*planner, string, string) {
	return func(p *planner, at, value string) {
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil || n < 1 || n > 10000 {
			p.wrong(at, "%q: want 1 to 10000", value)
			return
		}
		p.set(at, name, n)
	}
}

func (p *planner) oomGroup(at, value string) {
	switch value {
	case "0":
		p.set(at, "OOMPolicy", "continue")
	case "1":
		p.set(at, "OOMPolicy", "kill")
	default:
		p.wrong(at, "%q: want 0 or 1", value)
	}
}

func (p *planner) pidsMax(at, value string) {
	n, err := parseMax(value)
	if err != nil {
		p.wrong(at, "%q: want a number or max", value)
		return
	}
	p.set(at, "TasksMax", max(n, 1))
}

func (p *planner) cpuIdle(at, value string) {
	if value == "0" {
		return
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		p.wrong(at, "%q: want 0 or 1", value)
		return
	}
	p.idle(at, n)
}

// cpuMax is "QUOTA [PERIOD]" in microseconds.
func (p *planner) cpuMax(at, value string) {
	quotaText, periodText, hasPeriod := strings.Cut(value, " ")
	quota, err := parseMax(quotaText)
	period := uint64(0)
	if hasPeriod && err == nil {
		period, err = strconv.ParseUint(periodText, 10, 64)
	}
	if err != nil || quota == 0 || hasPeriod && (period < minPeriod || period > maxPeriod) {
		p.wrong(at, "%q: want QUOTA PERIOD in microseconds, the quota may be max", value)
		return
	}
	delete(p.unit.Payload, "cpu.max")
	delete(p.unit.Payload, "cpu.max.burst")
	if quota > math.MaxInt64 {
		p.bandwidth(at, at, -1, period)
		return
	}
	p.bandwidth(at, at, int64(quota), period)
}

// unifiedBurst moves the quota to where its burst is, see [planner.burst].
func (p *planner) unifiedBurst(at, cpuMax, value string) {
	quotaText, periodText, _ := strings.Cut(strings.TrimSpace(cpuMax), " ")
	quota, err := strconv.ParseInt(quotaText, 10, 64)
	burst, err2 := strconv.ParseUint(strings.TrimSpace(value), 10, 63)
	if err != nil || err2 != nil {
		p.wrong(at, "%q: want a number of microseconds, and a quota in unified.cpu.max", value)
		return
	}
	period, _ := strconv.ParseUint(periodText, 10, 64) // checked by cpuMax, or left out
	p.unset("CPUQuotaPerSecUSec")
	p.unset("CPUQuotaPeriodUSec")
	p.burst(at, quota, period, burst)
}

// ioLines splits a file of lines "MAJOR:MINOR KEY=VALUE..." and calls f for each pair.
func (p *planner) ioLines(at, value string, f func(path, key, value string) error) {
	for line := range strings.Lines(value) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			p.wrong(at, "%q: want MAJOR:MINOR KEY=VALUE", strings.TrimSpace(line))
			continue
		}
		major, minor, err := deviceNumbers(fields[0])
		if err != nil {
			p.wrong(at, "%w", err)
			continue
		}
		for _, pair := range fields[1:] {
			key, v, _ := strings.Cut(pair, "=")
			if err := f(blockPath(major, minor), key, v); err != nil {
				p.wrong(at, "%q: %w", pair, err)
			}
		}
	}
}

func deviceNumbers(s string) (major, minor int64, err error) {
	a, b, _ := strings.Cut(s, ":")
	x, err1 := strconv.ParseUint(a, 10, 20)
	y, err2 := strconv.ParseUint(b, 10, 20)
	if err1 != nil || err2 != nil {
		return 0, 0, fmt.Errorf("device %q: want MAJOR:MINOR", s)
	}
	return int64(x), int64(y), nil
}

var ioMaxKeys = map[string]string{
	"rbps": "IOReadBandwidthMax", "wbps": "IOWriteBandwidthMax", "riops": "IOReadIOPSMax", "wiops": "IOWriteIOPSMax",
}

func (p *planner) ioMax(at, value string) {
	p.ioLines(at, value, func(path, key, v string) error {
		n, err := parseMax(v)
		if err != nil || n == 0 || ioMaxKeys[key] == "" {
			return fmt.Errorf("want rbps, wbps, riops or wiops = a number above 0 or max")
		}
		p.add(at, ioMaxKeys[key], PathValue{path, n})
		return nil
	})
}

func (p *planner) ioLatency(at, value string) {
	p.ioLines(at, value, func(path, key, v string) error {
		n, err := strconv.ParseUint(v, 10, 64)
		if err != nil || key != "target" {
			return fmt.Errorf("want target = microseconds")
		}
		p.add(at, "IODeviceLatencyTargetUSec", PathValue{path, n})
		return nil
	})
}

// ioWeights is "default N" or "N", and lines "MAJOR:MINOR N".
func (p *planner) ioWeights(at, value string) {
	for line := range strings.Lines(value) {
		fields := strings.Fields(line)
		if len(fields) == 1 {
			fields = []string{"default", fields[0]}
		}
		if len(fields) != 2 {
			p.wrong(at, "%q: want default N or MAJOR:MINOR N", strings.TrimSpace(line))
			continue
		}
		n, err := strconv.ParseUint(fields[1], 10, 64)
		if err != nil || n < 1 || n > 10000 {
			p.wrong(at, "%q: want a weight of 1 to 10000", fields[1])
			continue
		}
		if fields[0] == "default" {
			p.set(at, "IOWeight", n)
			continue
		}
		major, minor, err := deviceNumbers(fields[0])
		if err != nil {
			p.wrong(at, "%w", err)
			continue
		}
		p.add(at, "IODeviceWeight", PathValue{blockPath(major, minor), n})
	}
}

// add appends a device to a property, or replaces the device's entry.
func (p *planner) add(at, name string, v PathValue) {
	have, _ := p.unit.Get(name).([]PathValue)
	list := []PathValue{}
	for _, o := range have {
		if o.Path != v.Path {
			list = append(list, o)
		}
	}
	p.set(at, name, append(list, v))
}
