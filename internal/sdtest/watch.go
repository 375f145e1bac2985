// SPDX-License-Identifier: Apache-2.0

package sdtest

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sdcontainer/sdcontainer/internal/sdtest/canary"
)

// settling is how long systemd may take to forget what the tests had; SDTEST_SETTLING says less to a test that leaves something.
func settling() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("SDTEST_SETTLING")); err == nil {
		return d
	}
	return 10 * time.Second
}

// watched runs tests and fails them for what they left behind.
func watched(run func() int) int {
	if !InSystemd() || os.Getenv(nestedEnv) != "" {
		return run()
	}
	os.Setenv(nestedEnv, "1") // what the tests start of themselves is part of them
	w := canary.Watch{Files: whatStays(), Dirs: []string{"/run/sdcontainer"}}
	before, err := canary.Take(context.Background(), w)
	if err != nil {
		fmt.Fprintln(os.Stderr, "canary:", err)
		return 1
	}
	each.on = true
	code := run()
	left, err := canary.Settle(context.Background(), before, w, settling())
	if left != "" || err != nil {
		fmt.Fprintf(os.Stderr, "--- FAIL: left behind (%v)\n%s", err, left)
		return max(code, 1)
	}
	return code
}

// each is how the tests of this process are watched one by one. Looking takes a guest a tenth of a second, and what
// was seen after a test is what was there before the next.
var each struct {
	on   bool
	test string // the one that is watched
	seen canary.Snapshot
}

// watch compares the machine before and after one test, where several are run in one process, as in a guest: what one
// leaves a later one may clean away. The test's own clean-up comes first.
func watch(t testing.TB) {
	if !each.on || strings.Contains(t.Name(), "/") || each.test == t.Name() {
		return
	}
	w := canary.Watch{Files: pointedAt(), Dirs: []string{"/run/sdcontainer"}}
	var err error
	if each.test = t.Name(); each.seen == nil {
		if each.seen, err = canary.Take(t.Context(), w); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		left, err := canary.Settle(context.Background(), each.seen, w, settling())
		if each.test = ""; left != "" || err != nil {
			t.Errorf("left behind (%v)\n%s", err, left)
			each.seen = nil
		}
	})
}

// whatStays are files that no container has any business with, whatever is in its root: the command itself, a tree,
// and those at which links of hostile roots point.
func whatStays() []string {
	return append(pointedAt(), "/usr/bin/sdcontainer", ShareInside+"/sdcontainer", "/etc/pam.d",
		"/usr/local/bin", "/usr/local/sbin", "/usr/local/etc", "/usr/local/lib", "/usr/local/share")
}

func pointedAt() []string {
	return []string{"/etc/passwd", "/etc/group", "/etc/shadow", "/etc/hosts"}
}

// nestedEnv is set for the processes of a test that is watched already.
const nestedEnv = "SDTEST_WATCHED"
