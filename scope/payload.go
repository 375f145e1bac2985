// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// PayloadName is the sub-cgroup of a unit that is ours to write.
const PayloadName = "payload"

// MakePayload makes the sub-cgroup of a delegated unit, moves pid into it if pid is not 0,
// and writes its files. It returns the sub-cgroup's path.
func MakePayload(unit string, files map[string]string, pid int) (string, error) {
	path := filepath.Join("/", unit, PayloadName)
	if err := os.Mkdir(dir(path), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	if pid != 0 {
		if err := write(dir(path), "cgroup.procs", strconv.Itoa(pid)); err != nil {
			return "", err
		}
	}
	// Order: the process first: a cgroup with processes of its own cannot give controllers
	// to its children (cgroups(7), "no internal processes").
	if err := enable(unit, files); err != nil {
		return "", err
	}
	return path, writeFiles(dir(path), files)
}

// UpdatePayload writes files of a sub-cgroup that MakePayload made.
func UpdatePayload(path string, files map[string]string) error {
	if filepath.Base(path) != PayloadName {
		return fmt.Errorf("cgroup %s: not a payload's (systemd alone writes its units' files)", path)
	}
	return writeFiles(dir(path), files)
}

// RemovePayload removes the sub-cgroup and what the payload made below it. All
// processes must have ended.
func RemovePayload(unit string) error { return removeTree(filepath.Join(dir(unit), PayloadName)) }

func removeTree(path string) error {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(filepath.Join(path, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := unix.Rmdir(path); err != nil && err != unix.ENOENT {
		return &os.PathError{Op: "rmdir", Path: path, Err: err}
	}
	return nil
}

// enable gives the sub-cgroup the controllers of its files. cgroup.subtree_control is
// the one file of a delegated unit that is the delegate's to write.
func enable(unit string, files map[string]string) error {
	wanted := map[string]bool{}
	for file := range files {
		if controller, _, _ := strings.Cut(file, "."); controllers[controller] {
			wanted[controller] = true
		}
	}
	for _, controller := range slices.Sorted(maps.Keys(wanted)) {
		err := write(dir(unit), "cgroup.subtree_control", "+"+controller)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("controller %s: not available in %s: %w", controller, unit, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// writeFiles writes in the order of names: cpu.max is before cpu.max.burst, which is
// checked against it.
func writeFiles(path string, files map[string]string) error {
	var errs []error
	for _, file := range slices.Sorted(maps.Keys(files)) {
		for line := range strings.Lines(files[file]) {
			errs = append(errs, write(path, file, line))
		}
	}
	return errors.Join(errs...)
}

func write(path, file, value string) error {
	f, err := os.OpenFile(filepath.Join(path, file), os.O_WRONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	if err != nil {
		err = fmt.Errorf("write %q: %w", value, err)
	}
	return errors.Join(err, f.Close())
}
