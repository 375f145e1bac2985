// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// R19: cut at each length, what a container was made from and how it ended is an error of that file, or nothing that was needed is lost.
func TestCutFiles(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w, files := damagedWorld(t)
	running := w.path("ok", configFile)
	config, err := os.ReadFile(running)
	if err != nil {
		t.Fatal(err)
	}
	cut := func(verbs map[string]func() error, path string, whole []byte, n int, names ...string) {
		t.Helper()
		if err := os.WriteFile(path, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if err := verbs[name](); err != nil || strings.TrimSpace(string(whole[n:])) != "" {
				clearly(t, strconv.Itoa(n)+" bytes: "+name, err, path)
			}
		}
	}
	for file, names := range map[string][]string{configFile: {"spec"}, exitFile: {"inspect", "wait"}} {
		for n := range len(files[file]) {
			if n%sdtest.Stride(100) != 0 {
				continue
			}
			restore(t, w.path("bad"), files)
			all := verbs(soon(t), w.Runtime, "bad")
			need := names
			if file == exitFile && n == 0 { // as of a keeper that has not written
				need = nil
			}
			cut(all, w.path("bad", file), files[file], n, need...)
			if err := w.Remove(soon(t), "bad", true); err != nil {
				t.Errorf("%d bytes of %s: rm -f: %v", n, file, err)
			}
		}
	}
	all := verbs(soon(t), w.Runtime, "ok")
	for n := 0; n < len(config); n += 97 * sdtest.Stride(100) {
		cut(all, running, config, n, "exec", "update", "stop")
	}
	if err := w.Remove(soon(t), "ok", true); err != nil {
		t.Errorf("rm -f: %v", err)
	}
	w.nothingLeft("ok")
	if left := w.names(t); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
}
