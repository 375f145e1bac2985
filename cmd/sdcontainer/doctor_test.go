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

// E10: doctor knows the versions of systemd that any user can end while a service of ours runs.
func TestE10FaultyVersions(t *testing.T) {
	for release, want := range map[string]bool{
		"252.39-1~deb12u1": false, "257.9-1~deb13u1": false, "258": true, "258~rc3-1": true, "258.4-1.fc43": true, "258.5": false,
		"258.10": false, "259-1": true, "259.1": true, "259.2-3": false, "260": false, "": false,
	} {
		if got := endedByUsers(release); got != want {
			t.Errorf("%q: %v", release, got)
		}
	}
}
