// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/internal/sdtest/golden"
	"github.com/sdcontainer/sdcontainer/rootfs"
	"github.com/sdcontainer/sdcontainer/unitgen"
)

// Everything a container becomes, for each example: the call, the programs, the
// unit. A change of any step shows here.
func TestExplainExamples(t *testing.T) {
	sdtest.Require(t, sdtest.Tool("go")) // the goldens are where the sources are
	files, err := filepath.Glob("configs/examples/*.toml")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d examples, %v", len(files), err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	unseen := errors.New("not looked at")
	nowhere := func(*specs.Spec) sighting { return sighting{noUser: unseen, noExecutable: unseen} }
	t.Setenv("LANG", "C.UTF-8") // which an example passes on
	t.Setenv("TERM", "xterm")
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".toml")
		t.Run(name, func(t *testing.T) {
			spec := moved(t, file, here)
			x, err := explain("", spec, unitgen.Options{}, rootfs.Facts{Sources: map[string]rootfs.SourceKind{}, OverlayLowerPlus: true}, nowhere)
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			if err := x.WriteText(&b); err != nil {
				t.Fatal(err)
			}
			golden.Check(t, "testdata/explain/"+name+".txt", b.String())
			if name == "hello" || name == "web" { // they have every key but payload, which TestExplainPayload has
				golden.Check(t, "testdata/explain/"+name+".json", asJSON(t, x))
			}
			everyStepTold(t, x)
			for _, p := range x.Properties {
				if strings.HasPrefix(p.Source, "linux.") {
					t.Errorf("%s: from %s, which is no key", p.Name, p.Source)
				}
			}
		})
	}
}

// asJSON is what explain --json prints.
func asJSON(t *testing.T, x *Explanation) string {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(x); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// everyStepTold fails for a step that does not say why it is there, and for a flag that is but a number.
func everyStepTold(t *testing.T, x *Explanation) {
	t.Helper()
	n := 0
	for _, program := range x.Programs {
		for _, s := range program {
			n++
			if s.Name == "" || s.Why == "" {
				t.Errorf("%s %d, %q: %s has no reason", s.Program, s.Index, s.Name, s)
			}
			if args := strings.Join(s.Args, ", "); s.Call != "capset" && s.Call != "execve" && strings.Contains(args, "0x") {
				t.Errorf("%s %d, %q: %s: a number for a name", s.Program, s.Index, s.Name, s)
			}
		}
	}
	for _, s := range x.Parent {
		if s.Phase == "" || s.Does == "" || s.Why == "" {
			t.Errorf("parent: %+v", s)
		}
	}
	if n < 300 {
		t.Errorf("%d steps: want those of three programs", n)
	}
}

// The steps of exec and of the clean-up, which no example has, have their reasons too.
func TestEveryReason(t *testing.T) {
	sdtest.Require(t, sdtest.Tool("go"))
	none := regexp.MustCompile(`\.At\(.*, ""\)`)
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return err
		}
		b, err := os.ReadFile(file)
		for _, line := range none.FindAllString(string(b), -1) {
			t.Errorf("%s: %s: no reason", file, line)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// explained is the explanation of a container of which a TOML says no more than text.
func explained(t *testing.T, text string) *Explanation {
	t.Helper()
	file := filepath.Join(t.TempDir(), "web.toml")
	if err := os.WriteFile(file, []byte("version = 1\nrootfs.path = '/srv'\nprocess.args = ['/bin/true']\n"+text+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	spec, err := configs.Load(file, configs.LoadOptions{})
	if err != nil {
		t.Fatal(text, err)
	}
	x, err := Explain("", spec, unitgen.Options{})
	if err != nil {
		t.Fatal(text, err)
	}
	return x
}

// What systemd cannot express is shown as the files of payload/ it goes to, in the text and in the JSON.
func TestExplainPayload(t *testing.T) {
	x := explained(t, "resources.cpu = { quota = '50%', burst = '10ms' }\nresources.unified = { 'hugetlb.2MB.max' = '2097152' }")
	var b bytes.Buffer
	if err := x.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	want := "\npayload/: what systemd cannot express\n" +
		"  cpu.max                  50000 100000\n  cpu.max.burst            10000\n  hugetlb.2MB.max          2097152\n"
	if !strings.Contains(b.String(), want) {
		t.Errorf("want %q in:\n%.3000s", want, &b)
	}
	b.Reset()
	if err := json.NewEncoder(&b).Encode(x); err != nil || !strings.Contains(b.String(), `"hugetlb.2MB.max":"2097152"`) {
		t.Errorf("%v, %.3000s", err, &b)
	}
}

// Where it is not known who the user is, the steps say that too, and where only the executable is missing they know the user.
func TestExplainUnknownUser(t *testing.T) {
	root := t.TempDir()
	spec, err := configs.FromRootfs("web", root, []string{"/bin/none"})
	if err != nil {
		t.Fatal(err)
	}
	spec.Process.User = specs.User{Username: "www"}
	told := func() (text, notes string) {
		x, err := Explain("", spec, unitgen.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := x.WriteText(&b); err != nil {
			t.Fatal(err)
		}
		return b.String(), strings.Join(x.Notes, "\n")
	}
	text, notes := told()
	if !strings.Contains(text, "\nbecome user www (not known here: 0:0 stands for it)  #") || !strings.Contains(text, `"HOME=(not known here)"`) ||
		!strings.Contains(notes, `user "www" is looked up`) || !strings.Contains(notes, `executable "/bin/none" is looked up`) {
		t.Errorf("without the user: notes %s\n%s", notes, text)
	}
	passwd := []byte("www:x:33:44::/home/www:/bin/sh\n")
	if err := errors.Join(os.Mkdir(filepath.Join(root, "etc"), 0o755), os.WriteFile(filepath.Join(root, "etc/passwd"), passwd, 0o644)); err != nil {
		t.Fatal(err)
	}
	text, notes = told()
	if !strings.Contains(text, "\nbecome user 33:44  #") || !strings.Contains(text, `"HOME=/home/www"`) || !strings.Contains(notes, `executable "/bin/none" is looked up`) || strings.Contains(notes, `"www"`) {
		t.Errorf("with the user: notes %s\n%s", notes, text)
	}
}

// The payload's signal at the death of its parent is that of a run in the foreground.
func TestExplainDeathSignal(t *testing.T) {
	for text, want := range map[string]string{"": "SIGKILL", "process.parent_death_signal = 'SIGTERM'": "SIGTERM"} {
		x := explained(t, text)
		if enter := fmt.Sprint(x.Programs["enter"]); !strings.Contains(enter, "PR_SET_PDEATHSIG, "+want) {
			t.Errorf("%q: no %s in %s", text, want, enter)
		}
	}
}

// A Spec made in memory has no file that a service could be made from.
func TestExplainWithoutAFile(t *testing.T) {
	spec, err := configs.FromRootfs("web", t.TempDir(), []string{"/bin/true"})
	if err != nil {
		t.Fatal(err)
	}
	x, err := Explain("other", spec, unitgen.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if x.Unit != "sdc-other.scope" || x.Service != "" || !strings.Contains(strings.Join(x.Notes, "\n"), "a service needs a configuration file") {
		t.Errorf("unit %q, service %q, notes %q", x.Unit, x.Service, x.Notes)
	}
	var b bytes.Buffer
	if err := x.WriteText(&b); err != nil || strings.Contains(b.String(), "unit file") {
		t.Errorf("%v\n%s", err, &b)
	}
}

// What was not made from a TOML keeps the names of the Spec.
func TestExplainKeepsOCINames(t *testing.T) {
	spec, err := configs.FromRootfs("web", t.TempDir(), []string{"/bin/true"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := configs.SettingsOf(spec)
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"": "linux.resources.pids.limit", "/etc/web.toml": "resources.tasks"} {
		s.Source = file
		s.Annotate(spec)
		x, err := Explain("", spec, unitgen.Options{})
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(x.Properties, func(p ExplainedProperty) bool { return p.Name == "TasksMax" })
		if i < 0 || x.Properties[i].Source != want {
			t.Errorf("file %q: %+v, want TasksMax from %s", file, x.Properties, want)
		}
	}
}

// Of a TOML each property has its key, also where the Spec has no field for it, and where [systemd.scope] gives it, that entry.
func TestExplainKeys(t *testing.T) {
	for _, tt := range []struct{ text, property, want string }{
		{"", "OOMPolicy", "resources.memory.oom_policy, default"},
		{"resources.memory.oom_policy = 'stop'", "OOMPolicy", "resources.memory.oom_policy"},
		{"systemd.scope.OOMPolicy = 'stop'", "OOMPolicy", "systemd.scope.OOMPolicy"},
		{"resources.memory.oom_policy = 'continue'\nsecurity.profile = 'system'", "OOMPolicy", "resources.memory.oom_policy, default"},
		{"resources.memory.low = '5%'", "MemoryLowScale", "resources.memory.low"},
		{"systemd.scope.MemoryLowScale = 'uint32 5'", "MemoryLowScale", "systemd.scope.MemoryLowScale"},
		{"resources.tasks = '5%'", "TasksMaxScale", "resources.tasks"},
		{"resources.memory.managed_oom_swap = 'kill'", "ManagedOOMSwap", "resources.memory.managed_oom_swap"},
		{"resources.memory = { managed_oom_pressure = 'kill', managed_oom_pressure_limit = '5%' }", "ManagedOOMMemoryPressureLimit", "resources.memory.managed_oom_pressure_limit"},
		{"resources.io.latency = { '/' = '25ms' }", "IODeviceLatencyTargetUSec", "resources.io.latency"},
		{"resources.io.read_iops = { '/' = 5 }", "IOReadIOPSMax", "resources.io.read_iops"},
		{"network.deny = ['any']", "IPAddressDeny", "network.deny"},
		{"network.allow = ['localhost']\nsystemd.scope.IPAddressAllow = '[(2, [0x01, 0x02, 0x03, 0x04], 32)]'", "IPAddressAllow", "network.allow, systemd.scope.IPAddressAllow"},
		{"systemd.runtime_max = '1h'", "RuntimeMaxUSec", "systemd.runtime_max"},
		{"resources.unified = { 'io.weight' = \"8:0 50\\n60\" }", "IODeviceWeight", "resources.unified.io.weight"},
		{"resources.unified = { 'memory.max' = '67108864' }", "MemoryMax", "resources.unified.memory.max"},
		{"resources.io.weight = 50", "IOWeight", "resources.io.weight"},
		{"systemd.scope.RuntimeMaxSec = 3600", "RuntimeMaxUSec", "systemd.scope.RuntimeMaxSec"},
		{"systemd.scope.MemoryZSwapWriteback = false", "MemoryZSwapWriteback", "systemd.scope.MemoryZSwapWriteback"},
		{"resources.tasks = 5", "TasksMax", "resources.tasks"},
		{"systemd.scope.TasksMax = 2048", "TasksMax", "systemd.scope.TasksMax"},
		{"systemd.scope.OOMPolicy = 'continue'\nsecurity.profile = 'system'", "OOMPolicy", "systemd.scope.OOMPolicy"},
		{"resources.cpu = { quota = '50%', period = '10ms' }", "CPUQuotaPeriodUSec", "resources.cpu.period"},
		{"resources.cpu = { quota = '50%', period = '10ms' }", "CPUQuotaPerSecUSec", "resources.cpu.quota"},
		{"resources.cpu.quota = '50%'", "CPUQuotaPeriodUSec", "resources.cpu.quota"},
		{"security.device_policy = 'strict'", "DevicePolicy", "security.device_policy"},
		{"security.device_policy = 'strict'", "DeviceAllow", "security.device_policy"},
		{"resources.unified = { 'pids.max' = '44' }", "TasksMax", "resources.unified.pids.max"},
		{"resources.unified = { 'memory.high' = '4096' }", "MemoryHigh", "resources.unified.memory.high"},
		{"resources.memory.high = '4K'", "MemoryHigh", "resources.memory.high"},
		{"resources.unified = { 'cpu.weight' = '44' }", "CPUWeight", "resources.unified.cpu.weight"},
		{"resources.unified = { 'cpu.max' = '5000 10000' }", "CPUQuotaPeriodUSec", "resources.unified.cpu.max"},
		{"resources.unified = { 'cpuset.cpus' = '0' }", "AllowedCPUs", "resources.unified.cpuset.cpus"},
		{"resources.unified = { 'io.max' = '8:0 rbps=44' }", "IOReadBandwidthMax", "resources.unified.io.max"},
		{"resources.unified = { 'memory.oom.group' = '0' }", "OOMPolicy", "resources.unified.memory.oom.group"},
		{"systemd.stop_timeout = '10s'", "TimeoutStopUSec", "systemd.stop_timeout, default"},
	} {
		x := explained(t, tt.text)
		var b bytes.Buffer
		if err := x.WriteText(&b); err != nil {
			t.Fatal(err)
		}
		if !regexp.MustCompile(`(?m)^  ` + tt.property + ` .* # ` + regexp.QuoteMeta(tt.want) + `$`).Match(b.Bytes()) {
			t.Errorf("%s: %s is not from %s:\n%s", tt.text, tt.property, tt.want, b.Bytes())
		}
	}
}

// Without a systemd to ask nothing is refused, and the unit file says what it needs; with one it
// is refused as the start would be.
func TestExplainNewer(t *testing.T) {
	spec, err := configs.FromRootfs("web", t.TempDir(), []string{"/bin/true"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := configs.SettingsOf(spec)
	if err != nil {
		t.Fatal(err)
	}
	s.Source, s.UnitProperties = "/etc/web.toml", map[string]string{"MemoryZSwapMax": "uint64 1048576"}
	s.Annotate(spec)
	x, err := Explain("", spec, unitgen.Options{Binary: "/opt/sdcontainer"})
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"# MemoryZSwapMax= needs systemd 253.", "MemoryZSwapMax=1M", "ExecStart=/opt/sdcontainer run --unit --name web /etc/web.toml"} {
		if !strings.Contains(x.Service, "\n"+line+"\n") {
			t.Errorf("no line %q:\n%s", line, x.Service)
		}
	}
	_, err = Explain("", spec, unitgen.Options{Version: 252, Running: true})
	if !errors.As(err, new(*unitgen.UnsupportedError)) || !strings.Contains(err.Error(), "needs systemd 253, the running one is 252") {
		t.Errorf("for 252: %v", err)
	}
}

// moved loads an example as if the sources lay in /src: order among paths must not
// depend on where they are.
func moved(t *testing.T, file, here string) *specs.Spec {
	t.Helper()
	spec, err := configs.Load(file, configs.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	var there specs.Spec
	if err := json.Unmarshal(bytes.ReplaceAll(b, []byte(here), []byte("/src")), &there); err != nil {
		t.Fatal(err)
	}
	return &there
}

// docs/ordering.md has every "// Order:" comment of the sources.
func TestOrderingPage(t *testing.T) {
	sdtest.Require(t, sdtest.Tool("go"))
	var b bytes.Buffer
	b.WriteString("# Ordering\n\nWhat must come before or after what, and why: every `// Order:` comment of the sources. Generated by `go test . -run Ordering -update`.\n")
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		head := false
		for _, group := range f.Comments {
			_, text, found := strings.Cut("\n"+group.Text(), "\nOrder: ")
			if !found {
				continue
			}
			if !head {
				fmt.Fprintf(&b, "\n## %s\n\n", filepath.ToSlash(file))
				head = true
			}
			fmt.Fprintf(&b, "- %s\n", strings.Join(strings.Fields(text), " "))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "docs/ordering.md", b.String())
}
