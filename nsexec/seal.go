// SPDX-License-Identifier: Apache-2.0

package nsexec

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

//go:embed bin
var embedded embed.FS

// installed is where a package puts the interpreter when none is embedded.
const installed = "/usr/libexec/sdcontainer/nsexec"

// ErrNoInterpreter is returned by [Start] when nsexec was not built.
var ErrNoInterpreter = errors.New("no nsexec interpreter")

// What a sealed file must have: nobody can change it any more.
const allSeals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE

// interpreter is the interpreter's ELF image.
func interpreter() ([]byte, error) { return findInterpreter(embedded, installed) }

// findInterpreter takes the one in built, or else the file installed.
func findInterpreter(built fs.FS, installed string) ([]byte, error) {
	b, err := fs.ReadFile(built, "bin/nsexec-"+runtime.GOARCH)
	if !errors.Is(err, fs.ErrNotExist) {
		return b, err
	}
	b, err = os.ReadFile(installed)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: none embedded for %s and no %s (build with: make)", ErrNoInterpreter, runtime.GOARCH, installed)
	}
	return b, err
}

// sealExecutable copies b into an executable memory file that nobody can change:
// what a container can reach of us through /proc/PID/exe is this copy.
func sealExecutable(b []byte) (fd int, err error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	// vm.memfd_noexec=1 makes files without MFD_EXEC not executable; kernels
	// before 6.3 know neither the flag nor the seal of the mode's x.
	seals := allSeals | unix.F_SEAL_EXEC
	fd, err = unix.MemfdCreate("nsexec", flags|unix.MFD_EXEC)
	if err == unix.EINVAL {
		seals = allSeals
		fd, err = unix.MemfdCreate("nsexec", flags)
	}
	if err == unix.EACCES {
		return -1, fmt.Errorf("memfd_create: %w (vm.memfd_noexec=2 forbids executable memory files; 1 is enough)", err)
	}
	if err != nil {
		return -1, os.NewSyscallError("memfd_create", err)
	}
	return fill(fd, b, seals)
}

// sealData copies b into a memory file that nobody can change or execute.
func sealData(name string, b []byte) (fd int, err error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err = unix.MemfdCreate(name, flags|unix.MFD_NOEXEC_SEAL)
	if err == unix.EINVAL {
		fd, err = unix.MemfdCreate(name, flags)
	}
	if err != nil {
		return -1, os.NewSyscallError("memfd_create", err)
	}
	return fill(fd, b, allSeals)
}

// fill writes and seals a memory file. It owns fd until it returns it.
func fill(fd int, b []byte, seals int) (int, error) {
	for rest := b; len(rest) > 0; {
		n, err := unix.Write(fd, rest)
		if err != nil {
			return -1, errors.Join(os.NewSyscallError("write memfd", err), unix.Close(fd))
		}
		rest = rest[n:]
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		return -1, errors.Join(os.NewSyscallError("seal memfd", err), unix.Close(fd))
	}
	return fd, nil
}
