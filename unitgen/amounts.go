// SPDX-License-Identifier: Apache-2.0

package unitgen

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// spanPart is one number of a time with its unit.
const spanPart = `(\+?[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:\s*` +
	`(nsec|ns|usec|us|µs|μs|msec|ms|seconds?|sec|s|minutes?|min|months?|M|m|hours?|hr|h|days?|d|weeks?|w|years?|y)\s*|\s+|$)`

var (
	spanPattern  = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(?:` + spanPart + `)+$`) })
	spanPatterns = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(spanPart) })
)

func span() form {
	return form{want: `a time like "10s" or "1min 30s", a number of seconds, or "infinity"`,
		ok: func(v string) bool { return !strings.Contains(v, "ns") && inTime(v, 1, 1e-6) }, full: true}
}

func nanoseconds() form {
	return form{want: `a time like "50us" or "1ms", a number of nanoseconds, or "infinity"`, ok: func(v string) bool { return inTime(v, 1e-9, 1e-9) }, full: true}
}

// inTime says whether v is a time that is written in units of so many seconds where it has none, and that 64 bits can count.
func inTime(v string, unit, count float64) bool {
	if v == "infinity" {
		return true
	}
	if !spanPattern().MatchString(v) {
		return false
	}
	total := 0.0
	for _, m := range spanPatterns().FindAllStringSubmatch(v, -1) {
		n, err := strconv.ParseFloat(m[1], 64)
		if err != nil || n > math.MaxInt64 {
			return false
		}
		if m[2] != "" {
			n *= seconds(m[2])
		} else {
			n *= unit
		}
		total += n
	}
	return total/count < math.MaxUint64
}

// seconds is how long a unit of [spanPart] is.
func seconds(unit string) float64 {
	switch {
	case strings.HasPrefix(unit, "n"):
		return 1e-9
	case strings.HasPrefix(unit, "ms"):
		return 1e-3
	case strings.HasPrefix(unit, "s"):
		return 1
	case strings.HasPrefix(unit, "mo"), unit == "M":
		return 2629800
	case strings.HasPrefix(unit, "m"):
		return 60
	case strings.HasPrefix(unit, "h"):
		return 3600
	case strings.HasPrefix(unit, "d"):
		return 24 * 3600
	case strings.HasPrefix(unit, "w"):
		return 7 * 24 * 3600
	case strings.HasPrefix(unit, "y"):
		return 31557600
	}
	return 1e-6
}

// sizeUnits are each unit of a size once, the largest first.
var sizeUnits = []string{"E", "P", "T", "G", "M", "K", "B", ""}

var sizePattern = sync.OnceValue(func() *regexp.Regexp {
	var all strings.Builder
	for _, unit := range sizeUnits {
		all.WriteString(`(?:(\+?[0-9]+(?:\.[0-9]*)?)\s*` + unit + `\s*)?`)
	}
	return regexp.MustCompile("^" + all.String() + "$")
})

// amount reads a size whose units are powers of base.
func amount(v string, base float64) (total float64, ok bool) {
	numbers := sizePattern().FindStringSubmatch(v)
	if numbers == nil || v == "" {
		return 0, false
	}
	for i, number := range numbers[1:] {
		if n, err := strconv.ParseFloat(number, 64); err == nil {
			total += n * math.Pow(base, float64(max(6-i, 0)))
		}
	}
	return total, true
}

// ofMemory is a limit of memory, for some only above zero.
func ofMemory(above bool) form {
	return form{want: `a size like "512M" (K, M, G, T are powers of 1024), a number of bytes, "50%" or "infinity"`, ok: func(v string) bool {
		if part, ok := share(v); ok {
			return part <= 10000 && (part > 0 || !above)
		}
		n, ok := amount(v, 1024)
		return v == "infinity" || ok && n < math.MaxUint64 && (n >= 1 || !above)
	}}
}
