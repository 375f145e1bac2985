// SPDX-License-Identifier: Apache-2.0

// Package sweep interrupts the command at every system call it makes, or lets that fail, and looks at what is left behind.
// Its tests run in a booted systemd, at native speed. `make test` takes some of the calls, from a random
// one on; `make soak` takes all.
package sweep

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"text/tabwriter"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// seedEnv asks for the calls of an earlier quick run; binaryEnv is a command to test instead of the one built here.
const (
	seedEnv   = "SDCONTAINER_SEED"
	binaryEnv = "SDCONTAINER_BINARY"
)

// order is what the tests inside are told.
type order struct {
	Soak bool
	Seed uint64
}

// A tally is one line of the report.
type tally struct {
	Sweep   string  `json:"sweep"`
	Calls   int     `json:"calls"`   // system calls there were, or limits
	Stopped int     `json:"stopped"` // of which so many were interrupted, or tried, one run each
	Clean   int     `json:"clean"`   // and so many left nothing
	Gone    float64 `json:"goneMs"`  // the longest a helper lived on
	Removed float64 `json:"removeMs"`
	Note    string  `json:"note,omitempty"`
}

func TestMain(m *testing.M) {
	code := sdtest.Main(m)
	if !sdtest.InSystemd() {
		if err := summary(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// all are the lines of this run.
var all = sdtest.Lines[tally]{}

// inside is sdtest.Inside with the command and an order in the system's share.
func inside(t *testing.T) (order, bool) {
	t.Helper()
	if sdtest.InSystemd() {
		sdtest.Inside(t)
		var o order
		b, err := os.ReadFile(filepath.Join(sdtest.ShareInside, "order.json"))
		if err == nil {
			err = json.Unmarshal(b, &o)
		}
		if err != nil {
			t.Fatal(err)
		}
		return o, true
	}
	share := sdtest.BootSystemd(t).Share
	if err := prepare(t, share); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := all.Collect(share); err != nil {
			t.Error(err)
		}
	}()
	sdtest.Inside(t)
	return order{}, false
}

// prepare builds the command as it is shipped, and writes the order.
func prepare(t *testing.T, share string) error {
	bin := filepath.Join(share, "sdcontainer")
	if other := os.Getenv(binaryEnv); other != "" {
		b, err := os.ReadFile(other)
		if err == nil {
			err = os.WriteFile(bin, b, 0o755)
		}
		if err != nil {
			return err
		}
	}
	if _, err := os.Stat(bin); errors.Is(err, fs.ErrNotExist) {
		if err := sdtest.BuildCommand(bin); err != nil {
			return err
		}
	}
	o := order{Soak: sdtest.Soaking(), Seed: rand.Uint64()}
	if text := os.Getenv(seedEnv); text != "" {
		var err error
		if o.Seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			return err
		}
	}
	t.Logf("seed: %s=%d", seedEnv, o.Seed)
	b, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(share, "order.json"), b, 0o644)
}

// tell leaves a line of the report.
func tell(t *testing.T, line tally) {
	t.Helper()
	sdtest.Tell(t, line.Sweep, line)
}

// summary prints the lines, and writes them to bin/sweep.json or what [sdtest.SweepEnv] says, of which test/soak makes bin/soak.json.
func summary() error {
	if len(all) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "calls\tstopped\tclean\thelper gone\trm -f\t sweep\n")
	for _, l := range all.Sorted() {
		fmt.Fprintf(w, "%d\t%d\t%d\t%.0f ms\t%.0f ms\t %s %s\n", l.Calls, l.Stopped, l.Clean, l.Gone, l.Removed, l.Sweep, l.Note)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return all.Write(cmp.Or(os.Getenv(sdtest.SweepEnv), "sweep.json"))
}
