// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
)

// Bounds on the files read from an image: an image may hold anything.
const maxPasswd = 1 << 20

// openRoot opens the root directory of a process as it sees it.
func openRoot(pid int) (*os.File, error) {
	return kernel.OpenPath("/proc/" + strconv.Itoa(pid) + "/root")
}

// readOptional reads a file of the container's; a missing one is empty.
func readOptional(root *os.File, name string) ([]byte, error) {
	b, err := kernel.ReadIn(root, name, maxPasswd)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil, nil
	}
	return b, err
}

// lookPath finds the payload's executable inside root, as execvp would: the
// answer is a path in the container. Errors: ErrNotFound, ErrNotExecutable.
func lookPath(root *os.File, cwd, arg0 string, env []string) (string, error) {
	if arg0 == "" {
		return "", fmt.Errorf("%w: empty command", ErrNotFound)
	}
	if strings.Contains(arg0, "/") {
		file := arg0
		if !path.IsAbs(file) {
			file = path.Join(cwd, file)
		}
		return file, executable(root, file)
	}
	search := ""
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, "PATH="); ok {
			search = v
			break // of two, programs take the first
		}
	}
	denied := error(nil)
	for dir := range strings.SplitSeq(search, ":") {
		if !path.IsAbs(dir) { // an empty or relative element means the working directory
			dir = path.Join(cwd, dir)
		}
		file := path.Join(dir, arg0)
		err := executable(root, file)
		if err == nil {
			return file, nil
		}
		if errors.Is(err, ErrNotExecutable) && denied == nil {
			denied = err
		}
	}
	if denied != nil {
		return "", denied
	}
	return "", fmt.Errorf("%w: %q in PATH %q of the container", ErrNotFound, arg0, search)
}

func executable(root *os.File, file string) error {
	f, err := kernel.OpenIn(root, file, unix.O_PATH)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
		return fmt.Errorf("%w: %s in the container", ErrNotFound, file)
	case err != nil:
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: %s is not a regular file", ErrNotExecutable, file)
	}
	if info.Mode().Perm()&0o111 == 0 {
		return fmt.Errorf("%w: %s has mode %04o (chmod +x it)", ErrNotExecutable, file, info.Mode().Perm())
	}
	return nil
}
