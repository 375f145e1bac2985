// SPDX-License-Identifier: Apache-2.0

package sweep

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
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
// says its pid and waits before it becomes the manager.
const serviceUnit = `[Service]
Type=notify
NotifyAccess=main
Delegate=yes
Slice=sdcontainer.slice
Environment=GOMAXPROCS=1
ExecStart=/bin/sh -c 'if test -e %[1]s/hold; then echo $$$$ >%[1]s/pid; read x <%[1]s/go; fi; exec %[2]s run --unit %[1]s/%[3]s.toml'
ExecStopPost=-%[2]s cleanup %[3]s
KillMode=mixed
TimeoutStopSec=1s
`

const serviceName = name + ".service"

// TestKillService: the same for a manager that is the main process of a service.
func TestKillService(t *testing.T) {
	o, ok := inside(t)
	if !ok {
		return
	}
	m := newMachine(t, o)
	s := m.newService()
	line := tally{Sweep: "kill run --unit"}
	defer func() { line.Keepers = m.emptyKeepers; tell(t, line) }()
	stride, n := 1, 1
	if !o.Soak {
		r, err := s.round(1 << 30)
		if err != nil {
			t.Fatal(err)
		}
		stride = max(1, r.calls/12)
		n = 1 + rand.New(rand.NewPCG(o.Seed, 3)).IntN(stride)
	}
	for ; ; n += stride {
		r, err := s.round(n)
		if r.calls < n && err == nil {
			line.Calls = r.calls
			return
		}
		line.Stopped++
		line.Gone = max(line.Gone, float64(r.gone.Microseconds())/1000)
		line.Removed = max(line.Removed, float64(r.removed.Microseconds())/1000)
		if err == nil {
			line.Clean++
			continue
		}
		t.Errorf("killed at call %d, %s: %v", n, r.last, err)
		if line.Stopped-line.Clean >= giveUp {
			line.Note = "(given up)"
			return
		}
		_ = s.systemctl("reset-failed", serviceName) // it has been complained about
		m.restore()
	}
}

type service struct {
	*machine
	dir       string
	pid, goes *os.File
}

func (m *machine) newService() *service {
	m.t.Helper()
	s := &service{machine: m, dir: m.t.TempDir()}
	text, err := os.ReadFile(m.file)
	errs := []error{err}
	toml := strings.Replace(string(text), `args = ["/bin/true"]`, `args = ["`+strings.Join(payload, `", "`)+`"]`, 1)
	unit := filepath.Join("/run/systemd/system", serviceName)
	errs = append(errs, os.WriteFile(filepath.Join(s.dir, name+".toml"), []byte(toml), 0o644), os.MkdirAll(filepath.Dir(unit), 0o755),
		os.WriteFile(unit, fmt.Appendf(nil, serviceUnit, s.dir, m.bin, name), 0o644),
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

// round kills the manager at its n-th call, and looks.
func (s *service) round(n int) (r round, err error) {
	hold := filepath.Join(s.dir, "hold")
	if err := os.WriteFile(hold, nil, 0o600); err != nil {
		return r, err
	}
	if err := s.systemctl("start", "--no-block", serviceName); err != nil {
		return r, err
	}
	pid, err := s.main()
	if err = errors.Join(err, os.Remove(hold)); err != nil {
		return r, err
	}
	ws, err := trace.Run(nil, trace.Options{Manager: true, Attach: pid, Deadline: patience, Go: func() error {
		_, err := s.goes.WriteString("\n")
		return err
	}, OnCall: r.killAt(n)})
	if err != nil {
		return r, err
	}
	var errs []error
	if r.calls < n && ws.ExitStatus() != 0 {
		errs = append(errs, fmt.Errorf("by itself: %#x", ws))
	}
	r.gone, err = s.helpersGone()
	begin := time.Now()
	errs = append(errs, err, s.systemctl("stop", serviceName))
	r.removed = time.Since(begin)
	_ = s.systemctl("reset-failed", serviceName) // it may not have failed
	if text, code, _ := s.do("rm", "-f", name); code != 0 {
		errs = append(errs, fmt.Errorf("rm -f: exit %d: %s", code, text))
	}
	errs = append(errs, s.cleaned(), s.again())
	return r, errors.Join(errs...)
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
