// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"strings"
	"testing"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// E4: whatever an id has, systemd has the unit of that very name, in a cgroup of its own, and answers afterwards.
func TestE4SystemdTakesEveryName(t *testing.T) {
	if !sdtest.InsideAll(t) {
		return
	}
	c := dialTest(t)
	manager := c.bus.Object("org.freedesktop.systemd1", "/org/freedesktop/systemd1")
	room := maxUnitName - 1 - len(unitPrefix) - len(scopeSuffix)
	groups := map[string]string{}
	for _, id := range []string{
		"a", strings.Repeat("a", room), strings.Repeat("@", room/4), "a/b", "..", ".", "-", "a@b", "a%i", "a.slice", "a.scope", "a+b", "a_b", `a\x2db`, "a-b",
		"ä", "a b", "-a",
	} {
		u, pid := startTest(t, c, id, nil)
		path, err := CgroupOf(int(pid))
		if err != nil || path != "/sdcontainer.slice/"+u.Name || groups[path] != "" {
			t.Errorf("%q: the process is in %q, %v; want that of %s alone (taken by %q)", id, path, err, u.Name, groups[path])
		}
		groups[path] = id
		if group, err := c.ControlGroup(t.Context(), u.Name); err != nil || group != path {
			t.Errorf("%q: ControlGroup is %q, %v; want %s", id, group, err, path)
		}
		if err := c.Stop(t.Context(), u.Name); err != nil {
			t.Errorf("%q: %v", id, err)
		}
		if err := manager.CallWithContext(t.Context(), "org.freedesktop.DBus.Peer.Ping", 0).Err; err != nil {
			t.Fatalf("after %q: %v", id, err)
		}
	}
}
