// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

const gallery = "../../../configs/examples"

// said is what each example prints, so that its exit code has the right reason.
var said = map[string]string{
	"hello":       "hello from hello, pid 1, uid 0",
	"batch":       "counted to 20000",
	"strict":      "(?s)Seccomp:\t2.*the root is read-only.*there is no network",
	"environment": "(?m)^GREETING=hello from the drop-in$",
	"ambient":     "CapAmb:\t0000000000000400",
	"kernel":      "as configured",
	"filter":      "(?s)refused.*hidden",
	"devices":     "/dev|serial",
	"volume":      "log",
	"overlay":     "this line comes from the layer",
	"netns":       "lo",
	"init":        "(?s)the payload is pid 2.*no zombies are left",
	"notify":      "ready, but nobody wants to know",
}

// TestExamples runs the gallery. Its list says how each ends.
func TestExamples(t *testing.T) {
	sdtest.Require(t, sdtest.Guest)
	list, err := os.ReadFile(filepath.Join(gallery, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile(`(?m)^\| \[(\S+)\.toml\]\(\S+\) \| .+ \| (?:exit code (\d+)|runs)(.* runs as a service)?`)
	rows := row.FindAllStringSubmatch(string(list), -1)
	if len(rows) < 10 {
		t.Fatalf("%d examples in the list", len(rows))
	}
	for _, r := range rows {
		name, code, service := r[1], r[2], r[3] != ""
		file := filepath.Join(gallery, name+".toml")
		t.Run(name, func(t *testing.T) {
			example(t, name)
			if code == "" {
				stays[name](t, file)
				return
			}
			o := sd(t, "run", "--rm", file)
			if want, _ := strconv.Atoi(code); o.code != want || !regexp.MustCompile(said[name]).MatchString(o.stdout+o.stderr) {
				t.Errorf("want exit %d and %q: %v", want, said[name], o)
			}
			if service {
				serves[name](t, file)
			}
		})
	}
}

// example removes what an example leaves behind.
func example(t *testing.T, name string) {
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("journal:\n%s", run(t, "journalctl", "-b", "--no-pager", "-n", "40").stdout)
		}
		_ = sd(t, "rm", "-f", name) // it may be gone, which is fine
	})
}

// stays are the examples that run until they are stopped: what is seen of them meanwhile.
var stays = map[string]func(t *testing.T, file string){
	"web": func(t *testing.T, file string) {
		s := detached(t, file)
		eventually(t, "the site is served", func() bool {
			return strings.Contains(run(t, "busybox", "wget", "-qO-", "http://127.0.0.1:8080/").stdout, "<")
		})
		if got := cgroupFile(t, s, "memory.max"); got != strconv.Itoa(128<<20) {
			t.Errorf("memory.max is %s", got)
		}
		stopped(t, "web", 0)
	},
	"system": func(t *testing.T, file string) {
		detached(t, file)
		eventually(t, "the systemd inside has started its units", func() bool {
			answer := run(t, "sdcontainer", "exec", "system", "systemctl", "is-system-running", "--wait").stdout
			return strings.HasPrefix(answer, "running") || strings.HasPrefix(answer, "degraded")
		})
		// It powers off: the kernel ends the init of a pid namespace with SIGINT then (reboot(2)).
		stopped(t, "system", 130)
	},
}

// serves are the examples that are other ones as a service.
var serves = map[string]func(t *testing.T, file string){
	"notify": func(t *testing.T, file string) {
		unit, show := installed(t, file, "notify")
		must(t, "systemctl", "start", unit)
		if state, text := show("SubState"), show("StatusText"); state != "running" || text != "at your service" {
			t.Errorf("as soon as it has started it is %s and says %q", state, text)
		}
		eventually(t, "the main process is what the payload has become", func() bool { return comm(t, show("MainPID")) == "sleep" })
		for property, want := range map[string]string{"Restart": "always", "RestartUSec": "2s", "StartLimitBurst": "5", "LogRateLimitBurst": "100"} {
			if have := show(property); have != want {
				t.Errorf("%s is %s, want %s", property, have, want)
			}
		}
		must(t, "systemctl", "kill", "--kill-whom=main", "-s", "KILL", unit)
		eventually(t, "it has been started again", func() bool { return show("NRestarts") == "1" && show("SubState") == "running" })
		must(t, "systemctl", "stop", unit)
		if have := show("Result"); have != "success" {
			t.Errorf("the result of a stop is %s", have)
		}
	},
}

// stopped stops a container and looks at its exit code.
func stopped(t *testing.T, name string, want int) {
	t.Helper()
	must(t, "sdcontainer", "stop", name)
	if s := inspect(t, name); s.Exit == nil || s.Exit.Code != want && 128+s.Exit.Signal != want {
		t.Errorf("%+v, want exit code %d", s.Exit, want)
	}
}
