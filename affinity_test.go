// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/caps"
	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/rootfs"
)

// tellCPUs has the shell print which CPUs it may run on.
const tellCPUs = "while read -r key value; do case $key in Cpus_allowed_list:) echo $value;; esac; done </proc/self/status"

// runPinned tells which CPUs a container, and what is executed in it, may run on: those of the container are the third argument,
// those of exec the fourth.
func runPinned(args []string) (err error) {
	ctx := context.Background()
	r := &Runtime{Dir: args[0]}
	spec, err := testSpec("pinned", args[1], []string{"/bin/sh", "-c", tellCPUs + "; read -r end"})
	if err != nil {
		return err
	}
	spec.Linux.Resources.CPU = &specs.LinuxCPU{Cpus: args[2]}
	out, in, err1 := os.Pipe()
	until, end, err2 := os.Pipe()
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	lines := bufio.NewReader(out)
	c, err := r.Create(ctx, "pinned", spec, CreateOptions{Stdin: until, Stdout: in, Stderr: os.Stderr})
	if err != nil {
		return err
	}
	defer func() {
		end.Close()
		_, ended := c.Wait(ctx)
		err = errors.Join(err, ended, c.Destroy(ctx, true))
	}()
	if err := c.Start(ctx); err != nil {
		return err
	}
	first, err := lines.ReadString('\n')
	if err != nil {
		return err
	}
	p := &specs.Process{Args: []string{"/bin/sh", "-c", tellCPUs}}
	if args[3] != "" {
		p.ExecCPUAffinity = &specs.CPUAffinity{Final: args[3]}
	}
	proc, err := c.Exec(ctx, p, ExecOptions{Stdout: in, Stderr: os.Stderr})
	if err != nil {
		return err
	}
	second, err := lines.ReadString('\n')
	fmt.Print(first, second)
	_, ended := proc.Wait(ctx)
	return errors.Join(err, ended)
}

// cpus are those that this process may run on, and the last of them.
func cpus(t *testing.T) (set unix.CPUSet, last int) {
	t.Helper()
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		t.Fatal(err)
	}
	for last = len(set)*64 - 1; !set.IsSet(last); {
		last--
	}
	return set, last
}

// A container with CPUs of its own has all of them, and what is executed in it, whatever mask the command was started with.
// With more than one CPU in a cpuset that is systemd's it can be seen on no machine here: emulated guests have one, and natively there is no such controller.
func TestCallersAffinity(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	set, last := cpus(t)
	one, own := fmt.Sprint(last), "0-"+fmt.Sprint(last)
	is := func(want string) func(string) bool { return func(list string) bool { return list == want } }
	all := func(list string) bool {
		mask, err := configs.CPUMask(list)
		n := 0
		for i := range len(mask) * 8 {
			if mask[i/8]&(1<<(i%8)) != 0 && set.IsSet(i) {
				n++
			}
		}
		return err == nil && n == set.Count()
	}
	for _, tt := range []struct {
		own, exec  string
		init, next func(list string) bool
	}{
		{"", "", is(one), is(one)}, {own, "", all, all}, {own, one, all, is(one)},
	} {
		cmd := exec.CommandContext(soon(t), "taskset", "--cpu-list", one, self, "other", "pinned", w.Dir, w.root, tt.own, tt.exec)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if lists := strings.Fields(string(out)); err != nil || len(lists) != 2 || !tt.init(lists[0]) || !tt.next(lists[1]) {
			t.Errorf("CPUs %q, of exec %q: %v, %q", tt.own, tt.exec, err, out)
		}
	}
}

// Which starts take the mask away: of containers with CPUs of their own, however they are given, but not in a service.
func TestAffinityIsTakenAway(t *testing.T) {
	for name, tt := range map[string]struct {
		text    string
		service bool
		want    int
	}{
		"without": {"", false, 0}, "cpus": {"resources.cpu.cpus = '0'", false, 1}, "mems": {"resources.cpu.mems = '0'", false, 0},
		"file of the cgroup": {"resources.unified = { 'cpuset.cpus' = '0' }", false, 1}, "property": {"systemd.scope.AllowedCPUs = '[byte 1]'", false, 1},
		"service": {"resources.cpu.cpus = '0'", true, 0}, "of exec": {"process.exec_cpus = '0'", false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			spec, settings := configured(t, "rootfs.path = '/srv'\nprocess.args = ['/x']\nuserns = { mode = 'manual', uid_map = ['0:9:9'], gid_map = ['0:9:9'] }\n"+tt.text+"\n")
			p, err := newPlan(spec, settings, compileOptions{service: tt.service})
			if err != nil {
				t.Fatal(err)
			}
			y, err1 := caps.Plan(spec.Process, spec.Linux, caps.Identity{Home: "/"})
			err2 := p.complete(rootfs.Facts{Sources: map[string]rootfs.SourceKind{}})
			if err := cmp.Or(err1, err2); err != nil {
				t.Fatal(err)
			}
			y.Path = "/x"
			enter, err := p.enter(y)
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for _, s := range enter.Explain() {
				if s.Call == "sched_setaffinity" {
					n++
					if got := s.Args[len(s.Args)-1]; got != "{all 8192}" {
						t.Errorf("the mask is %s", got)
					}
				}
			}
			if n != tt.want {
				t.Errorf("%d steps set it, want %d", n, tt.want)
			}
		})
	}
}

// What exec runs has the CPUs that were asked for; else, in a service with CPUs of its own, those of its first process.
func TestExecIsPinned(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
	_, last := cpus(t)
	var one unix.CPUSet
	one.Set(last)
	if err := unix.SchedSetaffinity(cmd.Process.Pid, &one); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		cpus, own, asked string
		service          bool
		want             string
	}{
		"scope": {cpus: "0-8"}, "service": {cpus: "0-8", service: true, want: fmt.Sprint(last)}, "service without": {service: true},
		"of the container": {cpus: "0-8", own: "5", service: true, want: "5"}, "of a scope's container": {own: "5", want: "5"},
		"asked for": {cpus: "0-8", own: "5", asked: "7", service: true, want: "7"},
	} {
		t.Run(name, func(t *testing.T) {
			affinity := func(list string) *specs.CPUAffinity {
				if list == "" {
					return nil
				}
				return &specs.CPUAffinity{Final: list}
			}
			p := inherit(&specs.Process{ExecCPUAffinity: affinity(tt.asked)}, &specs.Process{ExecCPUAffinity: affinity(tt.own)})
			linux := &specs.Linux{Resources: &specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: tt.cpus}}}
			l := &launch{c: &Container{st: &record{Service: tt.service, Init: procID{Pid: cmd.Process.Pid}}}, spec: &specs.Spec{Process: p, Linux: linux}}
			l.plan = &plan{spec: l.spec}
			if err := l.planJoin(t.Context()); err != nil {
				t.Fatal(err)
			}
			got := ""
			if p.ExecCPUAffinity != nil {
				got = p.ExecCPUAffinity.Final
			}
			if got != tt.want {
				t.Errorf("CPUs %q, want %q", got, tt.want)
			}
		})
	}
}
