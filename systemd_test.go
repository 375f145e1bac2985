// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/scope"
)

func TestRunForeground(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	out, e := w.output("fg", "/bin/sh", "-c", "echo $$ $(hostname) $(id -u); echo $container; exit 7")
	if want := "1 fg 0\nsdcontainer\n"; out != want || e.Code != 7 || e.Signal != 0 {
		t.Errorf("%q, %+v; want %q and code 7", out, e, want)
	}
	c, err := w.Load("fg")
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.State()
	if err != nil || s.Status != Stopped || s.Exit == nil || s.Exit.Code != 7 {
		t.Errorf("afterwards: %+v, %v", s, err)
	}
	if err := c.Destroy(t.Context(), false); err != nil {
		t.Error(err)
	}
	w.nothingLeft("fg")
}

func TestRunErrors(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	if err := os.WriteFile(filepath.Join(w.root, "bin/plain"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.root, "bin/noloader"), []byte("#!/no/such/interpreter\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for arg, want := range map[string]error{
		"nothing": ErrNotFound, "/bin/plain": ErrNotExecutable, "/bin/noloader": ErrNotFound, "/bin": ErrNotExecutable,
	} {
		_, err := w.start("bad", CreateOptions{}, arg)
		if !errors.Is(err, want) {
			t.Errorf("%s: %v; want %v", arg, err, want)
		}
		w.nothingLeft("bad")
	}
}

func TestDetachedIsRecorded(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w, began := newWorld(t), time.Now()
	for _, end := range []struct {
		name string
		do   func(c *Container) error
		want Exit
	}{
		{"exit", func(c *Container) error { return c.Signal(t.Context(), unix.SIGUSR1, false) }, Exit{Code: 9}},
		{"stop", func(c *Container) error { return c.Stop(t.Context(), -1) }, Exit{Code: 3}},
		{"kill", func(c *Container) error { return c.Signal(t.Context(), unix.SIGKILL, false) }, Exit{Code: 137, Signal: 9}},
		{"systemctl", func(c *Container) error {
			return exec.Command("systemctl", "stop", scope.UnitName(c.ID())).Run()
		}, Exit{Code: 3}},
	} {
		t.Run(end.name, func(t *testing.T) {
			r, out := pipe(t)
			c := w.mustStart(end.name, CreateOptions{Detach: true, Stdout: out},
				"/bin/sh", "-c", "trap 'exit 3' TERM; trap 'exit 9' USR1; echo up; while :; do sleep 60 & wait; done")
			out.Close()
			if _, err := r.Read(make([]byte, 3)); err != nil {
				t.Fatal(err)
			}
			if s, err := c.State(); err != nil || s.Status != Running || s.KeeperPid == 0 {
				t.Fatalf("before: %+v, %v", s, err)
			}
			if err := end.do(c); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			e, err := c.Wait(ctx)
			if err != nil || e.Code != end.want.Code || e.Signal != end.want.Signal {
				t.Errorf("%+v, %v; want %+v", e, err, end.want)
			}
			ends := endsInJournal(t, end.name, began)
			if len(ends) != 1 || ends[0]["EXIT_STATUS"] != strconv.Itoa(e.Code) || ends[0]["EXIT_TIMESTAMP"] != e.At.UTC().Format(time.RFC3339Nano) ||
				ends[0]["EXIT_CODE"] != map[bool]string{true: "killed", false: "exited"}[e.Signal != 0] {
				t.Errorf("the journal says %v; want one entry of %+v", ends, e)
			}
			if err := c.Destroy(ctx, false); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestKilledKeeperMeansUnknown(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w, began := newWorld(t), time.Now()
	c := w.mustStart("unseen", CreateOptions{Detach: true}, "/bin/sleep", "60")
	s, err := c.State()
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(s.KeeperPid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := c.Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Wait(t.Context()); !errors.Is(err, ErrExitUnknown) {
		t.Errorf("wait: %v", err)
	}
	if s, err := c.State(); err != nil || !s.ExitUnknown {
		t.Errorf("state: %+v, %v", s, err)
	}
	if err := c.Destroy(t.Context(), false); err != nil {
		t.Error(err)
	}
	w.nothingLeft("unseen")
	if ends := endsInJournal(t, "unseen", began); len(ends) != 1 || !strings.Contains(ends[0]["MESSAGE"], "exit status unknown") || ends[0]["EXIT_CODE"] != "" {
		t.Errorf("the journal says %v", ends)
	}

	// Nobody waits: then rm says it.
	c = w.mustStart("unseen-rm", CreateOptions{Detach: true}, "/bin/sleep", "60")
	if s, err = c.State(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(s.KeeperPid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := w.Remove(t.Context(), "unseen-rm", true); err != nil {
		t.Error(err)
	}
	w.nothingLeft("unseen-rm")
	if ends := endsInJournal(t, "unseen-rm", began); len(ends) != 1 || !strings.Contains(ends[0]["MESSAGE"], "exit status unknown") {
		t.Errorf("after rm -f the journal says %v", ends)
	}
}

// endsInJournal are the entries since then that say how a container ended.
func endsInJournal(t *testing.T, name string, since time.Time) (entries []map[string]string) {
	t.Helper()
	if out, err := exec.Command("journalctl", "--sync").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, err := exec.Command("journalctl", "-o", "json", "--no-pager", "--since=@"+strconv.FormatInt(since.Unix(), 10),
		"MESSAGE_ID="+MessageEnded, "CONTAINER_NAME="+name).Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		entry := map[string]string{}
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatal(err)
		}
		entries = append(entries, entry)
	}
	return entries
}

// What systemctl does to a unit behind our back is seen, and is no obstacle.
func TestBehindOurBack(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	systemctl := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("systemctl", args...).CombinedOutput(); err != nil {
			t.Fatalf("systemctl %s: %v: %s", strings.Join(args, " "), err, out)
		}
	}
	start := func(name string) (c *Container, unit string) {
		t.Helper()
		r, out := pipe(t)
		c = w.mustStart(name, CreateOptions{Detach: true, Stdout: out},
			"/bin/sh", "-c", "trap 'exit 3' TERM; echo up; while :; do sleep 60 & wait; done")
		out.Close()
		if _, err := r.Read(make([]byte, 3)); err != nil {
			t.Fatal(err)
		}
		return c, scope.UnitName(name)
	}
	ended := func(c *Container, code int) {
		t.Helper()
		if e, err := c.Wait(soon(t)); err != nil || e.Code != code {
			t.Errorf("%s: %+v, %v; want code %d", c.ID(), e, err, code)
		}
		if err := c.Destroy(soon(t), false); err != nil {
			t.Error(err)
		}
		w.nothingLeft(c.ID())
	}

	c, unit := start("frozen")
	systemctl("freeze", unit)
	if s, err := c.State(); err != nil || s.Status != Paused {
		t.Errorf("frozen: %+v, %v", s, err)
	}
	if err := c.Stop(soon(t), -1); err != nil {
		t.Errorf("stop of a frozen one: %v", err)
	}
	ended(c, 3)

	_, unit = start("frozen-rm")
	systemctl("freeze", unit)
	if err := w.Remove(soon(t), "frozen-rm", true); err != nil {
		t.Errorf("rm -f of a frozen one: %v", err)
	}
	w.nothingLeft("frozen-rm")

	c, unit = start("thawed")
	if err := c.Pause(soon(t)); err != nil {
		t.Fatal(err)
	}
	systemctl("thaw", unit)
	if s, err := c.State(); err != nil || s.Status != Running {
		t.Errorf("thawed: %+v, %v", s, err)
	}
	systemctl("kill", "--signal=KILL", unit)
	ended(c, 137)

	spec := w.spec("late", "/bin/sh", "-c", "trap 'exit 3' TERM; while :; do sleep 60 & wait; done")
	s, err := configs.SettingsOf(spec)
	if err != nil {
		t.Fatal(err)
	}
	s.UnitProperties = map[string]string{"RuntimeMaxUSec": "uint64 1000000"}
	s.Annotate(spec)
	late, err := w.startSpec("late", spec, CreateOptions{Detach: true})
	if err != nil {
		t.Fatal(err)
	}
	ended(late, 3)

	// The keepers' scope is in that slice too: it ends after them.
	c, _ = start("sliced")
	systemctl("stop", scope.DefaultSlice)
	ended(c, 3)
}

// A keeper that somebody has stopped records nothing: rm -f goes on without it.
func TestStoppedKeeper(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	defer func(d time.Duration) { settleTimeout = d }(settleTimeout)
	settleTimeout = 100 * time.Millisecond
	w := newWorld(t)
	c := w.mustStart("still", CreateOptions{Detach: true}, "/bin/sleep", "60")
	s, err := c.State()
	if err != nil {
		t.Fatal(err)
	}
	keeper, err := kernel.Pidfd(s.KeeperPid)
	if err != nil {
		t.Fatal(err)
	}
	defer keeper.Close()
	if err := unix.Kill(s.KeeperPid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := w.Remove(soon(t), "still", true); err != nil {
		t.Errorf("rm -f: %v", err)
	}
	if err := kernel.WaitReadable(soon(t), keeper); err != nil {
		t.Errorf("the keeper lives: %v", err)
	}
	w.nothingLeft("still")
}

func TestExec(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	c := w.mustStart("ex", CreateOptions{Detach: true}, "/bin/sleep", "60")
	r, out := pipe(t)
	p, err := c.Exec(t.Context(), &specs.Process{Args: []string{"sh", "-c", "hostname; id -u; cat /proc/1/comm; cat /proc/self/cgroup; exit 5"},
		Env: []string{"X=1"}}, ProcessOptions{Stdout: out, Stderr: out})
	if err != nil {
		t.Fatal(err)
	}
	host, err := scope.CgroupOf(p.Pid)
	if s, err2 := c.State(); err != nil || err2 != nil || host != s.Cgroup {
		t.Errorf("cgroup on the host: %q, %v; want %q", host, errors.Join(err, err2), s.Cgroup)
	}
	out.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(b), "\n")
	if len(lines) < 4 || lines[0] != "ex" || lines[1] != "0" || lines[2] != "sleep" || !bytes.Contains(b, []byte("0::/\n")) {
		t.Errorf("inside: %q", b)
	}
	if e, err := p.Wait(t.Context()); err != nil || e.Code != 5 {
		t.Errorf("%+v, %v; want code 5", e, err)
	}
	if _, err := c.Exec(t.Context(), &specs.Process{Args: []string{"nothing"}}, ProcessOptions{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("exec of nothing: %v", err)
	}
	term, err := c.Exec(t.Context(), &specs.Process{Args: []string{"sh", "-c", "test -t 0 && echo tty"}}, ProcessOptions{Terminal: true})
	if err != nil {
		t.Fatal(err)
	}
	defer term.Terminal.Close()
	b = make([]byte, 5)
	if _, err := io.ReadFull(term.Terminal, b); err != nil || string(b) != "tty\r\n" {
		t.Errorf("terminal: %q, %v", b, err)
	}
	if e, err := term.Wait(t.Context()); err != nil || e.Code != 0 {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestPauseUpdateStats(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	c := w.mustStart("p", CreateOptions{Detach: true}, "/bin/sleep", "60")
	if err := c.Resume(t.Context()); !errors.Is(err, ErrNotPaused) {
		t.Errorf("resume of a running one: %v", err)
	}
	if err := c.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s, err := c.State(); err != nil || s.Status != Paused {
		t.Errorf("paused: %+v, %v", s, err)
	}
	if _, err := c.Exec(t.Context(), &specs.Process{Args: []string{"true"}}, ProcessOptions{}); !errors.Is(err, ErrPaused) {
		t.Errorf("exec while paused: %v", err)
	}
	limit := int64(64)
	if err := c.Update(t.Context(), &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}}, nil); err != nil {
		t.Error(err)
	}
	conn, err := scope.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if p, err := conn.Get(t.Context(), scope.UnitName("p"), "TasksMax"); err != nil || p["TasksMax"] != uint64(64) {
		t.Errorf("TasksMax: %v, %v", p, err)
	}
	procs, err := c.Top()
	if err != nil || len(procs) != 1 || procs[0].Inside != 1 || procs[0].User != "0" || strings.Join(procs[0].Command, " ") != "/bin/sleep 60" {
		t.Errorf("processes: %+v, %v", procs, err)
	}
	if _, err := c.Stats(); err != nil {
		t.Error(err)
	}
	if err := c.Destroy(t.Context(), false); !errors.Is(err, ErrRunning) {
		t.Errorf("rm of a paused one: %v", err)
	}
	if err := c.Stop(t.Context(), 0); err != nil { // thaws first
		t.Fatal(err)
	}
	if s, err := c.State(); err != nil || s.Status != Stopped {
		t.Errorf("stopped: %+v, %v", s, err)
	}
}

// What fails while the process is being made takes that back.
func TestFailureMeanwhileLeavesNoProcess(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	c := w.mustStart("meanwhile", CreateOptions{Detach: true}, "/bin/sleep", "60")
	files, processes := openFiles(t), children(t) // one is the keeper
	for range 10 {
		if _, err := c.Exec(t.Context(), &specs.Process{Args: []string{"nosuch"}}, ProcessOptions{}); !errors.Is(err, ErrNotFound) {
			t.Fatalf("exec: %v, want ErrNotFound", err)
		}
		spec := w.spec("nosource", "/bin/true")
		spec.Mounts = append(spec.Mounts, specs.Mount{Type: "bind", Source: "/nosuch", Destination: "/mnt", Options: []string{"bind"}})
		if _, err := w.Create(t.Context(), "nosource", spec, w.options(CreateOptions{})); err == nil {
			t.Fatal("created with a source that is not there")
		}
		if now := children(t); now != processes {
			t.Fatalf("children %s, were %s", now, processes)
		}
	}
	if pids, err := c.Processes(); err != nil || len(pids) != 1 {
		t.Errorf("processes in the container: %v, %v", pids, err)
	}
	for end := soon(t); openFiles(t) > files; { // the last scope.Anticipate has one for a while
		select {
		case <-end.Done():
			t.Fatalf("%d descriptors stay open, were %d", openFiles(t), files)
		case <-time.After(10 * time.Millisecond):
		}
	}
	if err := c.Destroy(t.Context(), true); err != nil {
		t.Error(err)
	}
}

// Whoever made a container has its lock until it starts, and does not wait for itself.
func TestBetweenCreateAndStart(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	c, err := w.Create(t.Context(), "between", w.spec("between", "/bin/true"), w.options(CreateOptions{}))
	if err != nil {
		t.Fatal(err)
	}
	ctx := soon(t)
	limit := int64(64)
	if err := c.Update(ctx, &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}}, nil); err != nil {
		t.Error(err)
	}
	if err := c.Pause(ctx); !errors.Is(err, ErrNotRunning) {
		t.Errorf("pause: %v, want ErrNotRunning", err)
	}
	if _, err := c.Exec(ctx, &specs.Process{Args: []string{"true"}}, ProcessOptions{}); !errors.Is(err, ErrNotRunning) {
		t.Errorf("exec: %v, want ErrNotRunning", err)
	}
	if err := c.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(ctx); err == nil {
		t.Error("started a second time")
	}
	if e, err := c.Wait(ctx); err != nil || e.Code != 0 {
		t.Errorf("%+v, %v", e, err)
	}
	if err := c.Destroy(ctx, false); err != nil {
		t.Error(err)
	}
	w.nothingLeft("between")
}

// A Spec may have no resources, as bundles of other engines may not.
func TestWithoutResources(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	spec := w.spec("bare", "/bin/sleep", "60")
	spec.Linux.Resources = nil
	c, err := w.startSpec("bare", spec, CreateOptions{Detach: true})
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.Exec(t.Context(), &specs.Process{Args: []string{"true"}}, ProcessOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if e, err := p.Wait(t.Context()); err != nil || e.Code != 0 {
		t.Errorf("exec: %+v, %v", e, err)
	}
	limit := int64(64)
	if err := c.Update(t.Context(), &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}}, nil); err != nil {
		t.Error(err)
	}
	if err := c.Stop(t.Context(), 0); err != nil {
		t.Error(err)
	}
}

// A payload that must not start: what is attested differs from what is expected.
func TestAttestKills(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	spec := w.spec("lie", "/bin/true")
	l := w.launch(&Container{rt: w.Runtime, id: "lie"}, spec, w.options(CreateOptions{}))
	for _, step := range l.steps() {
		if step.name == "attest" {
			break
		}
		if err := step.do(t.Context()); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
	}
	if err := l.attest(t.Context()); err != nil {
		t.Fatalf("the truth: %v", err)
	}
	spec.Root.Readonly = true // what was compiled is a writable root
	if err := l.attest(t.Context()); !errors.Is(err, ErrAttest) || !strings.Contains(err.Error(), "root mount") {
		t.Errorf("a lie: %v", err)
	}
	if err := l.takeBack(t.Context()); err != nil {
		t.Error(err)
	}
	w.nothingLeft("lie")
}

// TestInitGoneEarly: an init whose helper was killed is gone with it, and that is what the start says.
func TestInitGoneEarly(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	spec := w.spec("gone", "/bin/true")
	l := w.launch(&Container{rt: w.Runtime, id: "gone"}, spec, w.options(CreateOptions{Detach: true}))
	for _, step := range l.steps() {
		if step.name == "attach" {
			break
		}
		if err := step.do(t.Context()); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
	}
	if err := l.helper.Kill(); err != nil {
		t.Fatal(err)
	}
	for ctx := soon(t); ; { // its parent then is one that reaps it
		if _, err := identify(l.pid); err != nil {
			break
		}
		if ctx.Err() != nil {
			t.Fatal("the init outlives its helper")
		}
		time.Sleep(time.Millisecond)
	}
	if err := l.attach(t.Context()); err == nil || !strings.Contains(err.Error(), "ended unexpectedly") {
		t.Errorf("%v; want that it ended", err)
	}
	if err := l.takeBack(t.Context()); err != nil {
		t.Error(err)
	}
	w.nothingLeft("gone")
}
