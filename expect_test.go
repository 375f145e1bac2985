// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import "testing"

// Paths on one disk may be named with the same limits: whichever is written last, they hold.
func TestContradictingPaths(t *testing.T) {
	rate, other := "IOReadBandwidthMax=5", "IOReadBandwidthMax=6"
	for name, c := range map[string]struct {
		paths map[string][]string
		want  bool
	}{
		"one":         {map[string][]string{"/": {rate}}, false},
		"the same":    {map[string][]string{"/": {rate}, "/usr": {rate}}, false},
		"another":     {map[string][]string{"/": {rate}, "/usr": {other}}, true},
		"one of them": {map[string][]string{"/": {rate}, "/usr": {rate, "IOWriteIOPSMax=5"}}, true},
	} {
		if got := contradict(c.paths); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
