// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/scope"
)

// The test binary is the keepers' cleanup command, too.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "spy" {
		spy(os.Args[2], os.Args[3:]...)
		return
	}
	if len(os.Args) == 4 && os.Args[1] == "cleanup" {
		r := &Runtime{Dir: os.Args[2]}
		if err := r.Cleanup(context.Background(), os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) > 2 && os.Args[1] == "other" {
		if err := others[os.Args[2]](os.Args[3:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(sdtest.Main(m))
}

// A world is a Runtime of its own and a busybox root on a filesystem that can be
// idmapped.
type world struct {
	*Runtime
	root string
	t    *testing.T
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{Runtime: &Runtime{Dir: filepath.Join(t.TempDir(), "run")}, root: filepath.Join(t.TempDir(), "root"), t: t}
	if err := sdtest.BusyboxRoot(w.root, "sh", "sleep", "cat", "readlink", "stat", "stty", "ping", "true", "id", "hostname", "kill", "echo"); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) spec(id string, args ...string) *specs.Spec {
	w.t.Helper()
	spec, err := testSpec(id, w.root, args)
	if err != nil {
		w.t.Fatal(err)
	}
	return spec
}

func testSpec(id, root string, args []string) (*specs.Spec, error) {
	spec, err := configs.FromRootfs(id, root, args)
	if err != nil {
		return nil, err
	}
	s, err := configs.SettingsOf(spec)
	if err != nil {
		return nil, err
	}
	s.Strict = false // the private hierarchy has no controllers
	s.Log.Driver = "none"
	s.StopTimeout = 5 * time.Second
	s.Annotate(spec)
	return spec, nil
}

func (w *world) options(o CreateOptions) CreateOptions {
	self, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	o.Cleanup = []string{self, "cleanup", w.Dir}
	return o
}

func (w *world) start(id string, o CreateOptions, args ...string) (*Container, error) {
	w.t.Helper()
	return w.startSpec(id, w.spec(id, args...), o)
}

func (w *world) startSpec(id string, spec *specs.Spec, o CreateOptions) (*Container, error) {
	w.t.Helper()
	c, err := w.Create(w.t.Context(), id, spec, w.options(o))
	if err != nil {
		return nil, err
	}
	w.t.Cleanup(func() {
		if err := c.Destroy(context.Background(), true); err != nil && !errors.Is(err, ErrNotExist) {
			w.t.Errorf("destroy %s: %v", id, err)
		}
	})
	return c, c.Start(w.t.Context())
}

func (w *world) mustStart(id string, o CreateOptions, args ...string) *Container {
	w.t.Helper()
	c, err := w.start(id, o, args...)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// output runs a container in the foreground and returns what it printed.
func (w *world) output(id string, args ...string) (string, Exit) {
	w.t.Helper()
	return w.outputOf(id, w.spec(id, args...))
}

func (w *world) outputOf(id string, spec *specs.Spec) (string, Exit) {
	w.t.Helper()
	r, out := pipe(w.t)
	c, err := w.startSpec(id, spec, CreateOptions{Stdout: out, Stderr: out})
	out.Close()
	if err != nil {
		w.t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		w.t.Fatal(err)
	}
	e, err := c.Wait(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b), e
}

// configured is what a configuration with this text, after its version, comes to.
func configured(t *testing.T, text string) (*specs.Spec, configs.Settings) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "x.toml")
	if err := os.WriteFile(file, []byte("version = 1\n"+text), 0o644); err != nil {
		t.Fatal(err)
	}
	spec, err := configs.Load(file, configs.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := configs.SettingsOf(spec)
	if err != nil {
		t.Fatal(err)
	}
	return spec, s
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r, w
}

// nothingLeft fails when the unit or the record of a container is still there.
func (w *world) nothingLeft(id string) {
	w.t.Helper()
	if _, err := w.Load(id); !errors.Is(err, ErrNotExist) {
		w.t.Errorf("record of %s: %v", id, err)
	}
	conn, err := scope.Dial(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close()
	if p, err := conn.Get(w.t.Context(), scope.UnitName(id), "ActiveState"); err == nil && p["ActiveState"] == "active" {
		w.t.Errorf("unit of %s: %v", id, p)
	}
	if claims, _ := os.ReadDir(w.path(usernsDir)); len(claims) != 0 {
		w.t.Errorf("ranges still claimed: %v", claims)
	}
}
