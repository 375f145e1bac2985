// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const limited = `
[resources]
tasks = "99"
[resources.memory]
high = "48M"
max  = "64M"
swap_max = "0"
[resources.cpu]
quota  = "50%"
weight = "200"
[resources.io]
weight = 50
`

// limitFiles is what limited must look like to the kernel.
var limitFiles = map[string]string{
	"pids.max":        "99",
	"memory.high":     "50331648",
	"memory.max":      "67108864",
	"memory.swap.max": "0",
	"cpu.max":         "50000 100000",
	"cpu.weight":      "200",
	"io.weight":       "default 50",
}

func checkLimits(t *testing.T, s state, when string) {
	t.Helper()
	for file, want := range limitFiles {
		if file == "io.weight" && !haveIOWeight(s) {
			continue // the kernel has no scheduler that weighs
		}
		if got := cgroupFile(t, s, file); got != want {
			t.Errorf("%s: %s is %q, want %q", when, file, got, want)
		}
	}
}

// R8: the kernel's files of limits are what they were before systemd reloaded.
func TestE9LimitsSurviveDaemonReload(t *testing.T) {
	s := detached(t, container(t, "limits", shell("exec sleep 1000")+limited))
	checkLimits(t, s, "after the start")
	must(t, "systemctl", "daemon-reload")
	checkLimits(t, s, "after daemon-reload")
	must(t, "systemctl", "daemon-reexec")
	checkLimits(t, s, "after daemon-reexec")
	sibling := detached(t, container(t, "sibling", shell("exec sleep 1000")))
	must(t, "systemctl", "set-property", "--runtime", sibling.Unit, "CPUWeight=7", "MemoryMax=90M")
	checkLimits(t, s, "after set-property of a sibling")
	if got := must(t, "systemctl", "show", "-P", "NeedDaemonReload", s.Unit); got != "no" {
		t.Errorf("NeedDaemonReload is %s", got)
	}
}

func TestUpdateChangesTheUnit(t *testing.T) {
	s := detached(t, container(t, "update", shell("exec sleep 1000")+limited))
	must(t, "sdcontainer", "update", "update", "--memory", "80M", "--tasks", "50")
	if got := cgroupFile(t, s, "memory.max"); got != "83886080" {
		t.Errorf("memory.max is %s", got)
	}
	if got := must(t, "systemctl", "show", "-P", "TasksMax", s.Unit); got != "50" {
		t.Errorf("TasksMax is %s: the change is not the unit's", got)
	}
	must(t, "systemctl", "daemon-reload")
	if got := cgroupFile(t, s, "pids.max"); got != "50" {
		t.Errorf("pids.max is %s after daemon-reload", got)
	}
}

const eat = "[resources.memory]\nmax = \"24M\"\nswap_max = \"0\"\n"

// eater allocates until it is killed: awk doubles a string.
const eater = `awk 'BEGIN { s = "0123456789abcdef"; while (1) s = s s }'`

// R15: a payload that the kernel has killed for its memory is told as that.
func TestOOM(t *testing.T) {
	file := container(t, "oom", shell("exec "+eater)+eat)
	must(t, "sdcontainer", "run", "-d", file)
	if o := sd(t, "wait", "--format", "{{.Exit.Code}} {{.Exit.OOMKilled}} {{.Exit.ManagedOOM}}", "oom"); strings.TrimSpace(o.stdout) != "137 true false" {
		t.Errorf("wait: %v", o)
	}
	s := inspect(t, "oom")
	if s.Exit == nil || s.Exit.Code != 137 || !s.Exit.OOMKilled {
		t.Errorf("inspect: %+v", s.Exit)
	}
	if o := sd(t, "ps", "-a"); !strings.Contains(o.stdout, "exited (137, out of memory)") {
		t.Errorf("ps -a does not say so: %v", o)
	}
}

// R15: a keeper that lost the race for memory.events: its record is made to say so.
func TestOOMMissedByTheKeeper(t *testing.T) {
	forget := func(name string) {
		dir := filepath.Join("/run/sdcontainer", name)
		for file, change := range map[string]struct {
			old *regexp.Regexp
			new string
		}{
			"exit": {regexp.MustCompile(`\boom_kill \d`), "oom_kill 0"}, "state.json": {regexp.MustCompile(`,"logged":true`), ""},
		} {
			b, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, file), change.old.ReplaceAll(b, []byte(change.new)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	detached(t, container(t, "bystander", shell("exec sleep 1000")))
	file := container(t, "missed", shell("exec "+eater)+eat)
	must(t, "sdcontainer", "run", "-d", file)
	_ = sd(t, "wait", "missed") // its answer is compared through inspect
	forget("missed")
	if s := inspect(t, "missed"); s.Exit == nil || s.Exit.OOMKilled {
		t.Fatalf("after forgetting: %+v", s.Exit)
	}
	must(t, "sdcontainer", "cleanup", "missed")
	if s := inspect(t, "missed"); s.Exit == nil || !s.Exit.OOMKilled || s.Exit.Code != 137 {
		t.Errorf("after cleanup: %+v; want an OOM kill", s.Exit)
	}
	// What befell the one is not said of the other.
	must(t, "sdcontainer", "kill", "bystander")
	_ = sd(t, "wait", "bystander")
	if s := inspect(t, "bystander"); s.Exit == nil || s.Exit.OOMKilled || s.Exit.Code != 137 {
		t.Errorf("bystander: %+v", s.Exit)
	}
}

func TestOOMInTheForegroundIsSaid(t *testing.T) {
	file := container(t, "oomfg", shell("exec "+eater)+eat)
	o := sd(t, "run", "--rm", file)
	if o.code != 137 || !strings.Contains(strings.ToLower(o.stderr), "memory") {
		t.Errorf("want 137 and a word about memory: %v", o)
	}
}

// R15, R22: the command itself runs out of its unit's memory, at one place after the other: what it has made is found by rm -f,
// and the same name starts again.
func TestCommandOutOfMemory(t *testing.T) {
	file := container(t, "poor", shell("exec true"))
	var worked, killed []int
	for _, kib := range []int{1024, 1536, 2048, 2560, 3072, 3584, 4096, 65536} {
		o := run(t, "choom", "-n", "0", "--", // tests are exempt, which is inherited: then the kernel looks for a victim for ever
			"systemd-run", "--scope", "--collect", "--quiet", "-p", fmt.Sprintf("MemoryMax=%dK", kib), "-p", "MemorySwapMax=0", "sdcontainer", "run", "-d", file)
		switch {
		case o.code == 0:
			worked = append(worked, kib)
		case o.code == -1: // by a signal
			killed = append(killed, kib)
		case o.code == 128+15: // a process of its own was, and systemd stopped the rest
		case !strings.Contains(o.stderr, "killed") && !strings.Contains(o.stderr, "memory"):
			t.Errorf("%d KiB: %v", kib, o)
		}
		must(t, "sdcontainer", "rm", "-f", "poor")
		if units := must(t, "systemctl", "list-units", "--all", "--plain", "--no-legend", "sdc-poor.scope"); units != "" {
			t.Errorf("%d KiB: left after rm -f: %s", kib, units)
		}
	}
	t.Logf("worked with %v KiB, killed with %v", worked, killed)
	if len(killed) == 0 || !slices.Contains(worked, 65536) {
		t.Error("the test shows nothing")
	}
	must(t, "sdcontainer", "run", "-d", file)
}

func TestKilledWithoutOOMIsNotOOM(t *testing.T) {
	file := container(t, "killed", shell("exec sleep 1000"))
	detached(t, file)
	must(t, "sdcontainer", "kill", "-s", "KILL", "killed")
	_ = sd(t, "wait", "killed") // its answer is compared through inspect
	if s := inspect(t, "killed"); s.Exit == nil || s.Exit.Code != 137 || s.Exit.OOMKilled {
		t.Errorf("inspect: %+v", s.Exit)
	}
}

// E8: no process of a container is outside its limits: neither its own, nor one of exec, with its ids or the host's, in a
// cgroup that it has made itself.
func TestE8LimitsHold(t *testing.T) {
	const (
		fits   = "head -c 9000 /dev/zero | wc -c"
		bomb   = "for i in 1 2 3 4 5 6 7 8 9; do sleep 30 & done; echo all started"
		hog    = "head -c 30000000 /dev/zero | tail -c 25000000 >/dev/null && echo hogged"
		nest   = "mkdir -p /sys/fs/cgroup/deep && echo $$ >/sys/fs/cgroup/deep/cgroup.procs && echo nested && "
		limits = "[resources]\ntasks = \"5\"\n[resources.memory]\nmax = \"16M\"\nswap_max = \"0\"\n"
	)
	for _, kind := range []struct{ name, first, more string }{
		{"own", "", ""}, {"hosts", "", "[userns]\nmode = \"none\"\n"}, {"deep", nest, "[security]\nprofile = \"system\"\n"},
	} {
		check := func(what string, o outcome) {
			t.Helper()
			if strings.Contains(o.stdout, "all started") || strings.Contains(o.stdout, "hogged") {
				t.Errorf("%s, %s: more than its limits: %v", kind.name, what, o)
			}
			if kind.first != "" && !strings.Contains(o.stdout, "nested") {
				t.Errorf("%s, %s: it made no cgroup, which shows nothing: %v", kind.name, what, o)
			}
		}
		exec := func(name, script string) outcome {
			return sd(t, "exec", name, "/bin/sh", "-c", kind.first+script)
		}
		t.Log(kind.name) // each takes a while: a sign of life
		body := kind.more + limits
		check("bomb of its own", sd(t, "run", "--rm", container(t, kind.name, shell(kind.first+bomb)+body)))
		if kind.first != "" { // one of them is enough: it takes an emulated guest a while
			check("hog of its own", sd(t, "run", "--rm", container(t, kind.name+"-own", shell(kind.first+hog)+body)))
		}
		one, other := kind.name+"-bomb", kind.name+"-hog"
		detached(t, container(t, one, shell("exec sleep 1000")+body))
		if o := exec(one, fits); o.code != 0 || !strings.Contains(o.stdout, "9000") {
			t.Errorf("%s: within its limits: %v", kind.name, o)
		}
		check("bomb of exec", exec(one, bomb))
		detached(t, container(t, other, shell("exec sleep 1000")+body)) // where there is room for a hog's processes
		check("hog of exec", exec(other, hog))
	}
}

// Rates of I/O are compared with what the kernel has. Two paths on one disk are two limits to systemd, of which each
// takes back the other's: that is told, and nothing runs.
func TestIORatesAreCompared(t *testing.T) {
	const rates = "[resources.io]\nread_bps = { \"/\" = \"1M\" }\nwrite_iops = { %q = 400 }\n"
	s := detached(t, container(t, "rates", shell("exec sleep 1000")+fmt.Sprintf(rates, "/")))
	if got := cgroupFile(t, s, "io.max"); !strings.HasSuffix(got, " rbps=1048576 wbps=max riops=max wiops=400") {
		t.Errorf("io.max is %q", got)
	}
	o := sd(t, "run", "--rm", container(t, "torn", shell("echo it ran")+fmt.Sprintf(rates, "/usr")))
	if o.code == 0 || o.stdout != "" || !strings.Contains(o.stderr, ": / and /usr are on one disk") {
		t.Errorf("two paths on one disk: %v", o)
	}
	const none = "[resources.io]\nread_bps = { \"/proc\" = \"1M\" }\n"
	o = sd(t, "run", "--rm", container(t, "nowhere", shell("echo it ran")+none))
	if o.code == 0 || o.stdout != "" || !strings.Contains(o.stderr, "IOReadBandwidthMax: /proc: its filesystem is on no block device") {
		t.Errorf("a limit of no device: %v", o)
	}
	o = sd(t, "run", "--rm", container(t, "lenient", shell("echo it ran")+none+"[systemd]\nstrict = false\n"))
	if o.code != 0 || o.stdout != "it ran\n" || !strings.Contains(o.stderr, "on no block device") {
		t.Errorf("with strict = false: %v", o)
	}
}

// haveIOWeight tells whether the container's cgroup has io.weight at all.
func haveIOWeight(s state) bool {
	_, err := os.Stat(filepath.Join("/sys/fs/cgroup", strings.TrimSuffix(s.Cgroup, "/payload"), "io.weight"))
	return err == nil
}

// C18: a core dump is written where the container sees core_pattern's path, and not where the host does. (A pattern that
// begins with | is the host's own program, whatever the limit.)
func TestC18CoreStaysInside(t *testing.T) {
	const pattern = "/proc/sys/kernel/core_pattern"
	before, err := os.ReadFile(pattern)
	if err != nil {
		t.Fatal(err)
	}
	file := container(t, "crash", shell("ulimit -c unlimited; sh -c 'kill -SEGV $$'; exit $?"))
	t.Cleanup(func() {
		if err := os.WriteFile(pattern, before, 0); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(pattern, []byte("/var/tmp/c18.core"), 0); err != nil {
		t.Fatal(err)
	}
	inside := filepath.Join(busybox, "var/tmp/c18.core")
	defer os.Remove(inside)
	if o := sd(t, "run", "--rm", file); o.code != 128+11 {
		t.Errorf("want a segmentation fault: %v", o)
	}
	if _, err := os.Stat(inside); err != nil {
		t.Errorf("no core in the container, which shows nothing: %v", err)
	}
	if _, err := os.Stat("/var/tmp/c18.core"); err == nil {
		t.Error("the core is the host's file")
		os.Remove("/var/tmp/c18.core")
	}
}

// R41: exec into a container whose memory is nearly full. The command runs; or the kernel kills it, which is its exit code; or one error says
// that it was killed on its way there, or that the container has ended, which then is told as for lack of memory.
func TestExecIntoFullMemory(t *testing.T) {
	const filled = 62_000_000
	file := container(t, "full", shell(fmt.Sprintf("head -c %d /dev/zero >/dev/shm/fill && exec sleep 1000", filled))+
		"[resources.memory]\nmax = \"64M\"\nswap_max = \"0\"\noom_policy = \"continue\"\n")
	start := func() {
		s := detached(t, file)
		eventually(t, "full", func() bool { return strings.TrimSpace(must(t, "cat", fmt.Sprintf("/proc/%d/comm", s.Pid))) == "sleep" })
	}
	start()
	// Less than what it lets be had back at once, somewhat more, and much more.
	for bytes, want := range map[int]string{1000: "ran", 4_000_000: "ran, killed, ended", 32_000_000: "killed, ended"} {
		o := run(t, "sdcontainer", "exec", "full", "/bin/sh", "-c", fmt.Sprintf(`x=$(head -c %d /dev/zero | tr '\0' x) && echo ran`, bytes))
		what := ""
		switch oneError := strings.Count("\n"+o.stderr, "\nsdcontainer: ") == 1; {
		case o.code == 0 && o.stdout == "ran\n":
			what = "ran"
		case o.code == 137 && o.stdout == "", o.code == 125 && oneError && strings.Contains(o.stderr, "SIGKILL"):
			what = "killed"
		case o.code == 125 && oneError && strings.Contains(o.stderr, "not running"):
			what = "ended"
		}
		if what == "" || !strings.Contains(want, what) {
			t.Errorf("%d bytes: %v; want it to have %s", bytes, o, want)
		}
		now := inspect(t, "full")
		if now.Status == "running" {
			continue
		}
		if now.Exit == nil || now.Exit.Code != 137 || !now.Exit.OOMKilled {
			t.Errorf("%d bytes: the container ended with %+v, and exec with %v", bytes, now.Exit, o)
		}
		must(t, "sdcontainer", "rm", "full")
		start()
	}
}
