// SPDX-License-Identifier: Apache-2.0

package sdtest

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A Cap is something a test needs of the machine it runs on.
type Cap string

// The capabilities of machines.
const (
	Root    Cap = "root"    // uid 0 with every capability
	Userns  Cap = "userns"  // user namespaces may be made
	Overlay Cap = "overlay" // overlayfs
	Bus     Cap = "bus"     // dbus-daemon, for a fake manager on a bus
	Systemd Cap = "systemd" // BootSystemd works
	Cgroup2 Cap = "cgroup2" // a unified hierarchy in which limits have an effect
	Static  Cap = "static"  // the test binary runs in a root that has no libraries: CGO_ENABLED=0
	Guest   Cap = "vm"      // this is a guest of BootVM: systemd is PID 1 and everything may be disturbed
)

// Tool is the capability to run a program found in PATH.
func Tool(name string) Cap { return Cap("tool:" + name) }

// Built is the capability to use the guest of a release: its [Image] is in the cache.
func Built(release string) Cap { return Cap("image:" + release) }

// mustEnv lists, separated by commas, the capabilities this machine claims to have.
const mustEnv = "SDCONTAINER_MUST"

// tiersEnv lists, separated by commas, the tiers whose tests are to run now;
// test/tiers runs the others at another time. Unset means all.
const tiersEnv = "SDCONTAINER_TIERS"

// tierOf orders the tiers a test can belong to: the last one asked for counts.
var tierOf = []struct{ cap, tier Cap }{
	{Root, Root}, {Userns, Root}, {Overlay, Root}, {Bus, Bus}, {Systemd, Systemd}, {Guest, Guest},
}

// Require skips the test, saying why, where one of caps is missing. Where
// SDCONTAINER_MUST lists it, the test fails instead: a machine that claims a
// capability skips nothing in silence. It is the only place that skips.
func Require(t testing.TB, caps ...Cap) {
	t.Helper()
	for _, o := range slices.Backward(tierOf) {
		if slices.Contains(caps, o.cap) {
			t.Attr("tier", string(o.tier))
			if tiers := os.Getenv(tiersEnv); tiers != "" && !slices.Contains(strings.Split(tiers, ","), string(o.tier)) {
				t.Skipf("tier %s is not in %s", o.tier, tiersEnv)
			}
			break
		}
	}
	for _, c := range caps {
		if err := c.missing(t); err != nil {
			t.Skipf("needs %s: %v", c, err)
		}
	}
	if slices.Contains(caps, Guest) {
		watch(t)
	}
}

// missing says why the machine has not what it need not have; it fails the test for what was promised.
func (c Cap) missing(t testing.TB) error {
	t.Helper()
	err := c.probe()
	if err != nil && slices.Contains(strings.Split(os.Getenv(mustEnv), ","), string(c)) {
		t.Fatalf("needs %s, which %s promises: %v", c, mustEnv, err)
	}
	return err
}

func (c Cap) probe() error {
	switch c {
	case Root:
		return probeRoot()
	case Userns:
		return probeUserns()
	case Overlay:
		return probeOverlay()
	case Bus:
		return probeTool("dbus-daemon")
	case Systemd:
		return probeSystemd()
	case Cgroup2:
		return probeCgroup2()
	case Static:
		return probeStatic()
	case Guest:
		return probeGuest()
	}
	if name, ok := strings.CutPrefix(string(c), "tool:"); ok {
		return probeTool(name)
	}
	if release, ok := strings.CutPrefix(string(c), "image:"); ok {
		return probeImage(release)
	}
	return fmt.Errorf("unknown capability %q", string(c))
}

func probeTool(name string) error {
	_, err := exec.LookPath(name)
	return err
}

func probeImage(release string) error {
	image, ok, err := FindImage(release)
	if err == nil && !ok {
		err = fmt.Errorf("%s has not been built", image.Dir)
	}
	return err
}

func probeRoot() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("uid is %d", os.Geteuid())
	}
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return os.NewSyscallError("capget", err)
	}
	if data[0].Effective&(1<<unix.CAP_SYS_ADMIN) == 0 {
		return errors.New("CAP_SYS_ADMIN is not in the effective set")
	}
	return nil
}

func probeStatic() error {
	self, err := elf.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer self.Close()
	if slices.ContainsFunc(self.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		return errors.New("the test binary is linked dynamically: want CGO_ENABLED=0")
	}
	return nil
}

// Payload is the test binary, for tests whose containers run it.
func Payload(t testing.TB) string {
	t.Helper()
	Require(t, Static)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return self
}

func probeUserns() error {
	cmd := exec.Command("/proc/self/exe", "-test.run=^$")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER}
	return cmd.Run()
}

func probeOverlay() error {
	fd, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("fsopen overlay", err)
	}
	return unix.Close(fd)
}

func probeCgroup2() error {
	const dir = "/sys/fs/cgroup"
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	if st.Type != unix.CGROUP2_SUPER_MAGIC {
		return fmt.Errorf("%s is not a cgroup2 file system", dir)
	}
	b, err := os.ReadFile(dir + "/cgroup.controllers")
	if err != nil {
		return err
	}
	have := strings.Fields(string(b))
	for _, c := range []string{"cpu", "memory", "pids"} {
		if !slices.Contains(have, c) {
			return fmt.Errorf("%s has no %s controller (it has %s)", dir, c, strings.Join(have, " "))
		}
	}
	return nil
}

// guestDir is where BootVM plants its agent in a guest.
const guestDir = "/run/sdvm"

func probeGuest() error {
	if _, err := os.Stat(guestDir); err != nil {
		return fmt.Errorf("not in a test guest: %w", err)
	}
	return probePID1()
}

func probePID1() error {
	b, err := os.ReadFile("/proc/1/comm")
	if err != nil {
		return err
	}
	if name := strings.TrimSpace(string(b)); name != "systemd" {
		return fmt.Errorf("PID 1 is %s", name)
	}
	return nil
}
