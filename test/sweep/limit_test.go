// SPDX-License-Identifier: Apache-2.0

package sweep

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// With mostFiles descriptors a start works; with less than leastFiles the Go runtime itself may not.
const (
	mostFiles  = 112
	leastFiles = 12
)

// R21: with every limit on descriptors a start works, or says in one error what is missing.
func TestFewDescriptors(t *testing.T) {
	o, ok := inside(t)
	if !ok {
		return
	}
	m := newMachine(t, o, plain)
	line := limits(t, "RLIMIT_NOFILE of run")
	defer func() { tell(t, line) }()
	worked := 0
	for limit := mostFiles; limit >= leastFiles; limit-- {
		if !o.Soak && limit > 32 && limit%16 != 5 && limit != mostFiles { // nothing differs there
			continue
		}
		m.under(&line, "nofile", limit, func(out string, code int) error {
			if code == 0 {
				worked = limit
				return nil
			}
			return clear(out, code, "too many open files")
		})
	}
	line.Note = fmt.Sprintf("(works with %d)", worked)
	if worked == 0 {
		t.Errorf("with %d descriptors it does not work either", mostFiles)
	}
}

// limits is a line of limits: by its name whoever adds up knows that nothing was interrupted.
func limits(t *testing.T, sweep string) tally {
	t.Helper()
	if !sdtest.OfLimits(sweep) {
		t.Fatalf("%s is taken for interruptions", sweep)
	}
	return tally{Sweep: sweep}
}

// under runs a container with one of prlimit's limits; look says what is wrong with how that ended.
func (m *machine) under(line *tally, resource string, limit int, look func(out string, code int) error) {
	m.t.Helper()
	line.Calls++
	line.Stopped++
	out, code, _ := sdtest.Bounded(patience, "prlimit", fmt.Sprintf("--%s=%d:%d", resource, limit, limit), m.bin, "run", "--rm", m.file)
	if err := errors.Join(look(out, code), m.cleaned()); err != nil {
		m.t.Errorf("with a limit of %s of %d: %v", resource, limit, err)
		m.restore()
		return
	}
	line.Clean++
}

// clear: one error, and one that says what is the trouble.
func clear(out string, code int, trouble string) error {
	if code != 125 || strings.Count("\n"+out, "\nsdcontainer: ") != 1 || !strings.Contains(out, trouble) {
		return fmt.Errorf("want exit 125 and one clear error, have %d and: %.600s", code, out)
	}
	return nil
}

// With mostMemory a start works; with less than leastMemory Go's runtime does not get as far as to say so.
const (
	mostMemory  = 44 << 20
	leastMemory = 32 << 20
)

// R22: with every limit on the command's own memory a start works, or fails and says that it was memory.
// Go's runtime ends where it gets none, with whatever was made so far: rm -f finds it, as after a kill.
func TestLittleMemory(t *testing.T) {
	o, ok := inside(t)
	if !ok {
		return
	}
	m := newMachine(t, o, plain)
	line := limits(t, "RLIMIT_DATA of run")
	defer func() { tell(t, line) }()
	stride := 512 << 10
	if o.Soak {
		stride = 16 << 10
	}
	worked, failed := 0, 0
	for limit := mostMemory; limit >= leastMemory; limit -= stride {
		m.under(&line, "data", limit, func(out string, code int) (err error) {
			if code == 0 {
				worked = limit
			} else if failed++; !strings.Contains(strings.ToLower(out), "memory") {
				err = fmt.Errorf("want a word about memory, have exit %d and: %.600s", code, out)
			}
			_, gone := m.helpersGone()
			return errors.Join(err, gone, m.freed(&line))
		})
	}
	line.Note = fmt.Sprintf("(works with %d KiB)", worked>>10)
	if worked == 0 || failed == 0 {
		t.Errorf("of %d limits it failed with %d, and works with %d bytes: the test shows nothing", line.Calls, failed, worked)
	}
}

// mostTasks are more than a start may need, with all of Go's threads.
const mostTasks = 64

// R22: with every limit on the tasks of the command's own cgroup, from 1 until it always works, a start works, or says in one error that it
// was that, and leaves nothing. Go's runtime ends where it gets no thread, which it says, and leaves what was made so far: rm -f finds it, as
// after a kill. The same name starts again. How many threads Go has differs, so each limit is tried several times.
func TestCommandOutOfTasks(t *testing.T) {
	o, ok := inside(t)
	if !ok {
		return
	}
	limited := tasks(t)
	m := newMachine(t, o, plain)
	line := limits(t, "tasks of run -d")
	defer func() { tell(t, line) }()
	const (
		runtime = "failed to create new OS thread"
		trouble = "(the limit of processes is reached: TasksMax, pids.max or RLIMIT_NPROC)"
	)
	tries := 3
	if o.Soak {
		tries = 30
	}
	limit, worked, threads, refused := 0, 0, 0, 0
	for worked < tries && limit < mostTasks {
		limit++
		worked = 0
		for range tries {
			line.Calls++
			line.Stopped++
			out, code, _ := sdtest.Bounded(patience, append(limited(limit), m.bin, "run", "-d", m.file, "/bin/sleep", "1000")...)
			var err error
			switch {
			case code == 0:
				worked++
				if now := m.inspect(); now.Status != "running" {
					err = fmt.Errorf("exit 0, and the container is %+v: %s", now, out)
				}
			case code == 2 && strings.Contains(out, runtime):
				threads++
				_, err = m.helpersGone()
			default:
				refused++
				err = errors.Join(clear(out, code, trouble), m.cleaned())
			}
			err = errors.Join(err, m.freed(&line))
			if text, code, _ := m.do(m.foreground("--rm")...); code != 0 {
				err = errors.Join(err, fmt.Errorf("the same name again: exit %d: %s", code, text))
			}
			if err = errors.Join(err, m.cleaned()); err != nil {
				t.Errorf("with %d tasks: %v", limit, err)
				m.restore()
				continue
			}
			line.Clean++
		}
	}
	line.Note = fmt.Sprintf("(works with %d)", limit)
	if worked < tries || threads == 0 || refused == 0 {
		t.Errorf("up to %d tasks Go's runtime ended %d times, an error came %d times, and of the last %d times it worked %d: the test shows nothing",
			limit, threads, refused, tries, worked)
	}
}

// freed removes what there is by force, if there is something.
func (m *machine) freed(line *tally) error {
	text, code, took := m.do("rm", "-f", name)
	line.Removed = max(line.Removed, float64(took.Microseconds())/1000)
	if code != 0 && !strings.Contains(text, "no such container") {
		return fmt.Errorf("rm -f: exit %d: %s", code, text)
	}
	return nil
}

// tasks returns what runs a command with a limit on its tasks: a cgroup of the older hierarchy, where that has the controller, which
// nothing leaves, or else a unit.
func tasks(t *testing.T) func(limit int) []string {
	t.Helper()
	dir := t.TempDir()
	if unix.Mount("none", dir, "cgroup", 0, "pids") != nil {
		sdtest.Require(t, sdtest.Cgroup2)
		return func(limit int) []string {
			return []string{"systemd-run", "--scope", "--collect", "--quiet", "-p", fmt.Sprintf("TasksMax=%d", limit)}
		}
	}
	group, err := os.MkdirTemp(dir, name) // the hierarchy is the machine's
	if err != nil {
		t.Fatal(errors.Join(err, unix.Unmount(dir, 0)))
	}
	t.Cleanup(func() {
		if err := errors.Join(os.Remove(group), unix.Unmount(dir, 0)); err != nil {
			t.Error(err)
		}
	})
	return func(limit int) []string {
		return []string{"sh", "-c", fmt.Sprintf(`echo %d >"$0/pids.max" && echo $$ >"$0/cgroup.procs" && exec "$@"`, limit), group}
	}
}
