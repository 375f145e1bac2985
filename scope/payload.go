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

// payloadName is the sub-cgroup of a unit that is ours to write.
const payloadName = "payload"

// UnitCgroup is the cgroup of the unit that a container's cgroup belongs to: itself, or the one above a payload's.
func UnitCgroup(path string) string { return strings.TrimSuffix(path, "/"+payloadName) }

// MakePayload makes the sub-cgroup of a delegated unit, moves pid into it if pid is not 0,
// gives it the controllers and those of the files, and writes the files. It returns the sub-cgroup's path.
//
//   - The process has no children yet: they would stay behind.
func MakePayload(unit string, files map[string]string, controllers []string, pid int) (string, error) {
	if _, err := unitDir(unit); err != nil {
		return "", err
	}
	path := filepath.Join("/", unit, payloadName)
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
	all := append(controllersOf(files), controllers...)
	if len(all) > 0 {
		slices.Sort(all)
		if err := errors.Join(enable(unit, slices.Compact(all)), inherit(dir(unit), dir(path))); err != nil {
			return "", err
		}
	}
	return path, writeFiles(dir(path), files)
}

// inherit gives the payload's cgroup what the unit's has of systemd-oomd's marks (ManagedOOMPreference=): it looks at those
// of the cgroup that it would kill.
func inherit(unit, path string) error {
	for _, mark := range []string{"user.oomd_avoid", "user.oomd_omit"} {
		var b [8]byte
		size, err := unix.Getxattr(unit, mark, b[:])
		if err != nil {
			continue // it has none
		}
		if err := unix.Setxattr(path, mark, b[:size], 0); err != nil {
			return &os.PathError{Op: "setxattr", Path: path, Err: err}
		}
	}
	return nil
}

// asideName is the sub-cgroup of a service where those are who build the container.
const asideName = "starter"

// StepAside moves processes out of a delegated unit's own cgroup into one below it, so that
// it can give controllers to its payload's. It is empty when they have ended, and goes with the unit.
func StepAside(unit string, pids ...int) error {
	d, err := unitDir(unit)
	if err != nil {
		return err
	}
	aside := filepath.Join(d, asideName)
	if err := os.Mkdir(aside, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	for _, pid := range pids {
		if err := write(aside, "cgroup.procs", strconv.Itoa(pid)); err != nil {
			return err
		}
	}
	return nil
}

// WritePayload writes files of a sub-cgroup that MakePayload made.
func WritePayload(path string, files map[string]string) error {
	if filepath.Base(path) != payloadName {
		return fmt.Errorf("cgroup %s: not a payload's (systemd alone writes its units' files)", path)
	}
	return writeFiles(dir(path), files)
}

// handed are the files of a cgroup that let its owner make cgroups below it and move
// processes between them. Its limits stay ours (cgroups(7), "delegation").
var handed = []string{"", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"}

// What may be made below a handed cgroup. Cgroups are no tasks, so that pids.max does not
// count them, and each with a memory controller takes one of the machine's 65535 numbers for
// those: without a bound one container keeps all others from starting. A systemd
// needs one for each of its units, some hundreds, and a depth of ten.
const (
	maxDescendants = 4096
	maxDepth       = 12
)

// depthBelow is how deep cgroups below a directory may be: a path that is longer than PATH_MAX, of names as long as
// there are, would keep systemd and us from everybody in it.
func depthBelow(dir string) int {
	const file = 64 // the longest name of a cgroup's file, or " (deleted)"
	return min(maxDepth, max(0, (unix.PathMax-len(dir)-file)/(unix.NAME_MAX+1)))
}

// Hand gives the structure below a delegated cgroup to a user: the root of a user namespace
// that is to have cgroups of its own there, but not without end.
func Hand(path string, uid, gid int) error {
	d, err := unitDir(path)
	if err != nil {
		return err
	}
	// Order: bounded before there is somebody who makes cgroups.
	errs := []error{writeFiles(d, map[string]string{
		"cgroup.max.descendants": strconv.Itoa(maxDescendants), "cgroup.max.depth": strconv.Itoa(depthBelow(d)),
	})}
	for _, file := range handed {
		errs = append(errs, os.Lchown(filepath.Join(d, file), uid, gid))
	}
	return errors.Join(errs...)
}

// foreign are controllers systemd does not know. It neither gives nor takes them, so
// nobody but us hands them down to its slices.
var foreign = map[string]bool{"hugetlb": true, "rdma": true, "misc": true, "dmem": true}

// enable gives controllers to the sub-cgroup. cgroup.subtree_control is
// the one file of a delegated unit that is the delegate's to write.
func enable(unit string, controllers []string) error {
	for _, controller := range controllers {
		dirs := []string{dir(unit)}
		if foreign[controller] {
			dirs = chain(unit)
		}
		for _, d := range dirs {
			if err := give(d, controller); err != nil {
				return err
			}
		}
	}
	return nil
}

func controllersOf(files map[string]string) []string {
	var list []string
	for file := range files {
		controller, _, _ := strings.Cut(file, ".")
		list = append(list, controller)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// chain is the directory of every cgroup from the root to path.
func chain(path string) []string {
	dirs := []string{dir("/")}
	for name := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		dirs = append(dirs, filepath.Join(dirs[len(dirs)-1], name))
	}
	return dirs
}

// Controllers are those that a cgroup has.
func Controllers(cgroup string) ([]string, error) { return controllersIn(dir(cgroup)) }

func controllersIn(dir string) ([]string, error) {
	b, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	return strings.Fields(string(b)), err
}

func give(cgroup, controller string) error {
	have, err := controllersIn(cgroup)
	if err != nil {
		return err
	}
	if !slices.Contains(have, controller) {
		return fmt.Errorf("%s: no controller %s (it needs support in the kernel, and no cgroup_disable=%s on its command line)",
			cgroup, controller, controller)
	}
	return write(cgroup, "cgroup.subtree_control", "+"+controller)
}

// writeFiles writes in the order of names: cpu.max is before cpu.max.burst, which is
// checked against it.
func writeFiles(path string, files map[string]string) error {
	var errs []error
	for _, file := range slices.Sorted(maps.Keys(files)) {
		for line := range strings.Lines(files[file]) { // the kernel takes one device at a time
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
	if _, err = f.WriteString(value); err != nil {
		err = fmt.Errorf("write %q: %w", value, err)
	}
	return errors.Join(err, f.Close())
}
