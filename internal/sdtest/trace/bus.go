// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A stream is what was written to each socket that was connected to systemd or the bus, by /proc/PID/fd's name for it.
type stream map[string][]byte

// busSockets are where systemd and the bus listen.
var busSockets = []string{"/run/systemd/private", "/run/dbus/system_bus_socket", "/var/run/dbus/system_bus_socket"}

// call looks at one that is about to be made. What cannot be read is not there.
func (s stream) call(pid int, c call) {
	fd := c.args[0]
	switch c.nr {
	case unix.SYS_CONNECT:
		addr, _ := Read(pid, c.args[1], int(min(c.args[2], 110)))
		if len(addr) > 2 && binary.NativeEndian.Uint16(addr) == unix.AF_UNIX {
			path, _, _ := strings.Cut(string(addr[2:]), "\x00")
			if slices.Contains(busSockets, path) {
				s[socket(pid, fd)] = []byte{}
			}
		}
	case unix.SYS_WRITE, unix.SYS_SENDTO:
		s.sent(pid, fd, func() []byte { return iovec(pid, c.args[1], c.args[2]) })
	case unix.SYS_WRITEV:
		s.sent(pid, fd, func() []byte { return vector(pid, c.args[1], c.args[2]) })
	case unix.SYS_SENDMSG:
		s.sent(pid, fd, func() []byte {
			h, _ := Read(pid, c.args[1], 32) // struct msghdr: name, its length, iov, its length
			if len(h) < 32 {
				return nil
			}
			return vector(pid, binary.NativeEndian.Uint64(h[16:]), binary.NativeEndian.Uint64(h[24:]))
		})
	}
}

func (s stream) sent(pid int, fd uint64, what func() []byte) {
	if len(s) == 0 {
		return
	}
	name := socket(pid, fd)
	if _, ok := s[name]; ok {
		s[name] = append(s[name], what()...)
	}
}

func socket(pid int, fd uint64) string {
	name, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, fd)) // "" is no socket
	return name
}

func iovec(pid int, addr, size uint64) []byte {
	b, _ := Read(pid, addr, int(min(size, 1<<20)))
	return b
}

func vector(pid int, addr, n uint64) []byte {
	var all []byte
	for i := range min(n, 1024) {
		v, _ := Read(pid, addr+16*i, 16)
		if len(v) == 16 {
			all = append(all, iovec(pid, binary.NativeEndian.Uint64(v), binary.NativeEndian.Uint64(v[8:]))...)
		}
	}
	return all
}

// messages counts them. Several may have been written at once, or one in parts.
func (s stream) messages() int {
	n := 0
	for _, b := range s {
		_, b, _ = bytes.Cut(b, []byte("BEGIN\r\n")) // the authentication
		for len(b) >= 16 {
			var order binary.ByteOrder = binary.LittleEndian
			if b[0] == 'B' {
				order = binary.BigEndian
			}
			fields := (uint64(order.Uint32(b[12:])) + 7) &^ 7
			size := 16 + fields + uint64(order.Uint32(b[4:]))
			n++
			b = b[min(size, uint64(len(b))):]
		}
	}
	return n
}
