// SPDX-License-Identifier: Apache-2.0

package unitgen

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/internal/sdtest/golden"
)

func TestMain(m *testing.M) { os.Exit(sdtest.Main(m)) }

// examples are the users' gallery.
func examples(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../configs/examples/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	return files
}

// units makes both forms of an example as if it were installed.
func units(t *testing.T, file string, o Options) (name, service, dropIn string) {
	t.Helper()
	here, err := filepath.Abs(filepath.Dir(file))
	if err != nil {
		t.Fatal(err)
	}
	spec, err := configs.Load(file, configs.LoadOptions{Env: func(string) (string, bool) { return "", false }})
	if err != nil {
		t.Fatal(err)
	}
	s, err := configs.SettingsOf(spec)
	if err != nil {
		t.Fatal(err)
	}
	s.Source = "/etc/sdcontainer/" + s.Name + ".toml"
	for i, m := range spec.Mounts {
		// What lies beside the file was found where the file is now.
		if rel, err := filepath.Rel(here, m.Source); err == nil && filepath.IsLocal(rel) {
			spec.Mounts[i].Source = filepath.Join("/etc/sdcontainer", rel)
		}
		for j, option := range m.Options { // layers of an overlay
			m.Options[j] = strings.ReplaceAll(option, here+"/", "/etc/sdcontainer/")
		}
	}
	if service, err = Service(spec, s, o); err != nil {
		t.Fatal(err)
	}
	if dropIn, err = DropIn(spec, s, o); err != nil {
		t.Fatal(err)
	}
	return s.Name, service, dropIn
}

// TestExamples keeps the units of the gallery. Refresh with -update.
func TestExamples(t *testing.T) {
	for _, file := range examples(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			name, service, dropIn := units(t, file, Options{Version: 257})
			golden.Check(t, "testdata/"+name+".service", service)
			golden.Check(t, "testdata/"+name+".conf", dropIn)
		})
	}
}

// program stands for sdcontainer, so that systemd-analyze finds what it wants to find.
const program = "/usr/bin/true"

// TestVerify has each systemd at hand read the units of the gallery that are for it,
// the template with each drop-in, and the slice, and complain of nothing.
func TestVerify(t *testing.T) {
	if !sdtest.InsideAll(t) {
		return
	}
	version := runningVersion(t)
	t.Logf("systemd %d", version)
	dir := t.TempDir()
	var all []string
	add := func(name, text string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	add("sdcontainer@.service", shipped(t, "sdcontainer@.service"))
	add("sdcontainer.slice", shipped(t, "sdcontainer.slice"))
	all = append(all, "sdcontainer@plain.service", "sdcontainer.slice")
	for _, file := range examples(t) {
		name, service, dropIn := units(t, file, Options{Binary: program, Version: version})
		add("sdc-"+name+".service", service)
		add("sdcontainer@"+name+".service.d/10-sdcontainer.conf", dropIn)
		all = append(all, "sdc-"+name+".service", "sdcontainer@"+name+".service")
	}
	if out := verify(t, dir, all...); out != "" {
		t.Error(out)
	}
	// The check itself: it sees a directive that is not one.
	add("sdc-wrong.service", "[Service]\nExecStart="+program+"\nMemoryMax=a lot\nNoSuchThing=1\n")
	if out := verify(t, dir, "sdc-wrong.service"); !strings.Contains(out, "NoSuchThing") || !strings.Contains(out, "memory limit") {
		t.Errorf("a wrong unit passes: %q", out)
	}
}

// runningVersion is the version of the systemd-analyze there is.
func runningVersion(t *testing.T) (version int) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", "--version").Output()
	if err == nil {
		_, err = fmt.Sscanf(string(out), "systemd %d", &version)
	}
	if err != nil {
		t.Fatalf("systemd-analyze --version: %v: %s", err, out)
	}
	return version
}

// verify returns what systemd says of units in dir.
func verify(t *testing.T, dir string, units ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "systemd-analyze", append([]string{"verify", "--man=no", "--recursive-errors=no"}, units...)...)
	// The trailing colon adds the machine's own units.
	cmd.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+dir+":", "SYSTEMD_LOG_LEVEL=warning")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil && len(out) == 0 {
		t.Fatalf("systemd-analyze verify: %v", err)
	}
	return string(out)
}

// shipped is a unit of the package, as installed with another program.
func shipped(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../packaging/systemd", name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(b), "@bindir@/sdcontainer", program)
}

// TestTemplate keeps the template and the generated services alike where both speak.
func TestTemplate(t *testing.T) {
	template := mustParse(t, strings.ReplaceAll(shipped(t, "sdcontainer@.service"), program, defaultBinary))
	spec, s := small()
	s.UnitProperties = map[string]string{"OOMPolicy": "'kill'"} // the default of configurations
	text, err := Service(spec, s, Options{})
	if err != nil {
		t.Fatal(err)
	}
	generated := mustParse(t, text)
	for key, values := range template {
		for i, v := range values {
			values[i] = strings.ReplaceAll(v, "%i", s.Name)
		}
		if key == "Unit.AssertPathExists" {
			generated[key] = []string{filepath.Join(configs.Dir, s.Name+".toml")}
		}
		if key == "Unit.After" { // a service requires its mounts by name
			continue
		}
		if diff := cmp.Diff(generated[key], values); diff != "" {
			t.Errorf("%s: (-generated +template)\n%s", key, diff)
		}
	}
}
