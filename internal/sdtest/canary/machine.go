// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// mounts are those of PID 1, by place; several at one place are told apart by what they show.
func mounts(_ context.Context, _ Watch, s Snapshot) error {
	b, err := os.ReadFile("/proc/1/mountinfo")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if strings.HasPrefix(f[4], "/run/user/") || strings.HasPrefix(f[4], "/run/credentials/") || f[4] == "/proc/sys/fs/binfmt_misc" {
			continue // systemd's, when somebody asks
		}
		kind, source := "", ""
		if _, after, ok := strings.Cut(line, " - "); ok {
			g := strings.Fields(after)
			kind, source = g[0], g[1]
		}
		name := f[4]
		for n := 2; s["mount"][name] != ""; n++ {
			name = f[4] + " #" + strconv.Itoa(n)
		}
		s.put("mount", name, fmt.Sprintf("%s %s of %s, %s", kind, f[3], source, f[5]))
	}
	return nil
}

func links(_ context.Context, _ Watch, s Snapshot) error {
	all, err := net.Interfaces()
	for _, l := range all {
		s.put("link", l.Name, fmt.Sprintf("%s, mtu %d", l.Flags, l.MTU))
	}
	return err
}

// processes are all but the kernel's, and those of the distribution's units. A PID that was used again is another process.
func processes(_ context.Context, _ Watch, s Snapshot) error {
	all, err := Processes()
	for _, p := range all {
		if !p.kernel && !ofSystem(p.Cgroup) {
			s.put(p.kind(), fmt.Sprintf("%d@%s", p.PID, p.Start), fmt.Sprintf("%s (%s) in %s", p.Comm, p.Exe, p.Cgroup))
		}
	}
	return err
}

// aideKind are processes that systemd has made for something of its own, such as to run generators or to start a unit, and that may be there
// in the moment of a picture: that one has ended is no difference.
const aideKind = "system's process"

func (p Process) kind() string {
	if p.PID != 1 && filepath.Base(p.Cgroup) == "init.scope" && strings.HasSuffix(filepath.Dir(p.Exe), "/lib/systemd") {
		return aideKind
	}
	return "process"
}

// ofSystem tells a cgroup of a unit that works when its time has come, or one below it.
func ofSystem(cgroup string) bool {
	if filepath.Base(cgroup) == "init.scope" {
		return false
	}
	return slices.ContainsFunc(strings.Split(cgroup, "/"), func(name string) bool {
		return systems(name) && strings.Contains(name, ".")
	})
}

// A Process is one, as /proc shows it.
type Process struct {
	PID    int
	Start  string // in clock ticks since boot
	Comm   string
	Exe    string
	Cgroup string
	State  string
	kernel bool
}

// Processes lists every process that can be seen from here.
func Processes() ([]Process, error) {
	d, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var all []Process
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			if p, ok := process(pid); ok {
				all = append(all, p)
			}
		}
	}
	return all, nil
}

func process(pid int) (Process, bool) {
	dir := "/proc/" + strconv.Itoa(pid)
	b, err := os.ReadFile(dir + "/stat")
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if err != nil || open < 0 || end < open {
		return Process{}, false // ended
	}
	const state, flags, start = 0, 6, 19
	f := strings.Fields(string(b[end+1:]))
	bits, _ := strconv.ParseUint(f[flags], 10, 64)                                                                        // the kernel's own
	p := Process{PID: pid, Start: f[start], Comm: string(b[open+1 : end]), State: f[state], kernel: bits&0x00200000 != 0} // PF_KTHREAD
	p.Exe, _ = os.Readlink(dir + "/exe")                                                                                  // a zombie has none
	if b, err = os.ReadFile(dir + "/cgroup"); err == nil {
		_, p.Cgroup, _ = strings.Cut(strings.TrimSpace(string(b)), "0::")
	}
	return p, true
}

// Kinds of numbers that may become smaller, and of which some come and go with their processes. Those of systemd's own may
// also grow by what it opens when it first needs it, and the manager's by three for each service of the distribution that is
// activated, as systemd-oomd is by ManagedOOMMemoryPressure. A leak outgrows that in a sweep.
const (
	countKind    = "number"
	managerKind  = "system's number"
	managerSlack = 16
)

func atMost(is, was string, slack int) bool {
	a, err1 := strconv.Atoi(is)
	b, err2 := strconv.Atoi(was)
	return err1 == nil && err2 == nil && a <= b+slack
}

// descriptors counts those of every process but the kernel's: what lives on must not have more of them.
func descriptors(_ context.Context, _ Watch, s Snapshot) error {
	all, err := Processes()
	for _, p := range all {
		list, err := os.ReadDir("/proc/" + strconv.Itoa(p.PID) + "/fd")
		if p.kernel || err != nil {
			continue // ended
		}
		kind := countKind
		if p.PID == 1 || ofSystem(p.Cgroup) {
			kind = managerKind
		}
		s.put(kind, fmt.Sprintf("of descriptors of %s (%d@%s)", p.Comm, p.PID, p.Start), strconv.Itoa(len(list)))
	}
	return err
}

// files looks at the watched trees.
func files(_ context.Context, w Watch, s Snapshot) error {
	var errs []error
	for _, root := range w.Files {
		errs = append(errs, walk(root, func(path string, st *unix.Stat_t) error {
			text := fmt.Sprintf("%06o %d:%d %d.%09d", st.Mode, st.Uid, st.Gid, st.Mtim.Sec, st.Mtim.Nsec)
			switch {
			case st.Mode&unix.S_IFMT != unix.S_IFREG:
			case path != root && st.Size > 1<<20: // of a tree the large ones are not read: whatever writes to one moves its ctime
				text += fmt.Sprintf(" %d %d %d.%09d", st.Ino, st.Size, st.Ctim.Sec, st.Ctim.Nsec)
			default:
				b, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				sum := sha256.Sum256(b)
				text += " " + hex.EncodeToString(sum[:8])
			}
			s.put("file", path, text)
			return nil
		}))
	}
	for _, root := range w.Dirs {
		errs = append(errs, walk(root, func(path string, st *unix.Stat_t) error {
			if path != root && !slices.Contains(lasting, filepath.Base(path)) {
				s.put("name", path, fmt.Sprintf("%06o %d:%d", st.Mode, st.Uid, st.Gid))
			}
			return nil
		}))
	}
	return errors.Join(errs...)
}

// lasting are the names in a directory of records that are made once, and stay; so is the directory.
var lasting = []string{".userns", ".userns.lock"}

// walk visits a tree without following links. What goes meanwhile, or is not there, is no error.
func walk(root string, visit func(string, *unix.Stat_t) error) error {
	return filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		var st unix.Stat_t
		if err == nil {
			if err = unix.Lstat(path, &st); err == nil {
				err = visit(path, &st)
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}
