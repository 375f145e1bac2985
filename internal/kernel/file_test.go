// SPDX-License-Identifier: Apache-2.0

package kernel_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
)

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	for _, size := range []int{0, 1, 1023, 1024, 1025, 100_000} {
		want := bytes.Repeat([]byte("x"), size)
		name := filepath.Join(dir, "f")
		if err := os.WriteFile(name, want, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := kernel.ReadFile(name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: %d, %v", size, len(got), err)
		}
	}
	if _, err := kernel.ReadFile(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, err := kernel.ReadFile(dir); !errors.Is(err, unix.EISDIR) {
		t.Error(err)
	}
}

// A container decides how long some files are: nobody reads those to their end.
func TestReadFileBounds(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, []byte("start"), 0o600); err != nil {
		t.Fatal(err)
	}
	for size, want := range map[int64]error{kernel.MaxFile: nil, kernel.MaxFile + 1: unix.EFBIG, 8 * kernel.MaxFile: unix.EFBIG} {
		if err := os.Truncate(name, size); err != nil { // a hole
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if b, err := kernel.ReadFile(name); !errors.Is(err, want) || err == nil && int64(len(b)) != size {
			t.Errorf("%d bytes: %d, %v; want %v", size, len(b), err, want)
		}
		if runtime.ReadMemStats(&after); after.TotalAlloc-before.TotalAlloc > 3*kernel.MaxFile {
			t.Errorf("%d bytes: takes %d of memory", size, after.TotalAlloc-before.TotalAlloc)
		}
	}
	for _, limit := range []int{1, 5, 1024, 1025, 4097} {
		if b, err := kernel.ReadStart(name, limit); err != nil || len(b) != limit || !strings.HasPrefix("start", string(b[:min(limit, 5)])) {
			t.Errorf("the first %d: %d, %v", limit, len(b), err)
		}
	}
}

func TestWriteFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	if err := kernel.WriteFile(name, []byte("x")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it makes nothing: %v", err)
	}
	if err := kernel.WriteFile("/proc/self/oom_score_adj", []byte("nonsense")); !errors.Is(err, unix.EINVAL) {
		t.Errorf("what the kernel refuses: %v", err)
	}
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := kernel.WriteFile(name, []byte("order")); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(name); err != nil || string(b) != "order" {
		t.Errorf("%q, %v", b, err)
	}
}

// R23: a call that was interrupted is made again, and no other.
func TestRetryIsForEINTROnly(t *testing.T) {
	for _, list := range [][]error{{nil}, {unix.EINTR, unix.EINTR, nil}, {unix.EINTR, unix.EEXIST}} {
		calls := 0
		err := kernel.Retry(func() error {
			calls++
			return list[calls-1]
		})
		if calls != len(list) || err != list[calls-1] {
			t.Errorf("%v: %d calls, %v", list, calls, err)
		}
	}
}

func TestRename(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	for _, f := range []string{a, b} {
		if err := os.WriteFile(f, []byte(f), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := kernel.Rename(a, b, unix.RENAME_NOREPLACE); !errors.Is(err, unix.EEXIST) || !strings.HasPrefix(err.Error(), "rename "+a+" "+b) {
		t.Errorf("over another: %v", err)
	}
	if err := kernel.Rename(a, b, unix.RENAME_EXCHANGE); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(a); err != nil || string(got) != b {
		t.Errorf("exchanged: %q, %v", got, err)
	}
	if err := kernel.Rename(filepath.Join(dir, "c"), a, unix.RENAME_EXCHANGE); !errors.Is(err, unix.ENOENT) || !strings.HasPrefix(err.Error(), "exchange ") {
		t.Errorf("with nothing: %v", err)
	}
}

func TestOOMKills(t *testing.T) {
	for text, want := range map[string]struct {
		n  uint64
		ok bool
	}{
		"low 0\nhigh 0\nmax 9\noom 3\noom_kill 2\noom_group_kill 0\n": {2, true},
		"oom_kill 0\n":  {0, true},
		"oom 1\n":       {0, false},
		"":              {0, false},
		"oom_kill x\n":  {0, false},
		"noom_kill 7\n": {0, false},
	} {
		if n, ok := kernel.OOMKills(text); n != want.n || ok != want.ok {
			t.Errorf("%q: %d %v", text, n, ok)
		}
	}
}
