// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What keeps only some configurations from running is no reason to say that none runs.
func TestDoctorKnowsWhatStillWorks(t *testing.T) {
	for name, f := range map[string]finding{"userns": noUserns(unix.ENOSPC), "seccomp": noSeccomp(unix.ENOSYS)} {
		if f.Status != lacking || !strings.Contains(f.Detail, "only configurations with") {
			t.Errorf("%s: %+v, want %s", name, f, lacking)
		}
	}
}
