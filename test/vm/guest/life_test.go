// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/internal/sdtest/canary"
)

func TestExitCodes(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		want       int
	}{
		{"true", shell("exit 0"), 0},
		{"seven", shell("exit 7"), 7},
		{"term", shell("kill -9 $$; sleep 5"), 0}, // pid 1 of its namespace is immune to itself
		{"notfound", "[rootfs]\npath = \"" + busybox + "\"\n[process]\nargs = [\"/bin/nothing\"]\n", 127},
		{"notexecutable", "[rootfs]\npath = \"" + busybox + "\"\n[process]\nargs = [\"/etc/passwd\"]\n", 126},
		{"noroot", "[rootfs]\npath = \"/nowhere\"\n[process]\nargs = [\"/bin/true\"]\n", 125},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := container(t, "exit-"+tt.name, tt.body)
			if o := sd(t, "run", file); o.code != tt.want {
				t.Errorf("want exit %d, got %v", tt.want, o)
			}
		})
	}
}

func TestForegroundPassesStreamsAndLeavesNothing(t *testing.T) {
	file := container(t, "streams", shell("echo out; echo err >&2; exit 3"))
	o := sd(t, "run", "--rm", file)
	if o.code != 3 || o.stdout != "out\n" || o.stderr != "err\n" {
		t.Errorf("got %v", o)
	}
	if o := sd(t, "ps", "-a"); strings.Contains(o.stdout, "streams") {
		t.Errorf("still listed: %v", o)
	}
}

// R44: how a container ended is known, though it was systemctl that stopped it.
func TestExitIsRecordedAfterSystemctlStop(t *testing.T) {
	// The trap makes the payload choose its code: systemd's SIGTERM reached it.
	file := container(t, "stopped", shell("trap 'exit 41' TERM; echo caught; while :; do sleep 0.1; done"))
	s := detached(t, file)
	eventually(t, "the trap is set", func() bool { return strings.Contains(sd(t, "logs", "stopped").stdout, "caught") })
	must(t, "systemctl", "stop", s.Unit)
	if o := sd(t, "wait", "stopped"); strings.TrimSpace(o.stdout) != "41" || o.code != 41 {
		t.Errorf("wait: %v", o)
	}
	if s := inspect(t, "stopped"); s.Exit == nil || s.Exit.Code != 41 || s.ExitUnknown {
		t.Errorf("inspect: %+v", s)
	}
	if o := sd(t, "ps", "-a"); !strings.Contains(o.stdout, "41") {
		t.Errorf("ps -a: %v", o)
	}
}

func TestExitIsUnknownAfterTheKeeperWasKilled(t *testing.T) {
	file := container(t, "orphan", shell("exec sleep 1000"))
	s := detached(t, file)
	if s.KeeperPid == 0 {
		t.Fatalf("no keeper: %+v", s)
	}
	if err := syscall.Kill(s.KeeperPid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	must(t, "systemctl", "stop", s.Unit)
	eventually(t, "the container has stopped", func() bool { return inspect(t, "orphan").Status == "stopped" })
	if s := inspect(t, "orphan"); !s.ExitUnknown || s.Exit != nil {
		t.Errorf("inspect: %+v", s)
	}
	if o := sd(t, "ps", "-a"); !strings.Contains(strings.ToLower(o.stdout), "unknown") {
		t.Errorf("ps -a: %v", o)
	}
}

func TestStopIsPromptForAPayloadWithoutHandler(t *testing.T) {
	file := container(t, "deaf", "[systemd]\nstop_timeout = \"1s\"\n"+shell("exec sleep 1000"))
	detached(t, file)
	must(t, "sdcontainer", "stop", "deaf")
	if s := inspect(t, "deaf"); s.Status != "stopped" {
		t.Errorf("inspect: %+v", s)
	}
}

func TestExecLandsInTheContainer(t *testing.T) {
	file := container(t, "exec", shell("hostname; exec sleep 1000"))
	s := detached(t, file)
	o := sd(t, "exec", "exec", "sh", "-c", "readlink /proc/1/ns/pid; cat /proc/self/cgroup; tr '\\0' ' ' </proc/1/cmdline; exit 9")
	if o.code != 9 {
		t.Errorf("exit: %v", o)
	}
	want, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", s.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []string{want, "0::/\n", "sleep 1000"} {
		if !strings.Contains(o.stdout, w) {
			t.Errorf("%q is not in %v", w, o)
		}
	}
	if o := sd(t, "exec", "exec", "/bin/nothing"); o.code != 127 {
		t.Errorf("a missing program: %v", o)
	}
	if o := sd(t, "exec", "nobody-there", "true"); o.code != 125 {
		t.Errorf("a missing container: %v", o)
	}
}

// C8: a container's session keyring, which has no name, is among what the guard of each test sees, and ends with the container.
func TestC8KeyringEndsWithTheContainer(t *testing.T) {
	sdtest.Require(t, sdtest.Guest)
	before, err := canary.Take(t.Context(), canary.Watch{})
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []struct{ name, more, want string }{
		{"own", "", `(?m)^\+ key count of uid [0-9]+: 1$`},
		{"hosts", "[userns]\nmode = \"none\"\n", `(?s)keyring _ses of uid 0\n.*keyring _ses of uid 0\n`}, // the keeper has one, too
	} {
		name := "keyring-" + kind.name
		detached(t, container(t, name, shell("exec sleep 1000")+kind.more))
		now, err := canary.Take(t.Context(), canary.Watch{})
		if diff := before.Diff(now); err != nil || !regexp.MustCompile(kind.want).MatchString(diff) {
			t.Errorf("%s lives: want %s, have %v\n%s", name, kind.want, err, diff)
		}
		must(t, "sdcontainer", "rm", "-f", name)
		if left, err := canary.Settle(t.Context(), before, canary.Watch{}, patience); left != "" || err != nil {
			t.Errorf("%s has gone: %v\n%s", name, err, left)
		}
	}
}

func TestPauseAndResume(t *testing.T) {
	file := container(t, "pause", shell("exec sleep 1000"))
	s := detached(t, file)
	must(t, "sdcontainer", "pause", "pause")
	if got := cgroupFile(t, s, "cgroup.events"); !strings.Contains(got, "frozen 1") {
		t.Errorf("cgroup.events: %s", got)
	}
	if s := inspect(t, "pause"); s.Status != "paused" {
		t.Errorf("status %s", s.Status)
	}
	must(t, "sdcontainer", "resume", "pause")
	if got := cgroupFile(t, s, "cgroup.events"); !strings.Contains(got, "frozen 0") {
		t.Errorf("cgroup.events: %s", got)
	}
	must(t, "sdcontainer", "pause", "pause")
	must(t, "sdcontainer", "rm", "-f", "pause")
	if _, err := os.Stat("/proc/" + strconv.Itoa(s.Pid)); err == nil {
		t.Error("a frozen container survived rm -f")
	}
}

func TestLogs(t *testing.T) {
	file := container(t, "logs", shell("echo to stdout; echo to stderr >&2; exit 0"))
	must(t, "sdcontainer", "run", "-d", file)
	_ = sd(t, "wait", "logs") // the code is tested elsewhere
	must(t, "journalctl", "--sync")
	o := sd(t, "logs", "logs")
	if text := o.stdout + o.stderr; !strings.Contains(text, "to stdout") || !strings.Contains(text, "to stderr") {
		t.Errorf("logs: %v", o)
	}
	o = run(t, "journalctl", "-b", "--no-pager", "-o", "cat", "_SYSTEMD_UNIT=sdc-logs.scope")
	if !strings.Contains(o.stdout, "to stdout") {
		t.Errorf("the journal has the lines under another unit: %v", o)
	}
}

func TestParallelStarts(t *testing.T) {
	const n = 12
	files := make([]string, n)
	for i := range files {
		files[i] = container(t, fmt.Sprintf("par-%d", i), shell(fmt.Sprintf("exit %d", i)))
	}
	var all sync.WaitGroup
	for i, file := range files {
		all.Go(func() {
			if o := sd(t, "run", "--rm", file); o.code != i {
				t.Errorf("container %d: %v", i, o)
			}
		})
	}
	all.Wait()
}

func TestHostileRootfs(t *testing.T) {
	sdtest.Require(t, sdtest.Guest)
	for name, evil := range map[string]string{
		"proc-link":   "ln -s /etc $r/proc",
		"dev-link":    "ln -s /etc $r/dev",
		"sys-link":    "ln -s ../../../../../../etc $r/sys",
		"passwd-link": "mkdir $r/proc $r/sys $r/dev; ln -s /etc/shadow $r/etc/passwd",
		"loop":        "ln -s proc $r/proc; mkdir $r/sys $r/dev",
		"target-link": "mkdir $r/proc $r/sys $r/dev; ln -s /etc $r/data",
		"file-proc":   "echo x >$r/proc; mkdir $r/sys $r/dev",
	} {
		t.Run(name, func(t *testing.T) {
			r := t.TempDir()
			must(t, "sh", "-ec", "r="+r+"; mkdir $r/bin $r/etc; cp "+busybox+"/bin/busybox $r/bin; ln -s busybox $r/bin/sh; "+evil)
			before := must(t, "sh", "-c", "ls -lR /etc | sha256sum; cat /proc/self/mountinfo | wc -l")
			file := container(t, "evil-"+name, "[rootfs]\npath = \""+r+"\"\n[process]\nargs = [\"/bin/sh\", \"-c\", \"echo ran\"]\n"+
				"[[mount]]\ntype = \"tmpfs\"\ntarget = \"/data\"\n")
			o := sd(t, "run", "--rm", file)
			if o.code != 0 && o.code != 125 {
				t.Errorf("want it to run or to be refused: %v", o)
			}
			if after := must(t, "sh", "-c", "ls -lR /etc | sha256sum; cat /proc/self/mountinfo | wc -l"); after != before {
				t.Errorf("the host changed:\n%s\n%s", before, after)
			}
		})
	}
}

// A machine that has all there is, as doctor sees it: nothing is missing, or it is said which property of systemd.
func TestDoctorOfAGoodMachine(t *testing.T) {
	sdtest.Require(t, sdtest.Guest)
	o := sd(t, "doctor")
	if o.code != 0 || strings.Contains(o.stdout, "✗") || strings.Count(o.stdout, "✓") < 12 ||
		!strings.Contains(o.stdout, fmt.Sprintf("systemd %d answers", systemdVersion(t))) {
		t.Errorf("doctor: %v", o)
	}
	var all []struct{ Check, Status, Detail, Fix string }
	text := must(t, "sdcontainer", "doctor", "--json")
	if err := json.Unmarshal([]byte(text), &all); err != nil || len(all) < 12 {
		t.Fatalf("%v: %s", err, text)
	}
	for _, f := range all {
		if f.Status == "error" || f.Status == "" || f.Status != "ok" && f.Fix == "" {
			t.Errorf("%+v: not what a good machine has, or not what to do", f)
		}
	}
}
