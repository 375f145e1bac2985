// SPDX-License-Identifier: Apache-2.0

package sweep

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest/trace"
)

// printing are verbs whose output somebody reads.
var printing = []verb{
	{"ps", nothing, args("ps", "-a"), untouched, 6},
	{"logs", nothing, args("logs", name), untouched, 6},
	{"inspect", nothing, args("inspect", name), untouched, 6},
	{"stats", nothing, args("stats", "--no-stream", name), untouched, 6},
}

// R5: who reads standard output is gone at the first, second, third ... system call. The verb ends by SIGPIPE, as any
// program of a pipeline does, and says nothing; or it had printed all.
func TestReaderGone(t *testing.T) {
	for _, v := range printing {
		t.Run(v.name, func(t *testing.T) {
			if o, ok := inside(t); ok {
				newMachine(t, o, logged).sweepReader(v)
			}
		})
	}
}

func (m *machine) sweepReader(v verb) {
	line := tally{Sweep: "no reader of " + v.name}
	defer func() { tell(m.t, line) }()
	r, broken := m.stays(v), 0
	m.every(&line, "the reader gone", 5, v.quick, func(n int) (int, string, error) {
		calls, last, end, err := m.readUntil(r, n)
		if end.signaled {
			broken++
		}
		return calls, last, errors.Join(err, r.after(end), m.cleaned())
	})
	if broken == 0 {
		m.t.Error("none ended by SIGPIPE: the test shows nothing")
	}
}

// readUntil runs the command and closes the other end of its output at its n-th call.
func (m *machine) readUntil(r ready, n int) (calls int, last string, end ended, err error) {
	reader, writer, err := os.Pipe() // which has room for all that is printed here
	if err != nil {
		return 0, "", end, err
	}
	defer reader.Close()
	defer writer.Close()
	m.reader = writer
	defer func() { m.reader = nil }()
	end, out, err := r.run(trace.Options{Manager: true, OnCall: func(c trace.Call) trace.Verdict {
		if calls++; calls == n {
			last = describe(c)
			reader.Close()
		}
		return trace.Verdict{}
	}})
	switch {
	case err != nil:
	case out != "":
		err = fmt.Errorf("it says %q", out)
	case end.signaled && (end.signal != int(unix.SIGPIPE) || calls < n), !end.signaled && end.code != 0:
		err = fmt.Errorf("%v", end)
	}
	return calls, last, end, err
}
