// SPDX-License-Identifier: Apache-2.0

package sweep

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/internal/sdtest/canary"
	"github.com/sdcontainer/sdcontainer/internal/sdtest/trace"
)

// name is the container of all sweeps: what one run leaves is in the way of the next.
const name = "swept"

const (
	patience = 8 * time.Second // for one command
	lastGasp = time.Second     // for a helper whose command was killed
)

// A machine is a place to run the command in, and what it looked like before.
type machine struct {
	t      *testing.T
	order  order
	config configuration
	bin    string
	dir    string // of records
	root   string
	file   string // configuration
	out    *os.File
	watch  canary.Watch
	clean  canary.Snapshot
	known  map[int]bool // helpers that were there before
	reader *os.File     // a pipe to whoever reads standard output; nil is a file
	again  func()       // makes the container that is there all the time
}

func newMachine(t *testing.T, o order, c configuration) *machine {
	t.Helper()
	dir := t.TempDir()
	m := &machine{t: t, order: o, config: c, bin: filepath.Join(sdtest.ShareInside, "sdcontainer"),
		dir: "/run/sdcontainer", root: filepath.Join(dir, "root"), file: filepath.Join(dir, name+".toml")}
	if _, err := os.Stat(m.bin); err != nil {
		if m.bin, err = exec.LookPath("sdcontainer"); err != nil {
			t.Fatal(err)
		}
	}
	if c.open {
		if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	data := filepath.Join(dir, "data")
	for _, d := range c.dirs {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	errs := []error{sdtest.BusyboxRoot(m.root, "sh", "true", "sleep"),
		os.WriteFile(filepath.Join(data, "file"), []byte("untouched"), 0o640),
		os.WriteFile(m.file, c.in(t, dir), 0o644)}
	var err error
	m.out, err = os.Create(filepath.Join(dir, "out"))
	if err := errors.Join(append(errs, err)...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.out.Close() })
	m.watch = canary.Watch{Files: []string{m.root, data, m.file}, Dirs: []string{m.dir}}
	t.Cleanup(func() { _, _, _ = m.do("rm", "-f", name) }) // of a test that failed half way
	// Whatever is made once and stays is made now.
	m.must("run", "-d", m.file, "/bin/sleep", "1000")
	m.must("exec", name, "/bin/true")
	m.must("rm", "-f", name)
	m.look()
	return m
}

// look takes down what is there before a sweep, once it is at rest and the last keeper's scope has gone, but for
// that of a container that is there on purpose.
func (m *machine) look() {
	m.t.Helper()
	var err error
	stays := m.inspect().Status == "running"
	m.clean, err = canary.Rest(m.t.Context(), m.watch, 4*patience, func(text string) bool {
		return stays || !strings.Contains(text, "sdcontainer-keepers.scope")
	})
	if err != nil {
		m.t.Fatal(err)
	}
}

// do runs the command with a deadline and tells how long it took.
func (m *machine) do(args ...string) (out string, code int, took time.Duration) {
	m.t.Helper()
	return sdtest.Bounded(patience, append([]string{m.bin}, args...)...)
}

func (m *machine) must(args ...string) {
	m.t.Helper()
	if out, code, _ := m.do(args...); code != 0 {
		m.t.Fatalf("sdcontainer %s: exit %d: %s", strings.Join(args, " "), code, out)
	}
}

// traced runs the command under o and returns what it printed.
func (m *machine) traced(args []string, o trace.Options) (ended, string, error) {
	if err := m.out.Truncate(0); err != nil {
		return ended{}, "", err
	}
	out, err := os.OpenFile(m.out.Name(), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return ended{}, "", err
	}
	defer out.Close()
	cmd := exec.Command(m.bin, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = sdtest.Environment(), out, out
	if m.reader != nil {
		cmd.Stdout = m.reader
	}
	o.Deadline = patience
	ws, err := trace.Run(cmd, o)
	b, readErr := os.ReadFile(m.out.Name())
	return ended{ws.ExitStatus(), int(ws.Signal()), ws.Signaled()}, string(b), errors.Join(err, readErr)
}

// ended is how the command did.
type ended struct {
	code, signal int
	signaled     bool
}

func (e ended) fine() bool { return !e.signaled && e.code == 0 }

func (e ended) String() string {
	if e.signaled {
		return fmt.Sprintf("killed by signal %d", e.signal)
	}
	return fmt.Sprintf("exit %d", e.code)
}

// helpers are the interpreters there are, but for those that were known.
func (m *machine) helpers() (map[int]bool, error) {
	list, err := canary.Processes()
	found := map[int]bool{}
	for _, p := range list {
		if strings.HasPrefix(p.Exe, trace.HelperExe) && !m.known[p.PID] && p.State != "Z" {
			found[p.PID] = true
		}
	}
	return found, err
}

type state struct {
	Status    string `json:"status"`
	Pid       int    `json:"pid"`
	KeeperPid int    `json:"keeperPid"`
}

func (m *machine) inspect() state {
	out, code, _ := m.do("inspect", name)
	var list []state
	if code != 0 || json.Unmarshal([]byte(out), &list) != nil || len(list) != 1 {
		return state{}
	}
	return list[0]
}

// helpersGone waits for helpers to end, and tells how long the last one took. The keeper of a
// container that runs, and is known to, may stay.
func (m *machine) helpersGone() (time.Duration, error) {
	begin := time.Now()
	for {
		found, err := m.helpers()
		if err != nil || len(found) == 0 {
			return time.Since(begin), err
		}
		if time.Since(begin) > lastGasp/10 && len(found) == 1 {
			if st := m.inspect(); st.Status == "running" && found[st.KeeperPid] {
				return 0, nil
			}
		}
		if time.Since(begin) > lastGasp {
			return time.Since(begin), fmt.Errorf("helpers %v live on", found)
		}
		time.Sleep(time.Millisecond)
	}
}

// cleaned waits for the machine to be as it was.
func (m *machine) cleaned() error {
	diff, err := canary.Settle(m.t.Context(), m.clean, m.watch, 3*time.Second)
	if err == nil && diff != "" {
		err = fmt.Errorf("left behind:\n%s", diff)
	}
	return err
}
