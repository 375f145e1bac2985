// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
)

// mounts are where a cgroup2 hierarchy is: alone, or beside those of version 1.
var mounts = []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}

// Mount is the directory of the cgroup2 hierarchy.
func Mount() string { return mount() }

var mount = sync.OnceValue(func() string {
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

// unitDir is the directory of a cgroup that is some unit's: never the root, which holds all there is.
func unitDir(cgroup string) (string, error) {
	if filepath.Clean("/"+cgroup) == "/" {
		return "", fmt.Errorf("cgroup %q: want that of a unit", cgroup)
	}
	return dir(cgroup), nil
}

// CgroupOf is the cgroup of a process, as a path below Mount.
func CgroupOf(pid int) (string, error) {
	file := "/proc/" + strconv.Itoa(pid) + "/cgroup"
	b, err := kernel.ReadFile(file)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(b)) {
		if path, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); ok {
			return undeleted(path), nil
		}
	}
	return "", fmt.Errorf("%s: %w (boot with systemd.unified_cgroup_hierarchy=1)", file, ErrNoHierarchy)
}

// undeleted is a path without what the kernel says after that of a cgroup which is gone. Who owns cgroups may call a
// living one so, beside another that has the name without.
func undeleted(path string) string {
	name, ok := strings.CutSuffix(path, " (deleted)")
	if !ok {
		return path
	}
	if _, err := os.Lstat(dir(path)); err == nil {
		return path
	}
	return name
}

var anticipating sync.Mutex

// Anticipate shortens the wait for a job that is started next. To take a process into a
// cgroup the kernel first waits for an RCU grace period, 5 to 15 ms in which systemd is
// stuck, unless one has just been waited for (cgroup_threadgroup_rwsem). Here that is done
// ahead, by moving ourselves to where we are. Without the right to do so nothing is lost,
// nor when another call is at it.
func Anticipate() {
	if !anticipating.TryLock() {
		return
	}
	defer anticipating.Unlock()
	own, err := CgroupOf(os.Getpid())
	if err == nil {
		_ = kernel.WriteFile(dir(own, "cgroup.procs"), []byte("0"))
	}
}

// Populated tells whether there is a living process in the cgroup or below it. A cgroup
// that is gone has none; one that cannot be looked at, as without descriptors, is not taken for empty.
func Populated(cgroup string) bool {
	populated, err := event(cgroup, "populated")
	return populated || err != nil && !vanished(err)
}

// Frozen tells whether all of the cgroup's processes are frozen.
func Frozen(cgroup string) bool {
	frozen, _ := event(cgroup, "frozen") // what cannot be looked at is not known to be
	return frozen
}

func event(cgroup, key string) (bool, error) {
	m, err := readFlat(dir(cgroup, "cgroup.events"))
	return m[key] == 1, err
}

// Procs is every process in the cgroup and below it, sorted. A cgroup that is gone is
// fs.ErrNotExist; what ends below it meanwhile is left out.
func Procs(cgroup string) ([]int, error) {
	root, err := unitDir(cgroup)
	if err != nil {
		return nil, err
	}
	return procsBelow(root, maxVisits)
}

// maxVisits bounds how many cgroups are looked into. There are fewer at any moment; but who owns them can make
// those still to come deeper while he removes those that were seen, for as long as somebody looks.
const maxVisits = 16 * maxDescendants

func procsBelow(root string, most int) (pids []int, err error) {
	visits := 0
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			if visits++; visits > most {
				return fmt.Errorf("%s: more than %d cgroups below it: somebody makes them all the time", root, most)
			}
			pids, err = appendProcs(pids, filepath.Join(path, "cgroup.procs"))
		}
		if path != root && vanished(err) {
			return nil
		}
		return err
	})
	slices.Sort(pids)
	return slices.Compact(pids), err
}

func appendProcs(pids []int, file string) ([]int, error) {
	b, err := kernel.ReadFile(file)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return pids, nil // a threaded cgroup: its processes are listed by its domain
	}
	if err != nil {
		return pids, err
	}
	for field := range strings.FieldsSeq(string(b)) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			return pids, fmt.Errorf("%s: %w", file, err)
		}
		if pid != 0 { // of another pid namespace
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

func vanished(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) }

// Inode is the number of a cgroup, which no other has before the next boot. Errors: fs.ErrNotExist.
func Inode(cgroup string) (uint64, error) {
	d, err := unitDir(cgroup)
	if err != nil {
		return 0, err
	}
	var st unix.Stat_t
	if err := unix.Lstat(d, &st); err != nil {
		return 0, &os.PathError{Op: "lstat", Path: d, Err: err}
	}
	return st.Ino, nil
}

// InodeOf is that of a cgroup whose directory is open.
func InodeOf(dir *os.File) (uint64, error) {
	var st unix.Stat_t
	err := os.NewSyscallError("fstat", unix.Fstat(int(dir.Fd()), &st))
	return st.Ino, err
}

// OpenEvents opens memory.events of the cgroup. Errors: fs.ErrNotExist without a memory controller.
func OpenEvents(cgroup string) (*os.File, error) {
	d, err := unitDir(cgroup)
	if err != nil {
		return nil, err
	}
	return kernel.Open(filepath.Join(d, "memory.events"), unix.O_RDONLY)
}

// OOMKills is how many processes of the cgroup were killed for memory, and false when
// that can no longer be told, because the cgroup is gone.
func OOMKills(events *os.File) (uint64, bool) {
	b := make([]byte, 4096) // eight short lines
	n, err := events.ReadAt(b, 0)
	if n == 0 && err != nil {
		return 0, false
	}
	return kernel.OOMKills(string(b[:n]))
}

// OpenCgroups opens the directories of the unit's cgroup that a container's belongs to and, if it has
// one of its own there, of that.
func OpenCgroups(path string) (unit, payload *os.File, err error) {
	d, err := unitDir(path)
	if err != nil {
		return nil, nil, err
	}
	if unit, err = kernel.Open(UnitCgroup(d), unix.O_DIRECTORY); err != nil || UnitCgroup(d) == d {
		return unit, nil, err
	}
	if payload, err = kernel.Open(d, unix.O_DIRECTORY); err != nil {
		unit.Close()
		return nil, nil, err
	}
	return unit, payload, nil
}

// ManagedOOMKills is how often systemd-oomd killed the processes of cgroups: it counts in an extended attribute
// before it kills. Their directories keep it when they are removed, for who has them open.
func ManagedOOMKills(dirs ...*os.File) (n uint64) {
	for _, d := range dirs {
		if d == nil {
			continue
		}
		b := make([]byte, 32)
		size, err := unix.Fgetxattr(int(d.Fd()), "user.oomd_ooms", b)
		if err != nil {
			continue // it never did
		}
		if kills, err := strconv.ParseUint(string(b[:size]), 10, 32); err == nil { // its owner may write what he likes
			n += kills
		}
	}
	return n
}

// readFlat reads a file of lines "key number".
func readFlat(file string) (map[string]uint64, error) {
	b, err := kernel.ReadFile(file)
	return parseFlat(string(b)), err
}

// parseFlat leaves out lines of another form.
func parseFlat(text string) map[string]uint64 {
	m := map[string]uint64{}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseUint(value, 10, 64); err == nil {
			m[key] = n
		}
	}
	return m
}
