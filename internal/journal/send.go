// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Send writes one entry with these fields. MESSAGE is what people see, PRIORITY a syslog
// priority in digits. Errors: unix.ENOENT or unix.ECONNREFUSED where no journald runs.
func Send(fields map[string]string) error { return sendIn(Dir, fields) }

func sendIn(dir string, fields map[string]string) error {
	entry, err := encode(fields)
	if err != nil {
		return err
	}
	f, err := dial(unix.SOCK_DGRAM, filepath.Join(dir, "socket"))
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.Write(entry)
	if errors.Is(err, unix.EMSGSIZE) || errors.Is(err, unix.ENOBUFS) {
		return sendFile(f, entry)
	}
	return err
}

// encode writes fields in order of their names. A value with line breaks has its
// length in front, in binary:
//
//	NAME=value\n
//	NAME\n length(8 bytes, little endian) value \n
func encode(fields map[string]string) ([]byte, error) {
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !validField(name) {
			return nil, fmt.Errorf("journal field %q: want up to 64 of A-Z, 0-9 and _, the first a letter", name)
		}
		value := fields[name]
		b.WriteString(name)
		if strings.Contains(value, "\n") {
			b.WriteByte('\n')
			_ = binary.Write(&b, binary.LittleEndian, uint64(len(value))) // a buffer does not fail
		} else {
			b.WriteByte('=')
		}
		b.WriteString(value)
		b.WriteByte('\n')
	}
	return b.Bytes(), nil
}

// validField is the rule journald enforces; names with a leading '_' are its own.
func validField(name string) bool {
	ok := name != "" && len(name) <= 64 && name[0] >= 'A' && name[0] <= 'Z'
	for _, c := range []byte(name) {
		ok = ok && (c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_')
	}
	return ok
}

// sendFile passes an entry that is too big for a datagram as a sealed file.
func sendFile(socket *os.File, entry []byte) error {
	fd, err := unix.MemfdCreate("journal-entry", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), "journal-entry")
	defer f.Close()
	if _, err := f.Write(entry); err != nil {
		return err
	}
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		return os.NewSyscallError("fcntl F_ADD_SEALS", err)
	}
	return os.NewSyscallError("sendmsg", unix.Sendmsg(int(socket.Fd()), nil, unix.UnixRights(fd), nil, 0))
}
