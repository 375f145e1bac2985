// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// A1: CVE-2019-5736. An entrypoint whose interpreter is /proc/self/exe is run by whoever executes it: that is the helper,
// sealed and nobody's file, which dies without a program. No file of the host is opened.
func TestA1InterpreterIsProcSelfExe(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	before := sumOfSelf(t)
	for name, change := range map[string]func(*testing.T, *specs.Spec){"user namespace": func(*testing.T, *specs.Spec) {}, "host's users": hostRoot} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if err := os.WriteFile(filepath.Join(w.root, "evil"), []byte("#!/proc/self/exe\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			spec := w.spec("evil", "/evil")
			change(t, spec)
			out, e := w.outputOf("evil", spec)
			if e.Code == 0 || out != "" {
				t.Errorf("run: %+v, %q", e, out)
			}
			spec = w.spec("good", "/bin/sleep", "60")
			change(t, spec)
			c, err := w.startSpec("good", spec, CreateOptions{Detach: true})
			if err != nil {
				t.Fatal(err)
			}
			p, err := c.Exec(t.Context(), &specs.Process{Args: []string{"/evil"}}, ExecOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if e, err := p.Wait(t.Context()); err != nil || e.Code == 0 {
				t.Errorf("exec: %+v, %v", e, err)
			}
			if err := c.Destroy(t.Context(), true); err != nil {
				t.Error(err)
			}
		})
	}
	if sumOfSelf(t) != before {
		t.Error("the executable is another one now")
	}
}

func sumOfSelf(t *testing.T) [sha256.Size]byte {
	t.Helper()
	b, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(b)
}
