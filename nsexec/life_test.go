// SPDX-License-Identifier: Apache-2.0

package nsexec

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// waitDead waits for the end of a process, whoever reaps it.
func waitDead(t *testing.T, pidfd *os.File, within time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	if err := kernel.WaitReadable(ctx, pidfd); err != nil {
		t.Fatalf("still alive after %v: %v", within, err)
	}
}

// keeping starts a payload with a keeper. What the cleanup command is told to do
// is appended to the file it returns.
func keeping(t *testing.T, payload, events string) (h *Helper, init Init, record, cleaned string) {
	t.Helper()
	h = startHelper(t, StartOptions{Keeper: true})
	ctx := testContext(t)
	dir := t.TempDir()
	record, cleaned = filepath.Join(dir, "exit"), filepath.Join(dir, "cleaned")
	recordFile, err := os.Create(record)
	if err != nil {
		t.Fatal(err)
	}
	defer recordFile.Close()
	shell, err := os.Open("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	defer shell.Close()
	eventsFile, err := os.CreateTemp(dir, "events")
	if err != nil {
		t.Fatal(err)
	}
	defer eventsFile.Close()
	if _, err := eventsFile.WriteString(events); err != nil {
		t.Fatal(err)
	}
	spawn := New("spawn")
	rec, clean := spawn.Receive("record"), spawn.Receive("cleanup")
	child := spawn.Fork(Control, CloneArgs{Namespaces: unix.CLONE_NEWPID, Cgroup: NoReg})
	ev := spawn.SyncReceive(Control, 1)
	spawn.At("keep", "")
	spawn.Keep(Keeper{Child: child, Record: rec, Events: ev, Cleanup: clean,
		Argv: []string{"sh", "-c", "echo gone $X > " + cleaned}, Env: []string{"X=y"}})
	if init, err = h.Spawn(ctx, spawn, []*os.File{recordFile, shell}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { init.Pidfd.Close() })
	e, err := h.Keeper().Next(ctx)
	if err != nil || e.Kind != Synced || e.ID != 1 {
		t.Fatalf("%v %v", e, err)
	}
	if err := h.Keeper().Answer(e, eventsFile); err != nil {
		t.Fatal(err)
	}
	enter := Next("enter", spawn)
	enter.Ready(Control, 2)
	enter.Exec("/bin/sh", []string{"sh", "-c", payload}, nil)
	if err := h.Run(ctx, enter, nil, func(Event) error { return ErrHold }); err != nil {
		t.Fatal(err)
	}
	return h, init, record, cleaned
}

func tellKeeper(t *testing.T, h *Helper) {
	t.Helper()
	e, err := h.Keeper().Next(testContext(t))
	if err != nil || e.Kind != Keeping {
		t.Fatalf("%v %v", e, err)
	}
	if err := h.Keeper().Answer(e, nil); err != nil {
		t.Fatal(err)
	}
}

func readRecord(t *testing.T, path string) ExitRecord {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := ParseExitRecord(b)
	if err != nil {
		t.Fatal(err)
	}
	if d := time.Since(r.At); d < 0 || d > time.Minute {
		t.Errorf("ended at %v", r.At)
	}
	return r
}

func TestKeeperRecordsTheEnd(t *testing.T) {
	for name, c := range map[string]struct {
		payload, events string
		want            ExitRecord
	}{
		"exit":   {"exit 7", "oom 1\noom_kill 0\n", ExitRecord{Status: 7 << 8, OOMKnown: true}},
		"oom":    {"kill -9 $$; exit 3", "oom 1\noom_kill 2\n", ExitRecord{Status: 3 << 8, OOMKilled: true, OOMKnown: true}},
		"no oom": {"exit 0", "", ExitRecord{}},
	} {
		t.Run(name, func(t *testing.T) {
			h, init, record, cleaned := keeping(t, c.payload, c.events)
			tellKeeper(t, h)
			// The keeper must survive what a terminal or a shutdown sends.
			for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP} {
				if err := unix.Kill(h.Pid, sig); err != nil {
					t.Fatal(err)
				}
			}
			if err := h.Release(testContext(t)); err != nil {
				t.Fatal(err)
			}
			waitDead(t, init.Pidfd, 5*time.Second)
			waitDead(t, h.pidfd, 5*time.Second)
			got := readRecord(t, record)
			got.At = time.Time{}
			if got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
			if b, err := os.ReadFile(cleaned); err != nil || string(b) != "gone y\n" {
				t.Errorf("cleanup: %q %v", b, err)
			}
		})
	}
}

func TestKeeperOutlivesItsParent(t *testing.T) {
	h, init, record, _ := keeping(t, "read x; exit 4", "")
	tellKeeper(t, h)
	if err := h.Release(testContext(t)); err != nil {
		t.Fatal(err)
	}
	keeper, err := kernel.Pidfd(h.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer keeper.Close()
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	waitDead(t, init.Pidfd, 5*time.Second) // read ends at /dev/null
	waitDead(t, keeper, 5*time.Second)
	if r := readRecord(t, record); r.Status.ExitStatus() != 4 {
		t.Errorf("%+v", r)
	}
}

func TestKeeperKillsWhenTheParentGivesUp(t *testing.T) {
	h, init, record, cleaned := keeping(t, "sleep 60", "")
	if e, err := h.Keeper().Next(testContext(t)); err != nil || e.Kind != Keeping {
		t.Fatalf("%v %v", e, err)
	}
	if err := h.Release(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if err := h.keeper.Close(); err != nil {
		t.Fatal(err)
	}
	waitDead(t, init.Pidfd, time.Second)
	waitDead(t, h.pidfd, 5*time.Second)
	if r := readRecord(t, record); r.Status.Signal() != unix.SIGKILL {
		t.Errorf("%+v", r)
	}
	if _, err := os.Stat(cleaned); err != nil {
		t.Error(err)
	}
}

func TestKeeperHoldsNobodysPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	h := startHelper(t, StartOptions{Keeper: true, Stdout: w})
	w.Close()
	ctx := testContext(t)
	spawn := New("spawn")
	child := spawn.Fork(Control, CloneArgs{Cgroup: NoReg})
	spawn.Keep(Keeper{Child: child, Record: child, Events: NoReg, Cleanup: child, Argv: []string{"x"}})
	init, err := h.Spawn(ctx, spawn, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer init.Pidfd.Close()
	if e, err := h.Keeper().Next(ctx); err != nil || e.Kind != Keeping {
		t.Fatalf("%v %v", e, err)
	}
	if err := unix.Kill(init.Pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := r.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r); err != nil {
		t.Errorf("the keeper still has the payload's stdout: %v", err)
	}
}

func TestReap(t *testing.T) {
	for name, c := range map[string]struct {
		script, output string
		signal         unix.Signal
		status         int
	}{
		"exit":    {"echo $$; exit 6", "2\n", 0, 6},
		"killed":  {"kill -TERM $$", "", 0, 143},
		"orphans": {"(sleep 0.01 & exec 2>&-) ; sleep 0.2; ls -d /proc/[0-9]* | wc -l; exit 0", "4\n", 0, 0},
		"forward": {"trap 'echo got; exit 9' USR1; echo ready; while :; do sleep 0.01; done", "ready\ngot\n", unix.SIGUSR1, 9},
	} {
		t.Run(name, func(t *testing.T) {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			h := startHelper(t, StartOptions{Stdout: w})
			w.Close()
			ctx := testContext(t)
			spawn := spawnProgram(unix.CLONE_NEWPID|unix.CLONE_NEWNS, true)
			init, err := h.Spawn(ctx, spawn, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer init.Pidfd.Close()
			p := Next("enter", spawn)
			p.PropagateAll(unix.MS_PRIVATE)
			fs := p.Fsopen("proc")
			mnt := p.Fsmount(fs, "proc", 0)
			p.MoveMount(mnt, p.OpenHere("/proc", unix.O_PATH), "/proc")
			p.Reap()
			p.Exec("/bin/sh", []string{"sh", "-c", c.script}, []string{"PATH=/bin:/usr/bin"})
			if err := h.Run(ctx, p, nil, noSync); err != nil {
				t.Fatal(err)
			}
			out := bufio.NewReader(r)
			var got string
			if c.signal != 0 {
				if got, err = out.ReadString('\n'); err != nil {
					t.Fatal(err)
				}
				if err := kernel.Signal(init.Pidfd, c.signal); err != nil {
					t.Fatal(err)
				}
			}
			rest, err := io.ReadAll(out)
			if err != nil {
				t.Fatal(err)
			}
			waitDead(t, init.Pidfd, 5*time.Second)
			var ws unix.WaitStatus
			if _, err := unix.Wait4(init.Pid, &ws, 0, nil); err != nil || ws.ExitStatus() != c.status || got+string(rest) != c.output {
				t.Errorf("status %d, %v, output %q; want %d, %q", ws.ExitStatus(), err, got+string(rest), c.status, c.output)
			}
		})
	}
}

// orphanCommand makes the test binary a parent that can be killed.
const orphanCommand = "be-a-parent"

func orphanMain() {
	h, err := Start(StartOptions{Keeper: os.Args[2] == "detached"})
	if err != nil {
		panic(err)
	}
	spawn := spawnProgram(unix.CLONE_NEWPID, os.Args[2] != "detached")
	if os.Args[2] == "detached" { // K must not wait for a program of its own
		spawn = New("spawn")
		child := spawn.Fork(Control, CloneArgs{Namespaces: unix.CLONE_NEWPID, Cgroup: NoReg})
		spawn.SyncReceive(Control, 1)
		spawn.Close(child)
		spawn.End()
	}
	init, err := h.Spawn(context.Background(), spawn, nil)
	if err != nil {
		panic(err)
	}
	if os.Args[2] == "executed" {
		enter := Next("enter", spawn)
		enter.Exec("/bin/sleep", []string{"sleep", "60"}, nil)
		if err := h.Run(context.Background(), enter, nil, noSync); err != nil {
			panic(err)
		}
	}
	fmt.Println(init.Pid)
	select {}
}

// Whoever waits or runs dies with the parent, unless a program said otherwise.
func TestParentDeath(t *testing.T) {
	sdtest.Require(t, sdtest.Root)
	for _, how := range []string{"foreground", "detached", "executed"} {
		t.Run(how, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], orphanCommand, how)
			cmd.Stderr = os.Stderr
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var pid int
			if _, err := fmt.Fscan(out, &pid); err != nil {
				t.Fatal(err)
			}
			pidfd, err := kernel.Pidfd(pid)
			if err != nil {
				t.Fatal(err)
			}
			defer pidfd.Close()
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // killed
			waitDead(t, pidfd, time.Second)
		})
	}
}

func TestSpawnHook(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	state := strings.Repeat("s", maxState)
	for name, c := range map[string]struct {
		script  string
		timeout time.Duration
		want    unix.Errno
		status  int
		text    string
	}{
		"state":   {"cat > " + out + "; echo \"$1 $X\" >> " + out, time.Minute, 0, 0, ""},
		"exit":    {"exit 3", time.Minute, unix.ECHILD, 3, "hook: spawn /bin/sh: exit status 3"},
		"signal":  {"kill -TERM $$", 0, unix.ECHILD, 143, "hook: spawn /bin/sh: killed by SIGTERM"},
		"timeout": {"exec sleep 60", 50 * time.Millisecond, unix.ETIMEDOUT, 137, "hook: spawn /bin/sh: connection timed out (the hook's timeout is over)"},
	} {
		t.Run(name, func(t *testing.T) {
			h, _, spawn := inNamespaces(t, unix.CLONE_NEWPID)
			p := Next("hooks", spawn)
			p.At("hook", "")
			p.Spawn("/bin/sh", []string{"sh", "-c", c.script, "x", "arg"}, []string{"X=y", "PATH=/bin:/usr/bin"}, []byte(state), c.timeout)
			p.End()
			err := h.Run(testContext(t), p, nil, noSync)
			var step *StepError
			switch {
			case c.want == 0 && err != nil:
				t.Fatal(err)
			case c.want == 0:
				if b, err := os.ReadFile(out); err != nil || string(b) != state+"arg y\n" {
					t.Errorf("%d bytes, %v", len(b), err)
				}
			case !errors.As(err, &step) || step.Errno != c.want || step.Status != c.status || err.Error() != c.text:
				t.Errorf("%v, want %q", err, c.text)
			}
		})
	}
}
