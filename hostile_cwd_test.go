// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// A6: CVE-2024-21626. The container exchanges the directory an exec begins in
// with links to wherever they may lead.
func TestA6ExchangedWorkingDirectory(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	targets := []string{"/proc/self/fd/3", "/proc/1/root", "../../../../..", "/proc/self/fd/100", "/proc/self/cwd"}
	attempts, began, met := sdtest.Loops(t, 50, 10000), 0, 0
	for i, target := range targets {
		some, other := w.exchangeDirectory(fmt.Sprint("swap", i), target, (attempts+i)/len(targets))
		t.Logf("%s: %d began, %d met the link", target, some, other)
		began, met = began+some, met+other
	}
	sdtest.MustHaveSome(t, "began", began, attempts)
	sdtest.MustHaveSome(t, "met the link", met, attempts)
}

// exchangeDirectory has a container begin processes in a directory that it exchanges with a link to target. It
// returns how many began somewhere, and how many met the link.
func (w *world) exchangeDirectory(id, target string, attempts int) (began, met int) {
	t := w.t
	work := filepath.Join(w.root, "work") // after another round the link may be the directory
	if err := errors.Join(os.RemoveAll(work), os.MkdirAll(work+"/d", 0o755), os.Symlink(target, work+"/link")); err != nil {
		t.Fatal(err)
	}
	c, _ := w.startHostile(id, w.hostile(id, "swap"))
	for range attempts {
		r, out := pipe(t)
		p, err := c.Exec(t.Context(), &specs.Process{Args: []string{"/spy", "spy", "cwd"}, Cwd: "/work/d"}, ExecOptions{Stdout: out})
		out.Close()
		if err != nil {
			if met++; !errors.Is(err, unix.ENOTDIR) && !errors.Is(err, unix.ENOENT) { // where the link leads
				t.Errorf("%s: %v", target, err)
			}
			continue
		}
		b, _ := io.ReadAll(r)
		r.Close()
		if _, err := p.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		began++
		switch at, ok := strings.CutSuffix(string(b), " <nil>\n"); {
		case !ok || !strings.HasPrefix(at, `"/`):
			t.Errorf("%s: working directory is %s", target, b)
		case at != `"/work/d"` && at != `"/work/link"`: // that is the directory, exchanged since
			met++
		}
	}
	if err := c.Destroy(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	return began, met
}
