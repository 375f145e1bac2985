// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// A Limit is what a file of the cgroup holds when a property has its effect.
type Limit struct {
	Property string
	File     string
	Device   string // in a file of devices: which of them, by a path on it; or "default"
	Field    string // of the device's line: "rbps"; "" is all of it
	Value    string
}

func equal(a, b any) bool { return reflect.DeepEqual(a, b) }

// Limits is what the kernel's files of the unit's cgroup hold once the unit runs. Where the unit is to have
// another limit while the machine starts, it cannot be told which of them counts.
func Limits(u Unit) []Limit {
	var limits []Limit
	for _, p := range u.Properties {
		info, _ := Lookup(p.Name)
		if info.File == "" || p.Name == "CPUQuotaPerSecUSec" || p.Name == "CPUQuotaPeriodUSec" || u.Get("Startup"+p.Name) != nil {
			continue
		}
		limits = append(limits, limitsOf(info, p.Value)...)
	}
	if quota, ok := u.Get("CPUQuotaPerSecUSec").(uint64); ok {
		period, ok := u.Get("CPUQuotaPeriodUSec").(uint64)
		limits = append(limits, Limit{Property: "CPUQuotaPerSecUSec", File: "cpu.max", Value: cpuMaxFile(quota, period, ok)})
	}
	return limits
}

func limitsOf(i Info, v any) []Limit {
	l := Limit{Property: i.Name, File: i.File}
	switch devices, list := v.([]PathValue); {
	case list:
		return deviceLimits(i, devices)
	case i.Name == "IOWeight":
		l.Device = "default"
		return weightLimits(l, v)
	case i.Name == "CPUWeight" && v == uint64(0):
		l.File, l.Value = "cpu.idle", "1"
	case i.Name == "OOMPolicy":
		l.Value = fileValue(i, v == "kill")
	default:
		l.Value = fileValue(i, v)
	}
	return []Limit{l}
}

// cpuMaxFile is how systemd turns microseconds a second into quota and period.
func cpuMaxFile(perSecond, period uint64, hasPeriod bool) string {
	if !hasPeriod || period == Infinity {
		period = defaultPeriod
	}
	if perSecond == Infinity {
		return fmt.Sprintf("max %d", period)
	}
	// The kernel refuses a quota below a millisecond: systemd stretches the period.
	period = min(max(period, minPeriod, minPeriod*second/max(perSecond, 1)), maxPeriod)
	return fmt.Sprintf("%d %d", max(perSecond*period/second, minPeriod), period)
}

func fileValue(i Info, v any) string {
	switch v := v.(type) {
	case bool:
		if v {
			return "1"
		}
		return "0"
	case []byte:
		return FormatSet(v)
	case uint64:
		if v == Infinity {
			return "max"
		}
		if i.Kind == KindBytes {
			v -= v % uint64(pageSize) // the kernel counts whole pages
		}
		return strconv.FormatUint(v, 10)
	}
	return fmt.Sprint(v)
}

// FormatSet writes a mask of CPUs or nodes as the kernel does: "0-3,8".
func FormatSet(mask []byte) string {
	var parts []string
	has := func(n int) bool { return n < len(mask)*8 && mask[n/8]&(1<<(n%8)) != 0 }
	for n := 0; n < len(mask)*8; n++ {
		if !has(n) {
			continue
		}
		first := n
		for has(n + 1) {
			n++
		}
		if first == n {
			parts = append(parts, strconv.Itoa(n))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", first, n))
		}
	}
	return strings.Join(parts, ",")
}

// PayloadLimits is what the files of the payload's sub-cgroup hold. Those with a value for each device, region or resource
// are left out, and those of CPUs and percentages: the kernel writes them in its own order and form.
func PayloadLimits(u Unit) []Limit {
	var limits []Limit
	for _, file := range slices.Sorted(maps.Keys(u.Payload)) {
		v := u.Payload[file]
		many := strings.ContainsAny(v, "\n= ") && file != "cpu.max"
		if !many && !strings.HasPrefix(file, "cpu.uclamp.") && file != "cpuset.cpus.exclusive" {
			limits = append(limits, Limit{Property: "payload", File: file, Value: v})
		}
	}
	return limits
}

var pageSize = os.Getpagesize()
