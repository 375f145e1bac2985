// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"os"

	"golang.org/x/sys/unix"
)

// ReadFile reads a file of the kernel's: of procfs, sysfs or a cgroup. os.ReadFile would
// do, with ten system calls in place of four: it asks whether the file can be waited for. A
// start reads dozens.
func ReadFile(path string) ([]byte, error) {
	var fd int
	err := retry(func() (err error) {
		fd, err = unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	b := make([]byte, 0, 1024)
	for {
		var n int
		err := retry(func() (err error) {
			n, err = unix.Read(fd, b[len(b):cap(b)])
			return err
		})
		if err != nil {
			return b, &os.PathError{Op: "read", Path: path, Err: err}
		}
		if n == 0 {
			return b, nil
		}
		if b = b[:len(b)+n]; len(b) == cap(b) {
			b = append(b, make([]byte, 3*len(b))...)[:len(b)]
		}
	}
}

// WriteFile writes one of these files, in one call: each is an order to the kernel.
func WriteFile(path string, b []byte) error {
	var fd int
	err := retry(func() (err error) {
		fd, err = unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
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
