// SPDX-License-Identifier: Apache-2.0

package sweep

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/internal/sdtest/trace"
)

// What a start costs is hard to tell on a busy machine by a clock; these are counts. Left out are the calls that Go's
// runtime makes as it likes. A change that makes one smaller lowers it here; one that makes it larger says why.
var costs = []struct {
	call string
	nr   uint64
	most int
}{
	{"connect", unix.SYS_CONNECT, 2}, // to systemd and to the journal
	{"memfd_create", unix.SYS_MEMFD_CREATE, 4},
	{"sendmsg", unix.SYS_SENDMSG, 4}, // three programs and the word that lets the payload go
	{"openat", unix.SYS_OPENAT, 59},
	{"openat2", unix.SYS_OPENAT2, 18}, // proc and sysfs are attested first, and what lies in them from there
	{"open_tree", unix.SYS_OPEN_TREE, 8},
	{"newfstatat", unix.SYS_NEWFSTATAT, 24},
	{"statx", unix.SYS_STATX, 6}, // root, working directory, proc, sysfs, and each idmapped source
	{"readlinkat", unix.SYS_READLINKAT, 22},
	{"renameat", unix.SYS_RENAMEAT, 5},
	{"unlinkat", unix.SYS_UNLINKAT, 9},
	{"fcntl", unix.SYS_FCNTL, 103},
	{"bpf", unix.SYS_BPF, 0}, // device rules are systemd's
}

// E14: among them, no bpf(2).
func TestStartCosts(t *testing.T) {
	o, ok := inside(t)
	if !ok {
		return
	}
	m := newMachine(t, o, plain)
	counts := map[uint64]int{}
	e, out, err := m.traced([]string{"run", "--rm", m.file, "/bin/true"}, trace.Options{Manager: true, OnCall: func(c trace.Call) trace.Verdict {
		counts[c.NR]++
		return trace.Verdict{}
	}})
	if err != nil || e.code != 0 {
		t.Fatalf("%v, %v: %s", e, err, out)
	}
	var seen []string
	for _, c := range costs {
		n := counts[c.nr]
		seen = append(seen, fmt.Sprintf("%s %d", c.call, n))
		if n > c.most {
			t.Errorf("%d of %s, want %d at most", n, c.call, c.most)
		}
	}
	t.Log(strings.Join(seen, ", "))
	m.costsExactly()
}

// whole is what one start makes of processes (interpreter and init), of executions (interpreter and payload)
// and of messages to systemd. How many steps its programs have the golden files of rootfs and caps say.
var whole = trace.Tally{Processes: 2, Execs: 2, Messages: 1}

// costsExactly compares the numbers that do not depend on the runtime: no more, and no less without saying so here.
func (m *machine) costsExactly() {
	m.t.Helper()
	cmd := exec.Command(m.bin, "run", "--rm", m.file, "/bin/true")
	cmd.Env, cmd.Stdout, cmd.Stderr = sdtest.Environment(), m.out, m.out
	have, ws, err := trace.Count(cmd, patience)
	m.t.Logf("%+v", have)
	have.Calls = 0 // Go's runtime makes some as it likes
	if err != nil || ws.ExitStatus() != 0 || have != whole {
		m.t.Errorf("one start comes to %+v, %#x, %v; want %+v", have, ws, err, whole)
	}
}
