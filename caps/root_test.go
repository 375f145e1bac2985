// SPDX-License-Identifier: Apache-2.0

package caps

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/internal/sdtest/converse"
	"github.com/sdcontainer/sdcontainer/nsexec"
)

// become makes a process that is y and returns its /proc/PID/status.
func become(t *testing.T, y *Payload, userns bool) map[string]string {
	t.Helper()
	return becomeFrom(t, y, userns, func(int) error { return nil })
}

// becomeFrom is become, of an interpreter to which something is done before.
func becomeFrom(t *testing.T, y *Payload, userns bool, before func(pid int) error) map[string]string {
	t.Helper()
	sdtest.Require(t, sdtest.Root)
	h, err := nsexec.Start(nsexec.StartOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if err := before(h.Pid); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	spawn := nsexec.New("spawn")
	flags := uint64(unix.CLONE_NEWPID)
	if userns {
		flags |= unix.CLONE_NEWUSER
	}
	spawn.Fork(nsexec.Control, nsexec.CloneArgs{Namespaces: flags, Sibling: true, Cgroup: nsexec.NoReg})
	spawn.End()
	init, err := converse.Spawn(ctx, h, spawn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = unix.PidfdSendSignal(int(init.File.Fd()), unix.SIGKILL, nil, 0)
		_, _ = unix.Wait4(init.Pid, nil, 0, nil)
		init.File.Close()
	})
	enter := nsexec.Next("enter", spawn)
	if userns {
		m := []specs.LinuxIDMapping{{HostID: 100000, Size: 65536}}
		if err := nsexec.WriteIDMaps(init.Pid, m, m); err != nil {
			t.Fatal(err)
		}
		enter.Setgroups(nil)
		enter.Setgid(0)
		enter.Setuid(0)
	}
	none := func() {}
	y.Enter(enter, none, none)
	enter.Ready(nsexec.Control, 1)
	enter.End()
	status := map[string]string{}
	err = converse.Run(ctx, h, enter, nil, func(nsexec.Event) error {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", init.Pid))
		for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
			key, value, _ := strings.Cut(s.Text(), ":")
			status[key] = strings.TrimSpace(value)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return status
}

func set(t *testing.T, status map[string]string, key string) Set {
	t.Helper()
	n, err := strconv.ParseUint(status[key], 16, 64)
	if err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	return Set(n)
}

// have is what this process could give.
func have(t *testing.T) Set {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "CapPrm:")
	line, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.ParseUint(strings.TrimSpace(line), 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return Set(n) & All
}

// C1, C2, C3, C6: what the kernel says of the process is what was planned.
func TestC2Become(t *testing.T) {
	one, two := []string{"CAP_CHOWN"}, []string{"CAP_CHOWN", "CAP_NET_BIND_SERVICE"}
	all := have(t).Names() // this root may be limited itself
	umask := uint32(0o077)
	for name, c := range map[string]struct {
		p  specs.Process
		id Identity
	}{
		"root":              {specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: two, Effective: two, Permitted: two}}, Identity{0, 0, []uint32{0}, "/"}},
		"root without caps": {specs.Process{NoNewPrivileges: true}, Identity{0, 0, []uint32{0}, "/"}},
		"user":              {specs.Process{NoNewPrivileges: true, User: specs.User{Umask: &umask}}, Identity{33, 44, []uint32{4, 44, 55}, "/"}},
		"user with ambient": {specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: two, Effective: one, Permitted: two, Inheritable: one, Ambient: one}}, Identity{1000, 1000, []uint32{1000}, "/"}},
		"user with all":     {specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: all, Effective: all, Permitted: all}}, Identity{1000, 1000, []uint32{1000}, "/"}},
	} {
		for _, userns := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s userns=%v", name, userns), func(t *testing.T) {
				y, err := Plan(&c.p, &specs.Linux{}, c.id)
				if err != nil {
					t.Fatal(err)
				}
				st := become(t, y, userns)
				got := Sets{set(t, st, "CapBnd"), set(t, st, "CapEff"), set(t, st, "CapInh"), set(t, st, "CapPrm"), set(t, st, "CapAmb")}
				if d := cmp.Diff(y.Sets, got); d != "" {
					t.Error(d)
				}
				shift := uint32(0)
				if userns {
					shift = 100000
				}
				uid, gid := fmt.Sprint(c.id.UID+shift), fmt.Sprint(c.id.GID+shift)
				var groups []string
				for _, g := range c.id.Groups {
					groups = append(groups, fmt.Sprint(g+shift))
				}
				nnp := map[bool]string{false: "0", true: "1"}[c.p.NoNewPrivileges]
				want := map[string]string{"Uid": strings.Repeat(uid+"\t", 3) + uid, "Gid": strings.Repeat(gid+"\t", 3) + gid,
					"Groups": strings.Join(groups, " "), "NoNewPrivs": nnp, "Umask": fmt.Sprintf("%04o", y.umask)}
				for key, value := range want {
					if st[key] != value {
						t.Errorf("%s: %q, want %q", key, st[key], value)
					}
				}
			})
		}
	}
}

func TestAffinity(t *testing.T) {
	y, err := Plan(&specs.Process{ExecCPUAffinity: &specs.CPUAffinity{Final: "0"}}, nil, Identity{Home: "/"})
	if err != nil {
		t.Fatal(err)
	}
	if st := become(t, y, false); st["Cpus_allowed_list"] != "0" {
		t.Errorf("CPUs %q, want 0", st["Cpus_allowed_list"])
	}
}

// A mask that the starter has goes on to the payload, unless it is taken away; one of its own is neither.
func TestAnyCPU(t *testing.T) {
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	first, last := 0, len(all)*64-1
	for !all.IsSet(first) {
		first++
	}
	for !all.IsSet(last) {
		last--
	}
	one.Set(last)
	for name, tt := range map[string]struct {
		any  bool
		own  string
		want func(list string) bool
	}{
		"the starter's":   {false, "", func(list string) bool { return list == fmt.Sprint(last) }},
		"any":             {true, "", func(list string) bool { return strings.HasPrefix(list, fmt.Sprint(first)) }},
		"one of its own":  {true, fmt.Sprint(first), func(list string) bool { return list == fmt.Sprint(first) }},
		"that alone, too": {false, fmt.Sprint(first), func(list string) bool { return list == fmt.Sprint(first) }},
	} {
		p := &specs.Process{}
		if tt.own != "" {
			p.ExecCPUAffinity = &specs.CPUAffinity{Final: tt.own}
		}
		y, err := Plan(p, nil, Identity{Home: "/"})
		if err != nil {
			t.Fatal(err)
		}
		y.AnyCPU = tt.any
		pin := func(pid int) error { return unix.SchedSetaffinity(pid, &one) }
		if list := becomeFrom(t, y, false, pin)["Cpus_allowed_list"]; !tt.want(list) {
			t.Errorf("%s: CPUs %q, of %d to %d, started on %d", name, list, first, last, last)
		}
	}
}

func TestNotExecutable(t *testing.T) {
	sdtest.Require(t, sdtest.Root)
	dir := t.TempDir()
	file := dir + "/app"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := nsexec.Start(nsexec.StartOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	y, err := Plan(&specs.Process{NoNewPrivileges: true}, nil, Identity{UID: 1000, GID: 1000, Groups: []uint32{1000}, Home: "/"})
	if err != nil {
		t.Fatal(err)
	}
	y.Path = file
	enter := nsexec.New("enter")
	none := func() {}
	y.Enter(enter, none, none)
	enter.Exec(file, nil, nil)
	err = converse.Run(t.Context(), h, enter, nil, nil)
	if err == nil || !strings.Contains(err.Error(), "check "+file) || !strings.Contains(err.Error(), unix.EACCES.Error()) {
		t.Errorf("got %v, want the check of %s to say permission denied", err, file)
	}
}
