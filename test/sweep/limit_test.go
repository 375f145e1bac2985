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

// TestFewDescriptors: with every limit on descriptors a start works, or says in one error what is missing.
func TestFewDescriptors(t *testing.T) {
	o, ok := inside(t)
	if !ok {
		return
	}
	m := newMachine(t, o)
	line := tally{Sweep: "RLIMIT_NOFILE of run"}
	defer func() { tell(t, line) }()
	worked := 0
	for limit := mostFiles; limit >= leastFiles; limit-- {
		if !o.Soak && limit > 32 && limit%16 != 5 && limit != mostFiles { // nothing differs there
			continue
		}
		line.Calls++
		line.Stopped++
		out, code, _ := sdtest.Bounded(patience, "prlimit", fmt.Sprintf("--nofile=%d:%d", limit, limit), m.bin, "run", "--rm", m.file)
		var err error
		if code == 0 {
			worked = limit
		} else {
			err = clear(out, code)
		}
		if err = errors.Join(err, m.cleaned()); err != nil {
			t.Errorf("with %d descriptors: %v", limit, err)
			m.restore()
			continue
		}
		line.Clean++
	}
	line.Note = fmt.Sprintf("(works with %d)", worked)
	if worked == 0 {
		t.Errorf("with %d descriptors it does not work either", mostFiles)
	}
}

// clear: one error, and one that says that descriptors are the trouble.
func clear(out string, code int) error {
	if code != 125 || strings.Count("\n"+out, "\nsdcontainer: ") != 1 || !strings.Contains(out, "too many open files") {
		return fmt.Errorf("want exit 125 and one clear error, have %d and: %.600s", code, out)
	}
	return nil
}
