// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer"
	"github.com/sdcontainer/sdcontainer/nsexec"
	"github.com/sdcontainer/sdcontainer/scope"
	"github.com/sdcontainer/sdcontainer/unitgen"
)

func TestExitCode(t *testing.T) {
	inside := func(err error) error {
		return &sdcontainer.Error{Op: "create", ID: "web", Err: fmt.Errorf("x: %w", err)}
	}
	tests := []struct {
		verb string
		err  error
		want int
	}{
		{"run", nil, 0},
		{"run", errors.New("no bus"), 125},
		{"run", usage("what"), 125},
		{"run", inside(sdcontainer.ErrNotFound), 127},
		{"run", inside(sdcontainer.ErrNotExecutable), 126},
		{"run", inside(interrupted{unix.SIGINT}), 130},
		{"run", interrupted{unix.SIGTERM}, 143},
		{"exec", inside(sdcontainer.ErrNotExist), 125},
		{"exec", inside(sdcontainer.ErrNotFound), 127},
		{"wait", inside(sdcontainer.ErrExitUnknown), 125},
		{"run", inside(fmt.Errorf("wait for init: %w", context.DeadlineExceeded)), 124},
		{"exec", inside(sdcontainer.ErrBusy), 124},
		{"wait", errors.Join(errors.New("x"), os.ErrDeadlineExceeded), 124},
		{"stop", inside(scope.ErrTimeout), 124},
		{"rm", inside(fmt.Errorf("%w: %w", scope.ErrTimeout, context.DeadlineExceeded)), 124},
		{"run", errors.Join(interrupted{unix.SIGINT}, context.DeadlineExceeded), 130},
		{"run", errors.Join(inside(sdcontainer.ErrNotFound), scope.ErrTimeout), 127},
		{"run", inside(context.Canceled), 125},
		{"ps", errors.New("x"), 1},
		{"ps", usage("what"), 2},
		{"ps", fmt.Errorf("wrapped: %w", usage("what")), 2},
		{"stop", errors.Join(nil, usage("what")), 2},
		{"check", inside(sdcontainer.ErrNotFound), 1},
		{"", usage("unknown verb"), 2},
	}
	for _, tt := range tests {
		if got := exitCode(tt.verb, tt.err); got != tt.want {
			t.Errorf("exitCode(%q, %v) = %d, want %d", tt.verb, tt.err, got, tt.want)
		}
	}
}

func TestMessage(t *testing.T) {
	cause := errors.New("cause")
	tests := []struct {
		verb string
		err  error
		want string
	}{
		{"", cause, "cause"},
		{"run", cause, "run: cause"},
		{"run", &sdcontainer.Error{Op: "create", ID: "web", Err: cause}, "run web: cause"},
		{"stop", &sdcontainer.Error{Op: "stop", ID: "web", Err: cause}, "stop web: cause"},
		{"stop", &sdcontainer.Error{Op: "load", ID: "web", Err: cause}, "stop web: cause"},
		{"unit rm", fmt.Errorf("x: %w", &sdcontainer.Error{Op: "stop", ID: "web", Err: cause}), "unit rm: x: stop web: cause"},
	}
	for _, tt := range tests {
		if got := message(tt.verb, tt.err); got != tt.want {
			t.Errorf("message(%q, %v) = %q, want %q", tt.verb, tt.err, got, tt.want)
		}
	}
}

func TestLines(t *testing.T) {
	a, b, c := errors.New("a"), errors.New("b"), errors.New("c")
	for _, tt := range []struct {
		err  error
		want []string
	}{
		{a, []string{"a"}},
		{errors.Join(a, nil), []string{"a"}},
		{errors.Join(a, errors.Join(b, c)), []string{"a", "b", "c"}},
		{fmt.Errorf("%w: %w", a, b), []string{"a: b"}},
		{hinted{errors.Join(a, b), "do"}, []string{"a", "b"}},
	} {
		var got []string
		for _, e := range lines(tt.err) {
			got = append(got, e.Error())
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%v: %s", tt.err, diff)
		}
	}
}

func TestHint(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{errors.New("x"), ""},
		{hinted{errors.New("x"), "do this"}, "do this"},
		{&unitgen.NotInstalledError{Name: "x", Dir: "/units"}, "sdcontainer unit install makes one"},
		{&unitgen.NotInstalledError{Name: "x", Dir: unitgen.Dir},
			"sdcontainer unit install makes one; without one, systemctl disable --now sdcontainer@x.service ends it and keeps it from starting"},
		{fmt.Errorf("job of x.scope: %w: %w", scope.ErrTimeout, context.DeadlineExceeded), "systemctl status and journalctl -b say what systemd is waiting for"},
		// These say themselves what to do.
		{fmt.Errorf("look: %w (a filesystem there does not answer)", context.DeadlineExceeded), ""},
		{fmt.Errorf("%w yet: hooks", sdcontainer.ErrUnsupported), ""},
	} {
		if got := hint(nil, tt.err); got != tt.want {
			t.Errorf("hint(%v) = %q, want %q", tt.err, got, tt.want)
		}
	}
	if got := hint(nil, &fs.PathError{Op: "open", Path: "/x", Err: unix.ENOENT}); got != "" {
		t.Errorf("a missing file has the hint %q", got)
	}
}

// Each cause that has a hint of its own keeps it, however deep it lies.
func TestHints(t *testing.T) {
	want := map[error]string{
		sdcontainer.ErrExist:       "sdcontainer rm -f NAME removes it; --name gives the new one another name",
		sdcontainer.ErrNotExist:    "sdcontainer ps -a lists the containers there are",
		sdcontainer.ErrRunning:     "sdcontainer stop NAME stops it first; sdcontainer rm -f NAME kills it",
		sdcontainer.ErrNotRunning:  "sdcontainer ps -a says how it ended",
		sdcontainer.ErrExitUnknown: "nobody was there to see it: its keeper was killed, or the machine went down",
		sdcontainer.ErrBusy:        "let that process go on (kill -CONT), or end it",
		sdcontainer.ErrPaused:      "sdcontainer resume NAME lets it go on",
		unitgen.ErrNotOurs:         "move it away first",
		scope.ErrUnitExists:        "systemctl status UNIT says what it is; of a container in another run directory sdcontainer ps -a --run-dir DIR tells",
		scope.ErrNoManager:         "sdcontainer doctor says what this machine has and lacks",
		scope.ErrTimeout:           "systemctl status and journalctl -b say what systemd is waiting for",
	}
	for err, want := range want {
		if got := hint(nil, &sdcontainer.Error{Op: "x", ID: "web", Err: fmt.Errorf("y: %w", err)}); got != want {
			t.Errorf("%v has the hint %q, want %q", err, got, want)
		}
	}
	for _, h := range hints() {
		if _, ok := want[h.is]; !ok {
			t.Errorf("the hint of %v is not tested", h.is)
		}
	}
}

// A command's hint is about what went wrong with that command.
func TestCommandHint(t *testing.T) {
	refused := &nsexec.StepError{Call: "execve", Errno: unix.ENOENT}
	const own, path = "looked up in the container's own files, not this machine's", "; -e PATH=... gives another search path"
	for _, tt := range []struct {
		err     error
		command string
		want    string
	}{
		{sdcontainer.ErrNotFound, "ls", own + path},
		{sdcontainer.ErrNotFound, "/bin/ls", own},
		{sdcontainer.ErrNotFound, "", ""},
		{sdcontainer.ErrNotFound, "-d", "flags go before FILE, and before NAME of exec: what comes after it is the command"},
		{fmt.Errorf("%w: %w (no loader)", sdcontainer.ErrNotFound, refused), "ls", ""},
		{fmt.Errorf("%w: %w", sdcontainer.ErrNotExecutable, refused), "ls", "inside the rootfs: chmod +x, " +
			"a file of this machine's architecture, or a #! line with an interpreter that is there"},
		{fmt.Errorf("%w: /x has mode 0644 (chmod +x it)", sdcontainer.ErrNotExecutable), "/x", ""},
		{errors.New("x"), "ls", ""},
	} {
		err := commandHint(tt.err, []string{tt.command})
		if got := hint(nil, err); got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%q: %v has the hint %q, want %q", tt.command, err, got, tt.want)
		}
	}
	if err := commandHint(sdcontainer.ErrNotFound, nil); err != sdcontainer.ErrNotFound {
		t.Errorf("no command: %v", err)
	}
}
