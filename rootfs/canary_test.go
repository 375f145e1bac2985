// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// The rows of these tests are those of the list of escapes that other runtimes
// had. An image's links point at a canary on the host; whatever happens to the
// container, the canary stays as it is.

// A canary is a directory on the host that nothing may touch.
type canary struct {
	t   *testing.T
	dir string
	was []string
}

func newCanary(t *testing.T) *canary {
	t.Helper()
	c := &canary{t: t, dir: t.TempDir()}
	for _, d := range []string{"dev", "dir"} {
		if err := os.Mkdir(filepath.Join(c.dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"dev/ptmx", "dev/null", "file"} {
		if err := os.WriteFile(filepath.Join(c.dir, f), []byte("marker"), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	c.was = c.list()
	t.Cleanup(func() {
		if d := cmp.Diff(c.was, c.list()); d != "" {
			t.Errorf("the host was touched: %s", d)
		}
	})
	return c
}

func (c *canary) list() []string {
	var out []string
	err := filepath.WalkDir(c.dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		b, _ := os.ReadFile(path)
		out = append(out, strings.Join([]string{path, fs.FileMode(st.Mode).String(), string(b), string(rune('0' + st.Uid))}, " "))
		return nil
	})
	if err != nil {
		c.t.Error(err)
	}
	return out
}

// image makes files of an image: a value "-> x" is a link, "/" a directory, else content.
func (w *world) image(files map[string]string) {
	w.t.Helper()
	for name, content := range files {
		path := filepath.Join(w.root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			w.t.Fatal(err)
		}
		var err error
		switch {
		case strings.HasPrefix(content, "-> "):
			err = os.Symlink(content[3:], path)
		case content == "/":
			err = os.MkdirAll(path, 0o755)
		default:
			err = os.WriteFile(path, []byte(content), 0o644)
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

// without removes the mount on dest, so that the image's own directory is used.
func (w *world) without(dest string) {
	var kept []specs.Mount
	for _, m := range w.spec.Mounts {
		if m.Destination != dest {
			kept = append(kept, m)
		}
	}
	w.spec.Mounts = kept
}

// plant puts files into the image with links to the canary.
func (w *world) plant(files map[string]string, c *canary) {
	planted := map[string]string{}
	for name, content := range files {
		planted[name] = strings.ReplaceAll(content, "CANARY", c.dir)
	}
	w.image(planted)
	if w.spec.Linux.UIDMappings != nil {
		w.own(100000)
	}
}
