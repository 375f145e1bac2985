// SPDX-License-Identifier: Apache-2.0

package caps

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestRlimits(t *testing.T) {
	got, err := Rlimits([]specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 1024, Hard: 4096}, {Type: "RLIMIT_CORE"}})
	want := []Rlimit{{unix.RLIMIT_NOFILE, "RLIMIT_NOFILE", 1024, 4096}, {unix.RLIMIT_CORE, "RLIMIT_CORE", 0, 0}}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Error(d, err)
	}
	for want, list := range map[string][]specs.POSIXRlimit{
		"want one of": {{Type: "NOFILE"}},
		"above":       {{Type: "RLIMIT_CPU", Soft: 2, Hard: 1}},
		"twice":       {{Type: "RLIMIT_CPU"}, {Type: "RLIMIT_CPU"}},
	} {
		if _, err := Rlimits(list); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", list, err, want)
		}
	}
}

func TestParseCPUs(t *testing.T) {
	got, err := ParseCPUs("0-3,8,65")
	want := []byte{0x0f, 1, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Error(d, err)
	}
	for _, s := range []string{"", ",", "3-1", "-1", "a", "1-", "8192", "99999", " 1"} {
		if m, err := ParseCPUs(s); err == nil {
			t.Errorf("%q: got %v, want an error", s, m)
		}
	}
}

func TestPlanRefuses(t *testing.T) {
	n := func(v int) *int { return &v }
	u := func(v uint32) *uint32 { return &v }
	for want, p := range map[string]*specs.Process{
		"the Spec has none": nil,
		"absolute path":     {Cwd: "tmp"},
		"umask":             {User: specs.User{Umask: u(0o1000)}},
		"oomScoreAdj":       {OOMScoreAdj: n(1001)},
		"policy":            {Scheduler: &specs.Scheduler{Policy: "SCHED_ISO"}},
		"want 1 to 99":      {Scheduler: &specs.Scheduler{Policy: specs.SchedFIFO}},
		"only SCHED_FIFO":   {Scheduler: &specs.Scheduler{Policy: specs.SchedOther, Priority: 1}},
		"nice":              {Scheduler: &specs.Scheduler{Policy: specs.SchedOther, Nice: 20}},
		"for SCHED_DEADLI":  {Scheduler: &specs.Scheduler{Policy: specs.SchedBatch, Period: 20}},
		"flag":              {Scheduler: &specs.Scheduler{Policy: specs.SchedBatch, Flags: []specs.LinuxSchedulerFlag{"X"}}},
		"class":             {IOPriority: &specs.LinuxIOPriority{Class: "X"}},
		"want 0 to 7":       {IOPriority: &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 8}},
		"NAME=VALUE":        {Env: []string{"PATH"}},
		`"=x"`:              {Env: []string{"=x"}},
		`"A=\x00"`:          {Env: []string{"A=\x00"}},
	} {
		if _, err := Plan(p, &specs.Linux{}, Identity{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	for want, l := range map[string]*specs.Linux{
		"memoryPolicy": {MemoryPolicy: &specs.LinuxMemoryPolicy{}},
		"domain":       {Personality: &specs.LinuxPersonality{Domain: "BSD"}},
		"flag":         {Personality: &specs.LinuxPersonality{Domain: specs.PerLinux, Flags: []specs.LinuxPersonalityFlag{"X"}}},
	} {
		if _, err := Plan(&specs.Process{}, l, Identity{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// B19: what could be taken for another line, or another variable, is refused; a value of several lines is one.
func TestB19Environment(t *testing.T) {
	for name, c := range map[string]struct {
		p    specs.Process
		want []string
	}{
		"empty":    {specs.Process{}, []string{"PATH=" + DefaultPath, "HOME=/h", "container=sdcontainer"}},
		"terminal": {specs.Process{Terminal: true}, []string{"PATH=" + DefaultPath, "HOME=/h", "TERM=xterm", "container=sdcontainer"}},
		"given": {specs.Process{Terminal: true, Env: []string{"container=podman", "TERM=vt100", "HOME=", "PATH=/bin", "A=b=c"}},
			[]string{"container=podman", "TERM=vt100", "HOME=", "PATH=/bin", "A=b=c"}},
		"twice": {specs.Process{Env: []string{"A=1", "PATH=/bin", "B=1", "A=2", "HOME=/", "A=3"}},
			[]string{"A=3", "PATH=/bin", "B=1", "HOME=/", "container=sdcontainer"}},
		"lines in a value": {specs.Process{Env: []string{"A=b\nPATH=/evil", "node.name-1=x"}},
			[]string{"A=b\nPATH=/evil", "node.name-1=x", "PATH=" + DefaultPath, "HOME=/h", "container=sdcontainer"}},
		"names as Kubernetes has them": {specs.Process{Env: []string{"A =x", "export A=y", "ProgramFiles(x86)=z"}},
			[]string{"A =x", "export A=y", "ProgramFiles(x86)=z", "PATH=" + DefaultPath, "HOME=/h", "container=sdcontainer"}},
	} {
		got, err := environment(&c.p, Identity{Home: "/h"})
		if d := cmp.Diff(c.want, got); d != "" || err != nil {
			t.Errorf("%s: %s%v", name, d, err)
		}
	}
	for _, env := range [][]string{
		{"FOO"}, {"*"}, {"PATH*"}, {""}, {"=x"}, {"A\nB=x"}, {"\nPATH=/evil"}, {"A\r=x"}, {"A\u0085=x"}, {"A\x7f=x"}, {"A\x00=x"}, {"A\x1b[2J=x"}, {"A=x\x00B=y"},
	} {
		if got, err := environment(&specs.Process{Env: env}, Identity{Home: "/h"}); err == nil {
			t.Errorf("%q: accepted as %q", env, got)
		}
	}
}
