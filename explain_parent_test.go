// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/unitgen"
)

// What explain tells of the parent is what was done to the init: its files and limits hold it.
func TestParentIsTold(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	spec := w.spec("told", "/bin/true")
	score := 321
	spec.Process.OOMScoreAdj = &score
	spec.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 123, Hard: 456}, {Type: "RLIMIT_CORE", Soft: 0, Hard: 0}}
	c, err := w.Create(t.Context(), "told", spec, w.options(CreateOptions{}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Destroy(context.WithoutCancel(t.Context()), true); err != nil {
			t.Error(err)
		}
	})
	proc := fmt.Sprintf("/proc/%d/", c.start.pid)
	read := func(name string) string {
		b, err := os.ReadFile(proc + name)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(strings.Fields(string(b)), " ")
	}
	names := map[string]string{"RLIMIT_NOFILE": "Max open files", "RLIMIT_CORE": "Max core file size"}
	seen := 0
	for _, s := range parent(c.start.plan, c.start.who) {
		if file, ok := strings.CutPrefix(s.Does, "write /proc/INIT/"); ok {
			seen++
			name, want, _ := strings.Cut(file, ": ")
			if got := read(name); got != want {
				t.Errorf("%s is %q, told was %q", name, got, want)
			}
		}
		if limit, ok := strings.CutPrefix(s.Does, "prlimit(INIT, "); ok {
			seen++
			f := strings.Split(strings.TrimSuffix(limit, ")"), ", ")
			if want := fmt.Sprintf("%s %s %s", names[f[0]], f[1], f[2]); !strings.Contains(read("limits"), want) {
				t.Errorf("told was %q; the limits are %s", want, read("limits"))
			}
		}
	}
	if seen != 5 {
		t.Errorf("%d were told: want two maps, the score and two limits", seen)
	}
}

// What only some containers have is told of those: a terminal, files of payload/, a namespace that is joined.
func TestParentOfEverything(t *testing.T) {
	file := filepath.Join(t.TempDir(), "all.toml")
	text := "version = 1\nrootfs.path = '/srv'\nprocess = { args = ['/bin/true'], terminal = true }\nnetwork.mode = 'path:/run/netns/x'\nuserns.mode = 'path:/run/userns/x'\n" +
		"resources.cpu = { quota = '50%', burst = '10ms' }\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	spec, err := configs.Load(file, configs.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	spec.Process.ConsoleSize = &specs.Box{Width: 80, Height: 24}
	x, err := Explain("", spec, unitgen.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, s := range x.Parent {
		told = append(told, s.Phase+": "+s.Does)
	}
	at := -1
	for _, want := range []string{
		"spawn: open /run/netns/x, the net namespace to join", "attach: read /proc/INIT/uid_map and gid_map", "build: send program build with", "build: receive the master of the container's terminal",
		"build: make the terminal 80 columns by 24 rows", "settle: make payload/", "settle: write payload/cpu.max: 50000 100000",
		"settle: write payload/cpu.max.burst: 10000", "enter: open the gate", "attest: prlimit(INIT, RLIMIT_CORE", "attest: compare", "start: ",
	} {
		i := slices.IndexFunc(told, func(s string) bool { return strings.HasPrefix(s, want) })
		if i <= at {
			t.Errorf("%q is at %d, after %d:\n%s", want, i, at, strings.Join(told, "\n"))
		}
		at = i
	}
}
