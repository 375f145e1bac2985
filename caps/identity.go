// SPDX-License-Identifier: Apache-2.0

package caps

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	//lint:ignore SA1019 the package is the one this project is asked to use; it forwards to moby/sys/user
	"github.com/opencontainers/runc/libcontainer/user"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sdcontainer/sdcontainer/configs"
)

// An Identity is the payload's user.
type Identity struct {
	UID, GID uint32
	Groups   []uint32 // supplementary, sorted; the primary group is among them
	Home     string
}

// What a user file of an image may be at most. A larger one is an error.
const (
	MaxUserFile  = 1 << 20
	maxUserLines = 1 << 16
	maxGroups    = 1 << 16 // NGROUPS_MAX
)

// Resolve finds the user u means in the container's /etc/passwd and /etc/group.
// Either reader may be nil: the file is not there. With u.Username, of
// the form NAME, UID, NAME:GROUP or UID:GID, the ids of u do not matter. Digits
// are always a number and never a name.
func Resolve(passwd, group io.Reader, u specs.User) (Identity, error) {
	users, err := readUsers(passwd)
	if err != nil {
		return Identity{}, fmt.Errorf("/etc/passwd: %w", err)
	}
	if u.Username == "" {
		id := Identity{UID: u.UID, GID: u.GID}
		if u.UID > configs.MaxID || u.GID > configs.MaxID {
			return id, fmt.Errorf("user %d:%d: want numbers up to %d", u.UID, u.GID, uint32(configs.MaxID))
		}
		if i := slices.IndexFunc(users, func(x user.User) bool { return x.Uid == int(u.UID) }); i >= 0 {
			id.Home = users[i].Home
		}
		return id.complete(u.AdditionalGids)
	}
	groups, err := readGroups(group)
	if err != nil {
		return Identity{}, fmt.Errorf("/etc/group: %w", err)
	}
	id, err := lookup(u.Username, users, groups)
	if err != nil {
		return Identity{}, fmt.Errorf("user %q: %w", u.Username, err)
	}
	return id.complete(u.AdditionalGids)
}

// complete adds groups and makes the identity well-formed.
func (id Identity) complete(more []uint32) (Identity, error) {
	id.Groups = append(append(id.Groups, id.GID), more...)
	slices.Sort(id.Groups)
	id.Groups = slices.Compact(id.Groups)
	if id.Groups[len(id.Groups)-1] > configs.MaxID {
		return id, fmt.Errorf("group %d: want a number up to %d", id.Groups[len(id.Groups)-1], uint32(configs.MaxID))
	}
	if len(id.Groups) > maxGroups {
		return id, fmt.Errorf("%d groups: at most %d", len(id.Groups), maxGroups)
	}
	if !path.IsAbs(id.Home) || strings.ContainsFunc(id.Home, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		id.Home = "/"
	}
	return id, nil
}

func lookup(spec string, users []user.User, groups []user.Group) (Identity, error) {
	name, groupName, hasGroup := strings.Cut(spec, ":")
	uid, numeric, err := configs.ParseID(name)
	if err != nil {
		return Identity{}, err
	}
	id := Identity{UID: uid}
	i := slices.IndexFunc(users, func(x user.User) bool {
		return numeric && x.Uid == int(uid) || !numeric && x.Name == name
	})
	if i < 0 && !numeric {
		return id, fmt.Errorf("no user %q in the container's /etc/passwd", name)
	}
	if i >= 0 {
		id = Identity{UID: uint32(users[i].Uid), GID: uint32(users[i].Gid), Home: users[i].Home}
	}
	if hasGroup {
		id.GID, err = lookupGroup(groupName, groups)
		return id, err
	}
	if i >= 0 {
		for _, g := range groups {
			if slices.Contains(g.List, users[i].Name) {
				id.Groups = append(id.Groups, uint32(g.Gid))
			}
		}
	}
	return id, nil
}

func lookupGroup(name string, groups []user.Group) (uint32, error) {
	gid, numeric, err := configs.ParseID(name)
	if err != nil || numeric {
		return gid, err
	}
	i := slices.IndexFunc(groups, func(x user.Group) bool { return x.Name == name })
	if i < 0 {
		return 0, fmt.Errorf("no group %q in the container's /etc/group", name)
	}
	return uint32(groups[i].Gid), nil
}

func readUsers(r io.Reader) ([]user.User, error) {
	b, err := clean(r, 2, 3)
	if err != nil {
		return nil, err
	}
	return user.ParsePasswd(bytes.NewReader(b)) //nolint:staticcheck // see the import
}

func readGroups(r io.Reader) ([]user.Group, error) {
	b, err := clean(r, 2)
	if err != nil {
		return nil, err
	}
	return user.ParseGroup(bytes.NewReader(b)) //nolint:staticcheck // see the import
}

// clean reads a file of colon-separated lines and keeps those whose fields at
// ids are numbers: the parser takes anything else for 0, which is root.
func clean(r io.Reader, ids ...int) ([]byte, error) {
	if r == nil {
		return nil, nil
	}
	var out bytes.Buffer
	lines := 0
	limited := &io.LimitedReader{R: r, N: MaxUserFile + 1}
	in := bufio.NewScanner(limited)
	in.Buffer(nil, MaxUserFile+1)
	for in.Scan() {
		if lines++; lines > maxUserLines {
			return nil, fmt.Errorf("more than %d lines", maxUserLines)
		}
		line := bytes.TrimSpace(in.Bytes())
		if wellFormed(line, ids) {
			out.Write(line)
			out.WriteByte('\n')
		}
	}
	if limited.N <= 0 {
		return nil, fmt.Errorf("larger than %d bytes", MaxUserFile)
	}
	return out.Bytes(), in.Err()
}

func wellFormed(line []byte, ids []int) bool {
	if len(line) == 0 || line[0] == '#' || bytes.IndexByte(line, 0) >= 0 {
		return false
	}
	f := bytes.Split(line, []byte(":"))
	for _, i := range ids {
		if i >= len(f) || len(f[i]) == 0 {
			return false
		}
		if n, err := strconv.ParseUint(string(f[i]), 10, 64); err != nil || n > configs.MaxID {
			return false
		}
	}
	return len(f[0]) > 0
}
