// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// MaxFile is the largest file that is read whole. Many are as long as a container makes
// them; the longest with a reason has the processes of a cgroup: 2^22 numbers of 8 bytes.
const MaxFile = 32 << 20

// ReadFile reads a file of the kernel's: of procfs, sysfs or a cgroup. os.ReadFile would
// do, with ten system calls in place of four: it asks whether the file can be waited for. A
// start reads dozens. Errors: EFBIG, with more than MaxFile bytes.
func ReadFile(path string) ([]byte, error) {
	b, err := ReadStart(path, MaxFile+1)
	if err == nil && len(b) > MaxFile {
		return nil, &os.PathError{Op: "read", Path: path, Err: fmt.Errorf("%w: more than %d bytes", unix.EFBIG, MaxFile)}
	}
	return b, err
}

// Open opens a file or directory of the kernel's. os.OpenFile would do, with five system calls more: it asks whether
// the file can be waited for.
func Open(path string, flags int) (*os.File, error) {
	fd, err := open(path, flags)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

func open(path string, flags int) (fd int, err error) {
	err = Retry(func() (err error) {
		fd, err = unix.Open(path, flags|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return fd, nil
}

// ReadStart reads no more of one of these files than its first limit bytes.
func ReadStart(path string, limit int) ([]byte, error) {
	fd, err := open(path, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	b := make([]byte, 0, min(1024, limit))
	for {
		var n int
		err := Retry(func() (err error) {
			n, err = unix.Read(fd, b[len(b):cap(b)])
			return err
		})
		if err != nil {
			return b, &os.PathError{Op: "read", Path: path, Err: err}
		}
		b = b[:len(b)+n]
		if n == 0 || len(b) == limit {
			return b, nil
		}
		if len(b) == cap(b) {
			b = append(make([]byte, 0, min(4*len(b), limit)), b...)
		}
	}
}

// WriteFile writes one of these files, in one call: each is an order to the kernel.
func WriteFile(path string, b []byte) error {
	fd, err := open(path, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	n, err := unix.Write(fd, b)
	if err == nil && n != len(b) {
		err = unix.EIO
	}
	if err != nil {
		return &os.PathError{Op: "write", Path: path, Err: err}
	}
	return nil
}

// Rename renames with the RENAME_ flags of renameat2(2).
func Rename(from, to string, flags uint) error {
	err := Retry(func() error { return unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, flags) })
	if err == nil {
		return nil
	}
	op := "rename"
	if flags&unix.RENAME_EXCHANGE != 0 {
		op = "exchange"
	}
	return &os.LinkError{Op: op, Old: from, New: to, Err: err}
}

// OOMKills is the number of processes killed for lack of memory, from the text of a
// cgroup's memory.events; false if it does not say.
func OOMKills(events string) (uint64, bool) {
	for line := range strings.Lines(events) {
		if n, ok := strings.CutPrefix(line, "oom_kill "); ok {
			kills, err := strconv.ParseUint(strings.TrimSuffix(n, "\n"), 10, 64)
			return kills, err == nil
		}
	}
	return 0, false
}
