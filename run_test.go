// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/scope"
)

func TestRunForeground(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	out, e := w.output("fg", "/bin/sh", "-c", "echo $$ $(hostname) $(id -u); echo $container; exit 7")
	if want := "1 fg 0\nsdcontainer\n"; out != want || e.Code != 7 || e.Signal != 0 {
		t.Errorf("%q, %+v; want %q and code 7", out, e, want)
	}
	c, err := w.Load("fg")
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.State()
	if err != nil || s.Status != Stopped || s.Exit == nil || s.Exit.Code != 7 {
		t.Errorf("afterwards: %+v, %v", s, err)
	}
	if err := c.Destroy(t.Context(), false); err != nil {
		t.Error(err)
	}
	w.nothingLeft("fg")
}

func TestRunErrors(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	if err := os.WriteFile(filepath.Join(w.root, "bin/plain"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.root, "bin/noloader"), []byte("#!/no/such/interpreter\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for arg, want := range map[string]error{
		"nothing": ErrNotFound, "/bin/plain": ErrNotExecutable, "/bin/noloader": ErrNotFound, "/bin": ErrNotExecutable,
	} {
		_, err := w.start("bad", CreateOptions{}, arg)
		if !errors.Is(err, want) {
			t.Errorf("%s: %v; want %v", arg, err, want)
		}
		w.nothingLeft("bad")
	}
}

func TestDetachedIsRecorded(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w, began := newWorld(t), time.Now()
	for _, end := range []struct {
		name string
		do   func(c *Container) error
		want Exit
	}{
		{"exit", func(c *Container) error { return c.Signal(t.Context(), unix.SIGUSR1, false) }, Exit{Code: 9}},
		{"stop", func(c *Container) error { return c.Stop(t.Context(), -1) }, Exit{Code: 3}},
		{"kill", func(c *Container) error { return c.Signal(t.Context(), unix.SIGKILL, false) }, Exit{Code: 137, Signal: 9}},
		{"systemctl", func(c *Container) error {
			return exec.Command("systemctl", "stop", scope.UnitName(c.ID())).Run()
		}, Exit{Code: 3}},
	} {
		t.Run(end.name, func(t *testing.T) {
			r, out := pipe(t)
			c := w.mustStart(end.name, CreateOptions{Detach: true, Stdout: out},
				"/bin/sh", "-c", "trap 'exit 3' TERM; trap 'exit 9' USR1; echo up; while :; do sleep 60 & wait; done")
			out.Close()
			if _, err := r.Read(make([]byte, 3)); err != nil {
				t.Fatal(err)
			}
			if s, err := c.State(); err != nil || s.Status != Running || s.KeeperPid == 0 {
				t.Fatalf("before: %+v, %v", s, err)
			}
			if err := end.do(c); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			e, err := c.Wait(ctx)
			if err != nil || e.Code != end.want.Code || e.Signal != end.want.Signal {
				t.Errorf("%+v, %v; want %+v", e, err, end.want)
			}
			ends := endsInJournal(t, end.name, began)
			if len(ends) != 1 || ends[0]["EXIT_STATUS"] != strconv.Itoa(e.Code) || ends[0]["EXIT_TIMESTAMP"] != e.At.UTC().Format(time.RFC3339Nano) ||
				ends[0]["EXIT_CODE"] != map[bool]string{true: "killed", false: "exited"}[e.Signal != 0] {
				t.Errorf("the journal says %v; want one entry of %+v", ends, e)
			}
			if err := c.Destroy(ctx, false); err != nil {
				t.Error(err)
			}
		})
	}
}

// endsInJournal are the entries since then that say how a container ended.
func endsInJournal(t *testing.T, name string, since time.Time) (entries []map[string]string) {
	t.Helper()
	if out, err := exec.Command("journalctl", "--sync").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, err := exec.Command("journalctl", "-o", "json", "--no-pager", "--since=@"+strconv.FormatInt(since.Unix(), 10),
		"MESSAGE_ID="+MessageEnded, "CONTAINER_NAME="+name).Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		entry := map[string]string{}
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatal(err)
		}
		entries = append(entries, entry)
	}
	return entries
}

// A Spec may have no resources, as bundles of other engines may not.
func TestWithoutResources(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	spec := w.spec("bare", "/bin/sleep", "60")
	spec.Linux.Resources = nil
	c, err := w.startSpec("bare", spec, CreateOptions{Detach: true})
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.Exec(t.Context(), &specs.Process{Args: []string{"true"}}, ExecOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if e, err := p.Wait(t.Context()); err != nil || e.Code != 0 {
		t.Errorf("exec: %+v, %v", e, err)
	}
	limit := int64(64)
	if err := c.Update(t.Context(), &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}}, nil); err != nil {
		t.Error(err)
	}
	if err := c.Stop(t.Context(), 0); err != nil {
		t.Error(err)
	}
}
