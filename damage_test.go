// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// damages are what may have become of a file.
var damages = map[string]func(path string) error{
	"missing":   func(path string) error { return ignoreMissing(os.Remove(path)) },
	"zeros":     func(path string) error { return os.WriteFile(path, make([]byte, 600), 0o600) },
	"garbage":   func(path string) error { return os.WriteFile(path, []byte(strings.Repeat("x", 600)), 0o600) },
	"null":      func(path string) error { return os.WriteFile(path, []byte("null"), 0o600) },
	"huge":      func(path string) error { return ignoreMissing(os.Truncate(path, maxRecord+1)) },
	"symlink":   func(path string) error { return afresh(path, func() error { return os.Symlink("/dev/zero", path) }) },
	"fifo":      func(path string) error { return afresh(path, func() error { return unix.Mkfifo(path, 0o600) }) },
	"others'":   func(path string) error { return ignoreMissing(os.Chown(path, 12345, 0)) },
	"writable":  func(path string) error { return ignoreMissing(os.Chmod(path, 0o660)) },
	"directory": func(path string) error { return afresh(path, func() error { return os.MkdirAll(path+"/x", 0o700) }) },
}

func afresh(path string, make func() error) error {
	if err := ignoreMissing(os.Remove(path)); err != nil {
		return err
	}
	return make()
}

// verbs are what people do to a container by name.
func verbs(ctx context.Context, r *Runtime, id string) map[string]func() error {
	with := func(f func(c *Container) error) func() error {
		return func() error {
			c, err := r.Load(id)
			if err != nil {
				return err
			}
			return f(c)
		}
	}
	return map[string]func() error{
		"list":    func() error { _, err := r.List(); return err },
		"inspect": with(func(c *Container) error { _, err := c.State(); return err }),
		"spec":    with(func(c *Container) error { _, err := c.Spec(); return err }),
		"stop":    with(func(c *Container) error { return c.Stop(ctx, 0) }),
		"kill":    with(func(c *Container) error { return c.Signal(ctx, unix.SIGKILL, false) }),
		"pause":   with(func(c *Container) error { return c.Pause(ctx) }),
		"resume":  with(func(c *Container) error { return c.Resume(ctx) }),
		"update":  with(func(c *Container) error { return c.Update(ctx, &specs.LinuxResources{}, nil) }),
		"limits":  with(func(c *Container) error { _, err := c.Properties(ctx, "TasksMax"); return err }),
		"stats":   with(func(c *Container) error { _, err := c.Stats(); return err }),
		"top":     with(func(c *Container) error { _, err := c.Top(); return err }),
		"wait":    with(func(c *Container) error { _, err := c.Wait(ctx); return err }),
		"exec": with(func(c *Container) error {
			_, err := c.Exec(ctx, &specs.Process{Args: []string{"true"}}, ExecOptions{})
			return err
		}),
		"cleanup": func() error { return r.Cleanup(ctx, id) },
		"rm":      func() error { return r.Remove(ctx, id, false) },
		"run": func() error {
			l := reservation(r, id)
			return errors.Join(l.reserve(ctx), l.takeBack(ctx))
		},
	}
}

// clearly fails unless err is one that names the file and says what to do.
func clearly(t *testing.T, what string, err error, file string) {
	t.Helper()
	if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), file+": ") || strings.Count(err.Error(), "rm -f") != 1 ||
		strings.Contains(err.Error(), "\n") {
		t.Errorf("%s: %v; want one line with %s and what to do", what, err, file)
	}
}

// A template is what a record looks like on disk.
func template(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for _, name := range []string{stateFile, configFile, exitFile} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = b
	}
	return files
}

func restore(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// damagedWorld has a container that runs, "ok", and what is left of one that has ended, "bad".
func damagedWorld(t *testing.T) (*world, map[string][]byte) {
	w := newWorld(t)
	w.mustStart("ok", CreateOptions{Detach: true}, "/bin/sleep", "1000")
	bad := w.mustStart("bad", CreateOptions{Detach: true}, "/bin/true")
	if _, err := bad.Wait(soon(t)); err != nil {
		t.Fatal(err)
	}
	files := template(t, bad.path())
	if err := bad.Destroy(soon(t), false); err != nil {
		t.Fatal(err)
	}
	return w, files
}

// R19: whatever has become of a record, each verb says so of that file, and rm -f removes it.
func TestDamagedState(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w, files := damagedWorld(t)
	others := w.names(t)
	all := maps.Clone(damages)
	delete(all, "missing") // of a record only the directory says that there is one: below
	state := files[stateFile]
	for n := 0; n < len(state); n += sdtest.Stride(25) {
		all["first "+strconv.Itoa(n)+" bytes"] = func(path string) error { return os.WriteFile(path, state[:n], 0o600) }
	}
	for name, change := range map[string][2]string{
		"version": {`"version":1`, `"version":2`}, "id": {`"id":"bad"`, `"id":"ok"`}, "phase": {`"phase":"running"`, `"phase":"x"`},
		"unit": {`"unit":"sdc-bad.scope"`, `"unit":"../x"`}, "cgroup": {`"cgroup":"`, `"cgroup":"/..`},
		"trailing": {`{"version"`, `{}{"version"`},
	} {
		b := bytes.Replace(state, []byte(change[0]), []byte(change[1]), 1)
		if bytes.Equal(b, state) {
			t.Fatalf("%s: %s has no %s", name, state, change[0])
		}
		all["another "+name] = func(path string) error { return os.WriteFile(path, b, 0o600) }
	}
	all["missing"] = damages["missing"]
	for name, damage := range all {
		restore(t, w.path("bad"), files)
		file := w.path("bad", stateFile)
		if err := damage(file); err != nil {
			t.Fatal(err)
		}
		for verb, do := range verbs(soon(t), w.Runtime, "bad") {
			err := do()
			clearly(t, name+": "+verb, err, file)
			if verb == "run" && !errors.Is(err, ErrExist) {
				t.Errorf("%s: run: %v; want ErrExist", name, err)
			}
		}
		if list, _ := w.List(); len(list) != 1 || list[0].ID() != "ok" {
			t.Errorf("%s: list: %v; want the other one", name, list)
		}
		if err := w.Remove(soon(t), "bad", true); err != nil {
			t.Errorf("%s: rm -f: %v", name, err)
		}
		if left := w.names(t); !slices.Equal(left, others) {
			t.Fatalf("%s: left: %q", name, left)
		}
	}
}

// R19: what a container was made from and how it ended are needed by some verbs only.
func TestDamagedFiles(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w, files := damagedWorld(t)
	others := w.names(t)
	needs := map[string][]string{configFile: {"spec"}, exitFile: {"inspect", "wait"}, lockFile: {
		"pause", "resume", "update", "rm", "run", "cleanup"}}
	for file, verbsOf := range needs {
		for name, damage := range damages {
			if name == "missing" && file != configFile || file == lockFile && name != "symlink" && name != "directory" && name != "garbage" {
				continue // no harm
			}
			restore(t, w.path("bad"), files)
			path := w.path("bad", file)
			if err := damage(path); err != nil {
				t.Fatal(err)
			}
			all := verbs(soon(t), w.Runtime, "bad")
			for _, verb := range verbsOf {
				clearly(t, file+" "+name+": "+verb, all[verb](), path)
			}
			if list, err := w.List(); err != nil || len(list) != 2 {
				t.Errorf("%s %s: list: %v, %v", file, name, list, err)
			}
			if err := w.Remove(soon(t), "bad", file == lockFile); err != nil {
				t.Errorf("%s %s: rm: %v", file, name, err)
			}
			if left := w.names(t); !slices.Equal(left, others) {
				t.Fatalf("%s %s: left: %q", file, name, left)
			}
		}
	}
}

// sleeper starts a detached container, and opens its process.
func (w *world) sleeper(id string) (*Container, *os.File) {
	w.t.Helper()
	c := w.mustStart(id, CreateOptions{Detach: true}, "/bin/sleep", "1000")
	s, err := c.State()
	if err != nil {
		w.t.Fatal(err)
	}
	pid, err := kernel.Pidfd(s.Pid)
	if err != nil {
		w.t.Fatal(err)
	}
	return c, pid
}

// R19: a running container does not get lost with its record.
func TestDamagedButRunning(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	for file, damage := range map[string]string{stateFile: "garbage", configFile: "fifo", exitFile: "directory", lockFile: "symlink"} {
		c, pid := w.sleeper("bad")
		if err := damages[damage](c.path(file)); err != nil {
			t.Fatal(err)
		}
		all := verbs(soon(t), w.Runtime, "bad")
		if file == configFile {
			for _, verb := range []string{"stop", "update", "exec"} {
				clearly(t, verb, all[verb](), c.path(file))
			}
		}
		if err := all["rm"](); !errors.Is(err, ErrRunning) && !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: rm: %v", file, err)
		}
		if err := w.Remove(soon(t), "bad", true); err != nil {
			t.Errorf("%s: rm -f: %v", file, err)
		}
		if err := kernel.WaitReadable(soon(t), pid); err != nil {
			t.Errorf("%s: after rm -f: the payload lives: %v", file, err)
		}
		pid.Close()
		w.nothingLeft("bad")
	}
}

// R20: nor with a record that somebody has deleted by hand. What has its name elsewhere is not it.
func TestDeletedButRunning(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	link := filepath.Join(t.TempDir(), "link") // as /var/run is one
	if err := os.Symlink(filepath.Dir(w.Dir), link); err != nil {
		t.Fatal(err)
	}
	w.Dir = filepath.Join(link, filepath.Base(w.Dir))
	for what, dir := range map[string]string{"record": w.path("lost"), "run directory": w.Dir} {
		c, pid := w.sleeper("lost")
		s, err := c.State()
		if err != nil {
			t.Fatal(err)
		}
		defer pid.Close()
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if list, err := w.List(); len(list) != 0 || !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "lost") {
			t.Errorf("%s: list: %v, %v; want an error that names it", what, list, err)
		}
		if err := w.Remove(soon(t), "lost", false); !errors.Is(err, ErrNotExist) {
			t.Errorf("%s: rm: %v; want ErrNotExist", what, err)
		}
		other := &Runtime{Dir: t.TempDir()}
		if list, err := other.List(); len(list) != 0 || err != nil {
			t.Errorf("%s: list in another run directory: %v, %v", what, list, err)
		}
		if err := other.Remove(soon(t), "lost", true); err == nil || errors.Is(err, ErrNotExist) ||
			!strings.Contains(err.Error(), "systemctl stop "+s.Unit) || !strings.Contains(err.Error(), other.Dir) {
			t.Errorf("%s: rm -f in another run directory: %v", what, err)
		}
		if kernel.Ending(s.Pid) {
			t.Fatalf("%s: the payload has ended", what)
		}
		if err := w.Remove(soon(t), "lost", true); err != nil {
			t.Errorf("%s: rm -f: %v", what, err)
		}
		if err := kernel.WaitReadable(soon(t), pid); err != nil {
			t.Errorf("%s: after rm -f: the payload lives: %v", what, err)
		}
		w.nothingLeft("lost")
		if list, err := w.List(); len(list) != 0 || err != nil {
			t.Errorf("%s: list after rm -f: %v, %v", what, list, err)
		}
		if err := w.Remove(soon(t), "lost", true); !errors.Is(err, ErrNotExist) {
			t.Errorf("%s: rm -f of none: %v", what, err)
		}
	}
}

// G2: a record names its container's own unit, a cgroup of that unit, and ids that could have been claimed for it.
func TestG2RecordNamesNothingElse(t *testing.T) {
	good := func() record {
		return record{Version: recordVersion, ID: "web", Phase: Running, Unit: "sdc-web.scope", Cgroup: "/sdcontainer.slice/sdc-web.scope/payload"}
	}
	for name, change := range map[string]func(*record){
		"":                       func(*record) {},
		"another's ID":           func(r *record) { r.ID = "db" },
		"no unit":                func(r *record) { r.Unit = "" },
		"a path for a unit":      func(r *record) { r.Unit = "../sdc-web.scope" },
		"two lines for a unit":   func(r *record) { r.Unit = "sdc-web.scope\n" },
		"another's cgroup":       func(r *record) { r.Cgroup = "/sdcontainer.slice/sdc-db.scope/payload" },
		"the cgroup of all":      func(r *record) { r.Cgroup = "/" },
		"a cgroup by a detour":   func(r *record) { r.Cgroup = "/sdc-db.scope/../sdc-web.scope" },
		"a cgroup beside it":     func(r *record) { r.Cgroup = "/system.slice/sdc-web.scope/../ssh.service" },
		"the host's ids":         func(r *record) { r.Userns = [2]uint32{0, 65536} },
		"ids from between":       func(r *record) { r.Userns = [2]uint32{usernsFirst + 1, 65536} },
		"ids without an end":     func(r *record) { r.Userns = [2]uint32{usernsFirst, 1<<32 - 1} },
		"the name in other case": func(r *record) { r.ID = "WEB" },
	} {
		r := good()
		change(&r)
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseRecord(b, "web"); (err == nil) != (name == "") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func FuzzRecord(f *testing.F) {
	good, err := json.Marshal(record{Version: recordVersion, ID: "web", BootID: "b", Phase: Running, Init: procID{7, 8}, Unit: "sdc-web.scope",
		Cgroup: "/sdcontainer.slice/sdc-web.scope/payload", Userns: [2]uint32{usernsFirst, 65536}, Command: []string{"a"}})
	if err != nil {
		f.Fatal(err)
	}
	if _, err := parseRecord(good, "web"); err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"version":1,"id":"web","phase":"running","unit":"u","userns":[524288,4294967295]}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, b []byte) {
		st, err := parseRecord(b, "web")
		if err != nil {
			return
		}
		again, err := json.Marshal(st)
		if err != nil {
			t.Fatal(err)
		}
		back, err := parseRecord(again, "web")
		if err != nil {
			t.Fatalf("what was accepted is not any more: %v\n%s", err, again)
		}
		if third, err := json.Marshal(back); err != nil || !bytes.Equal(again, third) {
			t.Fatalf("%v\n%s\n%s", err, again, third)
		}
		r := &Runtime{Dir: t.TempDir()}
		if err := r.releaseUserns(st); err != nil {
			t.Fatal(err)
		}
		c := &Container{rt: r, id: "web", st: st}
		_ = c.status() // whatever it is
	})
}
