// SPDX-License-Identifier: Apache-2.0

package canary_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/internal/sdtest/canary"
)

func TestMain(m *testing.M) { os.Exit(sdtest.Main(m)) }

// systemd's own processes come and go, of which a picture may have one; any other that was there must stay, and none may come.
func TestAidesOfSystemdMayGo(t *testing.T) {
	const manager = "/usr/lib/systemd/systemd"
	for _, tt := range []struct {
		p    canary.Process
		gone string
	}{
		{canary.Process{PID: 116, Comm: "systemd", Exe: manager, Cgroup: "/init.scope"}, ""},
		{canary.Process{PID: 116, Comm: "(true)", Exe: "/usr/lib/systemd/systemd-executor", Cgroup: "/init.scope"}, ""},
		{canary.Process{PID: 1, Comm: "systemd", Exe: manager, Cgroup: "/init.scope"}, "- process 1: \n"},
		{canary.Process{PID: 116, Comm: "sleep", Exe: "/usr/bin/sleep", Cgroup: "/init.scope"}, "- process 116: \n"},
		{canary.Process{PID: 116, Comm: "systemd", Exe: manager, Cgroup: "/system.slice/x.service"}, "- process 116: \n"},
	} {
		with := canary.Snapshot{tt.p.Kind(): {strconv.Itoa(tt.p.PID): ""}}
		if diff := with.Diff(canary.Snapshot{}); diff != tt.gone {
			t.Errorf("%+v is gone: %q, want %q", tt.p, diff, tt.gone)
		}
		if diff := (canary.Snapshot{}).Diff(with); !strings.HasPrefix(diff, "+ ") {
			t.Errorf("%+v is new: %q", tt.p, diff)
		}
	}
}

// TestSees: each kind of thing left behind is seen, and seen to go.
func TestSees(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	write(t, file, "a")
	w := canary.Watch{Files: []string{dir}, Dirs: []string{"/run/canary"}}
	tell := other(t)
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	self := strings.TrimSpace(string(comm))
	before, err := canary.Take(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	var sleeper *exec.Cmd
	var null *os.File
	for _, tt := range []struct {
		want string
		make func() error
		undo func() error
	}{
		{"+ unit canary.service: loaded active", command("systemd-run", "--unit=canary", "-r", "true"), command("systemctl", "stop", "canary")},
		{"+ unit canary.service: loaded failed", func() error {
			_ = exec.Command("systemd-run", "--unit=canary", "--wait", "false").Run() // that it fails is the point
			return nil
		}, command("systemctl", "reset-failed", "canary")},
		{"+ cgroup /canary: there", command("mkdir", "/sys/fs/cgroup/canary"), command("rmdir", "/sys/fs/cgroup/canary")},
		{"+ mount /mnt: tmpfs", command("mount", "-t", "tmpfs", "none", "/mnt"), command("umount", "/mnt")},
		{"~ link lo: ", command("ip", "link", "set", "lo", "mtu", "1400"), command("ip", "link", "set", "lo", "mtu", "65536")},
		{"+ nft table inet canary: there", nft(unix.NFT_MSG_NEWTABLE), nft(unix.NFT_MSG_DELTABLE)},
		{"+ nft rule inet canary guard handle ", nft(unix.NFT_MSG_NEWTABLE, unix.NFT_MSG_NEWCHAIN, unix.NFT_MSG_NEWRULE), nft(unix.NFT_MSG_DELTABLE)},
		{"+ process ", func() error {
			sleeper = exec.Command("sleep", "1000")
			return sleeper.Start()
		}, func() error {
			_ = sleeper.Process.Kill() // and Wait complains when that did not help
			_ = sleeper.Wait()
			return nil
		}},
		{"~ number of descriptors of " + self + " (", func() (err error) { null, err = os.Open(os.DevNull); return err }, func() error { return null.Close() }},
		{"~ number of descriptors of sh (", tell("exec 5</dev/null"), tell("exec 5<&-")},
		{"~ file " + file + ": ", func() error { return os.Chmod(file, 0o640) }, func() error { return os.Chmod(file, 0o600) }},
		{"~ file " + file + ": ", func() error { return os.Chown(file, 1, 2) }, func() error { return os.Chown(file, 0, 0) }},
		{"+ name /run/canary/a", command("mkdir", "-p", "/run/canary/a"), command("rm", "-r", "/run/canary")},
	} {
		if err := tt.make(); err != nil {
			t.Fatal(tt.want, err)
		}
		now, err := canary.Take(t.Context(), w)
		if diff := before.Diff(now); err != nil || !strings.Contains(diff, tt.want) {
			t.Errorf("want %q, have %v and:\n%s", tt.want, err, diff)
		}
		if err := tt.undo(); err != nil {
			t.Error(tt.want, err)
		}
		if diff, err := canary.Settle(t.Context(), before, w, 10*time.Second); diff != "" || err != nil {
			t.Errorf("afterwards: %v\n%s", err, diff)
		}
	}
}

// other starts a shell, and returns how to tell it what to do.
func other(t *testing.T) func(command string) func() error {
	t.Helper()
	sh := exec.Command("sh", "-c", `while read -r line; do eval "$line"; echo; done`)
	in, err1 := sh.StdinPipe()
	out, err2 := sh.StdoutPipe()
	if err := errors.Join(err1, err2, sh.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := sh.Wait(); err != nil {
			t.Error(err)
		}
	})
	done := bufio.NewReader(out)
	return func(command string) func() error {
		return func() error {
			_, err := fmt.Fprintln(in, command)
			if err == nil {
				_, err = done.ReadString('\n')
			}
			return err
		}
	}
}

// TestContent: the same length at the same time is no excuse.
func TestContent(t *testing.T) {
	sdtest.Require(t, sdtest.Root)
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "a")
	var st unix.Stat_t
	if err := unix.Stat(file, &st); err != nil {
		t.Fatal(err)
	}
	w := canary.Watch{Files: []string{file}}
	before, err := canary.Take(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, "b")
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, file, []unix.Timespec{st.Atim, st.Mtim}, 0); err != nil {
		t.Fatal(err)
	}
	now, err := canary.Take(t.Context(), w)
	if diff := before.Diff(now); err != nil || !strings.Contains(diff, "~ file "+file) {
		t.Errorf("%v\n%s", err, diff)
	}
}

// TestRest: who waits for rest asks once two snapshots are the same, and not for ever.
func TestRest(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	asked := 0
	done := func(text string) bool { asked++; return strings.Contains(text, "mount") && asked == 2 }
	if s, err := canary.Rest(t.Context(), canary.Watch{}, time.Minute, done); err != nil || len(s) == 0 || asked != 2 {
		t.Errorf("%v, asked %d times", err, asked)
	}
	if _, err := canary.Rest(t.Context(), canary.Watch{}, time.Nanosecond, func(string) bool { return false }); err == nil {
		t.Error("no end of patience")
	}
}

// TestCheap: a snapshot must not keep anybody from taking one.
func TestCheap(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	best := time.Hour
	for range 10 {
		begin := time.Now()
		if _, err := canary.Take(t.Context(), canary.Watch{}); err != nil {
			t.Fatal(err)
		}
		best = min(best, time.Since(begin))
	}
	t.Logf("a snapshot takes %v", best)
	if limit := sdtest.Slower(100*time.Millisecond, 10); best > limit {
		t.Errorf("a snapshot takes %v, more than %v", best, limit)
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func command(args ...string) func() error {
	return func() error { return exec.Command(args[0], args[1:]...).Run() }
}
