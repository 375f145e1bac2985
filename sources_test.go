// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/sdcontainer/sdcontainer/nsexec"
	"github.com/sdcontainer/sdcontainer/rootfs"
)

// Somebody who can write where a bind source is made puts a link in its place:
// what that leads to keeps its mode.
func TestMakeSourceOfOthers(t *testing.T) {
	dir := t.TempDir()
	canary, path := filepath.Join(dir, "canary"), filepath.Join(dir, "made")
	if err := os.Mkdir(canary, 0o700); err != nil {
		t.Fatal(err)
	}
	var stop atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for !stop.Load() {
			if os.Remove(path) == nil {
				_ = os.Symlink(canary, path) // it may have been made anew
			}
		}
	}()
	c := &rootfs.Create{Kind: nsexec.Dir, Mode: 0o777, UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
	for range 5000 {
		_ = makeSource(path, c) // it may fail: the other one is in the way
		if st, err := os.Stat(canary); err != nil || st.Mode().Perm() != 0o700 {
			t.Errorf("canary: %v, %v", st.Mode(), err)
			break
		}
	}
	stop.Store(true)
	<-done
}

func TestMakeSource(t *testing.T) {
	for _, kind := range []nsexec.Kind{nsexec.Dir, nsexec.File} {
		path := filepath.Join(t.TempDir(), "made")
		c := &rootfs.Create{Kind: kind, Mode: 0o1757, UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
		if err := makeSource(path, c); err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(path)
		if err != nil || st.IsDir() != (kind == nsexec.Dir) || st.Mode().Perm() != 0o757 || st.Mode()&os.ModeSticky == 0 {
			t.Errorf("%v, %v", st.Mode(), err)
		}
	}
}
