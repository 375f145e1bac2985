// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// reopen opens each standard stream by its name, as programs do whose log file is a link to /dev/stdout; and then the
// first to write into it, and the second to read from it, which are others' to do.
const reopen = "read a </dev/stdin && echo $a-out >/dev/stdout && echo $a-err >/dev/stderr" +
	"; (echo forged >/dev/stdin) 2>/dev/null && echo wrote; (read b </dev/stdout) 2>/dev/null && echo heard"

// ownerOf says whose a file is.
func ownerOf(t *testing.T, f *os.File) (uid, gid uint32) {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	return st.Uid, st.Gid
}

// checkModes holds pipes that were a payload's standard streams against what they are to be: ours still, and open to all in
// one direction.
func checkModes(t *testing.T, who string, o CreateOptions) {
	t.Helper()
	for i, f := range []*os.File{o.Stdin, o.Stdout, o.Stderr} {
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		want := map[bool]os.FileMode{true: 0o644, false: 0o622}[i == 0]
		if uid, gid := ownerOf(t, f); uid != 0 || gid != 0 || info.Mode().Perm() != want {
			t.Errorf("%s: standard stream %d is of %d:%d and has mode %v, want 0:0 and %v", who, i, uid, gid, info.Mode().Perm(), want)
		}
	}
}

// threePipes are standard streams; said reads what comes through the last two.
func threePipes(t *testing.T) (o CreateOptions, said func() string) {
	t.Helper()
	in, word := pipe(t)
	r1, out := pipe(t)
	r2, err := pipe(t)
	if _, err := word.WriteString("word\n"); err != nil {
		t.Fatal(err)
	}
	word.Close()
	return CreateOptions{Stdin: in, Stdout: out, Stderr: err}, func() string {
		t.Helper()
		out.Close()
		err.Close()
		var all []byte
		for _, r := range []*os.File{r1, r2} {
			b, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, b...)
		}
		return string(all)
	}
}

// A payload opens its standard streams by name where they are pipes, whoever it is, and so does a command of exec: to read
// from the first and to write into the others, and not the other way round.
func TestPipesOpenByName(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	for _, tt := range []struct {
		name         string
		user         uint32
		host, detach bool
	}{
		{"root", 0, false, false}, {"user", 1000, false, false}, {"detached", 1000, false, true}, {"host-user", 1000, true, false},
	} {
		spec := w.spec(tt.name, "/bin/sh", "-c", reopen+"; exec sleep 60 </dev/null >/dev/null 2>&1")
		spec.Process.User = specs.User{UID: tt.user, GID: tt.user}
		if tt.host {
			hostRoot(t, spec)
			spec.Process.Rlimits = nil // for another user of ours they take CAP_SYS_RESOURCE
		}
		o, said := threePipes(t)
		o.Detach = tt.detach
		c, err := w.startSpec(tt.name, spec, o)
		if err != nil {
			t.Fatal(err)
		}
		checkModes(t, tt.name, o)
		o, heard := threePipes(t)
		p, err := c.Exec(t.Context(), &specs.Process{Args: []string{"/bin/sh", "-c", reopen}, User: specs.User{UID: 7, GID: 7}},
			ExecOptions{Stdin: o.Stdin, Stdout: o.Stdout, Stderr: o.Stderr})
		if err != nil {
			t.Fatal(err)
		}
		checkModes(t, tt.name+": exec", o)
		if text := heard(); text != "word-out\nword-err\n" {
			t.Errorf("%s: exec said %q", tt.name, text)
		}
		if _, err := p.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		if text := said(); text != "word-out\nword-err\n" { // all that it has to say: what is killed before says less
			t.Errorf("%s said %q", tt.name, text)
		}
		if err := c.Signal(t.Context(), unix.SIGKILL, false); err != nil {
			t.Error(err)
		}
		if _, err := c.Wait(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// What has a name, and what is no pipe, stays as it is: others rely on it.
func TestFilesKeepTheirMode(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	named := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(named, 0o600); err != nil {
		t.Fatal(err)
	}
	fifo, err := os.OpenFile(named, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer fifo.Close()
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[1])
	socket := os.NewFile(uintptr(pair[0]), "socket")
	defer socket.Close()
	streams := []*os.File{fifo, file, socket, hostNull(t)}
	for i, f := range streams {
		spec := w.spec(fmt.Sprint("kept", i), "/bin/true")
		spec.Process.User = specs.User{UID: 1000, GID: 1000}
		c, err := w.startSpec(fmt.Sprint("kept", i), spec, CreateOptions{Stdin: f, Stdout: f, Stderr: f})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		if uid, gid := ownerOf(t, f); uid != 0 || gid != 0 {
			t.Errorf("%s is of %d:%d now, want 0:0", f.Name(), uid, gid)
		}
	}
	if info, err := os.Stat(named); err != nil || strings.TrimPrefix(info.Mode().String(), "p") != "rw-------" {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// A pipe of somebody else stays as it is where its mode may not be set, and is given all the same: it works by its descriptor.
// Another failure is one.
func TestPipesOfSomebodyElse(t *testing.T) {
	sdtest.Require(t, sdtest.Root)
	r, w := pipe(t)
	if err := w.Chown(1, 1); err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var has [2]unix.CapUserData
	if err := unix.Capget(&header, &has[0]); err != nil {
		t.Fatal(err)
	}
	less := has
	less[0].Effective &^= 1 << unix.CAP_FOWNER // and still permitted: it comes back
	if err := unix.Capset(&header, &less[0]); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Capset(&header, &has[0]); err != nil {
			t.Error(err)
		}
	}()
	if err := w.Chmod(0o666); !errors.Is(err, unix.EPERM) {
		t.Fatalf("without the capability: %v", err)
	}
	l := &launch{spec: &specs.Spec{Process: &specs.Process{}}, pipes: [3]*os.File{r, nil, w}}
	if err := l.openPipes(); err != nil {
		t.Error(err)
	}
	if info, err := w.Stat(); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v; want the mode it had", info.Mode(), err)
	}
	w.Close()
	if err := l.openPipes(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("of a pipe that is closed: %v", err)
	}
}

// What two starts at the ends of one pipe take from each other the second look gives back.
func TestModesAreAdded(t *testing.T) {
	for range 1000 {
		r, w := pipe(t)
		for range 2 {
			var g sync.WaitGroup
			for f, bits := range map[*os.File]os.FileMode{r: 0o444, w: 0o222} {
				g.Go(func() {
					if err := addMode(f, bits); err != nil {
						t.Error(err)
					}
				})
			}
			g.Wait()
		}
		if info, err := r.Stat(); err != nil || info.Mode().Perm() != 0o666 {
			t.Fatalf("%v, %v", info.Mode(), err)
		}
		_ = errors.Join(r.Close(), w.Close()) // only looked at
	}
}

// C15: a terminal of the caller is no standard stream, of a start or of exec. One that gets a terminal of its own has that.
func TestC15TerminalOfTheCaller(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	_, terminal := sdtest.OpenTerminal(t)
	hello := &specs.Process{Args: []string{"echo", "hello"}}
	running := w.mustStart("running", CreateOptions{Detach: true}, "sleep", "60")
	for i, o := range []CreateOptions{{Stdin: terminal}, {Stdout: terminal}, {Stderr: terminal}} {
		_, start := w.start("refused", o, hello.Args...)
		_, exec := running.Exec(t.Context(), hello, ExecOptions{Stdin: o.Stdin, Stdout: o.Stdout, Stderr: o.Stderr})
		for op, err := range map[string]error{"start": start, "exec": exec} {
			want := fmt.Sprintf("standard stream %d is the terminal %s: ", i, terminal.Name())
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", op, err, want)
			}
		}
		if _, err := w.Load("refused"); !errors.Is(err, ErrNotExist) {
			t.Errorf("a record of what was refused: %v", err)
		}
	}
	spec := w.spec("own", hello.Args...)
	spec.Process.Terminal = true
	c, err := w.startSpec("own", spec, CreateOptions{Stdin: terminal, Stdout: terminal, Stderr: terminal})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Terminal().Close()
	p, err := running.Exec(t.Context(), hello, ExecOptions{Stdin: terminal, Stdout: terminal, Stderr: terminal, Terminal: true})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Terminal.Close()
	for _, own := range []*os.File{c.Terminal(), p.Terminal} {
		if line, err := bufio.NewReader(own).ReadString('\n'); err != nil || line != "hello\r\n" {
			t.Errorf("%q, %v", line, err)
		}
	}
	_, ended := c.Wait(t.Context())
	_, left := p.Wait(t.Context())
	if err := errors.Join(ended, left); err != nil {
		t.Error(err)
	}
}
