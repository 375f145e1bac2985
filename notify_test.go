// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// abuseNotify sends the manager what it should not believe, then that the service is ready, and stays.
func abuseNotify() error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	manager := &unix.SockaddrUnix{Name: os.Getenv("NOTIFY_SOCKET")}
	const most = 253 // descriptors that one message holds: SCM_MAX_FD of the kernel
	stored := 0
	for range 4 {
		var files []int // each another, or the manager would take them for one
		for range most {
			event, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
			if err != nil {
				return err
			}
			files = append(files, event)
		}
		rights := unix.UnixRights(files...)
		if err = unix.Sendmsg(fd, []byte("FDSTORE=1\nFDNAME=evil"), rights, manager, 0); err == nil {
			stored += most
		}
	}
	if stored == 0 {
		return fmt.Errorf("no descriptor was sent: %w", err)
	}
	for _, text := range []string{"", "\x00", "=", "\n\n\n", "MAINPID=1", "MAINPID=2", "MAINPID=-1", "MAINPID=99999999999", "BARRIER=1",
		"STATUS=" + strings.Repeat("x", 100<<10), "STATUS=" + strings.Repeat("x", 8<<20), "ERRNO=1", "EXTEND_TIMEOUT_USEC=-1",
		"FDSTOREREMOVE=1\nFDNAME=none", "STOPPING=0", "WATCHDOG_USEC=x"} {
		_ = unix.Sendto(fd, []byte(text), 0, manager) // the longest is more than a datagram holds
	}
	if err := unix.Sendto(fd, []byte("READY=1\nSTATUS=still here"), 0, manager); err != nil {
		return err
	}
	time.Sleep(time.Hour) // killed long before
	return nil
}

// answerWatchdog says that the service is ready and, if it is to, that it lives, for twice the time that systemd gives it.
func answerWatchdog(speak bool) error {
	if pid, ok := os.LookupEnv("WATCHDOG_PID"); ok {
		return fmt.Errorf("WATCHDOG_PID is %s", pid)
	}
	usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil {
		return err
	}
	c, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET"))
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Write([]byte("READY=1")); err != nil {
		return err
	}
	if !speak {
		time.Sleep(time.Hour) // it is ended long before
	}
	const often = 6 // than it must
	tick := time.NewTicker(time.Duration(usec) * time.Microsecond / often)
	for range 2 * often {
		<-tick.C
		if _, err := c.Write([]byte("WATCHDOG=1")); err != nil {
			return err
		}
	}
	return nil
}

// runNotifier is the main process of a service that becomes a container which has the manager's socket.
func runNotifier(args []string) error {
	r := &Runtime{Dir: args[0]}
	spec, err := testSpec("notifier", args[1], []string{"/spy", "spy", args[2]})
	if err != nil {
		return err
	}
	s, err := configs.SettingsOf(spec)
	if err != nil {
		return err
	}
	s.Notify = "container"
	s.Annotate(spec)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	spec.Mounts = append(spec.Mounts, specs.Mount{Type: "bind", Source: self, Destination: "/spy", Options: []string{"bind", "ro", "exec"}})
	return serve(r, "notifier", spec)
}

// E13: CVE-2018-15686, CVE-2016-7796. A payload that has the manager's socket keeps nothing there, names it no
// process that is not the service's, and does not disturb it.
func TestE13HostileMessages(t *testing.T) {
	if !sdtest.InsideAll(t) {
		return
	}
	w := newWorld(t)
	said := filepath.Join(t.TempDir(), "said")
	before := len(filesOfPID1(t))
	out, err := exec.Command("systemd-run", "--unit=notifier", "-pType=notify", "-pNotifyAccess=all", "-pDelegate=yes", "-pTimeoutStartSec=60",
		"-pStandardOutput=file:"+said, "-pStandardError=file:"+said, sdtest.Payload(t), "other", "notifier", w.Dir, w.root, "notify").CombinedOutput()
	t.Cleanup(func() {
		_ = exec.Command("systemctl", "kill", "--signal=KILL", "notifier.service").Run() // it may have ended
		_ = exec.Command("systemctl", "stop", "notifier.service").Run()
		_ = exec.Command("systemctl", "reset-failed", "notifier.service").Run() // killed
		if c, err := w.Load("notifier"); err == nil {
			_ = c.Destroy(context.Background(), true) // nothing waits for its end
		}
	})
	if err != nil {
		b, _ := os.ReadFile(said)
		t.Fatalf("%v: %s: %s", err, out, b)
	}
	c, err := w.Load("notifier")
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.State()
	if err != nil {
		t.Fatal(err)
	}
	for property, want := range map[string]string{"ActiveState": "active", "MainPID": strconv.Itoa(s.Pid), "StatusText": "still here",
		"NFileDescriptorStore": "0", "StatusErrno": "1"} {
		got, err := exec.Command("systemctl", "show", "-P", property, "notifier.service").Output()
		if err != nil || strings.TrimSpace(string(got)) != want {
			t.Errorf("%s is %q, %v; want %s", property, got, err, want)
		}
	}
	if after := len(filesOfPID1(t)); after > before+50 { // of the 1012 that were sent
		t.Errorf("PID 1 had %d files open and has %d", before, after)
	}
}

func filesOfPID1(t *testing.T) []os.DirEntry {
	t.Helper()
	list, err := os.ReadDir("/proc/1/fd")
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// The watchdog of a service waits for its payload, which knows what for: one that answers goes on, one that does not is ended.
func TestWatchdog(t *testing.T) {
	if !sdtest.InsideAll(t) {
		return
	}
	for _, tt := range []struct{ mode, result string }{{"watchdog", "success"}, {"silent", "watchdog"}} {
		w := newWorld(t)
		said, unit := filepath.Join(t.TempDir(), "said"), tt.mode+".service"
		out, err := exec.Command("systemd-run", "--wait", "--unit="+unit, "-pType=notify", "-pNotifyAccess=all", "-pDelegate=yes", "-pWatchdogSec=2s",
			"-pTimeoutStopSec=20s", "-pStandardOutput=file:"+said, "-pStandardError=file:"+said, sdtest.Payload(t), "other", "notifier", w.Dir, w.root, tt.mode).CombinedOutput()
		t.Cleanup(func() {
			_ = exec.Command("systemctl", "reset-failed", unit).Run() // one has not failed
			if c, err := w.Load("notifier"); err == nil {
				_ = c.Destroy(context.Background(), true) // nothing waits for its end
			}
		})
		b, _ := os.ReadFile(said) // for the message
		if (err == nil) != (tt.result == "success") || !strings.Contains(string(out), "result: "+tt.result) {
			t.Errorf("%s: %v: %s: %s", tt.mode, err, out, b)
		}
	}
}

// The payload alone is to answer: a command of exec is not asked, and where the payload cannot answer a warning says so.
func TestWatchdogEnvironment(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "/run/notify")
	t.Setenv("WATCHDOG_USEC", "5000000")
	t.Setenv("WATCHDOG_PID", "7")
	var warned []string
	l := &launch{c: &Container{rt: &Runtime{Warn: func(msg string) { warned = append(warned, msg) }}}, o: CreateOptions{Service: true}}
	l.spec = &specs.Spec{Process: &specs.Process{Env: []string{"A=b", "WATCHDOG_USEC=1", "WATCHDOG_PID=1"}},
		Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.UserNamespace}}}}
	if err := l.choose(t.Context()); err != nil || len(warned) != 1 || !strings.Contains(warned[0], "WatchdogSec=") {
		t.Errorf("%v, %q", err, warned)
	}
	l.settings.Notify = "container"
	if err := l.choose(t.Context()); err != nil || len(warned) != 1 {
		t.Errorf("%v, %q", err, warned)
	}
	want := []string{"A=b", "NOTIFY_SOCKET=" + notifyPlace, "WATCHDOG_USEC=5000000"}
	if env := l.spec.Process.Env; !slices.Equal(env, want) {
		t.Errorf("environment: %q, want %q", env, want)
	}
	if env := inherit(&specs.Process{Env: []string{"C=d"}}, l.spec.Process).Env; !slices.Equal(env, []string{want[0], want[1], "C=d"}) {
		t.Errorf("environment of exec: %q", env)
	}
}

// What is said to systemd in the name of a process is not said when its number may be another's.
func TestNothingIsSaidForAnInitThatIsGone(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	t.Setenv("NOTIFY_SOCKET", socket)
	gone := exec.Command("/proc/self/exe", "-test.run=^$")
	if err := gone.Start(); err != nil {
		t.Fatal(err)
	}
	pidfd, err := kernel.Pidfd(gone.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer pidfd.Close()
	if err := gone.Wait(); err != nil {
		t.Fatal(err)
	}
	var warned []string
	l := &launch{c: &Container{rt: &Runtime{Warn: func(msg string) { warned = append(warned, msg) }}, st: &record{}}, pidfd: pidfd}
	l.pid = os.Getpid()                                                   // who has its number now
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond) // nobody answers
	defer cancel()
	l.takeOver(ctx)
	if err := manager.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := manager.Read(make([]byte, 100)); err == nil {
		t.Errorf("%d bytes were sent", n)
	}
	if len(warned) != 1 || !strings.Contains(warned[0], "no such process") {
		t.Errorf("warned of %q", warned)
	}
}
