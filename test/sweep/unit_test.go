// SPDX-License-Identifier: Apache-2.0

package sweep

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/internal/sdtest/trace"
	"github.com/sdcontainer/sdcontainer/unitgen"
)

// lasts is a container that runs until it is told to end, as a service does.
var lasts = configuration{toml: strings.Replace(plain.toml, `args = ["/bin/true"]`, `args = ["`+strings.Join(payload, `", "`)+`"]`, 1), dirs: plain.dirs}

var (
	unit     = unitgen.Instance(name)
	unitFile = filepath.Join(unitgen.Dir, unit)
)

// A unitVerb makes or removes the unit of a service.
type unitVerb struct {
	verb
	done func(*machine) error // what is so when it says that all is well
}

func unitVerbs(m *machine) []unitVerb {
	install, start := []string{"unit", "install", m.file}, []string{"unit", "install", "--enable", "--now", m.file}
	m.must(start...)
	whole, err := os.ReadFile(unitFile)
	if err != nil {
		m.t.Fatal(err)
	}
	m.must("unit", "rm", name)
	m.watch.Dirs = append(m.watch.Dirs, unitgen.Dir)
	m.look()
	known := func(m *machine) error { return m.unitIs("loaded inactive no", string(whole)) }
	gone := func(m *machine) error { return m.unitIs("not-found inactive no", "") }
	// There is no half of a file, and the same again makes a whole one, which can be removed.
	again := func(m *machine, _ state) error {
		var err error
		if b, readErr := os.ReadFile(unitFile); readErr == nil && string(b) != string(whole) {
			err = fmt.Errorf("a part of a unit file: %q", b)
		}
		return errors.Join(err, m.succeeds(install), known(m), m.succeeds([]string{"unit", "rm", name}), gone(m), temporary())
	}
	// The same again removes what is left, or says that there is nothing.
	rest := func(m *machine, _ state) error {
		err := m.succeeds([]string{"unit", "rm", name})
		if err != nil && strings.Contains(err.Error(), "no unit file of it") {
			err = nil
		}
		return errors.Join(err, gone(m))
	}
	return []unitVerb{
		{verb{"unit install", nothing, func(*machine) []string { return install }, again, 3}, known},
		{verb{"unit rm", func(m *machine) { m.must(start...) }, args("unit", "rm", name), rest, 3}, gone},
	}
}

func (m *machine) succeeds(args []string) error {
	if out, code, _ := m.do(args...); code != 0 {
		return fmt.Errorf("%s: exit %d: %s", strings.Join(args, " "), code, out)
	}
	return nil
}

// unitIs compares what systemd knows, whether it should read its units again, and the unit's file.
func (m *machine) unitIs(want, text string) error {
	out, _, _ := sdtest.Bounded(patience, "systemctl", "show", "-PLoadState", "-PActiveState", "-PNeedDaemonReload", unit)
	b, err := os.ReadFile(unitFile)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if have := strings.Join(strings.Fields(out), " "); have != want || string(b) != text {
		err = errors.Join(err, fmt.Errorf("the unit is %s, want %s; its file is %q", have, want, b))
	}
	return err
}

// temporary: a file that had not yet got its name is gone with the next one, or the last, and so is the directory of a drop-in.
func temporary() (err error) {
	for _, pattern := range []string{filepath.Join(unitgen.Dir, ".sdcontainer-*"), unitFile + ".d"} {
		left, bad := filepath.Glob(pattern)
		if err = errors.Join(err, bad); len(left) > 0 {
			err = errors.Join(err, fmt.Errorf("left: %q", left))
		}
	}
	return err
}

// R2: the verbs that make and remove units are killed likewise.
func TestKillUnit(t *testing.T) {
	if o, ok := inside(t); ok {
		m := newMachine(t, o, lasts)
		for _, v := range unitVerbs(m) {
			m.sweep(v.verb)
		}
	}
}

// R5, R17, R21, R22, R23: they get a signal at each of their calls, or these fail.
func TestUnitFaults(t *testing.T) {
	o, ok := inside(t)
	if !ok {
		return
	}
	m := newMachine(t, o, lasts)
	for _, v := range unitVerbs(m) {
		m.sweepEach(v.ready(m), 1, 1)
	}
}

func (v unitVerb) ready(m *machine) ready {
	return ready{verb: v.name, run: func(o trace.Options) (ended, string, error) {
		v.setup(m)
		return m.traced(v.args(m), o)
	}, after: func(e ended) error {
		var err error
		if e.fine() {
			err = v.done(m)
		}
		return errors.Join(err, v.verb.after(m, state{}), m.removed())
	}}
}

// sweepEach sends signals at the calls of a verb, and lets them fail, after which it has that exit code. The quick form does one of these, by its seed.
func (m *machine) sweepEach(r ready, quick, code int) {
	fail := func(what string, choose func(trace.Call) unix.Errno) func() {
		return func() {
			m.sweepSignal(what+" at the command's calls of "+r.verb, 8, quick, func(n int) (int, string, error) {
				return m.failLasting(r, failedCall{code: code}, choose, n)
			})
		}
	}
	all := []func(){func() { m.sweepSignals(r.verb, quick, r.lasting) }, fail("errno", fails), fail("EINTR", interrupts)}
	if !m.order.Soak {
		chosen := m.order.Seed % uint64(len(all))
		all = all[chosen : chosen+1]
	}
	for _, sweep := range all {
		sweep()
	}
}
