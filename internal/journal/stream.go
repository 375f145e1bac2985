// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"golang.org/x/sys/unix"
)

// Dir is where journald listens.
const Dir = "/run/systemd/journal"

// Stream opens a stream to the journal: a descriptor whose every line becomes an entry
// with that SYSLOG_IDENTIFIER and syslog priority (0 to 7). journald attributes a line to the process
// that writes it, so the descriptor can be handed on. Errors: fs.ErrNotExist where no journald runs.
func Stream(identifier string, priority int) (*os.File, error) {
	return StreamIn(Dir, identifier, priority)
}

// StreamIn is Stream to the journald of a namespace, which listens in
// /run/systemd/journal.NAMESPACE.
//
// The stream begins with seven lines:
//
//	identifier
//	unit               empty: journald finds it by cgroup
//	priority
//	level prefix       1: a line's own <N> wins
//	forward to syslog  0
//	forward to kmsg    0
//	forward to console 0
func StreamIn(dir, identifier string, priority int) (*os.File, error) {
	if strings.ContainsFunc(identifier, unicode.IsControl) {
		return nil, fmt.Errorf("journal identifier %q: want no control characters", identifier)
	}
	if priority < 0 || priority > 7 {
		return nil, fmt.Errorf("journal priority %d: want 0 to 7", priority)
	}
	f, err := dial(unix.SOCK_STREAM, filepath.Join(dir, "stdout"))
	if err != nil {
		return nil, err
	}
	// Nobody reads what journald might send.
	if err := unix.Shutdown(int(f.Fd()), unix.SHUT_RD); err != nil {
		f.Close()
		return nil, os.NewSyscallError("shutdown", err)
	}
	if _, err := fmt.Fprintf(f, "%s\n\n%d\n1\n0\n0\n0\n", identifier, priority); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// dial connects a socket and leaves it blocking, as a payload expects its output.
func dial(kind int, address string) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Connect(fd, &unix.SockaddrUnix{Name: address})
	}
	if err != nil {
		unix.Close(fd)
		return nil, &os.PathError{Op: "connect", Path: address, Err: err}
	}
	return os.NewFile(uintptr(fd), address), nil
}
