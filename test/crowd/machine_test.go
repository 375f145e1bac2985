// SPDX-License-Identifier: Apache-2.0

package crowd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/internal/sdtest/canary"
)

// A machine is a place to run the command in, and what it looked like before.
type machine struct {
	t     *testing.T
	bin   string
	root  string
	dir   string // of configurations
	watch canary.Watch
	clean canary.Snapshot
}

// patience is for one command, on an emulated processor too.
func patience() time.Duration {
	if native() {
		return 30 * time.Second
	}
	return 2 * time.Minute
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	dir := t.TempDir()
	m := &machine{t: t, bin: filepath.Join(sdtest.ShareInside, "sdcontainer"), root: filepath.Join(dir, "root"), dir: dir}
	if _, err := os.Stat(m.bin); err != nil {
		if m.bin, err = exec.LookPath("sdcontainer"); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{"root/run", "root/data", "root/cache", "data"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := sdtest.BusyboxRoot(m.root, "sh", "true", "sleep", "seq", "echo"); err != nil {
		t.Fatal(err)
	}
	m.watch = canary.Watch{Files: []string{m.root}, Dirs: []string{"/run/sdcontainer"}}
	// Whatever is made once and stays is made now.
	file := m.config("first", "")
	t.Cleanup(func() { _, _, _ = m.do("rm", "-f", "first") }) // of a test that failed half way
	m.must("run", "-d", file)
	m.must("rm", "-f", "first")
	m.look()
	return m
}

// body is a container that has something of most that makes steps.
const body = `version = 1
[rootfs]
path = %q
[process]
args = [%s]
[network]
hostname = "crowd"
[[mount]]
source = %q
target = "/data"
idmap = true
[[mount]]
type = "tmpfs"
target = "/cache"
[systemd]
strict = false
`

// config writes the configuration of a container with more, which follows [systemd], of a command: sleep, unless given.
func (m *machine) config(name, more string, args ...string) string {
	m.t.Helper()
	if args == nil {
		args = []string{"/bin/sleep", "100000"}
	}
	quoted := make([]string, len(args))
	for i, a := range args {
		quoted[i] = fmt.Sprintf("%q", a)
	}
	file := filepath.Join(m.dir, name+".toml")
	text := fmt.Sprintf(body, m.root, strings.Join(quoted, ", "), filepath.Join(m.dir, "data")) + more
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		m.t.Fatal(err)
	}
	return file
}

// look takes down what is there before a test, once it is at rest and the last keeper's scope has gone.
func (m *machine) look() {
	m.t.Helper()
	var err error
	m.clean, err = canary.Rest(m.t.Context(), m.watch, patience(), func(text string) bool { return !strings.Contains(text, "keepers") })
	if err != nil {
		m.t.Fatal(err)
	}
}

// cleaned fails the test unless the machine becomes as it was.
func (m *machine) cleaned() {
	m.t.Helper()
	diff, err := canary.Settle(m.t.Context(), m.clean, m.watch, patience()/2)
	if err != nil || diff != "" {
		m.t.Errorf("left behind (%v):\n%s", err, diff)
	}
}

// do runs the command with a deadline and tells how long it took. It may be called from many goroutines.
func (m *machine) do(args ...string) (out string, code int, took time.Duration) {
	return command(append([]string{m.bin}, args...)...)
}

func command(args ...string) (out string, code int, took time.Duration) {
	return sdtest.Bounded(patience(), args...)
}

func (m *machine) must(args ...string) string {
	m.t.Helper()
	out, code, _ := m.do(args...)
	if code != 0 {
		m.t.Fatalf("sdcontainer %s: exit %d: %s", strings.Join(args, " "), code, out)
	}
	return strings.TrimSpace(out)
}

// system runs another command, which must succeed.
func system(t *testing.T, args ...string) string {
	t.Helper()
	out, code, _ := command(args...)
	if code != 0 {
		t.Fatalf("%s: exit %d: %s", strings.Join(args, " "), code, out)
	}
	return strings.TrimSpace(out)
}

// tenths are the medians of each tenth of times, in ms.
func tenths(times []time.Duration) []float64 {
	var medians []float64
	for i := range 10 {
		part := slices.Sorted(slices.Values(times[len(times)*i/10 : len(times)*(i+1)/10]))
		if len(part) == 0 {
			return nil
		}
		medians = append(medians, ms(part[len(part)/2]))
	}
	return medians
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()/10) / 100 }
