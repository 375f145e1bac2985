// SPDX-License-Identifier: Apache-2.0

// Package journal speaks journald's and the service manager's socket protocols:
// streams for a payload's output, single structured entries, and readiness
// notification. It reads back by running journalctl, which knows every file
// format and permission, and keeps no connection open.
package journal

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
)

// patience is how many seconds a connection or an entry waits for room in journald's queue. Errors then: EAGAIN.
const patience = 3

// Where journald listens.
const (
	streamSocket = "/run/systemd/journal/stdout"
	entrySocket  = "/run/systemd/journal/socket"
)

// Stream returns a socket whose lines journald stores under identifier and level (a syslog
// priority, 0-7). It is meant to be handed to a payload: each line is attributed to the
// process that wrote it, and nothing of ours has to stay. What one wrote that has ended before journald
// looks, because it is busy or was restarted, is unit's, if that is not empty.
//
//   - With prefixes a line says its own level (sd-daemon(3)), and one of level 0 is shown as it
//     is on every terminal of the machine (journald.conf(5), ForwardToWall=).
func Stream(identifier, unit string, level int, prefixes bool) (*os.File, error) {
	return stream(streamSocket, identifier, unit, level, prefixes)
}

func stream(path, identifier, unit string, level int, prefixes bool) (*os.File, error) {
	if strings.ContainsAny(identifier+unit, "\n\x00") {
		return nil, fmt.Errorf("journal identifier %q of %q: want one line", identifier, unit)
	}
	if level < 0 || level > 7 {
		return nil, fmt.Errorf("journal level %d: want 0 to 7", level)
	}
	// identifier, unit (where the cgroup does not tell), level, level prefixes, forward to
	// syslog, to kmsg, to the console.
	prefix := map[bool]byte{true: '1', false: '0'}[prefixes]
	header := fmt.Sprintf("%s\n%s\n%d\n%c\n0\n0\n0\n", identifier, unit, level, prefix)
	f, err := greet(func() (*os.File, error) { return dial(path, unix.SOCK_STREAM) }, header)
	if err != nil {
		return nil, err
	}
	// The payload's writes are its own affair: they wait.
	if err := unix.SetsockoptTimeval(int(f.Fd()), unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{}); err != nil {
		f.Close()
		return nil, os.NewSyscallError("setsockopt", err)
	}
	return f, nil
}

// greet connects and writes the header. A journald that ends lets go of a connection whose header it has not
// read; what connects then is its successor's.
func greet(connect func() (*os.File, error), header string) (*os.File, error) {
	for attempt := 1; ; attempt++ {
		f, err := connect()
		if err != nil {
			return nil, err
		}
		if _, err = f.WriteString(header); err == nil {
			return f, nil
		}
		f.Close()
		if attempt == 3 || !errors.Is(err, unix.EPIPE) && !errors.Is(err, unix.ECONNRESET) {
			return nil, fmt.Errorf("journal stream: %w", err)
		}
	}
}

func dial(path string, typ int) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, typ|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	// A journald that hangs reads nothing: whoever has something else to do must not wait for it.
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Sec: patience}); err != nil {
		_ = unix.Close(fd)
		return nil, os.NewSyscallError("setsockopt", err)
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		_ = unix.Close(fd)
		return nil, &os.PathError{Op: "connect", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// Send stores one structured entry. Field names are upper case letters, digits
// and underscores; values may hold anything.
func Send(fields map[string]string) error { return send(entrySocket, fields) }

func send(path string, fields map[string]string) error {
	var b bytes.Buffer
	for _, k := range slices.Sorted(maps.Keys(fields)) {
		if !validField(k) {
			return fmt.Errorf("journal field %q: want upper case letters, digits and '_', a letter first", k)
		}
		appendField(&b, k, fields[k])
	}
	f, err := dial(path, unix.SOCK_DGRAM)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.Write(b.Bytes())
	if errors.Is(err, unix.EMSGSIZE) || errors.Is(err, unix.ENOBUFS) {
		return sendFile(f, b.Bytes())
	}
	return err
}

func validField(k string) bool {
	for i, c := range []byte(k) {
		letter := c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c != '_' && (c < '0' || c > '9')) {
			return false
		}
	}
	return k != "" && len(k) <= 64
}

// appendField writes KEY=value, or for values with line breaks KEY, the length as
// 64 bits and the bytes.
func appendField(b *bytes.Buffer, key, value string) {
	b.WriteString(key)
	if !strings.Contains(value, "\n") {
		b.WriteByte('=')
	} else {
		b.WriteByte('\n')
		b.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(value))))
	}
	b.WriteString(value)
	b.WriteByte('\n')
}

// sendFile passes an entry too large for a datagram in a sealed memfd.
func sendFile(socket *os.File, entry []byte) error {
	fd, err := unix.MemfdCreate("journal-entry", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return os.NewSyscallError("memfd_create", err)
	}
	m := os.NewFile(uintptr(fd), "journal-entry")
	defer m.Close()
	if _, err := m.Write(entry); err != nil {
		return err
	}
	const seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(m.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	err = kernel.Retry(func() error { return unix.Sendmsg(int(socket.Fd()), nil, unix.UnixRights(fd), nil, 0) })
	return os.NewSyscallError("sendmsg", err)
}

// ErrNoManager says that no service manager waits for a notification.
var ErrNoManager = errors.New("NOTIFY_SOCKET is not set: not started by systemd as a service with Type=notify")

// Notify tells the service manager state (lines like READY=1) and waits until it
// has been read, so that the caller may end at once. Errors: ErrNoManager.
func Notify(ctx context.Context, state string) error { return NotifyAs(ctx, os.Getpid(), state) }

// NotifyAs is Notify in the name of process pid, which the manager listens to where it does not listen to us. For
// another than our own it takes CAP_SYS_ADMIN (unix(7), SCM_CREDENTIALS).
func NotifyAs(ctx context.Context, pid int, state string) error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return ErrNoManager
	}
	if strings.HasPrefix(path, "@") {
		path = "\x00" + path[1:]
	}
	f, err := dial(path, unix.SOCK_DGRAM)
	if err != nil {
		return err
	}
	defer f.Close()
	who := unix.UnixCredentials(&unix.Ucred{Pid: int32(pid), Uid: uint32(os.Getuid()), Gid: uint32(os.Getgid())})
	if err := kernel.Retry(func() error { return unix.Sendmsg(int(f.Fd()), []byte(state), who, nil, unix.MSG_NOSIGNAL) }); err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	return barrier(ctx, f)
}

// barrier sends one end of a pipe; the manager closes it when it has read all
// that was sent before.
func barrier(ctx context.Context, socket *os.File) error {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return os.NewSyscallError("pipe2", err)
	}
	near := os.NewFile(uintptr(p[0]), "barrier")
	defer near.Close()
	err := kernel.Retry(func() error {
		return unix.Sendmsg(int(socket.Fd()), []byte("BARRIER=1"), unix.UnixRights(p[1]), nil, unix.MSG_NOSIGNAL)
	})
	_ = unix.Close(p[1]) // the manager has its own
	if err != nil {
		return os.NewSyscallError("notify: sendmsg", err)
	}
	if err := kernel.WaitHangup(ctx, near); err != nil {
		return fmt.Errorf("wait for the service manager: %w", err)
	}
	return nil
}
