// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
)

// ErrNoNotify is the answer to Notify in a process that no service manager listens to.
var ErrNoNotify = errors.New("NOTIFY_SOCKET is not set (run as a service of Type=notify)")

// Notify sends a state, lines such as "READY=1", to the service manager and returns
// when the manager has handled it. Only then may a process end whose death would
// otherwise be seen first. Errors: ErrNoNotify.
func Notify(ctx context.Context, state string) error {
	address := os.Getenv("NOTIFY_SOCKET")
	if address == "" {
		return ErrNoNotify
	}
	return notify(ctx, address, state)
}

func notify(ctx context.Context, address, state string) error {
	if !strings.HasPrefix(address, "/") && !strings.HasPrefix(address, "@") {
		return fmt.Errorf("NOTIFY_SOCKET %q: want a path or an abstract socket (@name)", address)
	}
	f, err := dial(unix.SOCK_DGRAM, address)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteString(state); err != nil {
		return err
	}
	return barrier(ctx, f)
}

// barrier sends the manager one end of a pipe. The manager handles messages in order
// and closes what it does not keep, which the other end sees.
func barrier(ctx context.Context, socket *os.File) error {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return os.NewSyscallError("pipe2", err)
	}
	r := os.NewFile(uintptr(p[0]), "barrier")
	defer r.Close()
	err := unix.Sendmsg(int(socket.Fd()), []byte("BARRIER=1"), unix.UnixRights(p[1]), nil, 0)
	unix.Close(p[1])
	if err != nil {
		return os.NewSyscallError("sendmsg", err)
	}
	return kernel.WaitReadable(ctx, r)
}
