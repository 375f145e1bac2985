// SPDX-License-Identifier: Apache-2.0

package sdtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Command prepares a command inside the system, as root with a plain environment.
// It is killed with the context. Set Dir, Env, Stdin, Stdout as with any other.
func (s *System) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return s.command(ctx, "/", append([]string{name}, args...))
}

func (s *System) command(ctx context.Context, dir string, args []string) *exec.Cmd {
	enter := []string{"--target", strconv.Itoa(s.PID), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root",
		"--wdns=" + dir, "setpriv", "--pdeathsig", "KILL", "--"}
	cmd := exec.CommandContext(ctx, "nsenter", append(enter, args...)...)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8", "TERM=dumb"}
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(s.enter.Fd())}
	cmd.WaitDelay = 10 * time.Second // what it leaves running must not hold its output for ever
	return cmd
}

// patience is for one command, or one test, inside.
const patience = 5 * time.Minute

// limitOf is how long a test may take inside. One that hangs ends with its goroutines shown, before the test outside
// would with those that wait for it.
func limitOf(t testing.TB) time.Duration {
	const margin = 20 * time.Second
	limit := patience
	if Soaking() {
		limit = math.MaxInt64
	}
	if test, ok := t.(*testing.T); ok {
		if end, ok := test.Deadline(); ok {
			limit = min(limit, max(time.Until(end)-margin, time.Second))
		}
	}
	return limit
}

// Enter runs a command inside and returns what it printed, and its exit code.
func (s *System) Enter(t testing.TB, args ...string) (out string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	b, err := s.command(ctx, "/", args).CombinedOutput()
	var exit *exec.ExitError
	if ctx.Err() != nil {
		t.Fatalf("%s: not done after %v: %s", strings.Join(args, " "), patience, b)
	}
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
	if exit != nil {
		code = exit.ExitCode()
	}
	return string(b), code
}

// shared are the systems of this test binary, by rootfs.
var shared struct {
	sync.Mutex
	systems map[string]*System
}

// BootSystemd returns the package's system; the first test that asks boots it. It
// skips where that is not possible.
func BootSystemd(t testing.TB) *System {
	t.Helper()
	return BootRootfs(t, "")
}

// BootRootfs is BootSystemd with another root, such as an [Image]'s, for another version of systemd.
func BootRootfs(t testing.TB, rootfs string) *System {
	t.Helper()
	Require(t, Systemd)
	shared.Lock()
	defer shared.Unlock()
	if s := shared.systems[rootfs]; s != nil {
		return s
	}
	s, err := Boot(context.Background(), BootOptions{Rootfs: rootfs})
	if err != nil {
		t.Fatal(err)
	}
	if shared.systems == nil {
		shared.systems = map[string]*System{}
	}
	shared.systems[rootfs] = s
	return s
}

// Main runs a package's tests and then ends its systems. Where PID 1 is a systemd that may
// be disturbed, the machine must afterwards be as it was: see [canary]. Use it as
//
//	func TestMain(m *testing.M) { os.Exit(sdtest.Main(m)) }
func Main(m *testing.M) int {
	code := watched(m.Run)
	shared.Lock()
	defer shared.Unlock()
	for rootfs, s := range shared.systems {
		delete(shared.systems, rootfs)
		if err := s.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	return code
}

// Inside tells a test whether it runs where PID 1 is a systemd that may be disturbed.
// Where it does not, the test, or benchmark, is run once more in the package's system;
// its outcome and output become this one's, and the answer is false.
func Inside(t testing.TB) bool {
	t.Helper()
	if InSystemd() {
		t.Attr("tier", string(Systemd))
		watch(t)
		return true
	}
	BootSystemd(t).Run(t, t.Name())
	return false
}

// InsideAll is Inside with every systemd at hand: the host's, and those of the guests that have been
// built and are of another release. Where SDCONTAINER_MUST lists a guest's [Built], it must have been.
func InsideAll(t *testing.T) bool {
	t.Helper()
	if Inside(t) {
		return true
	}
	host, _ := os.ReadFile("/etc/os-release") // without one it is no such release
	for _, release := range Releases {
		if bytes.Contains(host, []byte("ID=debian\n")) && bytes.Contains(host, []byte(`VERSION_ID="`+release+`"`)) {
			continue
		}
		if err := Built(release).missing(t); err != nil {
			t.Logf("not with the systemd of Debian %s: %v", release, err)
			continue
		}
		image, _, err := FindImage(release)
		if err != nil {
			t.Fatal(err)
		}
		BootRootfs(t, image.Rootfs()).Run(t, t.Name())
	}
	return false
}

// Run runs tests of this binary inside, by their full name, and fails or skips with them.
func (s *System) Run(t testing.TB, name string) {
	t.Helper()
	self, err := s.install()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	pattern := "^" + strings.ReplaceAll(regexp.QuoteMeta(name), "/", "$/^") + "$"
	args := []string{self, "-test.timeout=" + limitOf(t).String()}
	if _, ok := t.(*testing.B); ok {
		args = append(args, "-test.run=^$", "-test.bench="+pattern, "-test.benchmem")
	} else {
		args = append(args, "-test.v", "-test.run="+pattern)
	}
	cmd := s.command(t.Context(), dir, args)
	for _, name := range []string{soakEnv, mustEnv} {
		if v := os.Getenv(name); v != "" {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil:
		t.Fatalf("inside: %v\n%s", err, out)
	case bytes.Contains(out, []byte("--- SKIP: "+name+" ")):
		t.Skipf("inside:\n%s", out)
	case bytes.Contains(out, []byte("no tests to run")):
		t.Fatalf("inside: no test %s", name)
	}
	t.Logf("inside:\n%s", out)
}

// install puts this binary where the system sees it.
func (s *System) install() (string, error) {
	const name = "self.test"
	path := filepath.Join(s.Share, name)
	if _, err := os.Stat(path); err == nil {
		return filepath.Join(ShareInside, name), nil
	}
	in, err := os.Open("/proc/self/exe")
	if err != nil {
		return "", err
	}
	defer in.Close()
	out, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(out, in)
	return filepath.Join(ShareInside, name), errors.Join(err, out.Close())
}
