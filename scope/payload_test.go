// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMakePayload(t *testing.T) {
	all := "cpu io memory pids hugetlb\n"
	tree := func() string {
		return fakeTree(t, map[string]string{
			"cgroup.controllers": all, "cgroup.subtree_control": "",
			"s/cgroup.controllers": all, "s/cgroup.subtree_control": "",
			"s/u/cgroup.controllers": all, "s/u/cgroup.subtree_control": "",
			"s/u/payload/cgroup.procs": "", "s/u/payload/hugetlb.2MB.max": "", "s/u/payload/cpu.max.burst": "", "s/u/payload/cpu.max": "",
		})
	}
	root := tree()
	path, err := MakePayload("/s/u", map[string]string{"hugetlb.2MB.max": "4"}, nil, 42)
	if err != nil || path != "/s/u/payload" {
		t.Fatal(path, err)
	}
	for file, want := range map[string]string{
		"s/u/payload/cgroup.procs": "42", "s/u/payload/hugetlb.2MB.max": "4",
		// systemd does not know the controller: it is handed down from the root
		"cgroup.subtree_control": "+hugetlb", "s/cgroup.subtree_control": "+hugetlb", "s/u/cgroup.subtree_control": "+hugetlb",
	} {
		if b, err := os.ReadFile(filepath.Join(root, file)); string(b) != want || err != nil {
			t.Errorf("%s is %q, %v; want %q", file, b, err, want)
		}
	}

	root = tree()
	if _, err := MakePayload("/s/u", map[string]string{"cpu.max": "1 2", "cpu.max.burst": "1"}, nil, 0); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		"s/u/payload/cgroup.procs": "", "s/u/payload/cpu.max": "1 2", "s/u/payload/cpu.max.burst": "1",
		"cgroup.subtree_control": "", "s/cgroup.subtree_control": "", "s/u/cgroup.subtree_control": "+cpu",
	} {
		if b, err := os.ReadFile(filepath.Join(root, file)); string(b) != want || err != nil {
			t.Errorf("%s is %q, %v; want %q", file, b, err, want)
		}
	}

	if _, err := MakePayload("/s/u", map[string]string{"rdma.max": "a hca_handle=1"}, nil, 0); err == nil || !strings.Contains(err.Error(), "no controller rdma") {
		t.Errorf("error is %v", err)
	}
	if err := WritePayload("/s/u/payload", map[string]string{"hugetlb.1GB.max": "1"}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error is %v, want fs.ErrNotExist", err)
	}
	if err := WritePayload("/s/u", map[string]string{"cpu.max": "1"}); err == nil {
		t.Error("a file of systemd's own was written")
	}
}

// What systemd gave a unit against systemd-oomd the payload's cgroup has too, where systemd-oomd may see it.
func TestPayloadInheritsPreference(t *testing.T) {
	for preference, controllers := range map[string][]string{"user.oomd_omit": {"memory"}, "user.oomd_avoid": {"memory"}, "": nil} {
		root := fakeTree(t, map[string]string{"s/u/cgroup.controllers": "memory pids\n", "s/u/cgroup.subtree_control": ""})
		for _, mark := range []string{"user.oomd_omit", "user.oomd_avoid"} {
			if mark == preference || preference == "" {
				if err := unix.Setxattr(filepath.Join(root, "s/u"), mark, []byte("1"), 0); err != nil {
					t.Fatal(err)
				}
			}
		}
		path, err := MakePayload("/s/u", nil, controllers, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, mark := range []string{"user.oomd_omit", "user.oomd_avoid"} {
			var b [8]byte
			n, err := unix.Getxattr(filepath.Join(root, path), mark, b[:])
			if has := err == nil && string(b[:n]) == "1"; has != (mark == preference) {
				t.Errorf("unit with %q: the payload's cgroup has %s: %v", preference, mark, has)
			}
		}
	}
}
