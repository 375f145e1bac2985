// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

func TestMain(m *testing.M) { os.Exit(sdtest.Main(m)) }

func TestParse(t *testing.T) {
	const head = `{"__REALTIME_TIMESTAMP":"1700000000000001","__CURSOR":"c",`
	for _, tt := range []struct {
		name, line string
		message    string
		priority   int
	}{
		{"text", head + `"MESSAGE":"hello","PRIORITY":"3"}`, "hello", 3},
		{"no priority", head + `"MESSAGE":"hello"}`, "hello", 6},
		{"bytes", head + `"MESSAGE":[104,255,10]}`, "h\xff\n", 6},
		{"too long", head + `"MESSAGE":null}`, "", 6},
		{"several", head + `"MESSAGE":["first","second"]}`, "first", 6},
		{"several of bytes", head + `"MESSAGE":[[104,105],"second"]}`, "hi", 6},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, err := parse([]byte(tt.line))
			if err != nil {
				t.Fatal(err)
			}
			if e.Message() != tt.message || e.Priority() != tt.priority {
				t.Errorf("message %q, priority %d; want %q, %d", e.Message(), e.Priority(), tt.message, tt.priority)
			}
			if !e.Time.Equal(time.UnixMicro(1700000000000001)) || e.Cursor != "c" {
				t.Errorf("time %v, cursor %q", e.Time, e.Cursor)
			}
		})
	}
	for _, bad := range []string{``, `[]`, `{}`, `{"__REALTIME_TIMESTAMP":"x"}`, head} {
		if e, err := parse([]byte(bad)); err == nil {
			t.Errorf("%q is %v", bad, e)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"__REALTIME_TIMESTAMP":"1","MESSAGE":[1,[2]],"X":null}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		if e, err := parse(line); err == nil && e.Time.IsZero() {
			t.Error("no time")
		}
	})
}

func TestQueryArgs(t *testing.T) {
	for _, tt := range []struct {
		q    Query
		want string
	}{
		{Query{}, "--"},
		{Query{Match: []string{"A=1", "+", "B=2"}, Since: "-1h", Until: "now", Cursor: "c", Lines: 5},
			"--since=-1h --until=now --after-cursor=c --lines=5 -- A=1 + B=2"},
		{Query{Follow: true}, "--lines=all --follow --"},
		{Query{Follow: true, Lines: -1}, "--lines=0 --follow --"},
		{Query{Match: []string{"--vacuum-time=1s"}}, "-- --vacuum-time=1s"},
	} {
		got := strings.TrimPrefix(strings.Join(tt.q.args(), " "), "--output=json --all --quiet --no-pager ")
		if got != tt.want {
			t.Errorf("%+v: %s, want %s", tt.q, got, tt.want)
		}
	}
}

// TestRealJournal: what goes into the journal comes out again, each line with the
// identifier and priority of its stream, which a line changes only where it may, entries with
// their fields.
func TestRealJournal(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	name := fmt.Sprint("real", time.Now().UnixNano()) // of this run, of several in one system
	for _, tt := range []struct {
		priority int
		prefixes bool
		line     string
	}{{6, false, "to stdout\n"}, {3, false, "to stderr\n"}, {6, false, "<1>only text\n"}, {6, true, "<2>its own\n"}} {
		f, err := Stream(name, "", tt.priority, tt.prefixes)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("printf", tt.line)
		cmd.Stdout = f
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	big := strings.Repeat("x", 300<<10)
	err := Send(map[string]string{"MESSAGE": "two\nlines", "SYSLOG_IDENTIFIER": name, "PRIORITY": "5", "CONTAINER_NAME": "web", "BIG": big})
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("journalctl", "--sync").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}

	got := map[string]int{}
	last := ""
	for e, err := range Read(t.Context(), Query{Match: []string{"SYSLOG_IDENTIFIER=" + name}}) {
		if err != nil {
			t.Fatal(err)
		}
		got[e.Message()] = e.Priority()
		last = e.Cursor
		if e.Message() == "two\nlines" && (e.Fields["CONTAINER_NAME"] != "web" || e.Fields["BIG"] != big) {
			t.Errorf("fields %q, %d bytes", e.Fields["CONTAINER_NAME"], len(e.Fields["BIG"]))
		}
	}
	want := map[string]int{"to stdout": 6, "to stderr": 3, "<1>only text": 6, "its own": 2, "two\nlines": 5}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}

	if err := Send(map[string]string{"MESSAGE": "later", "SYSLOG_IDENTIFIER": name}); err != nil {
		t.Fatal(err)
	}
	for e, err := range Read(t.Context(), Query{Match: []string{"SYSLOG_IDENTIFIER=" + name}, Cursor: last, Follow: true}) {
		if err != nil || e.Message() != "later" {
			t.Errorf("followed to %q, %v", e.Message(), err)
		}
		break // ends journalctl
	}
}

// C10: the journal is read and written by root, whatever PATH has.
func TestC10JournalctlIsNotThatOfPath(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	ran := sdtest.PlantInPath(t, "journalctl", "systemd-analyze")
	if err := Sync(t.Context()); err != nil {
		t.Error(err)
	}
	for _, err := range Read(t.Context(), Query{Lines: 1}) {
		if err != nil {
			t.Error(err)
		}
	}
	if BadTime(t.Context(), "now") || !BadTime(t.Context(), "no such time") {
		t.Error("systemd-analyze was not asked")
	}
	if ran := ran(); len(ran) != 0 {
		t.Errorf("%q ran", ran)
	}
}

func TestReadFails(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	n := 0
	for _, err := range Read(t.Context(), Query{Since: "no such time"}) {
		n++
		if err == nil || !strings.Contains(err.Error(), "journalctl: exit status 1: ") {
			t.Errorf("error is %v", err)
		}
	}
	if n != 1 {
		t.Errorf("%d results, want one error", n)
	}
}

// A context that has ended is no error, not even before journalctl is started.
func TestReadWithoutTime(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for e, err := range Read(ctx, Query{}) {
		t.Errorf("%v, %v", e, err)
	}
}
