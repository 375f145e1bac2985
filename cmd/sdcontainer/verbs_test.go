// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/template"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer"
	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/unitgen"
)

func newRoot() *cobra.Command { return newApp(os.Stdin, os.Stdout, os.Stderr).root(nil) }

// commands are all that people can call, with their names.
func commands(root *cobra.Command) map[string]*cobra.Command {
	all := map[string]*cobra.Command{}
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			all[verbName(sub)] = sub
			walk(sub)
		}
	}
	walk(root)
	return all
}

func TestEveryVerbIsDocumented(t *testing.T) {
	for name, cmd := range commands(newRoot()) {
		if !cmd.HasSubCommands() && cmd.Example == "" {
			t.Errorf("%s has no example", name)
		}
		for line := range strings.Lines(cmd.Example) {
			if !strings.Contains(line, "sdcontainer ") {
				t.Errorf("%s: example %q does not call sdcontainer", name, line)
			}
		}
		if s := cmd.Short; s == "" || strings.HasSuffix(s, ".") {
			t.Errorf("%s: short description %q: want one without a full stop", name, s)
		}
		if !cmd.HasSubCommands() && cmd.ValidArgsFunction == nil {
			t.Errorf("%s completes its arguments with files by accident", name)
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if value, _ := pflag.UnquoteUsage(f); value == "string" && !f.Hidden {
				t.Errorf("%s --%s takes a %q: say what", name, f.Name, value)
			}
		})
	}
}

// Whoever calls it off does not wait for what systemd says of a service without a container.
func TestLoadIsCalledOff(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	unit := unitgen.Instance("called-off")
	file := filepath.Join(unitgen.Dir, unit)
	if err := os.WriteFile(file, []byte("[Service]\nExecStart=/bin/true\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(file)
	off, cancel := context.WithCancel(t.Context())
	cancel()
	a := newApp(os.Stdin, os.Stdout, os.Stderr)
	a.rt.Dir = t.TempDir()
	for want, ctx := range map[string]context.Context{unit + " is inactive": t.Context(), "it is a service that does not run": off} {
		_, err := a.load(ctx, "called-off")
		if got := hint(nil, err); !errors.Is(err, sdcontainer.ErrNotExist) || !strings.HasPrefix(got, want) {
			t.Errorf("%v with the hint %q, want %q", err, got, want)
		}
	}
}

// What is said of other tools' verbs can be pasted, and names verbs there are.
func TestForeignVerbs(t *testing.T) {
	ours := commands(newRoot())
	for name, use := range foreignVerbs() {
		if ours[name] != nil {
			t.Errorf("%s is ours", name)
		}
		for one := range strings.SplitSeq(strings.ReplaceAll(use, ", or ", ", "), ", ") {
			word := strings.Fields(one)
			if word[0] != "systemctl" && (word[0] != "sdcontainer" || ours[word[1]] == nil) {
				t.Errorf("%s: %q is no command", name, one)
			}
		}
	}
}

// G1, G6: nothing copies files out of a container or into one, nor restores one: whoever adds a verb that does takes the tests of its row
// with it.
func TestNoVerbCopiesOrRestores(t *testing.T) {
	ours := commands(newRoot())
	for _, name := range strings.Fields("cp export import commit save load mount checkpoint restore migrate") {
		if ours[name] != nil {
			t.Errorf("there is %s, without the tests of its row", name)
		}
	}
}

// TestOnlyTheCalledVerbIsBuilt guards the time of a start.
func TestOnlyTheCalledVerbIsBuilt(t *testing.T) {
	a := newApp(os.Stdin, os.Stdout, os.Stderr)
	for _, args := range [][]string{{"run", "x"}, {"--run-dir", "/x", "run"}} {
		if n := len(a.root(args).Commands()); n != 1 {
			t.Errorf("%v builds %d verbs", args, n)
		}
	}
	if n := len(a.root([]string{"help"}).Commands()); n != len(verbs()) {
		t.Errorf("help has %d of %d verbs", n, len(verbs()))
	}
}

func TestForwardedSignals(t *testing.T) {
	got := map[os.Signal]bool{}
	for _, s := range forwarded() {
		got[s] = true
	}
	for _, s := range []unix.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2, unix.SIGALRM, unix.SIGIO, 34, 64} {
		if !got[s] {
			t.Errorf("%v is not forwarded", s)
		}
	}
	for _, s := range []unix.Signal{unix.SIGCHLD, unix.SIGURG, unix.SIGPIPE, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU, unix.SIGWINCH, unix.SIGCONT,
		unix.SIGKILL, unix.SIGSTOP, unix.SIGSEGV, 32, 33} {
		if got[s] {
			t.Errorf("%v is forwarded", s)
		}
	}
}

func TestStatus(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	began := now.Add(-90 * time.Second)
	exit := func(e sdcontainer.Exit) sdcontainer.State {
		e.At = began
		return sdcontainer.State{Status: sdcontainer.Stopped, Exit: &e}
	}
	for want, st := range map[string]sdcontainer.State{
		"running 1m30s":                         {Status: sdcontainer.Running, Started: &began},
		"paused":                                {Status: sdcontainer.Paused, Started: &began},
		"creating":                              {Status: sdcontainer.Creating},
		"ended, exit status unknown":            {Status: sdcontainer.Stopped, ExitUnknown: true},
		"ending":                                {Status: sdcontainer.Stopped},
		"exited (0) 1m30s ago":                  exit(sdcontainer.Exit{}),
		"exited (137, out of memory) 1m30s ago": exit(sdcontainer.Exit{Code: 137, Signal: 9, OOMKilled: true}),
	} {
		if got, _ := status(st, now); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestProperties(t *testing.T) {
	tests := []struct {
		args string
		want map[string]string
		err  string
	}{
		{"--memory 512M --cpus 150% --tasks 10%", map[string]string{
			"MemoryMax": "uint64 536870912", "CPUQuotaPerSecUSec": "uint64 1500000", "TasksMaxScale": "uint32 429496729"}, ""},
		{"-m 1K --pids-limit 12", map[string]string{"MemoryMax": "uint64 1024", "TasksMax": "uint64 12"}, ""},
		{"--cpus 1.5", map[string]string{"CPUQuotaPerSecUSec": "uint64 1500000"}, ""},
		{"--pids-limit none", nil, `--pids-limit "none": want a number`},
		{"--memory-max infinity", map[string]string{"MemoryMax": "uint64 18446744073709551615"}, ""},
		{"--cpu-quota 5% --cpu-weight idle", map[string]string{"CPUQuotaPerSecUSec": "uint64 50000", "CPUWeight": "uint64 0"}, ""},
		{"--set IOWeight=uint64_5 --io-weight 7", nil, "IOWeight"},
		{"--io-weight 200", map[string]string{"IOWeight": "uint64 200"}, ""},
		{"--io-weight idle", nil, `--io-weight "idle": want a number from 1 to 10000`},
		{"--memory 1X", nil, `--memory "1X": want a size`},
		{"--memory-max 1X", nil, `--memory-max "1X": want a size`},
		{"", nil, "nothing to change"},
	}
	for _, tt := range tests {
		cmd := newApp(os.Stdin, os.Stdout, os.Stderr).update()
		if err := cmd.ParseFlags(strings.Fields(tt.args)); err != nil {
			t.Fatalf("%s: %v", tt.args, err)
		}
		set, err := cmd.Flags().GetStringArray("set")
		if err != nil {
			t.Fatal(err)
		}
		got, err := properties(cmd.Flags(), set)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: %v, want %s", tt.args, err, tt.err)
			}
			continue
		}
		if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", tt.args, err, diff)
		}
	}
}

// What update prints of a limit is what its flags, and systemctl, have for it.
func TestShown(t *testing.T) {
	for _, tt := range []struct {
		name  string
		value any
		want  string
	}{
		{"CPUWeight", uint64(0), "idle"},
		{"StartupCPUWeight", uint64(0), "idle"},
		{"CPUWeight", uint64(200), "200"},
		{"CPUWeight", uint64(configs.Infinity), "default"},
		{"IOWeight", uint64(configs.Infinity), "default"},
		{"TasksMax", uint64(configs.Infinity), "infinity"},
		{"TasksMax", uint64(0), "0"},
		{"MemoryMax", uint64(512 << 20), "512M"},
		{"CPUQuotaPerSecUSec", uint64(1500000), "150%"},
		{"OOMPolicy", "kill", "kill"},
	} {
		if got := shown(tt.name, tt.value); got != tt.want {
			t.Errorf("%s %v: %q, want %q", tt.name, tt.value, got, tt.want)
		}
	}
}

// A limit that run and update both have has each name in both, and the same one is shown.
func TestLimitsHaveOneSetOfNames(t *testing.T) {
	a := newApp(os.Stdin, os.Stdout, os.Stderr)
	run, update := a.run().Flags(), a.update().Flags()
	both := 0
	for _, k := range keyFlags() {
		if !strings.HasPrefix(k.key, "resources.") {
			continue
		}
		ours := append(k.aliases, k.name)
		for _, l := range limits() {
			theirs := append(l.aliases, l.flag)
			if !slices.ContainsFunc(ours, func(n string) bool { return slices.Contains(theirs, n) }) {
				continue
			}
			both++
			for _, name := range append(ours, theirs...) {
				if run.Lookup(name) == nil || update.Lookup(name) == nil {
					t.Errorf("run or update has no --%s", name)
				}
			}
			if k.name != l.flag || k.short != l.short {
				t.Errorf("run shows -%s --%s, update -%s --%s", k.short, k.name, l.short, l.flag)
			}
		}
	}
	if both != 3 {
		t.Errorf("%d limits of both, want 3", both)
	}
}

func TestStatsTable(t *testing.T) {
	var s sample
	s.ID, s.CPUPercent = "web", 12.34
	s.Memory.Current, s.Memory.Max, s.Tasks.Current = 48<<20, 64<<20, 3
	free := sample{ID: "free"}
	free.Memory.Current, free.Tasks.Current, free.Tasks.Max = 1<<20, 1, 2048
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	err = newApp(os.Stdin, w, os.Stderr).statsTable([]sample{s, free})
	w.Close()
	got, _ := io.ReadAll(r)
	want := "NAME  CPU %  CPU TIME  MEM USAGE / LIMIT  MEM %   TASKS  READ  WRITTEN  OOM KILLS\n" +
		"web   12.3%   0:00.00          48M / 64M  75.0%       3    0B       0B          0\n" +
		"free   0.0%   0:00.00           1.0M / -      -  1/2048    0B       0B          0\n"
	if diff := cmp.Diff(want, string(got)); diff != "" || err != nil {
		t.Error(err, diff)
	}
}

// Who ends between two readings is no failure; who never was is.
func TestStatsOfWhatHasEnded(t *testing.T) {
	a := newApp(os.Stdin, os.Stdout, os.Stderr)
	a.rt.Dir = t.TempDir()
	m := meter{a: a, names: []string{"one", "two"}, last: map[string]sdcontainer.Stats{"one": {}, "two": {}}}
	if samples, err := m.read(t.Context()); err != nil || len(samples) > 0 {
		t.Errorf("both removed since: %v, %v", samples, err)
	}
	m.names = []string{"one", "two", "three"}
	if _, err := m.read(t.Context()); !errors.Is(err, sdcontainer.ErrNotExist) || !strings.Contains(err.Error(), "three") {
		t.Errorf("a third that never was: %v", err)
	}
	if m.names = nil; !m.over("four", sdcontainer.ErrNotExist) {
		t.Error("removed since it was listed: a failure")
	}
}

func TestCPUTime(t *testing.T) {
	if got := cpuTime(2*time.Minute + 3*time.Second + 45*time.Millisecond); got != "2:03.04" && got != "2:03.05" {
		t.Error(got)
	}
}

func TestJournalTime(t *testing.T) {
	for in, want := range map[string]string{"10m": "-600s", "1h30m": "-5400s", "500ms": "-0.5s", "1.5s": "-1.5s", "-5m": "-5m", "+5m": "+5m",
		"10 min ago": "10 min ago", "yesterday": "yesterday", "": ""} {
		if got := journalTime(in); got != want {
			t.Errorf("journalTime(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestGeneratedName(t *testing.T) {
	for dir, prefix := range map[string]string{"/var/lib/machines/debian": "debian-", "/srv/my root/": "myroot-", "/": "rootfs-", "..": "rootfs-"} {
		got := generatedName(dir)
		if !strings.HasPrefix(got, prefix) || len(got) != len(prefix)+8 {
			t.Errorf("generatedName(%q) = %q", dir, got)
		}
	}
}

func TestTemplateFuncs(t *testing.T) {
	item := struct {
		Name string
		List []string
		Size uint64
	}{"web", []string{"a", "b"}, 2048}
	for in, want := range map[string]string{
		"{{upper .Name}} {{lower \"X\"}}":   "WEB x",
		"{{join .List \",\"}}":              "a,b",
		"{{json .List}}":                    `["a","b"]`,
		"{{size .Size}}":                    "2.0K",
		"{{truncate .Name 2}}":              "we",
		"{{index (split \"a/b\" \"/\") 1}}": "b",
		"[{{pad .Name 1 2}}]":               "[ web  ]",
	} {
		var b strings.Builder
		if err := template.Must(template.New("").Funcs(templateFuncs()).Parse(in)).Execute(&b, item); err != nil || b.String() != want {
			t.Errorf("%s: %q, %v, want %q", in, b.String(), err, want)
		}
	}
}

// A terminal is not to obey what JSON has from containers, and JSON is to say the same.
func TestG3JSONHasNoControls(t *testing.T) {
	in := []string{"\u009b31m", "\x7f\u0085", "\u202egnp.exe", "\x1b[2J", "größe ✓", "\U000e0041", "a<b"}
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := (&app{stdout: f}).writeJSON(in); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range string(text) {
		if r != '\n' && !unicode.IsPrint(r) {
			t.Errorf("%q in %s", r, text)
		}
	}
	var out []string
	if err := json.Unmarshal(text, &out); err != nil || !slices.Equal(out, in) {
		t.Errorf("%q, %v; want %q", out, err, in)
	}
	if !strings.Contains(string(text), `"größe ✓"`) || !strings.Contains(string(text), `"a<b"`) {
		t.Errorf("text is spelt out: %s", text)
	}
}

func TestExecProcess(t *testing.T) {
	t.Setenv("MINE", "caller")
	p := execOptions{user: "www-data:5", cwd: "/x", env: []string{"A=first", "A=b=c", "MINE", "NOT_SET_ANYWHERE"}, terminal: true}.process([]string{"id"})
	if diff := cmp.Diff([]string{"A=b=c", "MINE=caller"}, p.Env); diff != "" {
		t.Error(diff)
	}
	if p.User.Username != "www-data:5" || p.Cwd != "/x" || !p.Terminal {
		t.Errorf("%+v", p)
	}
}
