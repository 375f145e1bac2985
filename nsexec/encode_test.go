// SPDX-License-Identifier: Apache-2.0

package nsexec

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest/golden"
)

func TestFormatGolden(t *testing.T) {
	var b bytes.Buffer
	for _, p := range []*Program{sampleProgram(), samplePayload()} {
		if err := p.Format(&b); err != nil {
			t.Fatal(err)
		}
	}
	golden.Check(t, "testdata/sample.golden", b.String())
}

func TestEncodeIsDeterministic(t *testing.T) {
	a, b := encode(t, samplePayload()), encode(t, samplePayload())
	if !bytes.Equal(a, b) {
		t.Error("two encodings differ")
	}
}

func TestEncodeRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		make func(p *Program)
		want string
	}{
		"no step":          {func(p *Program) {}, "last step"},
		"no end":           {func(p *Program) { p.Umask(0) }, "last step"},
		"end in middle":    {func(p *Program) { p.End(); p.Umask(0); p.End() }, "End before the last step"},
		"NUL in string":    {func(p *Program) { p.Sethostname("a\x00b"); p.End() }, `NUL byte in "a\x00b"`},
		"unknown register": {func(p *Program) { p.Close(4); p.End() }, "register 4 has never been filled"},
		"closed twice": {func(p *Program) {
			r := p.Fsopen("x")
			p.Close(r)
			p.Close(r)
			p.Fsopen("y")
			p.Fsopen("z")
			p.End()
		}, "Close of register 0"},
		"closed control": {func(p *Program) { p.Close(Control); p.Fsopen("x"); p.End() }, "the way to the parent"},
		"late receive":   {func(p *Program) { p.Umask(0); p.Receive("x"); p.End() }, "after the first step"},
		"skip too far":   {func(p *Program) { p.Sethostname("a"); p.steps[0].OrSkip(1, unix.EPERM); p.End() }, "skips 1 steps, only 1 follow"},
		"many errnos": {func(p *Program) {
			p.Umask(0)
			p.steps[0].Tolerate(1, 2, 3, 4, 5)
			p.End()
		}, "5 tolerated errnos"},
		"long path": {func(p *Program) { p.MkPath(p.Receive("r"), strings.Repeat("a/", 2100), Dir, 0); p.End() }, "4200 bytes"},
		"big state": {func(p *Program) { p.Spawn("/h", nil, nil, make([]byte, maxState+1), 0); p.End() }, "65537 bytes"},
		"timeout":   {func(p *Program) { p.Spawn("/h", nil, nil, nil, -time.Second); p.End() }, "out of range"},
		"much data": {func(p *Program) { p.Bytes(make([]byte, MaxData+1)); p.End() }, "bytes of data"},
		"full data": {func(p *Program) { p.Bytes(make([]byte, MaxData)); p.End() }, "bytes of data"},
		"many steps": {func(p *Program) {
			for range MaxSteps {
				p.Umask(0)
			}
			p.End()
		}, "more than 4096 steps"},
		"many registers": {func(p *Program) {
			for range MaxRegs + 1 {
				p.Fsopen("x")
			}
			p.End()
		}, "more than 191 registers"},
		"many addresses": {func(p *Program) { p.Exec("/x", make([]string, maxRelocs+1), nil) }, "16385 addresses"},
	} {
		t.Run(name, func(t *testing.T) {
			p := New("x")
			c.make(p)
			if _, err := p.Encode(); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "program x") {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func TestProgramJSON(t *testing.T) {
	p := New("x")
	p.At("set the host name", "the user asked for it")
	p.Sethostname("web")
	p.End()
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	const want = `[{"program":"x","index":0,"name":"set the host name","why":"the user asked for it","call":"sethostname","args":["\"web\"","3"]},` +
		`{"program":"x","index":1,"name":"set the host name","why":"the user asked for it","call":"end","args":null}]`
	if d := cmp.Diff(want, string(b)); d != "" {
		t.Error(d)
	}
}

func TestStepErrorText(t *testing.T) {
	for want, e := range map[string]StepError{
		"mount proc on /proc: fsconfig proc: operation not permitted (why)": {Name: "mount proc on /proc", Call: "fsconfig", Object: "proc", Errno: unix.EPERM, Hint: "why"},
		"setsid: operation not permitted":                                   {Call: "setsid", Errno: unix.EPERM},
		"hook: spawn /h: exit status 3":                                     {Name: "hook", Call: "spawn", Object: "/h", Errno: unix.ECHILD, Status: 3},
		"hook: spawn /h: killed by SIGTERM":                                 {Name: "hook", Call: "spawn", Object: "/h", Errno: unix.ECHILD, Status: 143},
		"hook: spawn /h: cannot be executed (exit status 127)":              {Name: "hook", Call: "spawn", Object: "/h", Errno: unix.ECHILD, Status: 127},
		"hook: spawn /h: connection timed out (the hook's timeout is over)": {Name: "hook", Call: "spawn", Object: "/h", Errno: unix.ETIMEDOUT, Hint: "the hook's timeout is over"},
	} {
		if got := e.Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestHint(t *testing.T) {
	for _, c := range []struct {
		call, name string
		errno      unix.Errno
		want       string
	}{
		{"seccomp", "seccomp filter", 524, "net.core.bpf_jit_limit"}, // ENOTSUPP
		{"seccomp", "seccomp filter", unix.EINVAL, "refuses the filter"},
		{"fsconfig", "mount proc on /proc", unix.EPERM, "new proc"},
		{"fsconfig", "mount tmpfs on /tmp", unix.EPERM, ""},
		{"setsid", "new session", 524, ""},
	} {
		got := hint(&StepError{Call: c.call, Name: c.name, Errno: c.errno})
		if !strings.Contains(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%s %v of %q: %q, want %q", c.call, c.errno, c.name, got, c.want)
		}
	}
}

func TestExitRecord(t *testing.T) {
	at := time.Unix(1700000000, 5)
	for _, r := range []ExitRecord{
		{Status: 3 << 8, At: at},
		{Status: unix.WaitStatus(unix.SIGKILL), OOMKilled: true, OOMKnown: true, At: at},
		{Status: unix.WaitStatus(unix.SIGKILL), OOMKnown: true, ManagedOOM: true, At: at},
		{Status: unix.WaitStatus(unix.SIGSEGV) | 0x80, OOMKnown: true, At: at},
	} {
		got, err := ParseExitRecord(r.Encode())
		if err != nil || got != r {
			t.Errorf("%+v, %v, want %+v", got, err, r)
		}
	}
	good := ExitRecord{At: at}.Encode()
	for name, f := range map[string]func(b []byte) []byte{
		"empty":   func(b []byte) []byte { return nil },
		"short":   func(b []byte) []byte { return b[:511] },
		"long":    func(b []byte) []byte { return append(b, 0) },
		"magic":   func(b []byte) []byte { b[0]++; return b },
		"version": func(b []byte) []byte { b[8]++; return b },
		"code":    func(b []byte) []byte { b[12] = 0; return b },
		"status":  func(b []byte) []byte { b[17] = 1; return b },
		"nsec":    func(b []byte) []byte { b[39] = 0xff; return b },
	} {
		if r, err := ParseExitRecord(f(bytes.Clone(good))); err == nil {
			t.Errorf("%s: accepted as %+v", name, r)
		}
	}
}
