// SPDX-License-Identifier: Apache-2.0

package sdtest

import (
	"math/rand/v2"
	"os"
	"testing"
	"time"
)

// soakEnv makes tests of races go on for as long as is worth it when nobody waits.
const soakEnv = "SDCONTAINER_SOAK"

// Soaking says that nobody waits: everything is tried.
func Soaking() bool { return os.Getenv(soakEnv) != "" }

// Patience is the environment of a test elsewhere for which nobody waits either.
func Patience() []string {
	if !Soaking() {
		return nil
	}
	return []string{soakEnv + "=1"}
}

// Stride is how many cases of a long row a test goes on at a time: all are tried at native speed, one in
// many where a guest's processor is emulated, twenty times slower.
func Stride(many int) int {
	if probeGuest() == nil && !Soaking() {
		return many
	}
	return 1
}

// Slower is d at native speed, and times as long where a guest's processor is emulated: for bounds that
// what is healthy has to keep too.
func Slower(d time.Duration, times int) time.Duration { return d * time.Duration(Stride(times)) }

// Some is all of them at native speed; in an emulated guest one in many, beginning with a random one.
func Some[T any](all []T, many int) (some []T) {
	stride := Stride(many)
	for i := rand.IntN(stride); i < len(all); i += stride {
		some = append(some, all[i])
	}
	return some
}

// Unraced is how often a test of nothing but arithmetic does it: a tenth as often under the race detector,
// which takes ten times as long and has nothing to find. Where CI is set all tests also run without it.
func Unraced(n int) int {
	if raced {
		return n / 10
	}
	return n
}

// Loops is how often a test tries a race: quick, or soak where SDCONTAINER_SOAK is set. A
// guest's one emulated processor is no place for races: there it is enough to see that they are run.
func Loops(t testing.TB, quick, soak int) int {
	t.Helper()
	return Amount(t, quick, soak, "attempts")
}

// Amount is [Loops] of what are no attempts at a race: megabytes, containers.
func Amount(t testing.TB, quick, soak int, unit string) int {
	t.Helper()
	n := quick / Stride(8)
	if Soaking() {
		n = soak
	}
	t.Logf("amount: %d %s", n, unit) // test/soak reads it
	return n
}

// MustHaveSome fails a test of a race that saw nothing: where every attempt is refused, nobody was attacked, and where
// none meets the attacker, too. Of the few in an emulated guest all may be.
func MustHaveSome(t testing.TB, what string, n, attempts int) {
	t.Helper()
	if n == 0 && attempts >= 30 {
		t.Errorf("none of %d attempts %s: the test shows nothing", attempts, what)
	}
}
