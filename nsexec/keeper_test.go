// SPDX-License-Identifier: Apache-2.0

package nsexec

import (
	"context"
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

// keeping starts a payload with a keeper, which takes the directory cgroup for that of a
// unit. What the cleanup command is told to do is appended to the file it returns.
func keeping(t *testing.T, payload, cgroup string) (h *Helper, init child, record, cleaned string) {
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
	unit, err := os.Open(cgroup)
	if err != nil {
		t.Fatal(err)
	}
	defer unit.Close()
	spawn := New("spawn")
	rec, clean := spawn.Receive("record"), spawn.Receive("cleanup")
	child := spawn.Fork(Control, CloneArgs{Namespaces: unix.CLONE_NEWPID, Cgroup: NoReg})
	unitReg := spawn.SyncReceive(Control, 1)
	spawn.At("keep", "")
	spawn.Keep(Keeper{Child: child, Record: rec, Cgroup: unitReg, Cleanup: clean,
		Argv: []string{"sh", "-c", "echo gone $X $(grep SigIgn /proc/self/status) > " + cleaned}, Env: []string{"X=y", "PATH=/bin:/usr/bin"}})
	if init, err = h.spawn(ctx, spawn, []*os.File{recordFile, shell}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { init.Pidfd.Close() })
	e, err := h.Keeper().Next(ctx)
	if err != nil || e.Kind != Synced || e.ID != 1 {
		t.Fatalf("%v %v", e, err)
	}
	if err := h.Keeper().Answer(e, unit); err != nil {
		t.Fatal(err)
	}
	enter := Next("enter", spawn)
	enter.Ready(Control, 2)
	enter.Exec("/bin/sh", []string{"sh", "-c", payload}, nil)
	if err := h.run(ctx, enter, nil, func(Event) error { return errHold }); err != nil {
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

// residentKiB is the memory of a process that no other has a part in.
func residentKiB(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "VmRSS:")
	var kib int
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Fatal(err)
	}
	t.Logf("keeper: %d KiB", kib)
	return kib
}

// killedByOther is a payload that a process outside its pid namespace kills, as one inside could not.
const killedByOther = "exec sleep 60"

// fakeCgroup is a directory such as a unit's cgroup with a payload's, of which systemd-oomd marked one.
func fakeCgroup(t *testing.T, events, marked string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "payload"), 0o755); err != nil {
		t.Fatal(err)
	}
	if events != "" {
		if err := os.WriteFile(filepath.Join(dir, "memory.events"), []byte(events), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if marked != "" {
		if err := unix.Setxattr(filepath.Join(dir, marked), "user.oomd_ooms", []byte("1"), 0); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestKeeperRecordsTheEnd(t *testing.T) {
	for name, c := range map[string]struct {
		payload, events string
		marked          string // the directory that systemd-oomd marked
		want            ExitRecord
	}{
		"exit":                {"exit 7", "oom 1\noom_kill 0\n", "", ExitRecord{Status: 7 << 8, OOMKnown: true}},
		"oom":                 {"kill -9 $$; exit 3", "oom 1\noom_kill 2\n", "", ExitRecord{Status: 3 << 8, OOMKilled: true, OOMKnown: true}},
		"no oom":              {"exit 0", "", "", ExitRecord{}},
		"oomd":                {killedByOther, "oom_kill 0\n", ".", ExitRecord{Status: 9, OOMKnown: true, ManagedOOM: true}},
		"oomd, its payload":   {killedByOther, "oom_kill 0\n", "payload", ExitRecord{Status: 9, OOMKnown: true, ManagedOOM: true}},
		"oomd, but it exited": {"exit 7", "oom_kill 0\n", ".", ExitRecord{Status: 7 << 8, OOMKnown: true}},
		"killed, not by oomd": {killedByOther, "oom_kill 0\n", "", ExitRecord{Status: 9, OOMKnown: true}},
	} {
		t.Run(name, func(t *testing.T) {
			cgroup := fakeCgroup(t, c.events, c.marked)
			h, init, record, cleaned := keeping(t, c.payload, cgroup)
			tellKeeper(t, h)
			if rss := residentKiB(t, h.Pid); rss > 300 {
				t.Errorf("the keeper takes %d KiB, more than 300", rss)
			}
			// Else ps and top show the number of a descriptor.
			if comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", h.Pid)); err != nil || string(comm) != "nsexec\n" {
				t.Errorf("the keeper is called %q, %v", comm, err)
			}
			// The keeper must survive what a terminal or a shutdown sends.
			for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP} {
				if err := unix.Kill(h.Pid, sig); err != nil {
					t.Fatal(err)
				}
			}
			if err := h.release(testContext(t)); err != nil {
				t.Fatal(err)
			}
			if c.payload == killedByOther {
				if err := os.RemoveAll(cgroup); err != nil { // as systemd does, once it is empty
					t.Fatal(err)
				}
				if err := unix.Kill(init.Pid, unix.SIGKILL); err != nil {
					t.Fatal(err)
				}
			}
			waitDead(t, init.Pidfd, 5*time.Second)
			waitDead(t, h.pidfd, 5*time.Second)
			got := readRecord(t, record)
			got.At = time.Time{}
			if got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
			if b, err := os.ReadFile(cleaned); err != nil || string(b) != "gone y SigIgn: 0000000000000000\n" {
				t.Errorf("cleanup: %q %v", b, err)
			}
		})
	}
}

func TestKeeperOutlivesItsParent(t *testing.T) {
	h, init, record, _ := keeping(t, "read x; exit 4", t.TempDir())
	tellKeeper(t, h)
	if err := h.release(testContext(t)); err != nil {
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
	h, init, record, cleaned := keeping(t, "sleep 60", t.TempDir())
	if e, err := h.Keeper().Next(testContext(t)); err != nil || e.Kind != Keeping {
		t.Fatalf("%v %v", e, err)
	}
	if err := h.release(testContext(t)); err != nil {
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
	h := startHelper(t, StartOptions{Keeper: true})
	ctx := testContext(t)
	spawn := New("spawn")
	spawn.Stdio([3]Reg{spawn.Receive("in"), spawn.Receive("out"), spawn.Receive("err")})
	child := spawn.Fork(Control, CloneArgs{Cgroup: NoReg})
	spawn.Keep(Keeper{Child: child, Record: child, Cgroup: NoReg, Cleanup: child, Argv: []string{"x"}})
	init, err := h.spawn(ctx, spawn, []*os.File{w, w, w})
	w.Close()
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

// keptMain starts a payload with a keeper and tells that to stay.
func keptMain(h *Helper) {
	ctx := context.Background()
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	record, err := os.Create(os.Args[3])
	must(err)
	command, err := os.Open("/bin/true")
	must(err)
	spawn := New("spawn")
	rec, clean := spawn.Receive("record"), spawn.Receive("cleanup")
	child := spawn.Fork(Control, CloneArgs{Cgroup: NoReg})
	spawn.Keep(Keeper{Child: child, Record: rec, Cgroup: NoReg, Cleanup: clean, Argv: []string{"true"}})
	init, err := h.spawn(ctx, spawn, []*os.File{record, command})
	must(err)
	enter := Next("enter", spawn)
	enter.DeathSignal(0)
	enter.Exec("/bin/sleep", []string{"sleep", "60"}, nil)
	must(h.run(ctx, enter, nil, noSync))
	e, err := h.Keeper().Next(ctx)
	must(err)
	must(h.Keeper().Answer(e, nil))
	fmt.Println(init.Pid, h.Pid)
	select {}
}

// A keeper that was told to stay does, and does its work when nobody else is left.
func TestKeeperSurvivesParentDeath(t *testing.T) {
	sdtest.Require(t, sdtest.Root)
	record := filepath.Join(t.TempDir(), "exit")
	cmd := exec.Command(os.Args[0], orphanCommand, "kept", record)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pids [2]int
	if _, err := fmt.Fscan(out, &pids[0], &pids[1]); err != nil {
		t.Fatal(err)
	}
	var pidfds [2]*os.File
	for i, pid := range pids {
		if pidfds[i], err = kernel.Pidfd(pid); err != nil {
			t.Fatal(err)
		}
		defer pidfds[i].Close()
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	if err := kernel.Signal(pidfds[0], unix.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	waitDead(t, pidfds[1], 5*time.Second)
	if r := readRecord(t, record); r.Status.Signal() != unix.SIGUSR1 {
		t.Errorf("%+v", r)
	}
}
