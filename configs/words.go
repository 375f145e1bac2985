// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"fmt"
	"time"
)

// word reads a value given outside a file, such as a flag's, the way parse reads
// one of the TOML.
func word[T any](s string, parse parser) (T, error) {
	v, err := parse(s)
	if err != nil {
		var zero T
		return zero, fmt.Errorf("%q: want %w", s, err)
	}
	return v.(T), nil
}

// ParseSize reads a size as configurations have it: "512M", "50%", "infinity".
func ParseSize(s string) (Size, error) { return word[Size](s, parseSize) }

// ParseSpan reads a time as configurations have it: "10s", "1min 30s".
func ParseSpan(s string) (time.Duration, error) { return word[time.Duration](s, parseSpan) }

// ParseCount reads a number of things: "512", "10%", "infinity".
func ParseCount(s string) (Size, error) { return word[Size](s, parseCount) }

// ParseQuota reads a share of CPU time, "150%", as microseconds a second.
func ParseQuota(s string) (uint64, error) { return word[uint64](s, parseQuota) }

// ParseWeight reads a weight from 1 to 10000; "idle" is 0.
func ParseWeight(s string) (uint64, error) { return word[uint64](s, parseWeight) }

// ParseIOWeight reads a weight from 1 to 10000.
func ParseIOWeight(s string) (uint64, error) { return word[uint64](s, parseIOWeight) }
