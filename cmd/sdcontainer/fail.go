// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer"
	"github.com/sdcontainer/sdcontainer/nsexec"
	"github.com/sdcontainer/sdcontainer/scope"
	"github.com/sdcontainer/sdcontainer/unitgen"
)

// Exit statuses of our own, as shells and other engines have them.
const (
	exitFailure       = 1
	exitUsage         = 2
	exitTimeout       = 124 // of every verb: what was waited for did not come in time, as timeout(1) says it
	exitEngine        = 125 // run, exec, wait: we failed, not the payload
	exitNotExecutable = 126
	exitNotFound      = 127
)

// A usageError is a command line that makes no sense.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// A hinted error knows what to do about it.
type hinted struct {
	error
	hint string
}

func (e hinted) Unwrap() error { return e.error }

// interrupted is the cause of a start that a signal called off.
type interrupted struct{ sig unix.Signal }

func (e interrupted) Error() string { return "interrupted by " + unix.SignalName(e.sig) }

// timedOut says whether a deadline of ours has passed: systemd, a helper, a filesystem or the container's processes did
// not answer, or whoever has the lock did not give it back.
func timedOut(err error) bool {
	for _, is := range []error{context.DeadlineExceeded, os.ErrDeadlineExceeded, scope.ErrTimeout, sdcontainer.ErrBusy} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}

// exitCode is the exit status for an error of a verb. For run, exec and wait
// a shell must be able to tell our failures from the payload's.
func exitCode(verb string, err error) int {
	var sig interrupted
	switch {
	case err == nil:
		return 0
	case errors.As(err, &sig):
		return 128 + int(sig.sig)
	}
	late := timedOut(err)
	if verb != "run" && verb != "exec" && verb != "wait" {
		switch {
		case late:
			return exitTimeout
		case errors.As(err, new(usageError)):
			return exitUsage
		}
		return exitFailure
	}
	switch {
	case errors.Is(err, sdcontainer.ErrNotExecutable): // before what there was to clean up took too long
		return exitNotExecutable
	case errors.Is(err, sdcontainer.ErrNotFound):
		return exitNotFound
	case late:
		return exitTimeout
	}
	return exitEngine
}

// fail prints an error with what can be done about it and returns the exit status.
func (a *app) fail(cmd *cobra.Command, err error) int {
	code := exitCode(a.verb, err)
	if errors.As(err, new(silent)) {
		return code
	}
	for _, line := range lines(err) {
		fmt.Fprintf(a.stderr, "sdcontainer: %s\n", escapeFor(a.stderr, message(a.verb, line)))
	}
	if hint := hint(cmd, err); hint != "" {
		fmt.Fprintf(a.stderr, "%s %s\n", paint(a.stderr, dim, "hint:"), escapeFor(a.stderr, hint))
	}
	return code
}

// silent errors have been reported already; they only set the exit status.
type silent struct{ error }

// lines takes joined errors apart: each is a line of its own.
func lines(err error) []error {
	if h, ok := err.(hinted); ok {
		err = h.error
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok && strings.Contains(err.Error(), "\n") {
		var all []error
		for _, e := range joined.Unwrap() {
			all = append(all, lines(e)...)
		}
		return all
	}
	return []error{err}
}

// message names the verb in front of errors that do not.
func message(verb string, err error) string {
	text := err.Error()
	var op *sdcontainer.Error
	if verb == "" || errors.As(err, &op) && strings.HasPrefix(text, op.Op+" ") && op.Op == verb {
		return text
	}
	if errors.As(err, &op) && strings.HasPrefix(text, op.Op+" ") {
		return verb + " " + op.ID + ": " + op.Err.Error()
	}
	return verb + ": " + text
}

type known struct {
	is   error
	hint string
}

// hints say what to do about an error, first match first.
func hints() []known {
	return []known{
		{sdcontainer.ErrExist, "sdcontainer rm -f NAME removes it; --name gives the new one another name"},
		{sdcontainer.ErrNotExist, "sdcontainer ps -a lists the containers there are"},
		{sdcontainer.ErrRunning, "sdcontainer stop NAME stops it first; sdcontainer rm -f NAME kills it"},
		{sdcontainer.ErrNotRunning, "sdcontainer ps -a says how it ended"},
		{sdcontainer.ErrExitUnknown, "nobody was there to see it: its keeper was killed, or the machine went down"},
		{sdcontainer.ErrBusy, "let that process go on (kill -CONT), or end it"},
		{sdcontainer.ErrPaused, "sdcontainer resume NAME lets it go on"},
		{unitgen.ErrNotOurs, "move it away first"},
		{scope.ErrUnitExists, "systemctl status UNIT says what it is; of a container in another run directory sdcontainer ps -a --run-dir DIR tells"},
		{scope.ErrNoManager, "sdcontainer doctor says what this machine has and lacks"},
		{scope.ErrTimeout, "systemctl status and journalctl -b say what systemd is waiting for"},
	}
}

// commandHint adds what to do about a command that cannot be executed, where the error does
// not say it: of one that the kernel refused, and of one that was not found.
func commandHint(err error, args []string) error {
	refused := errors.As(err, new(*nsexec.StepError))
	switch {
	case errors.Is(err, sdcontainer.ErrNotExecutable) && refused:
		return hinted{err, "inside the rootfs: chmod +x, a file of this machine's architecture, or a #! line with an interpreter that is there"}
	case !errors.Is(err, sdcontainer.ErrNotFound) || refused || len(args) == 0 || args[0] == "":
		return err
	case args[0][0] == '-':
		return hinted{err, "flags go before FILE, and before NAME of exec: what comes after it is the command"}
	case strings.Contains(args[0], "/"):
		return hinted{err, "looked up in the container's own files, not this machine's"}
	}
	return hinted{err, "looked up in the container's own files, not this machine's; -e PATH=... gives another search path"}
}

func hint(cmd *cobra.Command, err error) string {
	var h hinted
	var missing *unitgen.NotInstalledError
	switch {
	case errors.As(err, &h):
		return h.hint
	case errors.As(err, &missing):
		return notInstalledHint(missing)
	case errors.As(err, new(usageError)) && cmd != nil:
		return cmd.CommandPath() + " --help shows what it takes"
	}
	for _, known := range hints() {
		if errors.Is(err, known.is) {
			return known.hint
		}
	}
	if (errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EPERM)) && os.Geteuid() != 0 {
		return "run it as root, e.g. with sudo"
	}
	return ""
}

// warn prints what people should know and no program needs.
func (a *app) warn(msg string) {
	fmt.Fprintf(a.stderr, "sdcontainer: %s: %s\n", paint(a.stderr, yellow, "warning"), escapeFor(a.stderr, msg))
}
