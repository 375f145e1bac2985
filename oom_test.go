// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/nsexec"
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

// A keeper that was too late for the last text of memory.events is believed unless
// the slice's count and the kernel's log say otherwise, both.
func TestAmendOOM(t *testing.T) {
	below, logged := killsBelow, loggedOOM
	defer func() { killsBelow, loggedOOM = below, logged }()
	killed := nsexec.ExitRecord{Status: unix.WaitStatus(unix.SIGKILL), OOMKnown: true, At: time.Unix(1, 0)}
	exited, unknown := killed, killed
	exited.Status, unknown.OOMKnown = 7<<8, false
	for name, tt := range map[string]struct {
		rec    nsexec.ExitRecord
		kills  uint64
		victim int
		err    error
		want   bool
	}{
		"missed":                    {killed, 4, 7, nil, true},
		"another's":                 {killed, 4, 8, nil, false},
		"nobody's":                  {killed, 3, 7, nil, false},
		"no log":                    {killed, 4, 7, unix.EPERM, false},
		"it exited":                 {exited, 4, 7, nil, false},
		"without memory controller": {unknown, 4, 7, nil, false},
	} {
		r := &Runtime{Dir: t.TempDir()}
		st := record{ID: "c", BootID: thisBoot(t), Phase: Running, Init: procID{7, 1}, Above: &oomMark{"/slice", 3}}
		r.put(t, st)
		c, err := r.Load("c")
		if err != nil {
			t.Fatal(err)
		}
		killsBelow = func(cgroup string) (uint64, bool) { return tt.kills, cgroup == "/slice" }
		loggedOOM = func(pid int) (bool, error) { return pid == tt.victim, tt.err }
		if err := errors.Join(c.writeExit(tt.rec), c.amendOOM()); err != nil {
			t.Error(err)
		}
		if e, err := c.exit(); err != nil || e.OOMKilled != tt.want || e.Code != exitOf(tt.rec.Status).Code {
			t.Errorf("%s: %+v, %v; want %v", name, e, err, tt.want)
		}
	}
}
