// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// MaxID is the highest user or group id: the next one means "no id".
const MaxID = 1<<32 - 2

// ParseID tells a number from a name. What could be read as either, now or by
// another program, is neither: "01", "0x0", "-1", "1e3" (CVE-2024-40635, CVE-2020-13776).
func ParseID(s string) (id uint32, numeric bool, err error) {
	if s == "" {
		return 0, false, errors.New("empty user or group")
	}
	if s[0] < '0' || s[0] > '9' {
		return 0, false, checkName(s)
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > MaxID || s[0] == '0' && s != "0" {
		return 0, false, fmt.Errorf("%q: want a number from 0 to %d without a leading zero, or a name", s, uint32(MaxID))
	}
	return uint32(n), true, nil
}

func checkName(s string) error {
	for i, r := range s {
		ok := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_' ||
			i > 0 && (r >= '0' && r <= '9' || r == '-' || r == '.' || r == '$' || r == '@' || r == '\\')
		if !ok || i > 255 {
			return fmt.Errorf("%q is not a user or group name", s)
		}
	}
	return nil
}

// IDMapText is an id map as the kernel takes it: a line for each range.
func IDMapText(maps []specs.LinuxIDMapping) string {
	var b strings.Builder
	for _, m := range maps {
		fmt.Fprintf(&b, "%d %d %d\n", m.ContainerID, m.HostID, m.Size)
	}
	return b.String()
}

// The kernel's limits of an id map (user_namespaces(7)): its ranges, and its text, which is written at once and shorter than a
// page. Where pages are larger it would take more: a map is to be one on every machine.
const (
	maxRanges  = 340
	maxMapText = 4096 - 1
)

// CheckIDMapSize says whether the kernel takes that many ranges.
func CheckIDMapSize(maps []specs.LinuxIDMapping) error {
	if len(maps) > maxRanges {
		return fmt.Errorf("%d ranges: the kernel takes at most %d", len(maps), maxRanges)
	}
	if n := len(IDMapText(maps)); n > maxMapText {
		return fmt.Errorf("%d ranges, which are %d bytes: the kernel takes at most %d", len(maps), n, maxMapText)
	}
	return nil
}

// HasHostRoot says whether id maps give id 0 of the host. Without a user namespace a container has it as well.
func HasHostRoot(uids, gids []specs.LinuxIDMapping) bool {
	return slices.ContainsFunc(slices.Concat(uids, gids), func(m specs.LinuxIDMapping) bool { return m.HostID == 0 && m.Size > 0 })
}

// notForHostRoot are values of keys that give more than they are meant to where id 0 of the host is among the
// container's: systemd and files of the host take no notice of its user namespace then.
var notForHostRoot = []struct {
	key, value, why string
	of              func(*Settings) string
}{
	{"security.profile", ProfileSystem, "gives CAP_SYS_ADMIN, which only a user namespace without id 0 of the host confines",
		func(s *Settings) string { return s.Profile }},
	{"systemd.notify", "container", "needs a user namespace without id 0 of the host, which may name systemd any main PID",
		func(s *Settings) string { return s.Notify }},
}

// CheckHostRoot says what of the settings does not go with id maps that have id 0 of the host. Of a user namespace
// that is joined they are known when it is there.
func (s Settings) CheckHostRoot(uids, gids []specs.LinuxIDMapping) error {
	var errs []error
	for _, x := range notForHostRoot {
		if x.of(&s) == x.value && HasHostRoot(uids, gids) {
			errs = append(errs, fmt.Errorf("%s = %q %s", x.key, x.value, x.why))
		}
	}
	return errors.Join(errs...)
}
