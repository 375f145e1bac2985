// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Without descriptors nobody can look at a process: it is not taken for one that has ended.
func TestWhoCannotBeLookedAtIsAlive(t *testing.T) {
	self, err := identify(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	other := self
	other.Start++
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := limit
	none.Cur = 0
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	alive, makes := self.alive(), makerLives(newPrefix+"id."+"1073741823.x")
	_, openErr := self.open()
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if !alive || !makes || !errors.Is(openErr, unix.EMFILE) {
		t.Errorf("alive %v, makes a record %v, opened: %v; want true, true, EMFILE", alive, makes, openErr)
	}
	if !self.alive() || other.alive() || (procID{1 << 30, 1}).alive() {
		t.Error("with descriptors, only this process is alive")
	}
}

// What cannot be looked at is not taken for another file.
func TestIsAt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if at, err := isAt(f, path); !at || err != nil {
		t.Errorf("itself: %v, %v", at, err)
	}
	if at, err := isAt(f, path+"2"); at || err != nil {
		t.Errorf("no file: %v, %v", at, err)
	}
	f.Close()
	if at, err := isAt(f, path); at || err == nil {
		t.Errorf("one that is closed: %v, %v", at, err)
	}
}

// A claim that cannot be read is not said to be released.
func TestReleaseSaysWhatItCannot(t *testing.T) {
	r := &Runtime{Dir: t.TempDir()}
	if err := r.release("5", "id"); err != nil {
		t.Errorf("no claim: %v", err)
	}
	if err := os.WriteFile(r.path(usernsDir), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.release("5", "id"); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("no directory of claims: %v, want ENOTDIR", err)
	}
}
