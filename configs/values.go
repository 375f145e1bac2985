// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Infinity is what sizes, counts and spans have for "no limit".
const Infinity = math.MaxUint64

// A Size is a number of bytes, or a share of the machine's memory.
type Size struct {
	Bytes   uint64
	Percent float64 // > 0: a share; Bytes does not count then
}

// Scale is the share as systemd has it, where the largest uint32 is all.
func (s Size) Scale() uint32 { return uint32(s.Percent / 100 * math.MaxUint32) }

const wantSize = `a size like "512M" (K, M, G, T are powers of 1024), a number of bytes, "50%" or "infinity"`

func parseSize(v any) (any, error) {
	switch v := v.(type) {
	case int64:
		if v >= 0 {
			return Size{Bytes: uint64(v)}, nil
		}
	case string:
		if v == "infinity" {
			return Size{Bytes: Infinity}, nil
		}
		if p, ok := percent(v); ok && p > 0 && p <= 100 {
			return Size{Percent: p}, nil
		}
		if n, err := bytesOf(v); err == nil {
			return Size{Bytes: n}, nil
		}
	}
	return nil, errors.New(wantSize)
}

func percent(s string) (float64, bool) {
	n, ok := strings.CutSuffix(s, "%")
	if !ok {
		return 0, false
	}
	f, err := strconv.ParseFloat(n, 64)
	return f, err == nil && strings.Trim(n, "0123456789.") == ""
}

// sizeUnits are powers of 1024.
const sizeUnits = "KMGTP"

func bytesOf(s string) (uint64, error) {
	i := strings.IndexFunc(s, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if i < 0 {
		i = len(s)
	}
	number, unit := s[:i], strings.ToUpper(s[i:])
	if n, err := strconv.ParseUint(number, 10, 63); err == nil && (unit == "" || unit == "B") {
		return n, nil
	}
	power := 0
	if unit != "" {
		power = strings.IndexByte(sizeUnits, unit[0]) + 1
	}
	n, err := strconv.ParseFloat(number, 64)
	n = math.Ldexp(n, 10*power)
	if err != nil || power == 0 || unit[1:] != "" && unit[1:] != "B" && unit[1:] != "IB" || n >= 1<<63 {
		return 0, errors.New(wantSize)
	}
	return uint64(n), nil
}

const wantBytes = `a size like "512M" (K, M, G, T are powers of 1024), a number of bytes or "infinity"`

// parseBytes is a size that cannot be a share.
func parseBytes(v any) (any, error) {
	n, err := parseSize(v)
	if err != nil || n.(Size).Percent > 0 {
		return nil, errors.New(wantBytes)
	}
	return n.(Size).Bytes, nil
}

// parseRate is bytes a second.
func parseRate(v any) (any, error) {
	n, err := parseBytes(v)
	if err != nil || n == uint64(0) {
		return nil, errors.New(`bytes a second, like "20M"`)
	}
	return n, nil
}

func parseShare(v any) (any, error) {
	if s, ok := v.(string); ok {
		if p, ok := percent(s); ok && p <= 100 {
			return p, nil
		}
	}
	return nil, errors.New(`a share like "60%"`)
}

const wantRlimit = `a number, "infinity", or "SOFT:HARD" with SOFT at most HARD`

// parseRlimit gives the soft and the hard limit.
func parseRlimit(v any) (any, error) {
	text, ok := scalar(v)
	soft, hard, two := strings.Cut(text, ":")
	if !two {
		hard = soft
	}
	s, err1 := rlimit(soft)
	h, err2 := rlimit(hard)
	if !ok || err1 != nil || err2 != nil || s > h {
		return nil, errors.New(wantRlimit)
	}
	return [2]uint64{s, h}, nil
}

func rlimit(s string) (uint64, error) {
	if s == "infinity" || s == "unlimited" {
		return Infinity, nil
	}
	return strconv.ParseUint(s, 10, 64)
}

const wantSpan = `a time like "10s", "1min 30s", "500ms", a number of seconds or "infinity"`

var spanUnits = []struct {
	name string
	unit time.Duration
}{
	{"us", time.Microsecond}, {"usec", time.Microsecond}, {"ms", time.Millisecond}, {"msec", time.Millisecond},
	{"s", time.Second}, {"sec", time.Second}, {"second", time.Second}, {"seconds", time.Second}, {"", time.Second},
	{"m", time.Minute}, {"min", time.Minute}, {"minute", time.Minute}, {"minutes", time.Minute},
	{"h", time.Hour}, {"hr", time.Hour}, {"hour", time.Hour}, {"hours", time.Hour},
	{"d", 24 * time.Hour}, {"day", 24 * time.Hour}, {"days", 24 * time.Hour},
	{"w", 7 * 24 * time.Hour}, {"week", 7 * 24 * time.Hour}, {"weeks", 7 * 24 * time.Hour},
}

// maxSpan stands for "infinity".
const maxSpan = time.Duration(math.MaxInt64)

func parseSpan(v any) (any, error) {
	switch v := v.(type) {
	case int64:
		if v >= 0 && v < int64(maxSpan/time.Second) {
			return time.Duration(v) * time.Second, nil
		}
	case float64:
		if v >= 0 && v < float64(maxSpan/time.Second) {
			return time.Duration(v * float64(time.Second)), nil
		}
	case string:
		if d, ok := spanOf(v); ok {
			return d, nil
		}
	}
	return nil, errors.New(wantSpan)
}

func spanOf(s string) (time.Duration, bool) {
	if s == "infinity" {
		return maxSpan, true
	}
	rest, total := strings.TrimSpace(s), 0.0
	if rest == "" {
		return 0, false
	}
	for rest != "" {
		i := strings.IndexFunc(rest, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
		if i < 0 {
			i = len(rest)
		}
		n, err := strconv.ParseFloat(rest[:i], 64)
		rest = strings.TrimLeft(rest[i:], " ")
		j := strings.IndexFunc(rest, func(r rune) bool { return r < 'a' || r > 'z' })
		if j < 0 {
			j = len(rest)
		}
		unit, ok := spanUnit(rest[:j])
		if err != nil || !ok {
			return 0, false
		}
		total += n * float64(unit)
		rest = strings.TrimLeft(rest[j:], " ")
	}
	return time.Duration(total), total < float64(maxSpan)
}

func spanUnit(name string) (time.Duration, bool) {
	for _, u := range spanUnits {
		if u.name == name {
			return u.unit, true
		}
	}
	return 0, false
}

const wantCPU = `a share of CPU time like "150%" (one and a half CPUs), at least "1%", or "infinity"`

// parseQuota gives microseconds per second.
func parseQuota(v any) (any, error) {
	if s, ok := v.(string); ok {
		if s == "infinity" {
			return uint64(Infinity), nil
		}
		if p, ok := percent(s); ok && p >= 1 && p <= 1e6 {
			return uint64(p * 10000), nil
		}
	}
	return nil, errors.New(wantCPU)
}

const wantCount = `a number like 512, "10%" (below 100%) or "infinity"`

// parseCount is a Size whose unit is one.
func parseCount(v any) (any, error) {
	switch v := v.(type) {
	case int64:
		if v > 0 {
			return Size{Bytes: uint64(v)}, nil
		}
	case string:
		if v == "infinity" {
			return Size{Bytes: Infinity}, nil
		}
		if p, ok := percent(v); ok && p > 0 && p < 100 { // systemd takes no share of all for tasks
			return Size{Percent: p}, nil
		}
		if n, err := strconv.ParseUint(v, 10, 63); err == nil && n > 0 {
			return Size{Bytes: n}, nil
		}
	}
	return nil, errors.New(wantCount)
}

// idleWeight stands for the idle class.
const idleWeight = uint64(0)

const wantWeight = `a number from 1 to 10000, or "idle" for CPU`

func parseWeight(v any) (any, error) {
	switch v := v.(type) {
	case int64:
		if v >= 1 && v <= 10000 {
			return uint64(v), nil
		}
	case string:
		if v == "idle" {
			return idleWeight, nil
		}
		if n, err := strconv.ParseUint(v, 10, 16); err == nil && n >= 1 && n <= 10000 {
			return n, nil
		}
	}
	return nil, errors.New(wantWeight)
}

const wantCPUs = `numbers and ranges of CPUs or nodes up to 8191, like "0-3,8"`

func parseCPUs(v any) (any, error) {
	s, ok := v.(string)
	if !ok || s == "" {
		return nil, errors.New(wantCPUs)
	}
	if _, err := CPUMask(s); err != nil {
		return nil, errors.New(wantCPUs)
	}
	return s, nil
}

// MaxCPU is the highest number of a processor or memory node: Linux is built for 8192 at most.
const MaxCPU = 8191

// CPUMask turns a list of processors or memory nodes such as "0-3,8" into a mask of as many
// bytes as it needs.
func CPUMask(list string) ([]byte, error) {
	mask := []byte{}
	for part := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		a, err1 := strconv.ParseUint(first, 10, 16)
		b, err2 := strconv.ParseUint(last, 10, 16)
		if err1 != nil || err2 != nil || a > b || b > MaxCPU {
			return nil, fmt.Errorf("want numbers and ranges up to %d, such as 0-3,8", MaxCPU)
		}
		for n := a; n <= b; n++ {
			for uint64(len(mask)) <= n/8 {
				mask = append(mask, 0)
			}
			mask[n/8] |= 1 << (n % 8)
		}
	}
	return mask, nil
}

const wantMode = `an octal mode in quotes like "0755"`

func parseMode(v any) (any, error) {
	if s, ok := v.(string); ok {
		if n, err := strconv.ParseUint(s, 8, 32); err == nil && n <= 0o7777 {
			return uint32(n), nil
		}
	}
	return nil, errors.New(wantMode)
}

const wantAddresses = `networks like "10.0.0.0/8" or "192.0.2.1", or any, localhost, link-local, multicast`

var addressWords = map[string][]string{
	"any":        {"0.0.0.0/0", "::/0"},
	"localhost":  {"127.0.0.0/8", "::1/128"},
	"link-local": {"169.254.0.0/16", "fe80::/64"},
	"multicast":  {"224.0.0.0/4", "ff00::/8"},
}

func parseAddresses(v any) (any, error) {
	list, err := parseStrings(v)
	if err != nil {
		return nil, errors.New("a list of " + wantAddresses)
	}
	var out []netip.Prefix
	for _, s := range list.([]string) {
		words, ok := addressWords[s]
		if !ok {
			words = []string{s}
		}
		for _, w := range words {
			p, err := netip.ParsePrefix(w)
			if a, err2 := netip.ParseAddr(w); err != nil && err2 == nil && a.Zone() == "" {
				p, err = netip.PrefixFrom(a, a.BitLen()), nil
			}
			if err != nil {
				return nil, fmt.Errorf("a list of %s; %q is none", wantAddresses, s)
			}
			out = append(out, p.Masked())
		}
	}
	return out, nil
}

func parseStrings(v any) (any, error) {
	list, ok := v.([]any)
	if !ok {
		return nil, errors.New(`a list of strings like ["a", "b"]`)
	}
	out := make([]string, 0, len(list))
	for _, x := range list {
		s, ok := x.(string)
		if !ok || strings.ContainsRune(s, 0) {
			return nil, errors.New(`a list of strings like ["a", "b"], without NUL characters`)
		}
		out = append(out, s)
	}
	return out, nil
}

func parseString(v any) (any, error) {
	s, ok := v.(string)
	if !ok || strings.ContainsRune(s, 0) {
		return nil, errors.New("a string in quotes, without NUL characters")
	}
	return s, nil
}

func parseBool(v any) (any, error) {
	if b, ok := v.(bool); ok {
		return b, nil
	}
	return nil, errors.New("true or false, without quotes")
}
