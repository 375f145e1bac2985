// SPDX-License-Identifier: Apache-2.0

package nsexec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// For each k, a program whose step k fails runs the steps before it and none
// behind it, and the error names step k.
func TestFailureAtEachStep(t *testing.T) {
	const steps = 6
	for k := range steps {
		t.Run(fmt.Sprint(k), func(t *testing.T) {
			h, _, spawn := inNamespaces(t, 0)
			dir := t.TempDir()
			p := Next("build", spawn)
			r := p.Receive("directory")
			for i := range steps {
				p.At(fmt.Sprintf("make directory %d", i), "")
				name := fmt.Sprint(i)
				if i == k {
					name = "missing/" + name
				}
				p.Mkdir(r, name, 0o755)
			}
			p.End()
			err := h.run(testContext(t), p, []*os.File{openPath(t, dir)}, noSync)
			var step *StepError
			if !errors.As(err, &step) || step.Index != k || step.Program != "build" || step.Errno != unix.ENOENT || step.Name != fmt.Sprintf("make directory %d", k) {
				t.Fatalf("%#v", err)
			}
			list, err := os.ReadDir(dir)
			if err != nil || len(list) != k {
				t.Errorf("%v made, %v; want %d", list, err, k)
			}
		})
	}
}

func TestTolerated(t *testing.T) {
	h, _, spawn := inNamespaces(t, 0)
	dir := t.TempDir()
	p := Next("build", spawn)
	r := p.Receive("directory")
	p.Mkdir(r, "a", 0o755)
	p.Mkdir(r, "a", 0o755) // EEXIST is fine
	missing := p.OpenInRoot(r, "missing", unix.O_PATH)
	p.steps[2].OrSkip(1, unix.EIO, unix.ENOENT)
	p.Mkdir(missing, "b", 0o755) // only with the directory
	p.Mkdir(r, "c", 0o755)
	p.Close(missing)
	p.steps[5].Tolerate(unix.EBADF) // nothing was there
	p.Jump(1)
	p.Mkdir(r, "d", 0o755)
	p.Umask(0)
	p.End()
	if err := h.run(testContext(t), p, []*os.File{openPath(t, dir)}, noSync); err != nil {
		t.Fatal(err)
	}
	list, err := filepath.Glob(dir + "/*")
	if want := []string{dir + "/a", dir + "/c"}; err != nil || !slices.Equal(list, want) {
		t.Errorf("%v %v, want %v", list, err, want)
	}
}

func TestSyncCarriesDescriptors(t *testing.T) {
	h, _, spawn := inNamespaces(t, 0)
	ctx := testContext(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	dir := openPath(t, t.TempDir())
	p := Next("build", spawn)
	root := p.Receive("directory")
	p.Mkdir(root, "out", 0o755)
	p.Sync(Control, 11, p.OpenInRoot(root, "out", unix.O_PATH))
	p.Write(p.SyncReceive(Control, 12), "pipe", "hello")
	p.End()
	if err := h.Send(p, dir); err != nil {
		t.Fatal(err)
	}
	e, err := h.Next(ctx)
	if err != nil || e.Kind != Synced || e.ID != 11 || e.File == nil {
		t.Fatalf("%+v %v", e, err)
	}
	where, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", e.File.Fd()))
	if want := dir.Name() + "/out"; where != want {
		t.Errorf("%s, %v, want %s", where, err, want)
	}
	e.File.Close()
	if err := h.Answer(e, nil); err != nil {
		t.Fatal(err)
	}
	if e, err = h.Next(ctx); err != nil || e.ID != 12 || e.File != nil {
		t.Fatalf("%+v %v", e, err)
	}
	if err := h.Answer(e, w); err != nil {
		t.Fatal(err)
	}
	if e, err = h.Next(ctx); err != nil || e.Kind != Done {
		t.Fatalf("%+v %v", e, err)
	}
	var b [5]byte
	if _, err := io.ReadFull(r, b[:]); err != nil || string(b[:]) != "hello" {
		t.Errorf("%q %v", b, err)
	}
}

// Answers that are not the answer are death.
func TestWrongAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		bend func(e *Event)
		file bool
	}{
		"other id":       {func(e *Event) { e.ID++ }, false},
		"other program":  {func(e *Event) { e.program++ }, false},
		"unwanted file":  {func(e *Event) {}, true},
		"wanted is fine": {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			h, _, spawn := inNamespaces(t, 0)
			p := Next("build", spawn)
			p.Sync(Control, 5, NoReg)
			p.End()
			if err := h.Send(p); err != nil {
				t.Fatal(err)
			}
			e, err := h.Next(testContext(t))
			if err != nil {
				t.Fatal(err)
			}
			var f *os.File
			if c.file {
				f = openPath(t, "/")
			}
			if c.bend != nil {
				c.bend(&e)
			}
			if err := h.Answer(e, f); err != nil {
				t.Fatal(err)
			}
			_, err = h.Next(testContext(t))
			if c.bend == nil && err != nil || c.bend != nil && !errors.Is(err, unix.EPROTO) {
				t.Error(err)
			}
		})
	}
}

func TestRefusedPrograms(t *testing.T) {
	good := New("good")
	good.Umask(0)
	good.End()
	for name, c := range map[string]struct {
		seals  int
		bend   func(b []byte) []byte
		extra  int // descriptors besides the program
		parent uint32
		want   unix.Errno
	}{
		"count":           {allSeals, nil, -1, 0, unix.EPROTO}, // says it brings one descriptor more
		"good":            {allSeals, nil, 0, 0, 0},
		"unsealed":        {0, nil, 0, 0, unix.EPERM},
		"not for writing": {allSeals &^ unix.F_SEAL_WRITE, nil, 0, 0, unix.EPERM},
		"not for growing": {allSeals &^ unix.F_SEAL_GROW, nil, 0, 0, unix.EPERM},
		"empty":           {allSeals, func([]byte) []byte { return nil }, 0, 0, unix.EPERM},
		"too large":       {allSeals, func(b []byte) []byte { return append(b, make([]byte, 1<<20)...) }, 0, 0, unix.EPERM},
		"broken":          {allSeals, func(b []byte) []byte { b[0]++; return b }, 0, 0, unix.EBADMSG},
		"extra file":      {allSeals, nil, 1, 0, unix.EBADMSG},
		"other parent":    {allSeals, nil, 0, 1, unix.EPROTO},
	} {
		t.Run(name, func(t *testing.T) {
			h := startHelper(t, StartOptions{})
			b := encode(t, good)
			if c.bend != nil {
				b = c.bend(b)
			}
			fd, err := unix.MemfdCreate("program", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
			if err != nil {
				t.Fatal(err)
			}
			f := os.NewFile(uintptr(fd), "program")
			defer f.Close()
			if _, err := f.Write(b); err != nil {
				t.Fatal(err)
			}
			if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, c.seals); err != nil {
				t.Fatal(err)
			}
			fds := []int{fd}
			for range c.extra {
				fds = append(fds, fd)
			}
			parent := uint32(os.Getpid())
			if c.parent != 0 {
				parent = c.parent
			}
			h.running = good
			n := len(fds)
			if c.extra < 0 {
				n++
			}
			if err := h.write(order{orderProgram, h.sent.add(good), parent, uint32(n)}, fds); err != nil {
				t.Fatal(err)
			}
			_, err = h.Next(testContext(t))
			var step *StepError
			switch {
			case c.want == 0 && err != nil:
				t.Error(err)
			case c.want != 0 && (!errors.Is(err, c.want) || errors.As(err, &step) && step.Index != -1):
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

// Orders that are short, long or of an unknown kind.
func TestRefusedOrders(t *testing.T) {
	for name, b := range map[string][]byte{
		"short":   put(nil, order{orderAnswer, 1, 1, 0})[:15],
		"long":    append(put(nil, order{orderAnswer, 1, 1, 0}), 0),
		"unknown": put(nil, order{7, 1, 1, 0}),
		"answer":  put(nil, order{orderAnswer, 1, 1, 0}),
		"count":   put(nil, order{orderProgram, 1, uint32(os.Getpid()), 1}),
	} {
		t.Run(name, func(t *testing.T) {
			h := startHelper(t, StartOptions{})
			if _, err := h.f.Write(b); err != nil {
				t.Fatal(err)
			}
			if e, err := h.Next(testContext(t)); !errors.Is(err, unix.EPROTO) {
				t.Errorf("%v %v", e, err)
			}
			waitDead(t, h.pidfd, 5*time.Second)
		})
	}
}

func TestDeathIsReported(t *testing.T) {
	h, init, spawn := inNamespaces(t, 0)
	p := Next("build", spawn)
	p.Sync(Control, 1, NoReg)
	p.End()
	if err := h.Send(p); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Next(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if err := kernel.Signal(init.Pidfd, unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_, err := h.Next(testContext(t))
	if want := "program build: init ended unexpectedly: killed by SIGTERM"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestNextHonoursItsContext(t *testing.T) {
	h, _, spawn := inNamespaces(t, 0)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := h.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	p := Next("build", spawn)
	p.End()
	if err := h.run(testContext(t), p, nil, noSync); err != nil {
		t.Errorf("after the deadline: %v", err)
	}
}

func TestA7Checks(t *testing.T) {
	null := unix.Mkdev(1, 3)
	for name, c := range map[string]struct {
		step func(p *Program, dev Reg)
		want unix.Errno
	}{
		"cwd":         {func(p *Program, dev Reg) { p.CheckCwd() }, 0},
		"null":        {func(p *Program, dev Reg) { p.CheckNode(dev, "/dev/null", unix.S_IFCHR, null) }, 0},
		"other type":  {func(p *Program, dev Reg) { p.CheckNode(dev, "/dev/null", unix.S_IFBLK, null) }, unix.ENODEV},
		"other minor": {func(p *Program, dev Reg) { p.CheckNode(dev, "/dev/null", unix.S_IFCHR, unix.Mkdev(1, 5)) }, unix.ENODEV},
		"other major": {func(p *Program, dev Reg) { p.CheckNode(dev, "/dev/null", unix.S_IFCHR, unix.Mkdev(2, 3)) }, unix.ENODEV},
		"cwd outside": {func(p *Program, dev Reg) {
			// The cwd stays in the old root, which nothing reaches any more.
			p.PropagateAll(unix.MS_PRIVATE)
			fs := p.Fsopen("tmpfs")
			mnt := p.Fsmount(fs, "tmpfs", 0)
			p.MoveMount(mnt, p.OpenHere("/tmp", unix.O_PATH), "/tmp")
			old := p.OpenHere("/", unix.O_PATH)
			p.PivotRoot(mnt)
			p.call(unix.SYS_FCHDIR, "", old)
			p.CheckCwd()
		}, unix.EXDEV},
	} {
		t.Run(name, func(t *testing.T) {
			h, _, spawn := inNamespaces(t, unix.CLONE_NEWNS)
			p := Next("build", spawn)
			c.step(p, p.Receive("device"))
			p.End()
			err := h.run(testContext(t), p, []*os.File{openPath(t, "/dev/null")}, noSync)
			if c.want == 0 && err != nil || c.want != 0 && !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

// The longest map that is right by CheckIDMaps is so by the kernel too.
func TestLongestIDMaps(t *testing.T) {
	sdtest.Require(t, sdtest.Root, sdtest.Userns)
	long := []specs.LinuxIDMapping{{ContainerID: 999, HostID: 3000000000, Size: 1000000}}
	for i := range uint32(246) {
		long = append(long, specs.LinuxIDMapping{ContainerID: i, HostID: 4000000000 + 2*i, Size: 1})
	}
	many := make([]specs.LinuxIDMapping, 340)
	for i := range many {
		many[i] = specs.LinuxIDMapping{ContainerID: uint32(i), HostID: uint32(i), Size: 1}
	}
	for _, maps := range [][]specs.LinuxIDMapping{long, many} {
		f, err := NewUserns(testContext(t), maps, maps)
		if err != nil {
			t.Fatalf("%d ranges, %d bytes: %v", len(maps), len(configs.IDMapText(maps)), err)
		}
		f.Close()
	}
	if n := len(configs.IDMapText(long)); n != 4096-1 {
		t.Errorf("%d bytes, want one less than a page", n)
	}
}

func TestNewUserns(t *testing.T) {
	sdtest.Require(t, sdtest.Root, sdtest.Userns)
	ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}, {ContainerID: 70000, HostID: 7, Size: 1}}
	f, err := NewUserns(testContext(t), ids, ids)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := startHelper(t, StartOptions{})
	p := New("join")
	p.Setns(p.Receive("userns"), "userns", unix.CLONE_NEWUSER)
	p.Sync(Control, 1, NoReg)
	p.End()
	if err := h.run(testContext(t), p, []*os.File{f}, func(Event) error {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/uid_map", h.Pid))
		if want := "0 100000 65536 70000 7 1"; strings.Join(strings.Fields(string(b)), " ") != want {
			t.Errorf("%q %v, want %q", b, err, want)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
