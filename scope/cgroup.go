// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// mounts are where a cgroup2 hierarchy is: alone, or beside those of version 1.
var mounts = []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}

// Mount is the directory of the cgroup2 hierarchy.
var Mount = sync.OnceValue(func() string {
	for _, dir := range mounts {
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err == nil && st.Type == unix.CGROUP2_SUPER_MAGIC {
			return dir
		}
	}
	return mounts[0]
})

// dir is the directory of a cgroup. The cleaned path cannot leave the hierarchy.
func dir(cgroup string, elem ...string) string {
	return filepath.Join(append([]string{Mount(), filepath.Clean("/" + cgroup)}, elem...)...)
}

// CgroupOf is the cgroup of a process, as a path below Mount.
func CgroupOf(pid int) (string, error) {
	file := "/proc/" + strconv.Itoa(pid) + "/cgroup"
	b, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(b)) {
		if path, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); ok {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: no cgroup2 hierarchy (boot with systemd.unified_cgroup_hierarchy=1)", file)
}

// OwnCgroup is the cgroup of this process.
func OwnCgroup() (string, error) { return CgroupOf(os.Getpid()) }

// Populated tells whether there is a living process in the cgroup or below it. A cgroup that is gone has none.
func Populated(cgroup string) bool { return event(cgroup, "populated") }

// Frozen tells whether all of the cgroup's processes are frozen.
func Frozen(cgroup string) bool { return event(cgroup, "frozen") }

func event(cgroup, key string) bool {
	m, err := readFlat(dir(cgroup, "cgroup.events"))
	return err == nil && m[key] == 1
}

// Procs is every process in the cgroup and below it, by ID.
func Procs(cgroup string) ([]int, error) {
	var pids []int
	err := filepath.WalkDir(dir(cgroup), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a sub-cgroup that ended meanwhile
		}
		if err != nil || !d.IsDir() {
			return err
		}
		b, err := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		if vanished(err) || errors.Is(err, unix.EOPNOTSUPP) { // gone, or a threaded cgroup
			return nil
		}
		if err != nil {
			return err
		}
		for field := range strings.FieldsSeq(string(b)) {
			pid, err := strconv.Atoi(field)
			if err != nil {
				return fmt.Errorf("%s/cgroup.procs: %w", path, err)
			}
			pids = append(pids, pid)
		}
		return nil
	})
	return pids, err
}

func vanished(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) }

// OpenEvents opens memory.events of the cgroup. The descriptor can be read after the cgroup's
// end no more, but waits with poll until then. Errors: fs.ErrNotExist without a memory controller.
func OpenEvents(cgroup string) (*os.File, error) { return os.Open(dir(cgroup, "memory.events")) }

// OpenDir opens the directory of the cgroup, as for CLONE_INTO_CGROUP.
func OpenDir(cgroup string) (*os.File, error) {
	fd, err := unix.Open(dir(cgroup), unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: dir(cgroup), Err: err}
	}
	return os.NewFile(uintptr(fd), dir(cgroup)), nil
}

// readFlat reads a file of lines "key number". Other lines are left out.
func readFlat(file string) (map[string]uint64, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	m := map[string]uint64{}
	for line := range strings.Lines(string(b)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseUint(value, 10, 64); err == nil {
			m[key] = n
		}
	}
	return m, nil
}
