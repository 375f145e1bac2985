// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// fakeJournal is a journalctl that has three lines of every unit but that of none, a fourth for who
// follows, and a fifth for who asks after that. It writes down how it was called.
const fakeJournal = `#!/bin/sh
echo "$*" >>"$FAKE_JOURNAL/calls"
entry() {
	printf '{"__REALTIME_TIMESTAMP":"170000000000000%s","__CURSOR":"c%s","MESSAGE":"line %s","PRIORITY":"%s"}\n' $1 $1 $1 $2
}
case "$*" in
*--sync* | *=sdc-none.scope*) ;;
*--after-cursor=c3*--follow*) entry 4 6; [ ! -e "$FAKE_JOURNAL/killed" ] || kill -KILL $$; exec sleep 100 ;;
*--after-cursor=c4*) entry 5 6 ;;
*) entry 1 6; entry 2 3; entry 3 6 ;;
esac
`

// fakeJournalctl runs the test once more, where that is mounted over the machine's: PATH would not lead to it. Only
// there it returns what was called since.
func fakeJournalctl(t *testing.T) (calls func() string) {
	t.Helper()
	sdtest.Require(t, sdtest.Root, sdtest.Tool("journalctl"))
	const env = "FAKE_JOURNAL"
	if dir := os.Getenv(env); dir != "" {
		return func() string {
			b, _ := os.ReadFile(filepath.Join(dir, "calls"))
			_ = os.Remove(filepath.Join(dir, "calls"))
			return string(b)
		}
	}
	dir := t.TempDir()
	fake := filepath.Join(dir, "journalctl")
	machines, err1 := kernel.Program("journalctl")
	self, err2 := os.Executable()
	if err := errors.Join(err1, err2, os.WriteFile(fake, []byte(fakeJournal), 0o755)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "sh", "-ec", `mount --bind "$0" "$1"; shift; exec "$@"`, fake, machines,
		self, "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), env+"="+dir)
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("%v: %s", err, out)
	}
	return nil
}

func TestLogs(t *testing.T) {
	calls := fakeJournalctl(t)
	if calls == nil {
		return
	}
	r := &Runtime{Dir: t.TempDir()}
	created := time.Unix(1600000000, 0)
	young := time.Unix(1700000000, 2000) // as the second of the three lines
	for _, st := range []record{{ID: "web", Created: created}, {ID: "young", Created: young.Add(time.Hour)}, {ID: "same", Created: young}, {ID: "svc", Created: created, Service: true}, {ID: "bad"}} {
		st.BootID, st.Phase = "earlier", Running
		r.put(t, st)
	}
	if err := os.WriteFile(r.path("bad", stateFile), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	all := []string{"6 line 1", "3 line 2", "6 line 3"}
	for _, tt := range []struct {
		id     string
		o      LogOptions
		want   []string
		err    error
		called string // a part of it
	}{
		{"web", LogOptions{}, all, nil, " --since=@1600000000 -- _SYSTEMD_UNIT=sdc-web.scope\n"},
		{"web", LogOptions{Since: "-1h", Until: "now"}, all, nil, " --since=-1h --until=now -- _SYSTEMD_UNIT=sdc-web.scope\n"},
		{"web", LogOptions{Until: "1 hour ago"}, all, nil, "--no-pager --until=1 hour ago -- _SYSTEMD_UNIT=sdc-web.scope\n"}, // journalctl would compare it with a --since
		{"young", LogOptions{Until: "1 hour ago"}, nil, nil, "--no-pager --until=1 hour ago -- "},
		{"young", LogOptions{Until: "1 hour ago", Last: 2}, nil, nil, "--no-pager --until=1 hour ago -- "},
		{"same", LogOptions{Until: "1 hour ago"}, all, nil, ""}, // the journal's clock and ours need not agree below a second
		{"web", LogOptions{Last: 2}, all[1:], nil, "--sync\n"},
		{"web", LogOptions{Last: 9}, all, nil, ""},
		{"web", LogOptions{Last: -1}, nil, nil, ""},
		{"web", LogOptions{Follow: true}, all, nil, ""}, // it has ended
		{"svc", LogOptions{}, all, nil, "--no-pager -- _SYSTEMD_UNIT="},
		{"removed", LogOptions{}, all, nil, "-- _SYSTEMD_UNIT=sdc-removed.scope _SYSTEMD_UNIT=sdcontainer@removed.service\n"},
		{"sdcontainer@removed.service", LogOptions{}, all, nil, "-- _SYSTEMD_UNIT=sdcontainer@removed.service\n"},
		{"sdcontainer@web.service", LogOptions{}, all, nil, "--no-pager -- _SYSTEMD_UNIT=sdcontainer@web.service\n"}, // which has the name of a scope's
		{"none", LogOptions{}, nil, ErrNotExist, ""},
		{"none", LogOptions{Last: 3, Follow: true}, nil, ErrNotExist, ""},
		{"none", LogOptions{Last: -1}, nil, ErrNotExist, ""},
		{"removed", LogOptions{Last: -1}, nil, nil, ""},
		{"bad", LogOptions{}, nil, ErrDamaged, ""},
	} {
		var got []string
		var last error
		for e, err := range r.Logs(t.Context(), tt.id, tt.o) {
			if last = err; err == nil {
				got = append(got, fmt.Sprintf("%d %s", e.Level, e.Message))
			}
		}
		if !slices.Equal(got, tt.want) || !errors.Is(last, tt.err) {
			t.Errorf("%s, %+v: %q, %v; want %q, %v", tt.id, tt.o, got, last, tt.want, tt.err)
		}
		if c := calls(); !strings.Contains(c, tt.called) {
			t.Errorf("%s, %+v: called %q, want %q", tt.id, tt.o, c, tt.called)
		}
	}
	for _, o := range []LogOptions{{}, {Last: 2}} {
		n := 0
		for range r.Logs(t.Context(), "web", o) {
			n++
			break
		}
		if n != 1 {
			t.Errorf("%+v: %d entries for who wants one", o, n)
		}
	}
}

// A follower gets what comes, and when the container has ended what the journal has of it by then.
func TestLogsFollow(t *testing.T) {
	if fakeJournalctl(t) == nil {
		return
	}
	for name, last := range map[string]int{"all": 0, "two": 2, "none": -1} {
		t.Run(name, func(t *testing.T) {
			r := &Runtime{Dir: t.TempDir()}
			init := stranger(t)
			r.put(t, record{ID: "web", BootID: thisBoot(t), Phase: Running, Init: init})
			var got []string
			for e, err := range r.Logs(soon(t), "web", LogOptions{Follow: true, Last: last}) {
				if err != nil {
					t.Fatal(err)
				}
				if got = append(got, e.Message); e.Message == "line 4" {
					if err := unix.Kill(init.Pid, unix.SIGKILL); err != nil {
						t.Fatal(err)
					}
				}
			}
			want := []string{"line 1", "line 2", "line 3", "line 4", "line 5"}
			if want = want[map[int]int{0: 0, 2: 1, -1: 3}[last]:]; !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// A follower is told that nobody can say any more whether the container has ended.
func TestLogsFollowInTheDark(t *testing.T) {
	if fakeJournalctl(t) == nil {
		return
	}
	r := &Runtime{Dir: t.TempDir()}
	init := stranger(t)
	r.put(t, record{ID: "web", BootID: thisBoot(t), Phase: Running, Init: init})
	if err := os.WriteFile(r.path("web", exitFile), []byte("no record"), 0o600); err != nil {
		t.Fatal(err)
	}
	lines, last := 0, error(nil)
	for e, err := range r.Logs(soon(t), "web", LogOptions{Follow: true, Last: -1}) {
		if last = err; e.Message == "line 4" {
			if err := unix.Kill(init.Pid, unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		lines++
	}
	if !errors.Is(last, ErrDamaged) || lines != 3 {
		t.Errorf("%d pairs, the last with %v; want lines 4 and 5, then ErrDamaged", lines, last)
	}
}

// A follower whose journalctl was killed does not take that for the container's end.
func TestLogsFollowerIsKilled(t *testing.T) {
	if fakeJournalctl(t) == nil {
		return
	}
	killed := filepath.Join(os.Getenv("FAKE_JOURNAL"), "killed")
	if err := os.WriteFile(killed, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := &Runtime{Dir: t.TempDir()}
	r.put(t, record{ID: "web", BootID: thisBoot(t), Phase: Running, Init: stranger(t)})
	for until, want := range map[string]string{"": "killed", "now": "<nil>"} { // systemd 252 ends at what is later
		var last error
		for _, err := range r.Logs(soon(t), "web", LogOptions{Follow: true, Until: until}) {
			last = err
		}
		if !strings.Contains(fmt.Sprint(last), want) {
			t.Errorf("until %q: %v, want %q", until, last, want)
		}
	}
}
