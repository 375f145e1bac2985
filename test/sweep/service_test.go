// SPDX-License-Identifier: Apache-2.0

package sweep

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest/trace"
)

// serviceUnit is the template of packaging/ for one container. While there is a file "hold" the main process
// says its pid and waits before it becomes the command; while there is "hold-post", so does what tidies up after it.
const serviceUnit = `[Service]
Type=notify
NotifyAccess=main
Delegate=yes
Slice=sdcontainer.slice
Environment=GOMAXPROCS=1
StandardOutput=append:%[1]s/out
StandardError=append:%[1]s/out
ExecStart=/bin/sh -c 'if test -e %[1]s/hold; then echo $$$$ >%[1]s/pid; read x <%[1]s/go; fi; exec %[2]s run --unit %[1]s/%[3]s.toml'
ExecStopPost=-/bin/sh -c 'if test -e %[1]s/hold-post; then echo $$$$ >%[1]s/pid; read x <%[1]s/go; fi; exec %[2]s cleanup %[3]s'
KillMode=mixed
TimeoutStopSec=%[4]s
`

const serviceName = name + ".service"

// R1, R2: the same for a command that is the main process of a service.
func TestKillService(t *testing.T) {
	o, ok := inside(t)
	if !ok {
		return
	}
	m := newMachine(t, o, plain)
	s := m.newService("1s")
	line := tally{Sweep: "kill run --unit"}
	defer func() { tell(t, line) }()
	m.every(&line, "killed", 3, 12, func(n int) (int, string, error) {
		r, err := s.round(n)
		line.took(r)
		return r.calls, r.last, err
	})
}

// R2, R5, R17, R21, R22, R23: and for what systemd executes when the service has ended: it is killed, gets a signal, or its calls fail.
func TestServiceCleanup(t *testing.T) {
	o, ok := inside(t)
	if !ok {
		return
	}
	m := newMachine(t, o, plain)
	s := m.newService("5s")
	line := tally{Sweep: "kill cleanup of a service"}
	m.every(&line, "killed", 9, 5, func(n int) (int, string, error) {
		r, err := s.cleanup(n)
		return r.calls, r.last, err
	})
	tell(t, line)
	m.sweepEach(ready{verb: "cleanup of a service", run: s.tidied, after: s.tidy}, 2, 1)
}

type service struct {
	*machine
	dir       string
	pid, goes *os.File
}

// newService is stopped in that time, which is that of what tidies up, too.
func (m *machine) newService(stop string) *service {
	m.t.Helper()
	s := &service{machine: m, dir: m.t.TempDir()}
	text, err := os.ReadFile(m.file)
	errs := []error{err}
	toml := strings.Replace(string(text), `args = ["/bin/true"]`, `args = ["`+strings.Join(payload, `", "`)+`"]`, 1)
	unit := filepath.Join("/run/systemd/system", serviceName)
	errs = append(errs, os.WriteFile(filepath.Join(s.dir, name+".toml"), []byte(toml), 0o644), os.MkdirAll(filepath.Dir(unit), 0o755),
		os.WriteFile(unit, fmt.Appendf(nil, serviceUnit, s.dir, m.bin, name, stop), 0o644),
		unix.Mkfifo(filepath.Join(s.dir, "pid"), 0o600), unix.Mkfifo(filepath.Join(s.dir, "go"), 0o600))
	m.t.Cleanup(func() {
		err := s.systemctl("stop", serviceName)
		_ = s.systemctl("reset-failed", serviceName) // a payload killed before it heard of SIGTERM is a failure
		if err := errors.Join(err, os.Remove(unit), s.systemctl("daemon-reload")); err != nil {
			m.t.Error(err)
		}
	})
	var err1, err2 error
	s.pid, err1 = os.OpenFile(filepath.Join(s.dir, "pid"), os.O_RDWR, 0)
	s.goes, err2 = os.OpenFile(filepath.Join(s.dir, "go"), os.O_RDWR, 0)
	if err := errors.Join(append(errs, err1, err2, s.systemctl("daemon-reload"), s.again())...); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { s.pid.Close(); s.goes.Close() })
	_ = s.systemctl("reset-failed", serviceName) // as above: else it would belong to a clean machine
	m.look()
	return s
}

func (s *service) systemctl(args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, "systemctl", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// again starts the service, without interruption, and stops it.
func (s *service) again() error {
	return errors.Join(s.systemctl("start", serviceName), s.systemctl("stop", serviceName))
}

// traced starts the service, with its command under o, and returns what that printed.
func (s *service) traced(o trace.Options) (ended, string, error) {
	return s.attached("start", "hold", o)
}

// tidied stops it, with what tidies up under o.
func (s *service) tidied(o trace.Options) (ended, string, error) {
	if err := s.systemctl("start", serviceName); err != nil {
		return ended{}, "", err
	}
	return s.attached("stop", "hold-post", o)
}

// held is the pid of what a job of systemd comes to, which waits.
func (s *service) held(job, file string) (pid int, err error) {
	hold := filepath.Join(s.dir, file)
	err = errors.Join(os.WriteFile(hold, nil, 0o600), os.WriteFile(filepath.Join(s.dir, "out"), nil, 0o600), s.systemctl(job, "--no-block", serviceName))
	if err != nil {
		return 0, err
	}
	if pid, err = s.main(); err != nil {
		return 0, err
	}
	return pid, os.Remove(hold)
}

func (s *service) release() error {
	_, err := s.goes.WriteString("\n")
	return err
}

func (s *service) attached(job, file string, o trace.Options) (ended, string, error) {
	var err error
	if o.Attach, err = s.held(job, file); err != nil {
		return ended{}, "", err
	}
	o.Deadline, o.Go = patience, s.release
	ws, err := trace.Run(nil, o)
	b, readErr := os.ReadFile(filepath.Join(s.dir, "out"))
	return ended{ws.ExitStatus(), int(ws.Signal()), ws.Signaled()}, string(b), errors.Join(err, readErr)
}

// round kills the command at its n-th call, and looks.
func (s *service) round(n int) (r round, err error) {
	end, out, err := s.traced(trace.Options{Manager: true, OnCall: r.killAt(n)})
	if err != nil {
		return r, err
	}
	var errs []error
	if r.calls < n && end.code != 0 {
		errs = append(errs, fmt.Errorf("by itself: %v: %s", end, out))
	}
	r.gone, err = s.helpersGone()
	begin := time.Now()
	errs = append(errs, err, s.systemctl("stop", serviceName))
	r.removed = time.Since(begin)
	errs = append(errs, s.over(), s.again())
	_ = s.systemctl("reset-failed", serviceName) // as below
	return r, errors.Join(errs...)
}

// cleanup kills what tidies up at its n-th call, and looks.
func (s *service) cleanup(n int) (r round, err error) {
	end, out, err := s.tidied(trace.Options{Manager: true, OnCall: r.killAt(n)})
	if now := s.inspect(); err == nil && r.calls < n && (end.code != 0 || now.Status != "") {
		err = fmt.Errorf("by itself: %v, and the container is %+v: %s", end, now, out)
	}
	return r, errors.Join(err, s.tidy(end))
}

// tidy: the service has stopped, and it starts again. Only who could not look at it, and said so, may have left its record.
func (s *service) tidy(e ended) error {
	err := s.systemctl("stop", serviceName)
	if now := s.inspect(); now.Status != "" && (e.fine() || now.Status != "stopped") {
		err = errors.Join(err, fmt.Errorf("%v, and the container is %+v", e, now))
	}
	return errors.Join(err, s.over(), s.again(), s.over())
}

// over: nothing is left of a service that was stopped.
func (s *service) over() error {
	var errs []error
	_ = s.systemctl("reset-failed", serviceName) // it may not have failed
	if text, code, _ := s.do("rm", "-f", name); code != 0 {
		errs = append(errs, fmt.Errorf("rm -f: exit %d: %s", code, text))
	}
	return errors.Join(append(errs, s.cleaned())...)
}

// main is the service's main process, which waits.
func (s *service) main() (int, error) {
	if err := s.pid.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return 0, err
	}
	b := make([]byte, 16)
	k, err := s.pid.Read(b)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(b[:k])))
}
