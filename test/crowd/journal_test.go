// SPDX-License-Identifier: Apache-2.0

package crowd

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	journald = "systemd-journald.service"
	entries  = "/run/systemd/journal/socket"
	lines    = 200
)

// talker writes lines and ends with 7.
var talker = []string{"/bin/sh", "-c", fmt.Sprintf("for i in $(seq 1 %d); do echo line $i; done; exit 7", lines)}

// R14: while the journal restarts, hangs or has no room, containers that write to it start and end, and how they
// ended is known.
func TestJournal(t *testing.T) {
	if !inside(t) {
		return
	}
	m := newMachine(t)
	m.restarted(loops(t, 6, 100, 1, "restarts"))
	if native() { // an emulated guest takes minutes to fill a queue, and has no other journald
		m.stopped()
		m.full()
		m.limited()
		m.absent()
	}
	m.cleaned()
}

// talk runs a container that writes, to its end: inspect knows it, and logs says what there is by now.
func (m *machine) talk(name, file string) error {
	for _, step := range []struct {
		code int
		args []string
	}{{0, []string{"run", "-d", "--name", name, file}}, {7, []string{"wait", name}}, {0, []string{"logs", name}}, {0, []string{"rm", name}}} {
		out, code, took := m.do(step.args...)
		if code != step.code {
			return fmt.Errorf("%s: exit %d after %v, want %d: %.600s", strings.Join(step.args, " "), code, took, step.code, out)
		}
		if step.args[0] == "logs" {
			if code, err := m.ended(name); err != nil || code != 7 {
				return fmt.Errorf("inspect %s: code %d, %v", name, code, err)
			}
		}
	}
	return nil
}

// ended is the exit code that inspect has.
func (m *machine) ended(name string) (int, error) {
	out, code, _ := m.do("ps", "-a", "--format", "{{.ID}} {{with .Exit}}{{.Code}}{{end}}")
	for line := range strings.Lines(out) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), name+" "); ok {
			return strconv.Atoi(text)
		}
	}
	return 0, fmt.Errorf("ps: exit %d: %s", code, out)
}

func (m *machine) restarted(n int) {
	m.t.Helper()
	file := m.config("talker", "", talker...)
	line := result{Test: "journald restarted", Starts: n}
	// What a process wrote just before it ended, and journald with it, systemd drops. Of one that lives nothing is lost.
	m.must("run", "-d", "--name", "steady", m.config("steady", "", "/bin/sh", "-c", "i=0; while echo $i; do i=$((i+1)); sleep 0.05; done"))
	defer func() { _, _, _ = m.do("rm", "-f", "steady") }()
	end, over := make(chan struct{}), make(chan int)
	go func() {
		restarts := 0
		for tick := time.NewTicker(100 * time.Millisecond); ; restarts++ {
			select {
			case <-end:
				tick.Stop()
				over <- restarts
				return
			case <-tick.C:
				_, _, _ = command("systemctl", "reset-failed", journald) // it may be started five times in 10 s
				_, _, _ = command("systemctl", "restart", journald)
			}
		}
	}()
	for i := range n {
		if err := m.talk(fmt.Sprintf("restarted-%d", i), file); err != nil {
			line.Failed++
			m.t.Error(err)
		}
	}
	close(end)
	line.Note = fmt.Sprintf("%d restarts", <-over)
	system(m.t, "systemctl", "reset-failed", journald)
	system(m.t, "systemctl", "start", journald)
	tell(m.t, line)
	out := m.must("logs", "steady")
	written, lost := strings.Fields(out), 0
	for i, line := range written {
		if line != strconv.Itoa(i) {
			lost++
		}
	}
	if lost > 0 || len(written) < n {
		m.t.Errorf("%d of %d lines of a container that lived through it are not in their place: %.300s", lost, len(written), out)
	}
	m.must("rm", "-f", "steady")
}

// stopped: a journald that reads nothing, with the queue of its socket full, is waited for no longer than it takes to see that.
func (m *machine) stopped() {
	m.t.Helper()
	pid, err := strconv.Atoi(system(m.t, "systemctl", "show", "-P", "MainPID", journald))
	if pid == 0 { // to signal 0 is to signal ourselves
		m.t.Fatal("there is no journald")
	}
	if err == nil {
		err = unix.Kill(pid, unix.SIGSTOP)
	}
	if err != nil {
		m.t.Fatal(err)
	}
	defer func() { _ = unix.Kill(pid, unix.SIGCONT) }() // it may have been killed by its watchdog
	fillQueue(m.t)
	file, quiet := m.config("talker", "", talker...), m.config("quiet", "[log]\ndriver = \"none\"\n", "/bin/sh", "-c", "exit 7")
	begin := time.Now()
	if out, code, took := m.do("run", "--rm", "--name", "deaf", quiet); code != 7 {
		m.t.Errorf("run: exit %d after %v: %s", code, took, out)
	}
	if err := m.talk("deaf", file); err != nil {
		m.t.Error(err)
	}
	if took := time.Since(begin); took > patience() {
		m.t.Errorf("it took %v", took)
	}
	if err := unix.Kill(pid, unix.SIGCONT); err != nil {
		m.t.Fatal(err)
	}
	// It looks now, and knows whose it was although they have ended. The record is gone, and one of an earlier run with it.
	if n := strings.Count(m.must("logs", "--since", fmt.Sprintf("@%d", begin.Unix()), "deaf"), "line "); n != lines {
		m.t.Errorf("logs has %d lines, want %d", n, lines)
	}
}

// fillQueue sends entries until the socket takes none from anybody: each sender has a limit of its own.
func fillQueue(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(patience()); ; {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		sent := -1
		for ; err == nil; sent++ {
			if time.Now().After(deadline) {
				t.Fatal("the journal's queue does not fill: somebody reads it")
			}
			err = unix.Sendto(fd, []byte("MESSAGE=full\n"), 0, &unix.SockaddrUnix{Name: entries})
		}
		_ = unix.Close(fd) // what was sent stays
		if !errors.Is(err, unix.EAGAIN) {
			t.Fatal(err)
		}
		if sent == 0 {
			return
		}
	}
}

// full: journald has no room for what is written.
func (m *machine) full() {
	m.t.Helper()
	const dir = "/run/log/journal"
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		err = unix.Mount("full", dir, "tmpfs", 0, "size=2m")
	}
	if err != nil {
		m.t.Fatal(err)
	}
	defer func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			m.t.Error(err)
		}
		system(m.t, "systemctl", "reset-failed", journald)
		system(m.t, "systemctl", "restart", journald)
	}()
	system(m.t, "systemctl", "reset-failed", journald)
	system(m.t, "systemctl", "restart", journald)
	if err := os.WriteFile(dir+"/filler", make([]byte, 2<<20+1), 0o600); !errors.Is(err, unix.ENOSPC) {
		m.t.Fatalf("want a full file system, have %v", err)
	}
	for i := range 3 {
		if err := m.talk(fmt.Sprintf("full-%d", i), m.config("chatty", "", "/bin/sh", "-c", "seq 1 4000; exit 7")); err != nil {
			m.t.Error(err)
		}
	}
}

// limited: a payload that writes more than journald takes of a unit is not held up, and journald says how much it left out.
func (m *machine) limited() {
	m.t.Helper()
	const dir, said, interval = "/run/systemd/journald.conf.d", 20000, 2
	file := dir + "/zz-limited.conf" // after that of the booted systemd, which has no limit
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		err = os.WriteFile(file, fmt.Appendf(nil, "[Journal]\nRateLimitIntervalSec=%ds\nRateLimitBurst=100\n", interval), 0o644)
	}
	if err != nil {
		m.t.Fatal(err)
	}
	again := func() {
		system(m.t, "systemctl", "reset-failed", journald)
		system(m.t, "systemctl", "restart", journald)
	}
	again()
	defer func() {
		if err := os.Remove(file); err != nil {
			m.t.Error(err)
		}
		again()
	}()
	// When the interval is over, the next line has journald tell what it left out.
	script := fmt.Sprintf("for i in $(seq 1 %d); do echo line $i; done; sleep %d; echo after; exit 7", said, interval+1)
	m.must("run", "-d", "--name", "limited", m.config("limited", "", "/bin/sh", "-c", script))
	if out, code, took := m.do("wait", "limited"); code != 7 || took > patience()/2 {
		m.t.Errorf("wait: exit %d after %v: %s", code, took, out)
	}
	system(m.t, "journalctl", "--sync")
	kept := strings.Count(m.must("logs", "limited"), "line ")
	lost := 0
	for line := range strings.Lines(system(m.t, "journalctl", "-b", "-o", "export", "--output-fields=N_DROPPED", "OBJECT_SYSTEMD_UNIT=sdc-limited.scope")) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), "N_DROPPED="); ok {
			n, _ := strconv.Atoi(text) // journald's own number
			lost += n
		}
	}
	if kept == 0 || lost == 0 || kept+lost != said {
		m.t.Errorf("logs has %d lines, journald counted %d as left out: want together %d", kept, lost, said)
	}
	m.must("rm", "limited")
}

// absent: where the journal has no sockets, that of /dev/log included, what was to write there is not started and says
// what to do; what writes elsewhere, to the terminal or nowhere, runs as ever.
func (m *machine) absent() {
	m.t.Helper()
	for _, name := range []string{"stdout", "socket", "dev-log"} {
		at := "/run/systemd/journal/" + name
		if err := os.Rename(at, at+".away"); err != nil {
			m.t.Fatal(err)
		}
		defer func() {
			if err := os.Rename(at+".away", at); err != nil {
				m.t.Error(err)
			}
		}()
	}
	for driver, started := range map[string]bool{"journald": false, "none": true} {
		file := m.config("absent", fmt.Sprintf("[log]\ndriver = %q\n", driver), "/bin/sh", "-c", "echo there; exit 7")
		if out, code, took := m.do("run", "--rm", "--name", "absent", file); code != 7 || !strings.Contains(out, "there") {
			m.t.Errorf("%s: run: exit %d after %v: %s", driver, code, took, out)
		}
		out, code, took := m.do("run", "-d", "--name", "absent", file)
		switch {
		case !started && (code != 125 || !strings.Contains(out, "log.driver")):
			m.t.Errorf("%s: run -d: exit %d after %v, want 125 and what to do: %s", driver, code, took, out)
		case !started:
			continue
		case code != 0:
			m.t.Errorf("%s: run -d: exit %d after %v: %s", driver, code, took, out)
		}
		if out, code, took := m.do("wait", "absent"); code != 7 {
			m.t.Errorf("%s: wait: exit %d after %v: %s", driver, code, took, out)
		}
		m.must("rm", "absent")
	}
}
