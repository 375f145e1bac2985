// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
)

func fakeRoot(t *testing.T) *os.File {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"bin", "usr/bin", "etc"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write := func(name string, mode os.FileMode) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("bin/sh", 0o755)
	write("usr/bin/plain", 0o644)
	write("bin/plain2", 0o755)
	// Links of an image, absolute and climbing, stay inside.
	for link, to := range map[string]string{"bin/abs": "/bin/sh", "bin/up": "../../../../bin/sh", "bin/host": "/usr/bin/env"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	root, err := kernel.OpenPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

func TestLookPath(t *testing.T) {
	root := fakeRoot(t)
	env := []string{"A=b", "PATH=/usr/bin:/bin"}
	tests := []struct {
		arg0, cwd, want string
		err             error
	}{
		{"sh", "/", "/bin/sh", nil},
		{"/bin/sh", "/", "/bin/sh", nil},
		{"./sh", "/bin", "/bin/sh", nil},
		{"abs", "/", "/bin/abs", nil},
		{"up", "/", "/bin/up", nil},
		{"host", "/", "", ErrNotFound}, // /usr/bin/env exists outside only
		{"nothing", "/", "", ErrNotFound},
		{"plain", "/", "", ErrNotExecutable},
		{"/bin", "/", "", ErrNotExecutable},
		{"/bin/sh/x", "/", "", ErrNotFound},
		{"", "/", "", ErrNotFound},
	}
	for _, tt := range tests {
		got, err := lookPath(root, tt.cwd, tt.arg0, env)
		if !errors.Is(err, tt.err) || err == nil && got != tt.want {
			t.Errorf("lookPath(%q in %q) = %q, %v; want %q, %v", tt.arg0, tt.cwd, got, err, tt.want, tt.err)
		}
	}
}

// B18: an image's passwd may be anything; reading it neither hangs nor leaves the root.
func TestReadOptionalIsSafe(t *testing.T) {
	root := fakeRoot(t)
	dir := root.Name()
	if err := unix.Mkfifo(filepath.Join(dir, "etc/fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "etc/link")); err != nil {
		t.Fatal(err)
	}
	big, err := os.Create(filepath.Join(dir, "etc/big"))
	if err != nil {
		t.Fatal(err)
	}
	if err := big.Truncate(2 << 30); err != nil {
		t.Fatal(err)
	}
	big.Close()

	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, name := range []string{"etc/fifo", "etc/big", "etc"} {
			if b, err := readOptional(root, name); err == nil {
				t.Errorf("%s: %d bytes and no error", name, len(b))
			}
		}
		for _, name := range []string{"etc/none", "etc/link", "bin/sh/x"} {
			if b, err := readOptional(root, name); err != nil || len(b) != 0 {
				t.Errorf("%s: %q, %v; want nothing", name, b, err)
			}
		}
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("hangs")
	}
}

// Of two PATH= the payload's getenv(3) takes the first, and so does who looks for the payload.
func TestLookPathTakesTheFirstPATH(t *testing.T) {
	root := fakeRoot(t)
	got, err := lookPath(root, "/", "sh", []string{"PATH=/bin", "PATH=/usr/bin"})
	if err != nil || got != "/bin/sh" {
		t.Errorf("first PATH has it: %q, %v", got, err)
	}
	if got, err := lookPath(root, "/", "sh", []string{"PATH=/usr/bin", "PATH=/bin"}); !errors.Is(err, ErrNotFound) {
		t.Errorf("second PATH has it: %q, %v", got, err)
	}
}
