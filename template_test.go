// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/scope"
	"github.com/sdcontainer/sdcontainer/unitgen"
)

// A configuration that says nothing of its unit, or what the template says, needs no drop-in.
func TestBeyondTemplate(t *testing.T) {
	for more, want := range map[string][]string{
		"": nil,
		"process.stop_signal = 'SIGTERM'\nsystemd = { stop_timeout = '10s', restart = 'no', wanted_by = ['multi-user.target'] }": nil,
		"resources.memory = { max = '64M', oom_policy = 'kill' }\nresources.tasks = 5\nsystemd.scope.MemoryHigh = 'uint64 5'":    nil,
		"process.stop_signal = 'SIGQUIT'":                                         {"KillSignal"},
		"systemd.stop_timeout = '20s'":                                            {"TimeoutStopSec"},
		"resources.memory.oom_policy = 'continue'":                                {"OOMPolicy"},
		"security.profile = 'system'":                                             {"KillSignal", "OOMPolicy"},
		"systemd.slice = 'web.slice'":                                             {"Slice"},
		"systemd.runtime_max = '1h'":                                              {"RuntimeMaxSec"},
		"systemd.notify = 'container'":                                            {"NotifyAccess"},
		"systemd.wanted_by = ['graphical.target']":                                {"WantedBy"},
		"log.fields = { A = 'x' }":                                                {"LogExtraFields"},
		"log = { identifier = 'x', level_prefix = true, stdout_level = 'debug' }": nil,
		"systemd.wanted_by = []":                                                  {"WantedBy"},
		"systemd.scope.Documentation = \"['man:x(1)']\"":                          {"Documentation"},
		"systemd.after = ['a.service']\n[systemd.unit]\nBefore = ['b.service']\n[systemd.service]\nRestart = 'always'": {"After", "Before", "Restart"},
	} {
		file := filepath.Join(t.TempDir(), "web.toml")
		text := more + "\n"
		if !strings.Contains(more, "[systemd.unit]") {
			text += "[rootfs]\npath = '/srv'\n"
		} else {
			text = "rootfs.path = '/srv'\n" + text
		}
		if err := os.WriteFile(file, []byte("version = 1\nprocess.args = ['x']\n"+text), 0o644); err != nil {
			t.Fatal(err)
		}
		spec, err := configs.Load(file, configs.LoadOptions{})
		if err != nil {
			t.Errorf("%s: %v", more, err)
			continue
		}
		s, err := configs.SettingsOf(spec)
		if err != nil {
			t.Fatal(err)
		}
		unit, err := scope.Plan(spec, s)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, beyondTemplate(s, unit)); d != "" {
			t.Errorf("%s: %s", more, d)
		}
	}
}

// What the shipped unit has is what we take it to have.
func TestTemplateHas(t *testing.T) {
	b, err := os.ReadFile("packaging/systemd/" + unitgen.Template)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(b), "\n")
	for _, line := range []string{"OOMPolicy=kill", "Slice=sdcontainer.slice", "TimeoutStopSec=10s", "WantedBy=multi-user.target", "NotifyAccess=main"} {
		if !slices.Contains(lines, line) {
			t.Errorf("no line %q", line)
		}
	}
	for _, line := range lines {
		if strings.HasPrefix(line, "KillSignal=") || strings.HasPrefix(line, "Restart") {
			t.Errorf("a line %q", line)
		}
	}
}
