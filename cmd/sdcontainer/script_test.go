// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/unitgen"
)

// runner ends what the tests have booted before testscript exits.
type runner struct{ *testing.M }

func (r runner) Run() int { return sdtest.Main(r.M) }

func TestMain(m *testing.M) {
	testscript.Main(runner{m}, map[string]func(){"sdcontainer": main})
}

// TestScripts are the behaviours that need nothing but the command.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script", Setup: setup, RequireUniqueNames: true})
}

// applets are what the scripts call in their containers.
var applets = []string{"sh", "cat", "echo", "sleep", "id", "true", "false", "hostname", "stty", "tty", "readlink"}

// TestSystemdScripts run containers, as root, where PID 1 is a systemd; every fourth script where they take minutes.
func TestSystemdScripts(t *testing.T) {
	if sdtest.InsideAll(t) {
		runScripts(t, "testdata/systemd", 4)
	}
}

// TestScriptsAlone are of that kind too, and bear no other beside them: each reload is to be their own.
func TestScriptsAlone(t *testing.T) {
	if sdtest.Inside(t) {
		runScripts(t, "testdata/alone", 1)
	}
}

func runScripts(t *testing.T, dir string, many int) {
	all, err := filepath.Glob(filepath.Join(dir, "*.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Files:              sdtest.Some(all, many),
		RequireUniqueNames: true,
		Setup:              setupSystemd,
		Cmds:               map[string]func(*testscript.TestScript, bool, []string){"eventually": eventually},
	})
}

// setupSystemd gives a script a root for its containers and the template of services besides.
func setupSystemd(e *testscript.Env) error {
	template, err := filepath.Abs("../../packaging/systemd/" + unitgen.Template) // guests have it installed
	if err != nil {
		return err
	}
	e.Setenv("TEMPLATE", template)
	if err := sdtest.BusyboxRoot(filepath.Join(e.WorkDir, "rootfs"), applets...); err != nil {
		return err
	}
	return setup(e)
}

// setup gives each script records of its own and names that no other script has.
func setup(e *testscript.Env) error {
	run := filepath.Join(e.WorkDir, "run")
	e.Setenv("RUN", run)
	e.Setenv("GORACE", os.Getenv("GORACE")) // a script's environment is its own
	e.Setenv("N", strings.TrimPrefix(filepath.Base(e.WorkDir), "script-"))
	e.Defer(func() {
		// A script that failed half way leaves containers.
		cmd := exec.Command("sdcontainer", "--run-dir", run, "rm", "-f", "--all")
		cmd.Env = e.Vars
		_ = cmd.Run()
	})
	return nil
}

// eventually PATTERN COMMAND... repeats a command until its output matches. It is for
// what nobody can wait for, such as another process's view.
func eventually(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: eventually TEXT COMMAND...")
	}
	var out []byte
	for range 200 {
		cmd := exec.Command("sh", "-c", `"$@" 2>&1 || :; exec sleep 0.05`, "sh")
		cmd.Args = append(cmd.Args, args[1:]...)
		cmd.Dir, cmd.Env = ts.MkAbs("."), append(os.Environ(), "PATH="+ts.Getenv("PATH"))
		out, _ = cmd.CombinedOutput() // what it printed counts
		if strings.Contains(string(out), args[0]) {
			return
		}
	}
	ts.Fatalf("%s", fmt.Sprintf("never printed %q, but:\n%s", args[0], out))
}
