// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// startOomd has systemd-oomd run until the end of the test, quick to act.
func startOomd(t *testing.T) {
	t.Helper()
	sdtest.Require(t, sdtest.Guest)
	const conf = "/run/systemd/oomd.conf.d/test.conf"
	if err := os.MkdirAll(filepath.Dir(conf), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(conf, []byte("[OOM]\nDefaultMemoryPressureDurationSec=1s\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		must(t, "systemctl", "stop", "systemd-oomd.socket", "systemd-oomd.service")
		if err := os.RemoveAll(filepath.Dir(conf)); err != nil {
			t.Error(err)
		}
	})
	must(t, "systemctl", "restart", "systemd-oomd.service") // after a kill it would wait for 15 s
}

// presser reads files beside what it allocates: systemd-oomd takes only what has pages reclaimed.
const presser = `while :; do find /files -type f -exec cat {} +; done >/dev/null & exec ` + eater

// pressed is the end of a configuration whose container allocates, is slowed down for it, and left to systemd-oomd.
const pressed = `
[[mount]]
source = "/var/lib/machines/debian/usr"
target = "/files"
read_only = true
[resources.memory]
high = "24M"
swap_max = "0"
managed_oom_pressure = "kill"
managed_oom_pressure_limit = "1%"
`

// R16: what systemd-oomd kills is told as that, whoever sees it end; and systemd-oomd finds whom to kill also where the
// payload has a cgroup of its own, as it always has in a service.
func TestR16KilledByOomd(t *testing.T) {
	const own = "[resources.cpu]\nquota = \"150%\"\nburst = \"5ms\"\n"
	detached := func(t *testing.T, file, name string) string {
		must(t, "sdcontainer", "run", "-d", file)
		_ = sd(t, "wait", name) // its answer is compared through inspect
		return journalOfEnd(t, name)
	}
	foreground := func(t *testing.T, file, _ string) string { return sd(t, "run", file).stderr }
	asService := func(t *testing.T, file, name string) string {
		unit, show := installed(t, file, name)
		_ = run(t, "systemctl", "start", unit) // whether it was fast enough to fail the job does not matter
		eventually(t, "the unit has failed", func() bool { return show("ActiveState") == "failed" })
		return journalOfEnd(t, name)
	}
	type row struct {
		name, end string
		run       func(t *testing.T, file, name string) (said string)
	}
	for _, r := range sdtest.Some([]row{
		{"detached", "", detached},
		{"detached-own", own, detached},
		{"foreground-own", own, foreground},
		{"service", "", asService},
		{"service-continue", "oom_policy = \"continue\"\n", asService},
	}, 2) {
		t.Run(r.name, func(t *testing.T) {
			startOomd(t)
			name := "oomd-" + r.name
			if said := r.run(t, container(t, name, shell(presser)+pressed+r.end), name); !strings.Contains(said, "killed by systemd-oomd") {
				t.Errorf("%q: want a word of systemd-oomd", said)
			}
			if strings.HasPrefix(r.name, "service") {
				return // which leaves no record
			}
			if e := inspect(t, name).Exit; e == nil || e.Code != 137 || !e.OOMKilled || !e.ManagedOOM {
				t.Errorf("inspect: %+v", e)
			}
		})
	}
}

// journalOfEnd is what the journal says of a container that was killed for want of memory.
func journalOfEnd(t *testing.T, name string) string {
	t.Helper()
	must(t, "journalctl", "--sync")
	return run(t, "journalctl", "-b", "--no-pager", "-o", "cat", "CONTAINER_NAME="+name, "OOM_KILLED=true").stdout
}

func systemdVersion(t *testing.T) (version int) {
	t.Helper()
	if _, err := fmt.Sscanf(must(t, "systemctl", "--version"), "systemd %d", &version); err != nil {
		t.Fatal(err)
	}
	return version
}

// A systemd in a service has the controllers that it would have in a scope.
func TestSystemInAServiceHasControllers(t *testing.T) {
	body := shell("exec sleep 1000") + "[security]\nprofile = \"system\"\n[resources]\ntasks = 50\n[systemd]\nrestart = \"always\"\n"
	if systemdVersion(t) >= 254 {
		// The shortest way to the next start: it must find the cgroup, which gives controllers to those below, removed.
		body += "[systemd.service]\nRestartMode = \"direct\"\n"
	}
	unit, show := service(t, "svcsystem", body)
	must(t, "systemctl", "start", unit)
	const script = `cd /sys/fs/cgroup
cat cgroup.controllers
mkdir init below
echo 1 >init/cgroup.procs; echo 0 >init/cgroup.procs
echo "+memory +pids" >cgroup.subtree_control
echo 33554432 >below/memory.max; cat below/memory.max`
	inside := func() string {
		t.Helper()
		out := must(t, "sdcontainer", "exec", "svcsystem", "/bin/sh", "-c", script)
		// Which systemd does not know: the slice has it once any container had such a limit.
		return strings.Replace(out, " hugetlb", "", 1)
	}
	have := inside()
	if want := "cpuset cpu io memory pids\n33554432"; have != want {
		t.Errorf("controllers inside, and a limit of its own: %q, want %q", have, want)
	}
	pid := show("MainPID")
	must(t, "kill", "-KILL", pid)
	eventually(t, "the service has started again", func() bool {
		next := show("MainPID")
		return next != pid && next != "0" && show("SubState") == "running"
	})
	if again := inside(); again != have {
		t.Errorf("after a restart: %q, before %q", again, have)
	}
}
