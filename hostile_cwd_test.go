// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// A5, A8, A12: CVE-2024-21626. A command with descriptors that are not close-on-exec
// passes none of them on, and none can be named.
func TestA5LeakyManager(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	for range 12 {
		for _, dir := range []string{"/", "/sys/fs/cgroup"} {
			fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(fd)
		}
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = errors.Join(unix.Close(pair[0]), unix.Close(pair[1])) }()
	dir, err := os.Open("/")
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if c, err := w.Create(t.Context(), "dir", w.spec("dir", "/bin/true"), w.options(CreateOptions{Stdin: dir})); err == nil {
		t.Error("a directory as standard input: accepted")
		_ = c.Destroy(t.Context(), true)
	}
	if files, _ := w.outputOf("leaky", w.hostile("leaky", "files")); files != "<nil> 0 1 2\n" {
		t.Errorf("open files: %s", files)
	}
	c, _ := w.startHostile("entered", w.hostile("entered", "sleep"))
	if files := w.filesOf(c); files != "<nil> 0 1 2\n" {
		t.Errorf("open files of an exec: %s", files)
	}
	for n := 3; n < 40; n += sdtest.Stride(18) {
		for _, dir := range []string{"/proc/self/fd/", "/proc/1/fd/", "/dev/fd/"} {
			spec := w.spec("begin", "/bin/true")
			spec.Process.Cwd = dir + strconv.Itoa(n)
			w.isOutOfReach(spec, c)
			w.isOutOfReach(w.spec("begin", dir+strconv.Itoa(n)), c) // A8: as the executable
		}
	}
	for _, exe := range []string{"/proc/self/exe", "/proc/thread-self/exe", "/proc/1/exe"} {
		spec := w.spec("begin", exe)
		w.isOutOfReach(spec, c)
		hostRoot(t, spec)
		without(specs.PIDNamespace)(spec)
		w.isOutOfReach(spec, nil) // there 1 is the host's
	}
}

// filesOf are the descriptors of a process that is executed in the container.
func (w *world) filesOf(c *Container) string {
	w.t.Helper()
	r, out := pipe(w.t)
	p, err := c.Exec(w.t.Context(), &specs.Process{Args: []string{"/spy", "spy", "files"}}, ExecOptions{Stdout: out})
	out.Close()
	if err != nil {
		w.t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if _, end := p.Wait(w.t.Context()); end != nil || err != nil {
		w.t.Error(err, end)
	}
	return string(b)
}

// isOutOfReach fails unless it is told that nothing is at a Spec's working directory or executable, or that a link like
// that is not followed; and so where a process is to begin in a container that runs.
func (w *world) isOutOfReach(spec *specs.Spec, running *Container) {
	w.t.Helper()
	p := spec.Process
	_, err := w.Create(w.t.Context(), "begin", spec, w.options(CreateOptions{}))
	errs := map[string]error{"create": err}
	if running != nil {
		_, errs["exec"] = running.Exec(w.t.Context(), p, ExecOptions{})
	}
	for verb, err := range errs {
		told := errors.Is(err, ErrNotFound) || errors.Is(err, unix.ELOOP)
		if p.Cwd != "/" { // one of the interpreter's own is no directory
			told = (errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ELOOP) || verb == "exec" && errors.Is(err, unix.ENOTDIR)) &&
				strings.Contains(err.Error(), "working directory "+p.Cwd)
		}
		if !told {
			w.t.Errorf("%s: working directory %s, executable %s: %v", verb, p.Cwd, p.Args[0], err)
		}
	}
}

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
