// SPDX-License-Identifier: Apache-2.0

package sweep

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest/trace"
)

// faults are what every step is made to fail with.
var faults = []unix.Errno{unix.EPERM, unix.ENOENT, unix.ENOMEM, unix.EMFILE, unix.EINVAL, unix.ENOSYS, unix.EINTR}

// odd is an errno that no step tolerates: with it a call tells whose it is.
const odd = unix.EBADE

// harmless are the calls of the interpreter whose failure it does not look at: they cannot fail, or
// only tidy up.
var harmless = []uint64{unix.SYS_CLOSE, unix.SYS_MUNMAP, unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_UMASK,
	unix.SYS_DUP3, unix.SYS_PRLIMIT64, unix.SYS_EXIT_GROUP}

// A probe is what came of the n-th call's failure with odd.
type probe struct {
	step *step // whose call it is; nil if it is the interpreter's own
	// quiet: nobody minded. It is harmless, or came when all was done.
	quiet  bool
	spared bool // it did not fail, see fault
}

// A subject is a command whose steps are made to fail.
type subject struct {
	name   string
	config configuration
	// begin makes what the command needs, once; ready returns how it is run, and what must hold after each run of it.
	begin func(*machine) ready
	quick int // rounds of the quick form
	// errnos are tried at each step in a soak: all, or of programs that are much the same as another's so many in turn.
	errnos int
}

// A ready subject.
type ready struct {
	verb string
	run  func(trace.Options) (ended, string, error)
	// after says whether things are as they should be, and removes what was started.
	after func(ended) error
	steps map[uint32][]step // by program, as far as explain knows them
}

func (m *machine) command(args ...string) ready {
	return ready{verb: args[0], run: func(o trace.Options) (ended, string, error) { return m.traced(args, o) }}
}

func foreground(m *machine) ready {
	r := m.command(m.foreground("--rm")...)
	r.after, r.steps = func(ended) error { return nil }, m.explained()
	return r
}

func detached(m *machine) ready {
	r := m.command(append([]string{"run", "-d", m.file}, payload...)...)
	r.after = func(e ended) error {
		if e.code != 0 {
			return nil
		}
		// Where it was the keeper's call that failed, and it was not its own yet, the container ends with it.
		var err error
		if now := m.inspect(); now.Status != "running" && now.Status != "stopped" {
			err = fmt.Errorf("exit 0, and the container is %+v", now)
		}
		return errors.Join(err, m.removed())
	}
	return r
}

func entered(m *machine) ready { return m.stays(helperVerbs[2]) }

// stays is a verb about a container that is there all the time.
func (m *machine) stays(v verb) ready {
	var before state
	r := m.command(v.args(m)...)
	r.after = func(ended) error { return v.after(m, before) }
	m.again = func() {
		running(m)
		before = m.inspect()
		m.look()
	}
	m.again()
	return r
}

func served(m *machine) ready {
	s := m.newService("1s") // and so it starts, and stops
	return ready{verb: "run", run: s.traced, after: func(ended) error {
		err := s.systemctl("stop", serviceName)
		return errors.Join(err, s.over())
	}}
}

// removed removes by force.
func (m *machine) removed() error {
	if text, code, _ := m.do("rm", "-f", name); code != 0 {
		return fmt.Errorf("rm -f: exit %d: %s", code, text)
	}
	return nil
}

var subjects = []subject{
	{"run", plain, foreground, 16, len(faults)},
	{"run (full)", full, foreground, 24, len(faults)},
	{"run -d", plain, detached, 8, 2},
	{"exec", plain, entered, 12, len(faults)},
	{"run --unit", plain, served, 4, 2},
}

// D8, J5, R3, R21, R22, R23, R46: every step of a program fails with every errno, ENOSYS of an old kernel among them. The command names step and
// errno, no later step is begun, and nothing is left; what is tolerated is attested all the same.
func TestStepFaults(t *testing.T) {
	for _, s := range subjects {
		t.Run(s.name, func(t *testing.T) {
			if o, ok := inside(t); ok {
				newMachine(t, o, s.config).sweepFaults(s)
			}
		})
	}
}

func (m *machine) sweepFaults(s subject) {
	f := faulty{machine: m, ready: s.begin(m), met: map[string]bool{}}
	line := tally{Sweep: "errno at each step of " + s.name}
	defer func() { tell(m.t, line) }()
	random := rand.New(rand.NewPCG(m.order.Seed, 2))
	for _, f.role = range []trace.Role{trace.Helper, trace.Init} {
		clean := f.fault(1<<30, odd)
		if clean.end.code != 0 || clean.err != nil {
			m.t.Fatalf("without a fault: %v, %v: %s", clean.end, clean.err, clean.out)
		}
		line.Calls += clean.calls - clean.spared
		stride := 1
		if !m.order.Soak {
			stride = max(1, 2*clean.calls/s.quick)
		}
		for n := 1 + random.IntN(stride); n <= clean.calls; n += stride {
			first, count := n*s.errnos, s.errnos
			if !m.order.Soak {
				first, count = random.IntN(len(faults)), 1
			}
			var errnos []unix.Errno
			for i := range count {
				errnos = append(errnos, faults[(first+i)%len(faults)])
			}
			tried, err := f.try(n, errnos)
			line.Stopped += tried
			if err == nil {
				line.Clean += tried
				continue
			}
			line.Clean += tried - 1
			m.t.Errorf("call %d of the %s: %v", n, f.role, err)
			m.restore()
			if line.Stopped-line.Clean >= giveUp {
				line.Note = "(given up)"
				return
			}
		}
	}
	if m.order.Soak {
		f.complete()
	}
}

// try lets the n-th call fail with each errno. One that is spared is none that was tried.
func (f faulty) try(n int, errnos []unix.Errno) (tried int, err error) {
	p, err := f.whose(n)
	if p.spared && err == nil {
		return 0, nil
	}
	for i := 0; i < len(errnos) && err == nil; i++ {
		tried++
		err = f.check(n, errnos[i], p)
	}
	return max(tried, 1), err
}

// explained are the programs' steps, by name of program.
func (m *machine) explained() map[uint32][]step {
	file := m.file
	if m.config.terminal {
		text, err := os.ReadFile(m.file)
		file = filepath.Join(m.t.TempDir(), name+".toml")
		text = bytes.Replace(text, []byte("[process]\n"), []byte("[process]\nterminal = true\n"), 1)
		if err := errors.Join(err, os.WriteFile(file, text, 0o644)); err != nil {
			m.t.Fatal(err)
		}
	}
	out, code, _ := m.do("explain", "--json", file)
	var x struct {
		Programs map[string][]step `json:"programs"`
	}
	if err := json.Unmarshal([]byte(out), &x); code != 0 || err != nil {
		m.t.Fatalf("explain: exit %d, %v: %s", code, err, out)
	}
	return map[uint32][]step{1: x.Programs["spawn"], 2: x.Programs["build"], 3: x.Programs["enter"]}
}

type faulty struct {
	*machine
	ready
	role trace.Role      // whose calls fail
	met  map[string]bool // steps that failed
}

// outcome is what a run with one fault came to.
type outcome struct {
	calls  int
	spared int // of them, those that close
	nr     uint64
	parted bool // it was the helper's, after it had told of the init: its work was done
	loaded [][]step
	report *report // of the failure
	later  []string
	end    ended
	out    string
	err    error
}

// orphaned: the keeper failed, and its child was seen to die of that first.
func (o outcome) orphaned() bool {
	return o.parted && strings.Contains(o.out, "init ended unexpectedly: ")
}

// fault lets the n-th call fail.
func (f faulty) fault(n int, errno unix.Errno) (o outcome) {
	pid, parted := 0, false
	o.end, o.out, o.err = f.run(trace.Options{Helpers: true, OnCall: func(c trace.Call) trace.Verdict {
		closes := c.NR == unix.SYS_CLOSE // the kernel closes the descriptor whatever it returns; a tracer could only leave it open
		if c.Role == f.role {
			o.calls++
			if closes {
				o.spared++
			}
		}
		if p := programOf(c); p != nil {
			o.loaded = append(o.loaded, p)
		}
		switch r, ok := reportOf(c); {
		case c.Role == f.role && o.calls == n && pid == 0:
			o.nr, pid, o.parted = c.NR, c.PID, parted
			if closes {
				return trace.Verdict{}
			}
			return trace.Verdict{Errno: errno}
		case ok && r.kind == failed && o.report == nil && c.PID == pid:
			o.report = &r
		case o.report != nil && c.PID == pid && c.NR != unix.SYS_EXIT_GROUP:
			o.later = append(o.later, describe(c))
		}
		parted = parted || c.Role == trace.Helper && c.NR == unix.SYS_SENDMSG // with the init's pidfd
		return trace.Verdict{Detach: letGo(c)}
	}})
	o.err = errors.Join(o.err, f.after(o.end))
	return o
}

// whose finds out which step makes the n-th call.
func (f faulty) whose(n int) (probe, error) {
	o := f.fault(n, odd)
	if err := errors.Join(o.err, f.cleaned()); err != nil {
		return probe{}, fmt.Errorf("%s: %w", odd, err)
	}
	switch {
	case o.end.code == 0 && (o.calls < n || o.parted || slices.Contains(harmless, o.nr)): // there may be one less this time
		return probe{quiet: true, spared: o.nr == unix.SYS_CLOSE}, nil
	case o.end.code == 0:
		return probe{}, fmt.Errorf("system call %d failed with %s, and nobody minds", o.nr, odd)
	case o.report == nil || o.report.step == refused || o.orphaned():
		return probe{}, f.told(o)
	}
	s, err := f.step(o)
	if s == nil || err != nil {
		return probe{}, errors.Join(err, f.told(o))
	}
	f.met[s.String()] = true
	return probe{step: s}, errors.Join(s.reported(o, odd), f.names(o, s))
}

// step is the one that a report names; nil if it is said when it was to take the next program. What explain does not know has the name
// that is told of it.
func (f faulty) step(o outcome) (*step, error) {
	program, index := int(o.report.program), int(o.report.step)
	if program < 1 || program > len(o.loaded) || index > len(o.loaded[program-1]) {
		return nil, fmt.Errorf("step %d of program %d is reported: %d programs are loaded", index, program, len(o.loaded))
	}
	if index == len(o.loaded[program-1]) {
		return nil, nil
	}
	s := &o.loaded[program-1][index]
	if f.steps == nil {
		_, rest, _ := strings.Cut(o.out, "sdcontainer: "+f.verb+" "+name+": ")
		s.Name, _, _ = strings.Cut(rest, ": "+s.Call)
		if s.Name == "" || s.Name == rest || strings.Contains(s.Name, "\n") {
			return nil, fmt.Errorf("%s is not named: %s", s, o.out)
		}
		return s, nil
	}
	known := f.steps[o.report.program]
	if index >= len(known) || known[index].Call != s.Call {
		return nil, fmt.Errorf("%s is not the step of explain", s)
	}
	s.Program, s.Name = known[index].Program, known[index].Name
	return s, nil
}

// told: a failure of the interpreter itself is an error too, with the errno if it could say one; so is what was tolerated, such as a
// path to be masked that is not there, and then is not as it should be: that is attested.
func (f faulty) told(o outcome) error {
	if o.end.code != 125 || !strings.Contains(o.out, "sdcontainer: "+f.verb+" "+name+": ") {
		return fmt.Errorf("want exit 125 and an error, have %v: %s", o.end, o.out)
	}
	// EPROTO it also says when the command had an error before it, and hung up.
	if o.report != nil && unix.Errno(o.report.errno) != unix.EPROTO && !strings.Contains(o.out, unix.Errno(o.report.errno).Error()) {
		return fmt.Errorf("%s is reported, and not named: %s", unix.Errno(o.report.errno), o.out)
	}
	return nil
}

// names: step and errno are in the error, and nothing was done after it.
func (f faulty) names(o outcome, s *step) error {
	switch errno := unix.Errno(o.report.errno); {
	case o.end.code < 125 || o.end.code > 127:
		return fmt.Errorf("%s: want a failure, have %v: %s", s, o.end, o.out)
	case !strings.Contains(o.out, s.Name+": "+s.Call) || !strings.Contains(o.out, errno.Error()):
		return fmt.Errorf("%s with %s is not named: %s", s, errno, o.out)
	case len(o.later) > 0:
		return fmt.Errorf("%s: the interpreter went on: %s", s, strings.Join(o.later, "; "))
	}
	return nil
}

// check lets the n-th call, of which p tells, fail with errno.
func (f faulty) check(n int, errno unix.Errno, p probe) error {
	o, s := f.fault(n, errno), p.step
	err := errors.Join(o.err, f.cleaned())
	tolerated := s != nil && s.tolerates(o.nr, errno)
	switch {
	case err != nil:
	case o.end.code == 0 && (o.calls < n || p.quiet || tolerated || s == nil && o.parted):
	case o.end.code == 0:
		err = errors.New("nobody minds")
	case s == nil || o.report == nil && (tolerated || s.special()) || o.report != nil && o.report.step == refused || o.orphaned():
		err = f.told(o)
	case o.report == nil:
		err = fmt.Errorf("the interpreter says nothing of it: %s", o.out)
	case slices.Contains(s.Tolerated, unix.ErrnoName(errno)):
		err = fmt.Errorf("it is tolerated, and yet %v: %s", o.end, o.out)
	default:
		err = errors.Join(s.reported(o, errno), f.names(o, s))
	}
	if err != nil {
		err = fmt.Errorf("%s at system call %d of %v: %w", errno, o.nr, s, err)
	}
	return err
}

// complete: every step that is a call, and is not passed over under some condition, has failed, up to the one
// after which nobody may look. Those that close are left alone, see fault.
func (f faulty) complete() {
	for program, steps := range f.steps {
		passed := 0 // up to here
		spared := []string{"store", "end", "close"}
		for i := range steps {
			s := &steps[i]
			last := program == 3 && (s.Call == "execve" || s.Call == "sync" || s.Call == "reap")
			if i >= passed && !f.met[s.String()] && !slices.Contains(spared, s.Call) && len(s.Tolerated) == 0 && !last {
				f.t.Errorf("never failed: %s", s)
			}
			passed = max(passed, i+1+s.Skip)
		}
	}
}
