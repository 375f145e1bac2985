// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"errors"
	"fmt"

	"github.com/sdcontainer/sdcontainer/scope"
)

// What callers branch on, with errors.Is.
var (
	ErrNotExist   = errors.New("no such container")
	ErrExist      = errors.New("container exists")
	ErrRunning    = errors.New("container is running")
	ErrNotRunning = errors.New("container is not running")
	ErrPaused     = errors.New("container is paused")
	ErrNotPaused  = errors.New("container is not paused")
	// ErrUnsupported is wrapped by errors about what this machine, its systemd, or this kind of container cannot do.
	ErrUnsupported = scope.ErrUnsupported
	// ErrNotFound and ErrNotExecutable say why a payload could not be executed.
	ErrNotFound      = errors.New("executable not found")
	ErrNotExecutable = errors.New("not executable")
	// ErrExitUnknown means that the container ended and nobody was there to see how.
	ErrExitUnknown = errors.New("exit status unknown")
	// ErrBusy means that another process has the container's lock and does not give it back.
	ErrBusy = errors.New("another command is at work on it")
	// ErrDamaged means that the record of a container cannot be read. Remove with force removes it.
	ErrDamaged = errors.New("damaged record")
	// ErrAttest means that the container was not what had been compiled.
	ErrAttest = errors.New("attestation failed")
)

// An Error says which container an operation failed for.
type Error struct {
	Op, ID string
	Err    error
}

func (e *Error) Error() string { return fmt.Sprintf("%s %s: %v", e.Op, e.ID, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

func wrap(op, id string, err error) error {
	if err == nil {
		return nil
	}
	var already *Error
	if errors.As(err, &already) {
		return err
	}
	return &Error{op, id, err}
}
