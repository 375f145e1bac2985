// SPDX-License-Identifier: Apache-2.0

package nsexec

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

func TestStartNeedsInterpreter(t *testing.T) {
	if _, err := embedded.ReadFile("bin/README"); err != nil {
		t.Error(err) // what lets the package build before make did
	}
	b, err := interpreter()
	if err != nil || len(b) == 0 {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
}

// One that is embedded goes before one that is installed; where there is none, the error says how to make one.
func TestInterpreterIsFound(t *testing.T) {
	name := "bin/nsexec-" + runtime.GOARCH
	file := filepath.Join(t.TempDir(), "nsexec")
	if b, err := findInterpreter(fstest.MapFS{}, file); !errors.Is(err, ErrNoInterpreter) || !strings.Contains(err.Error(), "build with: make") {
		t.Errorf("none: %d bytes, %v", len(b), err)
	}
	if err := os.WriteFile(file, []byte("installed"), 0o755); err != nil {
		t.Fatal(err)
	}
	for want, built := range map[string]fstest.MapFS{
		"installed": {"bin/README": {}},
		"embedded":  {name: {Data: []byte("embedded")}},
	} {
		if b, err := findInterpreter(built, file); err != nil || string(b) != want {
			t.Errorf("%q, %v; want the %s one", b, err, want)
		}
	}
}

// A2, I2: an interpreter that can be changed, or has another user's rights, refuses to run.
func TestA2UnsealedInterpreterRefuses(t *testing.T) {
	sdtest.Require(t, sdtest.Root)
	b, err := interpreter()
	if err != nil {
		t.Fatal(err)
	}
	exe := filepath.Join(t.TempDir(), "nsexec")
	if err := os.WriteFile(exe, b, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := runsNot(t, exe); !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "refuses to run here") {
		t.Error(err)
	}
	// With another user's rights it does not even look at its socket.
	if err := errors.Join(os.Chown(exe, 65534, 65534), unix.Chmod(exe, 0o6755)); err != nil {
		t.Fatal(err)
	}
	if err := runsNot(t, exe); errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "connection closed") {
		t.Error(err)
	}
}

// A2: each seal counts by itself. One that has all of them runs, and hears that there is nobody to work for.
func TestA2MemoryFileLacksOneSeal(t *testing.T) {
	sdtest.Require(t, sdtest.Root)
	b, err := interpreter()
	if err != nil {
		t.Fatal(err)
	}
	for lacks, c := range map[string]struct {
		seal int
		want unix.Errno
	}{
		"none":           {0, unix.EPROTO},
		"F_SEAL_SEAL":    {unix.F_SEAL_SEAL, unix.EPERM},
		"F_SEAL_SHRINK":  {unix.F_SEAL_SHRINK, unix.EPERM},
		"F_SEAL_GROW":    {unix.F_SEAL_GROW, unix.EPERM},
		"F_SEAL_WRITE":   {unix.F_SEAL_WRITE, unix.EPERM},
		"all but itself": {allSeals &^ unix.F_SEAL_SEAL, unix.EPERM},
	} {
		t.Run(lacks, func(t *testing.T) {
			exe := sealedWith(t, b, allSeals&^c.seal)
			if err := runsNot(t, exe); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

// sealedWith is the path of an executable memory file that has these seals alone.
func sealedWith(t *testing.T, b []byte, seals int) string {
	t.Helper()
	// Not the seal of the mode's x, which brings all others along.
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate("nsexec", flags|unix.MFD_EXEC)
	if err == unix.EINVAL { // before Linux 6.3
		fd, err = unix.MemfdCreate("nsexec", flags)
	}
	if err == nil {
		fd, err = fill(fd, b, seals)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) }) // read only
	if have, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0); err != nil || have != seals {
		t.Fatalf("seals %#x, %v, want %#x", have, err, seals)
	}
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), fd) // ours: the child has others by these numbers
}

// CVE-2019-5736: what /proc/PID/exe leads to is no file of the host, and nobody can
// change it.
func TestA3ExecutableIsSealedAndNobodysFile(t *testing.T) {
	sdtest.Require(t, sdtest.Root)
	exe, seals := sealedExecutable(t)
	if _, err := os.Stat("/proc/sys/vm/memfd_noexec"); err == nil { // Linux 6.3 knows a seal of the mode's x, too
		if err := unix.Chmod(exe, 0o600); seals&unix.F_SEAL_EXEC == 0 || !errors.Is(err, unix.EPERM) {
			t.Errorf("seals %#x, chmod: %v", seals, err)
		}
	}
	for _, flags := range []int{unix.O_WRONLY, unix.O_RDWR, unix.O_WRONLY | unix.O_TRUNC, unix.O_WRONLY | unix.O_APPEND} {
		if fd, err := unix.Open(exe, flags|unix.O_CLOEXEC, 0); err == nil {
			_ = unix.Close(fd)
			t.Errorf("opened with flags %#x", flags)
		}
	}
}

// sealedExecutable is that of an interpreter, and its seals: what every kernel knows is among them.
func sealedExecutable(t *testing.T) (exe string, seals int) {
	t.Helper()
	h := startHelper(t, StartOptions{})
	p := New("wait") // until it runs, the link leads to us
	p.End()
	if err := h.run(testContext(t), p, nil, noSync); err != nil {
		t.Fatal(err)
	}
	exe = fmt.Sprintf("/proc/%d/exe", h.Pid)
	if to, err := os.Readlink(exe); err != nil || !strings.HasPrefix(to, "/memfd:") {
		t.Errorf("%s, %v", to, err)
	}
	f, err := os.Open(exe)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if seals, err = unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0); err != nil || seals&allSeals != allSeals {
		t.Errorf("seals %#x, %v", seals, err)
	}
	return exe, seals
}

// R46: where memory files must not be executed, the start fails and says so.
func TestA4MemoryFilesMustNotBeExecuted(t *testing.T) {
	sdtest.Require(t, sdtest.Root)
	if os.Getenv("A4_INSIDE") == "" {
		if _, err := os.Stat("/proc/sys/vm/memfd_noexec"); err != nil {
			// Before Linux 6.3 nobody can forbid it, nor ask for it: one is made without, and is sealed all the same.
			if fd, err := unix.MemfdCreate("x", unix.MFD_CLOEXEC|unix.MFD_EXEC); err != unix.EINVAL {
				t.Errorf("%d, %v: want the kernel not to know MFD_EXEC", fd, err)
			}
			sealedExecutable(t)
			return
		}
		cmd := exec.Command("unshare", "--pid", "--fork", "--mount-proc", os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), "A4_INSIDE=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	if err := os.WriteFile("/proc/sys/vm/memfd_noexec", []byte("2"), 0); err != nil {
		t.Fatal(err)
	}
	if h, err := Start(StartOptions{}); err == nil || !strings.Contains(err.Error(), "vm.memfd_noexec=2") {
		t.Errorf("%v, %v; want an error that names the setting", h, err)
	}
}

// runsNot executes an interpreter to which nobody can say anything, and returns what it says.
func runsNot(t *testing.T, exe string) error {
	t.Helper()
	near, far, err := socketpair("nsexec")
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	farFile := os.NewFile(uintptr(far), "far")
	defer farFile.Close()
	if err := unix.Shutdown(far, unix.SHUT_RD); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.ExtraFiles = []*os.File{farFile}
	err = cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 125 {
		t.Errorf("%v, want exit status 125", err)
	}
	farFile.Close()
	c := &Conn{f: near, sent: &sentPrograms{}, who: "helper"}
	_, err = c.Next(testContext(t))
	return err
}
