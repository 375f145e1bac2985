// SPDX-License-Identifier: Apache-2.0

package nsexec

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/kernel"
)

// CheckIDMaps says what is wrong with a pair of id maps: a range that is empty,
// too long or overlaps another, on either side, or more ranges than the kernel takes.
func CheckIDMaps(uids, gids []specs.LinuxIDMapping) error {
	return errors.Join(checkIDMap("uid", uids), checkIDMap("gid", gids))
}

func checkIDMap(kind string, maps []specs.LinuxIDMapping) error {
	if len(maps) == 0 {
		return fmt.Errorf("%s map is empty", kind)
	}
	if err := configs.CheckIDMapSize(maps); err != nil {
		return fmt.Errorf("%s map: %w", kind, err)
	}
	for i, m := range maps {
		text := idRange(m)
		if m.Size == 0 {
			return fmt.Errorf("%s map: range %s is empty", kind, text)
		}
		// The id 2^32-1 means "no change" to the kernel and cannot be mapped.
		if uint64(m.ContainerID)+uint64(m.Size) > math.MaxUint32 || uint64(m.HostID)+uint64(m.Size) > math.MaxUint32 {
			return fmt.Errorf("%s map: range %s reaches beyond %d", kind, text, uint32(math.MaxUint32-1))
		}
		for _, o := range maps[:i] {
			if overlap(m.ContainerID, o.ContainerID, m.Size, o.Size) || overlap(m.HostID, o.HostID, m.Size, o.Size) {
				return fmt.Errorf("%s map: ranges %s and %s overlap", kind, idRange(o), text)
			}
		}
	}
	return nil
}

func idRange(m specs.LinuxIDMapping) string {
	return fmt.Sprintf("%d:%d:%d", m.ContainerID, m.HostID, m.Size)
}

func overlap(a, b, sizeA, sizeB uint32) bool {
	return uint64(a) < uint64(b)+uint64(sizeB) && uint64(b) < uint64(a)+uint64(sizeA)
}

// WriteIDMaps gives the new user namespace of process pid its id maps. Without
// CAP_SETGID setgroups is denied in it first, as the kernel demands (CVE-2014-8989).
//
// The maps are valid by [CheckIDMaps]. The process must not have been joined by
// another one yet, and, for an unprivileged caller, be dumpable.
func WriteIDMaps(pid int, uids, gids []specs.LinuxIDMapping) error {
	if err := CheckIDMaps(uids, gids); err != nil {
		return err
	}
	dir, err := os.OpenFile("/proc/"+strconv.Itoa(pid), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer dir.Close()
	if os.Geteuid() != 0 {
		// Order: setgroups before gid_map, which an unprivileged process may only
		// write when nobody in the namespace can drop a group (user_namespaces(7)).
		if err := writeProc(dir, "setgroups", "deny"); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if err := writeProc(dir, "uid_map", configs.IDMapText(uids)); err != nil {
		return err
	}
	return writeProc(dir, "gid_map", configs.IDMapText(gids))
}

// writeProc writes a file of a process in one call, as the kernel demands for maps.
func writeProc(dir *os.File, name, text string) error {
	var fd int
	err := kernel.Retry(func() (err error) {
		fd, err = unix.Openat(int(dir.Fd()), name, unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
		return err
	})
	if err != nil {
		return &os.PathError{Op: "open", Path: dir.Name() + "/" + name, Err: err}
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte(text)); err != nil {
		if err == unix.EPERM {
			err = fmt.Errorf("%w (may the caller map these ids? see /etc/subuid and /etc/subgid)", err)
		}
		return &os.PathError{Op: "write", Path: dir.Name() + "/" + name, Err: err}
	}
	return nil
}

// UsernsFile opens the user namespace of process pid.
func UsernsFile(pid int) (*os.File, error) {
	return os.Open("/proc/" + strconv.Itoa(pid) + "/ns/user")
}

// NewUserns makes a user namespace with the given maps and no process in it: what
// an id-mapped mount takes its mapping from.
func NewUserns(ctx context.Context, uids, gids []specs.LinuxIDMapping) (*os.File, error) {
	if err := CheckIDMaps(uids, gids); err != nil {
		return nil, err
	}
	h, err := Start(StartOptions{})
	if err != nil {
		return nil, err
	}
	defer h.Close() // the namespace lives on in the file
	p := New("userns")
	p.At("make a user namespace", "an id-mapped mount takes its mapping from it")
	p.Unshare("user namespace", unix.CLONE_NEWUSER)
	p.End()
	if err := h.Send(p); err != nil {
		return nil, err
	}
	if _, err := h.Next(ctx); err != nil {
		return nil, err
	}
	if err := WriteIDMaps(h.Pid, uids, gids); err != nil {
		return nil, err
	}
	return UsernsFile(h.Pid)
}
