// SPDX-License-Identifier: Apache-2.0

package sdtest

import (
	"os"
	"testing"
)

// soakEnv makes tests of races go on for as long as is worth it when nobody waits.
const soakEnv = "SDCONTAINER_SOAK"

// Loops is how often a test tries a race: quick, or soak where SDCONTAINER_SOAK is set.
func Loops(t testing.TB, quick, soak int) int {
	t.Helper()
	n := quick
	if os.Getenv(soakEnv) != "" {
		n = soak
	}
	t.Logf("%d attempts", n)
	return n
}
