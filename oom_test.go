// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"testing"

	"golang.org/x/sys/unix"
)

// What the slice counted stands in only for a payload that was killed, and only
// where its own cgroup was gone too early.
func TestOOMResult(t *testing.T) {
	killed, exited := unix.WaitStatus(unix.SIGKILL), unix.WaitStatus(7<<8)
	for _, tt := range []struct {
		name  string
		w     *oomWatch
		ws    unix.WaitStatus
		kills uint64
		known bool
	}{
		{"seen", &oomWatch{kills: 1, known: true}, killed, 1, true},
		{"seen, then gone", &oomWatch{kills: 1, known: true, lost: true}, killed, 1, true},
		{"gone, slice saw it", &oomWatch{known: true, lost: true, above: 2}, killed, 2, true},
		{"gone, but it exited", &oomWatch{known: true, lost: true, above: 2}, exited, 0, true},
		{"not gone: the slice's is another's", &oomWatch{known: true, above: 2}, killed, 0, true},
		{"no controller", &oomWatch{}, killed, 0, false},
	} {
		if kills, known := tt.w.result(tt.ws); kills != tt.kills || known != tt.known {
			t.Errorf("%s: %d, %v; want %d, %v", tt.name, kills, known, tt.kills, tt.known)
		}
	}
}
