// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/caps"
	"github.com/sdcontainer/sdcontainer/internal/kernel"
)

// The ids systemd sets aside for container user namespaces (its UIDS-GIDS.md:
// 0x00080000 to 0x6FFFFFFF), in blocks of 65536 as systemd-nspawn picks them.
const (
	usernsFirst = 0x00080000
	usernsBlock = 0x10000
	usernsCount = (0x70000000 - usernsFirst) / usernsBlock
	usernsDir   = ".userns"      // symlinks BLOCK -> container ID, below Runtime.Dir
	usernsLock  = ".userns.lock" // held by who claims
)

// claimUserns finds a free range of size ids and claims it for id. The search
// begins at a place derived from the name, so that a container usually gets the
// range it had before. Ids that somebody gave to a user are left to him. A claim is a symlink: readable by ls,
// void when the container it names is gone.
func (r *Runtime) claimUserns(ctx context.Context, id string, size uint32) (first uint32, err error) {
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
	lock, err := waitLock(ctx, r.path(usernsLock), exclusive)
	if errors.Is(err, errNotFIFO) {
		err = fmt.Errorf("%w (remove it)", err)
	}
	if err != nil {
		return 0, err
	}
	defer lock.Close()
	given, err := subordinateIDs()
	if err != nil {
		return 0, err
	}
	at, err := r.claimRange(ctx, dir, id, blocks, given)
	if err != nil {
		return 0, err
	}
	return uint32(usernsFirst + at*usernsBlock), nil
}

// claimRange claims that many blocks in a row. After a block that is somebody's it goes on behind it: a range of most of the
// space would else be made and removed for each place before that block, under the lock that every start waits for.
func (r *Runtime) claimRange(ctx context.Context, dir, id string, blocks int, given idRanges) (at int, err error) {
	start := usernsStart(id)
	at = start
	for around := false; !around || at < start; {
		if at+blocks > usernsCount {
			if around {
				break
			}
			at, around = 0, true
			continue
		}
		if given.overlap(at, blocks) {
			at++
			continue
		}
		free, err := r.claimBlocks(ctx, dir, id, at, blocks)
		if err != nil {
			return 0, fmt.Errorf("claim %d ids for a user namespace: %w", blocks*usernsBlock, err)
		}
		if free == blocks {
			return at, nil
		}
		at += free + 1
	}
	return 0, fmt.Errorf("no automatic user namespace range of %d ids is left: others are taken, or given to users in %s (set uid_map and gid_map by hand)",
		blocks*usernsBlock, strings.Join(subordinateFiles, " and "))
}

// subordinateFiles give ranges of ids to users (subuid(5)), for containers of their own. The ranges
// are to lie below systemd's, but useradd counts on from 100000 without an end, and who runs LXD gives root
// 10^9 from 1000000 on.
var subordinateFiles = []string{"/etc/subuid", "/etc/subgid"}

// idRanges are first ids and those after the last.
type idRanges [][2]uint64

// subordinateIDs are the ids in subordinateFiles. A line that is none gives none; numbers are
// read as strtoul(3) does, as newuidmap(1) reads them.
func subordinateIDs() (idRanges, error) {
	var given idRanges
	for _, file := range subordinateFiles {
		b, err := kernel.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(b)) {
			fields := strings.Split(strings.TrimSpace(line), ":")
			if len(fields) != 3 || strings.HasPrefix(line, "#") {
				continue
			}
			first, err1 := strconv.ParseUint(strings.TrimSpace(fields[1]), 0, 64)
			size, err2 := strconv.ParseUint(strings.TrimSpace(fields[2]), 0, 64)
			if err1 == nil && err2 == nil {
				given = append(given, [2]uint64{first, first + min(size, math.MaxUint64-first)})
			}
		}
	}
	return given, nil
}

// overlap says whether one of n blocks from at on has ids of the ranges.
func (r idRanges) overlap(at, n int) bool {
	first := uint64(usernsFirst) + uint64(at)*usernsBlock
	after := first + uint64(n)*usernsBlock
	return slices.ContainsFunc(r, func(given [2]uint64) bool { return given[0] < after && first < given[1] })
}

// usernsStart is the block where the search for a container's range begins.
func usernsStart(id string) int {
	h := fnv.New32a()
	h.Write([]byte(id))
	return int(h.Sum32() % usernsCount)
}

// claimBlocks says how many of n blocks from at on were free. Unless all were, it leaves none claimed.
func (r *Runtime) claimBlocks(ctx context.Context, dir, id string, at, n int) (free int, err error) {
	for ; free < n; free++ {
		ok := false
		if err = ctx.Err(); err == nil {
			ok, err = r.claimBlock(filepath.Join(dir, strconv.Itoa(at+free)), id)
		}
		if !ok || err != nil {
			for j := range free {
				_ = os.Remove(filepath.Join(dir, strconv.Itoa(at+j))) // ours: made a moment ago
			}
			break
		}
	}
	return free, err
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
		void, err := r.void(link, id)
		if !void || err != nil {
			return false, err
		}
		if err := ignoreMissing(os.Remove(link)); err != nil {
			return false, err
		}
	}
	return false, nil
}

// void says whether a claim is nobody's: its container is gone, or it is our own from
// a start that was killed. What is no claim at all is not ours to remove.
func (r *Runtime) void(link, id string) (bool, error) {
	owner, err := os.Readlink(link)
	switch {
	case errors.Is(err, unix.EINVAL):
		return false, nil
	case err != nil:
		return errors.Is(err, fs.ErrNotExist), ignoreMissing(err)
	case owner == id || checkID(owner) != nil:
		return true, nil
	}
	_, err = os.Lstat(r.path(owner))
	return errors.Is(err, fs.ErrNotExist), ignoreMissing(err)
}

// validRange says whether a range could have been claimed here.
func validRange(u [2]uint32) bool {
	first, size := uint64(u[0]), uint64(u[1])
	if size == 0 {
		return first == 0
	}
	return first >= usernsFirst && (first-usernsFirst)%usernsBlock == 0 && first+size <= usernsFirst+usernsCount*usernsBlock
}

func (r *Runtime) releaseUserns(st *record) error {
	var errs []error
	for n := uint32(0); n < st.Userns[1]; n += usernsBlock {
		errs = append(errs, r.release(strconv.Itoa(int((st.Userns[0]+n-usernsFirst)/usernsBlock)), st.ID))
	}
	return errors.Join(errs...)
}

// releaseNamed removes every claim of a container whose record does not say which it has.
func (r *Runtime) releaseNamed(id string) error {
	entries, err := os.ReadDir(r.path(usernsDir))
	if err != nil {
		return ignoreMissing(err)
	}
	var errs []error
	for _, e := range entries {
		errs = append(errs, r.release(e.Name(), id))
	}
	return errors.Join(errs...)
}

func (r *Runtime) release(block, id string) error {
	link := r.path(usernsDir, block)
	owner, err := os.Readlink(link)
	switch {
	case err == nil && owner == id:
		return ignoreMissing(os.Remove(link))
	case err == nil || errors.Is(err, unix.EINVAL): // somebody else's, or no claim at all
		return nil
	}
	return ignoreMissing(err)
}

// onHost are the ids of the host that the payload's are.
func onHost(y *caps.Payload, uidMap, gidMap []specs.LinuxIDMapping) (uid, gid uint32, groups []uint32, err error) {
	if uid, err = mapOne(y.UID, uidMap); err != nil {
		return 0, 0, nil, fmt.Errorf("user: %w", err)
	}
	if gid, err = mapOne(y.GID, gidMap); err != nil {
		return 0, 0, nil, fmt.Errorf("group: %w", err)
	}
	for _, g := range y.Groups {
		id, err := mapOne(g, gidMap)
		if err != nil {
			return 0, 0, nil, fmt.Errorf("groups: %w", err)
		}
		groups = append(groups, id)
	}
	return uid, gid, groups, nil
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
