// SPDX-License-Identifier: Apache-2.0

package sweep

import (
	"errors"
	"fmt"
	"strings"
	"testing"

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
	line := tally{Sweep: "RLIMIT_NOFILE of run"}
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
			return clear(out, code)
		})
	}
	line.Note = fmt.Sprintf("(works with %d)", worked)
	if worked == 0 {
		t.Errorf("with %d descriptors it does not work either", mostFiles)
	}
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

// clear: one error, and one that says that descriptors are the trouble.
func clear(out string, code int) error {
	if code != 125 || strings.Count("\n"+out, "\nsdcontainer: ") != 1 || !strings.Contains(out, "too many open files") {
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
	line := tally{Sweep: "RLIMIT_DATA of run"}
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
			err = errors.Join(err, gone)
			text, code, took := m.do("rm", "-f", name)
			line.Removed = max(line.Removed, float64(took.Microseconds())/1000)
			if code != 0 && !strings.Contains(text, "no such container") {
				err = errors.Join(err, fmt.Errorf("rm -f: exit %d: %s", code, text))
			}
			return err
		})
	}
	line.Note = fmt.Sprintf("(works with %d KiB)", worked>>10)
	if worked == 0 || failed == 0 {
		t.Errorf("of %d limits it failed with %d, and works with %d bytes: the test shows nothing", line.Calls, failed, worked)
	}
}
