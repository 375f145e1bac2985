// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// E9, R8: the kernel's files hold what Limits says, after a reload of the manager too.
// A limit that this systemd lacks was dropped, and is not among them.
func TestGuestLimits(t *testing.T) {
	sdtest.Require(t, sdtest.Guest, sdtest.Cgroup2)
	if out, err := exec.Command("modprobe", "bfq").CombinedOutput(); err != nil { // for its file
		t.Fatalf("%v: %s", err, out)
	}
	disk := Limit{Device: "/"}
	if ok, err := disk.Find(); !ok || err != nil {
		t.Fatal(ok, err)
	}
	c := dialTest(t)
	u, pid := startTest(t, c, "limits", &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: ptr(int64(64<<20 + 1)), Swap: ptr(int64(64<<20 + 1)), Reservation: ptr(int64(32 << 20))},
		CPU:    &specs.LinuxCPU{Shares: ptr(uint64(512)), Quota: ptr(int64(33333)), Period: ptr(uint64(50000)), Cpus: "0"},
		Pids:   &specs.LinuxPids{Limit: ptr(int64(99))},
		Unified: map[string]string{
			"memory.high": "50000000", "memory.oom.group": "1", "io.weight": "default 300",
			"io.max": disk.Device + " rbps=1000000 wbps=max riops=4294967295 wiops=400",
		},
	})
	t.Cleanup(func() {
		if err := c.Stop(context.WithoutCancel(t.Context()), u.Name); err != nil {
			t.Error(err)
		}
	})
	path, err := CgroupOf(int(pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"at the start", "after a reload"} {
		for _, l := range Limits(u) {
			if _, err := l.Find(); err != nil {
				t.Error(err)
			}
			b, err := os.ReadFile(dir(path, l.File))
			if have, ok := l.In(string(b)); err != nil || !ok || have != l.Value {
				t.Errorf("%s: %s (%s of %s) is %q, %v, %v; want %q", when, l.File, l.Property, l.Device, have, ok, err, l.Value)
			}
		}
		if err := c.call(t.Context(), "", "Reload", nil); err != nil {
			t.Fatal(err)
		}
	}
}

// TestGuestPayload: a file of the payload's sub-cgroup has its value, and the process is there.
func TestGuestPayload(t *testing.T) {
	sdtest.Require(t, sdtest.Guest, sdtest.Cgroup2)
	c := dialTest(t)
	u, pid := startTest(t, c, "payload", &specs.LinuxResources{
		CPU: &specs.LinuxCPU{Quota: ptr(int64(50000)), Burst: ptr(uint64(10000))},
	})
	t.Cleanup(func() {
		if err := c.Stop(context.WithoutCancel(t.Context()), u.Name); err != nil {
			t.Error(err)
		}
	})
	unit, err := CgroupOf(int(pid))
	if err != nil {
		t.Fatal(err)
	}
	path, err := MakePayload(unit, u.Payload, nil, int(pid))
	if err != nil {
		t.Fatal(err)
	}
	if now, err := CgroupOf(int(pid)); now != path || err != nil {
		t.Errorf("the process is in %s, %v; want %s", now, err, path)
	}
	for _, l := range PayloadLimits(u) {
		b, err := os.ReadFile(dir(path, l.File))
		if have := strings.TrimSpace(string(b)); err != nil || have != l.Value {
			t.Errorf("%s is %q, %v; want %q", l.File, have, err, l.Value)
		}
	}
	if pids, err := Procs(unit); err != nil || len(pids) != 1 || pids[0] != int(pid) {
		t.Errorf("processes are %v, %v; want %d", pids, err, pid)
	}
}
