// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// service installs a configuration as a unit of its own and returns the unit's
// name, and how to ask systemd about it.
func service(t *testing.T, name, body string) (unit string, show func(property string) string) {
	t.Helper()
	return installed(t, container(t, name, body), name)
}

func installed(t *testing.T, file, name string) (unit string, show func(property string) string) {
	t.Helper()
	must(t, "sdcontainer", "unit", "install", file)
	unit = "sdcontainer@" + name + ".service"
	if _, err := os.Stat("/etc/systemd/system/" + name + ".service"); err == nil {
		unit = name + ".service"
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s", run(t, "systemctl", "status", "--no-pager", unit).stdout)
		}
		_ = run(t, "systemctl", "stop", unit) // it may be stopped
		_ = sd(t, "unit", "rm", name)         // or removed
		_ = run(t, "systemctl", "reset-failed", unit)
	})
	return unit, func(property string) string {
		t.Helper()
		return must(t, "systemctl", "show", "-P", property, unit)
	}
}

func comm(t *testing.T, pid string) string {
	t.Helper()
	text, err := os.ReadFile("/proc/" + pid + "/comm")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// server is a payload that ends when it is told to.
const server = "trap 'exit 0' TERM; echo started as a service; while :; do sleep 1000 & wait $!; done"

func TestServiceMainPIDIsThePayload(t *testing.T) {
	unit, show := service(t, "svcmain", shell(server)+limited)
	must(t, "systemctl", "start", unit)
	pid := show("MainPID")
	// The service is ready before its payload has been executed.
	eventually(t, "the main PID is the payload", func() bool { return comm(t, pid) == "sh" })
	checkLimits(t, state{Cgroup: show("ControlGroup")}, "service")
	if have := must(t, "sdcontainer", "stats", "--no-stream", "--format", "{{.Memory.Max}} {{.Tasks.Max}} {{gt .Memory.Current 0}}", "svcmain"); have != "67108864 99 true" {
		t.Errorf("stats: limits of memory and tasks, and whether memory is used: %s", have)
	}
	if o := sd(t, "update", "--set", "ManagedOOMSwap='kill'", "svcmain"); o.code == 0 || !strings.Contains(o.stderr, "set it in the configuration, and restart") {
		t.Errorf("systemd-oomd, told to watch what it would not see: %v", o)
	}
	group, err := os.ReadFile("/proc/" + pid + "/cgroup")
	if err != nil || strings.TrimSpace(string(group)) != "0::"+show("ControlGroup")+"/payload" {
		t.Errorf("the payload's cgroup: %s, %v", group, err)
	}
	must(t, "systemctl", "daemon-reload")
	must(t, "systemctl", "daemon-reexec")
	if show("MainPID") != pid || show("ActiveState") != "active" {
		t.Errorf("after daemon-reexec: main PID %s (was %s), %s", show("MainPID"), pid, show("ActiveState"))
	}

	must(t, "systemctl", "restart", unit)
	again := show("MainPID")
	if again == pid {
		t.Errorf("after restart: main PID %s still", again)
	}
	eventually(t, "the main PID is the payload after a restart", func() bool { return comm(t, again) == "sh" })
	eventually(t, "journalctl -u has both starts", func() bool {
		must(t, "journalctl", "--sync")
		return strings.Count(run(t, "journalctl", "-b", "--no-pager", "-o", "cat", "-u", unit).stdout, "started as a service") == 2
	})

	must(t, "systemctl", "stop", unit)
	if got := show("Result"); got != "success" {
		t.Errorf("the result of a stop is %s", got)
	}
	if _, err := os.Stat("/proc/" + again); err == nil {
		t.Error("the payload survived systemctl stop")
	}
	if o := sd(t, "ps", "-a"); strings.Contains(o.stdout, "svcmain") {
		t.Errorf("the record survived systemctl stop: %v", o)
	}
}

// The installation has the directory that the template's instances are looked for in.
func TestTemplateRunsWhatLiesInEtc(t *testing.T) {
	file := container(t, "etc", shell("exec sleep 1000"))
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const installed = "/etc/sdcontainer/etc.toml"
	if err := os.WriteFile(installed, text, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(installed) })
	t.Cleanup(func() { run(t, "systemctl", "stop", "sdcontainer@etc.service") })
	must(t, "systemctl", "start", "sdcontainer@etc.service")
	if out := sd(t, "inspect", "--format", "{{.Unit}}", "etc"); out.stdout != "sdcontainer@etc.service\n" {
		t.Error(out)
	}
	for _, verb := range []string{"start", "restart", "update"} {
		if verb == "restart" {
			must(t, "systemctl", verb, "sdcontainer@etc.service")
		} else if verb == "update" {
			must(t, "sdcontainer", verb, "--tasks", "77", "etc")
		}
		if need := must(t, "systemctl", "show", "-P", "NeedDaemonReload", "sdcontainer@etc.service"); need != "no" {
			t.Errorf("after %s: NeedDaemonReload is %s", verb, need)
		}
	}
}

func TestServiceExitCodeIsTheUnits(t *testing.T) {
	unit, show := service(t, "svcexit", shell("exit 23"))
	_ = run(t, "systemctl", "start", unit) // whether it was fast enough to fail the job does not matter
	eventually(t, "the unit has failed", func() bool { return show("ActiveState") == "failed" })
	if got := show("ExecMainStatus"); got != "23" {
		t.Errorf("ExecMainStatus is %s", got)
	}
}

func TestServiceRestartsByItself(t *testing.T) {
	unit, show := service(t, "svcrestart", "[systemd]\nrestart = \"always\"\nrestart_delay = \"100ms\"\n"+shell("exec sleep 1000"))
	must(t, "systemctl", "start", unit)
	pid := show("MainPID")
	must(t, "kill", "-KILL", pid)
	eventually(t, "the unit runs again", func() bool {
		now := show("MainPID")
		return now != pid && now != "0" && show("ActiveState") == "active"
	})
	if n, err := strconv.Atoi(show("NRestarts")); err != nil || n < 1 {
		t.Errorf("NRestarts is %d, %v", n, err)
	}
}

// slowStop is a timeout that nobody can overlook.
const slowStop = "[systemd]\nstop_timeout = \"10min\"\n"

// R43: a payload without a handler for SIGTERM, which a pid 1 does not die of, is not waited for until the timeout is over.
func TestServiceThatHearsNoSignalStopsAtOnce(t *testing.T) {
	unit, show := service(t, "svcdeaf", slowStop+shell("exec sleep 100000"))
	must(t, "systemctl", "start", unit)
	first := show("MainPID")
	began := time.Now()
	must(t, "systemctl", "restart", unit) // bounded by patience, which is less than the timeout
	t.Logf("systemctl restart took %v", time.Since(began))
	if again := show("MainPID"); again == first || show("ActiveState") != "active" || show("NRestarts") != "0" {
		t.Errorf("after restart: main PID %s (was %s), %s", again, first, show("ActiveState"))
	}
	began = time.Now()
	must(t, "systemctl", "stop", unit)
	t.Logf("systemctl stop took %v", time.Since(began))
	if state, result := show("ActiveState"), show("Result"); state != "inactive" || result != "success" {
		t.Errorf("after stop: %s, %s", state, result)
	}
}

func TestServiceKilledByOthersHasFailed(t *testing.T) {
	unit, show := service(t, "svckilled", shell("exec sleep 100000"))
	must(t, "systemctl", "start", unit)
	must(t, "sdcontainer", "kill", "-s", "KILL", "svckilled")
	eventually(t, "the unit has failed", func() bool { return show("ActiveState") == "failed" })
	if result := show("Result"); result != "signal" {
		t.Errorf("Result is %s", result)
	}
}

func TestPausedServiceStops(t *testing.T) {
	unit, show := service(t, "svcfrozen", slowStop+shell("exec sleep 100000"))
	must(t, "systemctl", "start", unit)
	must(t, "sdcontainer", "pause", "svcfrozen")
	if o := run(t, "systemctl", "stop", unit); o.code != 0 {
		t.Logf("systemctl stop of a frozen unit: %v", o) // systemd 257 refuses
		must(t, "sdcontainer", "stop", "svcfrozen")
	}
	if state, result := show("ActiveState"), show("Result"); state != "inactive" || result != "success" {
		t.Errorf("after stop: %s, %s", state, result)
	}
}

func TestServiceWithInitStops(t *testing.T) {
	body := strings.Replace(slowStop+shell("exec sleep 100000"), "[process]\n", "[process]\ninit = true\n", 1)
	unit, show := service(t, "svcinit", body)
	must(t, "systemctl", "start", unit)
	must(t, "systemctl", "stop", unit)
	if state, result := show("ActiveState"), show("Result"); state != "inactive" || result != "success" {
		t.Errorf("after stop: %s, %s", state, result)
	}
}

func TestServiceThatCannotStartSaysWhy(t *testing.T) {
	unit, show := service(t, "svcbad", "[rootfs]\npath = \""+busybox+"\"\n[process]\nargs = [\"/bin/nothing\"]\n")
	if o := run(t, "systemctl", "start", unit); o.code == 0 {
		t.Errorf("the start of a program that is not there succeeded")
	}
	if got := show("ExecMainStatus"); got != "127" {
		t.Errorf("ExecMainStatus is %s", got)
	}
	must(t, "journalctl", "--sync")
	if o := run(t, "journalctl", "-b", "--no-pager", "-o", "cat", "-u", unit); !strings.Contains(o.stdout, "/bin/nothing") {
		t.Errorf("the journal does not name it: %v", o)
	}
}

// R15: that the kernel has killed a service for its memory is in the journal's record of its end.
func TestServiceOutOfMemorySaysSo(t *testing.T) {
	unit, show := service(t, "svcoom", shell("exec "+eater)+eat)
	_ = run(t, "systemctl", "start", unit) // whether it was fast enough to fail the job does not matter
	eventually(t, "the unit has failed", func() bool { return show("ActiveState") == "failed" })
	if said := journalOfEnd(t, "svcoom"); !strings.Contains(said, "killed by the kernel: out of memory") {
		t.Errorf("the record of the end: %s\n%s", said, run(t, "journalctl", "-b", "--no-pager", "-n", "20").stdout)
	}
}

const inexpressible = `
[resources]
hugepages = { "2MB" = "64M" }
unified = { "memory.swap.high" = "16777216" }
[resources.cpu]
quota = "50%"
burst = "20ms"
`

func TestServiceWithLimitsSystemdLacks(t *testing.T) {
	unit, show := service(t, "svcpayload", slowStop+shell("exec sleep 100000")+inexpressible)
	check := func(when string) {
		t.Helper()
		for file, want := range map[string]string{
			"hugetlb.2MB.max": "67108864", "memory.swap.high": "16777216", "cpu.max": "50000 100000", "cpu.max.burst": "20000",
		} {
			got, err := os.ReadFile("/sys/fs/cgroup" + show("ControlGroup") + "/payload/" + file)
			if err != nil || strings.TrimSpace(string(got)) != want {
				t.Errorf("%s: %s is %q, %v, want %q", when, file, got, err, want)
			}
		}
	}
	must(t, "systemctl", "start", unit)
	check("after the start")
	must(t, "systemctl", "daemon-reload")
	check("after daemon-reload")
	must(t, "systemctl", "restart", unit)
	check("after restart")
	must(t, "sdcontainer", "exec", "svcpayload", "sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done")
	if have := must(t, "sdcontainer", "stats", "--no-stream", "--format", "{{gt .CPU.Periods 0}}", "svcpayload"); have != "true" {
		t.Error("stats: no period of the quota is counted")
	}
	must(t, "systemctl", "stop", unit)
	if state, result := show("ActiveState"), show("Result"); state != "inactive" || result != "success" {
		t.Errorf("after stop: %s, %s", state, result)
	}
}

func TestServiceWithoutTheControllerSaysWhich(t *testing.T) {
	// dmem came with Linux 6.14, after both guests.
	unit, _ := service(t, "svcdmem", shell("exec sleep 100000")+"[resources]\nunified = { \"dmem.max\" = \"drm/0 1M\" }\n")
	if o := run(t, "systemctl", "start", unit); o.code == 0 {
		t.Error("started without the controller")
	}
	must(t, "journalctl", "--sync")
	o := run(t, "journalctl", "-b", "--no-pager", "-o", "cat", "-u", unit)
	if strings.Count(o.stdout, "no controller dmem") != 1 {
		t.Errorf("the journal: %v", o)
	}
}

func TestGeneratedUnitVerifies(t *testing.T) {
	unit, _ := service(t, "svcverify", shell("exit 0")+limited)
	if o := run(t, "systemd-analyze", "verify", "--man=no", unit); o.code != 0 || strings.Contains(o.stderr, "sdcontainer") {
		t.Errorf("systemd-analyze verify: %v", o)
	}
}

// What the administrator writes into a drop-in of an instance is its limit after each start and each daemon-reload, whatever the
// configuration says, and attested is what that says of the rest.
func TestAdministratorsLimitsStay(t *testing.T) {
	const installed, unit, dir = "/etc/sdcontainer/edited.toml", "sdcontainer@edited.service", "/etc/systemd/system/sdcontainer@edited.service.d"
	text, err := os.ReadFile(container(t, "edited", shell("exec sleep 1000")+limited))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = run(t, "systemctl", "stop", unit) // it may be stopped
		_ = sd(t, "unit", "rm", "edited")     // or not installed
		_ = os.RemoveAll(dir)
		_ = os.Remove(installed)
		must(t, "systemctl", "daemon-reload")
	})
	for path, text := range map[string][]byte{installed: text, dir + "/override.conf": []byte("[Service]\nMemoryMax=96M\nCPUQuota=70%\n")} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, way := range []string{"instance of the template", "after unit install"} {
		if way == "after unit install" {
			must(t, "sdcontainer", "unit", "install", installed)
		}
		for _, step := range []string{"daemon-reload", "restart", "daemon-reload", "restart"} {
			args := []string{"systemctl", step}
			if step == "restart" {
				args = append(args, unit)
			}
			must(t, args...)
			if must(t, "systemctl", "show", "-P", "ActiveState", unit) != "active" {
				continue
			}
			s := state{Cgroup: must(t, "systemctl", "show", "-P", "ControlGroup", unit)}
			for file, want := range map[string]string{"memory.max": "100663296", "cpu.max": "70000 100000", "memory.high": "50331648", "pids.max": "99"} {
				if got := cgroupFile(t, s, file); got != want {
					t.Errorf("%s, %s: %s is %q, want %q", way, step, file, got, want)
				}
			}
		}
	}
}
