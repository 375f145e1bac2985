// SPDX-License-Identifier: Apache-2.0

package sweep

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/internal/sdtest/trace"
)

// What a verb costs is hard to tell on a busy machine by a clock; these are counts. Left out are the calls that Go's
// runtime makes as it likes. A change that makes one smaller lowers it here; one that makes it larger says why.
var costs = []struct {
	call string
	nr   uint64
	most [4]int // of the costly verbs
}{
	{"connect", unix.SYS_CONNECT, [4]int{2, 0, 1, 1}}, // to systemd and to the journal
	{"memfd_create", unix.SYS_MEMFD_CREATE, [4]int{4, 3, 4, 4}},
	{"sendmsg", unix.SYS_SENDMSG, [4]int{4, 3, 6, 6}}, // three programs and the word that lets the payload go
	{"openat", unix.SYS_OPENAT, [4]int{59, 31, 53, 51}},
	{"openat2", unix.SYS_OPENAT2, [4]int{18, 6, 14, 14}}, // proc and sysfs are attested first, and what lies in them from there
	{"open_tree", unix.SYS_OPEN_TREE, [4]int{8, 0, 8, 8}},
	{"newfstatat", unix.SYS_NEWFSTATAT, [4]int{24, 24, 20, 20}},
	{"statx", unix.SYS_STATX, [4]int{6, 0, 6, 6}}, // root, working directory, proc, sysfs, and each idmapped source
	{"readlinkat", unix.SYS_READLINKAT, [4]int{22, 32, 21, 21}},
	{"renameat", unix.SYS_RENAMEAT, [4]int{5, 0, 5, 5}},
	{"unlinkat", unix.SYS_UNLINKAT, [4]int{9, 0, 0, 0}},
	{"fcntl", unix.SYS_FCNTL, [4]int{103, 55, 94, 93}},
	{"bpf", unix.SYS_BPF, [4]int{}}, // device rules are systemd's
}

// costly are the verbs that start something, each with what it comes to as a whole: of processes (interpreter and init), of executions
// (interpreter and payload) and of messages to systemd. How many steps their programs have the golden files of rootfs and caps say.
var costly = [4]struct {
	name  string
	begin func(*machine) counted
	whole trace.Tally
}{
	{"run", func(m *machine) counted { return m.counted("run", "--rm", m.file, "/bin/true") }, trace.Tally{Processes: 2, Execs: 2, Messages: 1}},
	{"exec", func(m *machine) counted {
		running(m)
		return m.counted("exec", name, "/bin/true")
	}, trace.Tally{Processes: 2, Execs: 2}},
	// The keeper becomes the command, to tidy up. Its scope is not there, which a message finds out, and is made.
	{"run -d", func(m *machine) counted { return m.counted("run", "-d", m.file, "/bin/true") }, trace.Tally{Processes: 2, Execs: 3, Messages: 3}},
	{"run --unit", (*machine).countedService, trace.Tally{Processes: 2, Execs: 2}},
}

// counted is a verb whose calls are counted, those of the command by themselves and those of the whole. Each is called once.
type counted struct {
	own   func(trace.Options) (ended, string, error)
	whole func() (trace.Tally, unix.WaitStatus, error)
	after func() error // either
}

func (m *machine) counted(args ...string) counted {
	c := counted{after: func() error { return nil }, own: func(o trace.Options) (ended, string, error) { return m.traced(args, o) }}
	c.whole = func() (trace.Tally, unix.WaitStatus, error) {
		cmd := exec.Command(m.bin, args...)
		cmd.Env, cmd.Stdout, cmd.Stderr = sdtest.Environment(), m.out, m.out
		return trace.Count(cmd, patience)
	}
	if args[0] != "exec" { // the scope of keepers ends with the last, and costs a message to make
		c.after = func() error { return errors.Join(m.removed(), m.cleaned()) }
	}
	return c
}

// countedService has a payload that makes no process, and lives longer than the command: what remains of a service whose main process has
// ended is killed.
func (m *machine) countedService() counted {
	s := m.newService("1s")
	text, err := os.ReadFile(m.file)
	text = bytes.Replace(text, []byte(`"/bin/true"`), []byte(`"/bin/sleep", "1000"`), 1)
	if err := errors.Join(err, os.WriteFile(filepath.Join(s.dir, name+".toml"), text, 0o644)); err != nil {
		m.t.Fatal(err)
	}
	end := func() error { return s.systemctl("kill", "--signal=KILL", serviceName) } // as pid 1 it hears of no other
	return counted{s.traced, func() (trace.Tally, unix.WaitStatus, error) {
		pid, err := s.held("start", "hold")
		if err != nil {
			return trace.Tally{}, 0, err
		}
		command, err := kernel.Pidfd(pid)
		if err != nil {
			return trace.Tally{}, 0, err
		}
		defer command.Close()
		ended := make(chan error, 1)
		go func() {
			ended <- errors.Join(kernel.WaitReadable(m.t.Context(), command), end())
		}()
		have, ws, err := trace.CountAttached(pid, s.release, patience)
		return have, ws, errors.Join(err, <-ended)
	}, func() error {
		_ = end() // it may have been
		return errors.Join(s.systemctl("stop", serviceName), s.over())
	}}
}

// E14: among them, no bpf(2).
func TestStartCosts(t *testing.T) {
	o, ok := inside(t)
	if !ok {
		return
	}
	m := newMachine(t, o, plain)
	for i, v := range costly {
		c := v.begin(m)
		counts := map[uint64]int{}
		e, out, err := c.own(trace.Options{Manager: true, OnCall: func(c trace.Call) trace.Verdict {
			counts[c.NR]++
			return trace.Verdict{}
		}})
		if err = errors.Join(err, c.after()); err != nil || e.code != 0 {
			t.Fatalf("%s: %v, %v: %s", v.name, e, err, out)
		}
		var seen []string
		for _, c := range costs {
			n := counts[c.nr]
			seen = append(seen, fmt.Sprintf("%s %d", c.call, n))
			if n > c.most[i] {
				t.Errorf("%s: %d of %s, want %d at most", v.name, n, c.call, c.most[i])
			}
		}
		t.Logf("%s: %s", v.name, strings.Join(seen, ", "))
		// The numbers that do not depend on the runtime: no more, and no less without saying so here.
		have, ws, err := c.whole()
		t.Logf("%s: %+v", v.name, have)
		have.Calls = 0 // Go's runtime makes some as it likes
		if err = errors.Join(err, c.after()); err != nil || ws.ExitStatus() != 0 || have != v.whole {
			t.Errorf("one %s comes to %+v, %#x, %v; want %+v", v.name, have, ws, err, v.whole)
		}
		if v.name == "exec" {
			if err := errors.Join(m.removed(), m.cleaned()); err != nil {
				t.Error(err)
			}
		}
	}
}
