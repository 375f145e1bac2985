// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// The ids systemd sets aside for container user namespaces (its UIDS-GIDS.md:
// 0x00080000 to 0x6FFFFFFF), in blocks of 65536 as systemd-nspawn picks them.
const (
	usernsFirst = 0x00080000
	usernsBlock = 0x10000
	usernsCount = (0x70000000 - usernsFirst) / usernsBlock
	usernsDir   = ".userns" // symlinks BLOCK -> container ID, below Runtime.Dir
)

// claimUserns finds a free range of size ids and claims it for id. The search
// begins at a place derived from the name, so that a container usually gets the
// range it had before. A claim is a symlink: readable by ls,
// void when the container it names is gone.
func (r *Runtime) claimUserns(id string, size uint32) (first uint32, err error) {
	blocks := (int(size) + usernsBlock - 1) / usernsBlock
	if blocks < 1 || blocks > usernsCount {
		return 0, fmt.Errorf("user namespace of %d ids: want 1 to %d", size, usernsCount*usernsBlock)
	}
	dir := filepath.Join(r.dir(), usernsDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, err
	}
	// Order: under a lock: between looking at a void claim and removing it, somebody
	// else may have made it his.
	lock, err := os.Open(dir)
	if err != nil {
		return 0, err
	}
	defer lock.Close()
	if err := flock(lock); err != nil {
		return 0, err
	}
	at := usernsStart(id)
	for range usernsCount {
		if at+blocks > usernsCount {
			at = 0
		}
		ok, err := r.claimBlocks(dir, id, at, blocks)
		if err != nil {
			return 0, err
		}
		if ok {
			return uint32(usernsFirst + at*usernsBlock), nil
		}
		at++
	}
	return 0, errors.New("every automatic user namespace range is taken (set uid_map and gid_map by hand)")
}

// usernsStart is the block where the search for a container's range begins.
func usernsStart(id string) int {
	h := fnv.New32a()
	h.Write([]byte(id))
	return int(h.Sum32() % usernsCount)
}

func (r *Runtime) claimBlocks(dir, id string, at, n int) (bool, error) {
	for i := range n {
		ok, err := r.claimBlock(filepath.Join(dir, strconv.Itoa(at+i)), id)
		if !ok || err != nil {
			for j := range i {
				_ = os.Remove(filepath.Join(dir, strconv.Itoa(at+j))) // ours: made a moment ago
			}
			return false, err
		}
	}
	return true, nil
}

func (r *Runtime) claimBlock(link, id string) (bool, error) {
	for range 2 {
		err := os.Symlink(id, link)
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return false, err
		}
		owner, err := os.Readlink(link)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
		if _, err := os.Stat(r.path(owner)); owner != id && err == nil {
			return false, nil
		}
		// Void: its container is gone, or it is our own from a start that was killed.
		if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	return false, nil
}

func (r *Runtime) releaseUserns(st *record) error {
	var errs []error
	for n := uint32(0); n < st.Userns[1]; n += usernsBlock {
		link := filepath.Join(r.dir(), usernsDir, strconv.Itoa(int((st.Userns[0]+n-usernsFirst)/usernsBlock)))
		if owner, err := os.Readlink(link); err != nil || owner != st.ID {
			continue
		}
		if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// mapOne translates a container id to the host's; without a map they are equal.
func mapOne(id uint32, maps []specs.LinuxIDMapping) (uint32, error) {
	if len(maps) == 0 {
		return id, nil
	}
	for _, m := range maps {
		if id >= m.ContainerID && id-m.ContainerID < m.Size {
			return m.HostID + (id - m.ContainerID), nil
		}
	}
	return 0, fmt.Errorf("id %d is not mapped in the user namespace", id)
}
