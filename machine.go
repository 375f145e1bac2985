// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/rootfs"
	"github.com/sdcontainer/sdcontainer/scope"
)

// missingDevices are those whose I/O is limited, and the sizes of huge pages, that this machine does not have now.
func missingDevices(u scope.Unit) (errs []error) {
	have := hugePages()
	for _, l := range slices.Concat(scope.Limits(u), scope.PayloadLimits(u)) {
		if _, err := l.Find(); err != nil {
			errs = append(errs, &configs.FieldError{Field: "unit", Entry: l.Property, Err: err, Warning: true})
		}
		size, huge := strings.CutPrefix(l.File, "hugetlb.")
		if size, _, _ = strings.Cut(size, "."); huge && !slices.Contains(have, size) {
			err := fmt.Errorf("this machine has no huge pages of %s (it has: %s)", size, strings.Join(have, ", "))
			errs = append(errs, &configs.FieldError{Field: "unit", Entry: l.File, Err: err, Warning: true})
		}
	}
	return errs
}

// hugePages are the sizes of this machine's huge pages, as the files of cgroups name them.
func hugePages() (names []string) {
	dirs, _ := filepath.Glob("/sys/kernel/mm/hugepages/hugepages-*kB")
	for _, dir := range dirs {
		var kib uint64
		if _, err := fmt.Sscanf(filepath.Base(dir), "hugepages-%dkB", &kib); err == nil {
			names = append(names, configs.HugePage(kib<<10))
		}
	}
	return names
}

// missingCPUs are processors and memory nodes that this machine does not have now.
func missingCPUs(spec *specs.Spec, u scope.Unit) (errs []error) {
	tell := func(field, entry string, err error) {
		if err != nil {
			errs = append(errs, &configs.FieldError{Field: field, Entry: entry, Err: err, Warning: true})
		}
	}
	for _, name := range []string{"AllowedCPUs", "StartupAllowedCPUs"} {
		if mask, ok := u.Get(name).([]byte); ok {
			tell("unit", name, processors.lack(mask))
		}
	}
	for _, name := range []string{"AllowedMemoryNodes", "StartupAllowedMemoryNodes"} {
		if mask, ok := u.Get(name).([]byte); ok {
			tell("unit", name, memoryNodes.lack(mask))
		}
	}
	if a := spec.Process.ExecCPUAffinity; a != nil {
		if mask, err := configs.CPUMask(a.Final); err == nil {
			tell("process.execCPUAffinity", "", processors.lack(mask))
		}
	}
	return errs
}

// A numbered is a kind of device that the machine has by numbers.
type numbered struct {
	what    string
	dir     string // of /sys/devices/system
	without string // what there is if the kernel has no such directory, "" if nobody knows
}

var (
	processors  = numbered{what: "CPU", dir: "cpu"}
	memoryNodes = numbered{what: "memory node", dir: "node", without: "0"}
)

// lack tells of those in the mask that this machine does not have now.
func (n numbered) lack(mask []byte) error {
	b, err := os.ReadFile(filepath.Join("/sys/devices/system", n.dir, "online"))
	list := cmp.Or(strings.TrimSpace(string(b)), n.without)
	have, wrong := configs.CPUMask(list)
	if list == "" || err != nil && !errors.Is(err, unix.ENOENT) || wrong != nil {
		return nil // nobody knows
	}
	lacking := slices.Clone(mask)
	for i := range min(len(have), len(lacking)) {
		lacking[i] &^= have[i]
	}
	if names := scope.FormatSet(lacking); names != "" {
		return fmt.Errorf("this machine has no %s %s now (it has: %s)", n.what, names, list)
	}
	return nil
}

// sharesAbove are limits of memory that come to more than the maximum with this machine's memory: one of the two is a share of that.
func sharesAbove(u scope.Unit) (errs []error) {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return nil
	}
	all := float64(info.Totalram) * float64(info.Unit)
	limit := func(name string) (bytes float64, share, ok bool) {
		if n, ok := u.Get(name + "Scale").(uint32); ok {
			return all * float64(n) / math.MaxUint32, true, true
		}
		n, ok := u.Get(name).(uint64)
		return float64(n), false, ok && n != scope.Infinity
	}
	most, share, ok := limit("MemoryMax")
	for _, name := range []string{"MemoryHigh", "MemoryLow", "MemoryMin"} {
		if n, other, limited := limit(name); ok && limited && share != other && n > most {
			err := fmt.Errorf("is %.0f bytes on this machine, more than the %.0f that MemoryMax= lets it have", n, most)
			errs = append(errs, &configs.FieldError{Field: "unit", Entry: name, Err: err, Warning: true})
		}
	}
	return errs
}

// missingSysctls are those that this machine's kernel does not have now.
func missingSysctls(spec *specs.Spec) (errs []error) {
	for _, key := range slices.Sorted(maps.Keys(spec.Linux.Sysctl)) {
		file, err := rootfs.SysctlFile(key)
		if err == nil && !hasSysctl(file) {
			err = fmt.Errorf("this kernel does not have it now: there is no /proc/sys/%s", file)
			errs = append(errs, &configs.FieldError{Field: "linux.sysctl", Entry: key, Err: err, Warning: true})
		}
	}
	return errs
}

// separated are overlays whose upper and work lie in different mounts.
func separated(spec *specs.Spec) (errs []error) {
	for _, m := range spec.Mounts {
		if upper, work, err := upperAndWork(m); err == nil && upper != work {
			err = errors.New("the directories of upper and work lie in different mounts: the kernel wants them in one")
			errs = append(errs, &configs.FieldError{Field: "mounts", Entry: m.Destination, Err: err, Warning: true})
		}
	}
	return errs
}

// misfits are directories that meet files of the root as it is now, and files that meet directories.
func misfits(spec *specs.Spec) (errs []error) {
	root, err := kernel.OpenPath(spec.Root.Path)
	if err != nil {
		return nil // which is told elsewhere
	}
	defer root.Close()
	tell := func(field, entry, format string, args ...any) {
		errs = append(errs, &configs.FieldError{Field: field, Entry: entry, Err: fmt.Errorf(format, args...), Warning: true})
	}
	for i, m := range spec.Mounts {
		if covered(spec.Mounts[:i], m.Destination) {
			continue
		}
		have, err := kindIn(root, m.Destination)
		if errors.Is(err, unix.ENOTDIR) {
			tell("mounts", m.Destination, "a part of this path is a file in the root")
		} else if want := mountKind(m); err == nil && want != "" && have != want {
			tell("mounts", m.Destination, "is a %s in the root, and what is to be mounted there a %s", have, want)
		}
	}
	if cwd := spec.Process.Cwd; cwd != "" && !covered(spec.Mounts, cwd) {
		if have, err := kindIn(root, cwd); err == nil && have == aFile || errors.Is(err, unix.ENOTDIR) {
			tell("process.cwd", "", "%q: this or a part of it is a file in the root", cwd)
		}
	}
	return errs
}

// hasSysctl says whether the kernel has a setting. Those of an interface are not looked for: the container's are others.
func hasSysctl(file string) bool {
	if f := strings.Split(file, "/"); len(f) > 3 && (f[2] == "conf" || f[2] == "neigh") {
		f[3] = "default"
		file = strings.Join(f, "/")
	}
	_, err := os.Stat(filepath.Join("/proc/sys", file))
	return !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR)
}

// upperAndWork are the mounts in which those of an overlay lie.
func upperAndWork(m specs.Mount) (upper, work uint64, err error) {
	if m.Type != "overlay" {
		return 0, 0, nil
	}
	in := func(key string) (id uint64) {
		for _, o := range m.Options {
			if dir, ok := strings.CutPrefix(o, key+"="); ok && err == nil {
				var st unix.Statx_t
				st, err = mountOf(unix.AT_FDCWD, dir)
				id = st.Mnt_id
			}
		}
		return id
	}
	return in("upperdir"), in("workdir"), err
}

// covered says whether a path lies on one of the mounts.
func covered(mounts []specs.Mount, path string) bool {
	return slices.ContainsFunc(mounts, func(m specs.Mount) bool { return isBelow(path, m.Destination) })
}

// A fileKind is what a mount can lie on: a directory or a file, of whatever type.
type fileKind string

const (
	aDirectory fileKind = "directory"
	aFile      fileKind = "file"
)

func kindOf(info os.FileInfo) fileKind {
	if info.IsDir() {
		return aDirectory
	}
	return aFile
}

// kindIn is the kind of what lies at a path in the root.
func kindIn(root *os.File, path string) (fileKind, error) {
	f, err := kernel.OpenIn(root, path, unix.O_PATH)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	return kindOf(info), nil
}

// mountKind is what a mount has to lie on, "" if that is not known.
func mountKind(m specs.Mount) fileKind {
	if m.Type != "bind" {
		return aDirectory
	}
	info, err := os.Stat(m.Source)
	if err != nil {
		return ""
	}
	return kindOf(info)
}
