// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/scope"
)

func TestParseMountinfo(t *testing.T) {
	const text = `36 35 98:0 /mnt1 / rw,noatime master:1 - ext3 /dev/root rw,errors=continue
37 36 0:5 / /a\040b ro,nosuid - tmpfs tmpfs ro
38 36 0:6 / /back\134slash rw shared:7 - tmpfs tmpfs rw
39 36 0:7 / /sys ro,x rw - tmpfs  rw
40 36 0:8 / /over rw - overlay overlay rw,lowerdir=/a\134:b:/c\040d::/e\054f,upperdir=/up:per,workdir=/work
41 36 0:9 / /new rw shared:9 - overlay x ro,lowerdir+=/a:b,datadir+=/c\134d
42 36 0:10 / /old rw - overlay x ro,lowerdir=/a\072b:/c
43 36 0:11 / /else rw - tmpfs x rw,lowerdir=/a
short line
`
	want := []mountLine{
		{36, 35, "98:0", "/mnt1", "/", []string{"rw", "noatime"}, true, ""},
		{37, 36, "0:5", "/", "/a b", []string{"ro", "nosuid"}, false, ""},
		{38, 36, "0:6", "/", `/back\slash`, []string{"rw"}, true, ""},
		{39, 36, "0:7", "/", "/sys\u00a0ro,x", []string{"rw"}, false, ""}, // no space to the kernel; and an empty source
		{40, 36, "0:8", "/", "/over", []string{"rw"}, false, `rw,lowerdir=/a\134:b:/c\040d::/e\054f,upperdir=/up:per,workdir=/work`},
		{41, 36, "0:9", "/", "/new", []string{"rw"}, true, `ro,lowerdir+=/a:b,datadir+=/c\134d`},
		{42, 36, "0:10", "/", "/old", []string{"rw"}, false, `ro,lowerdir=/a\072b:/c`},
		{43, 36, "0:11", "/", "/else", []string{"rw"}, false, ""},
	}
	got := parseMountinfo(text)
	if d := cmp.Diff(want, got, cmp.AllowUnexported(mountLine{})); d != "" {
		t.Error(d)
	}
}

func TestOverlayLayers(t *testing.T) {
	for options, want := range map[string][]string{
		`rw,lowerdir=/a\134:b:/c\040d::/e\054f,upperdir=/up:per,workdir=/work`: {"/a:b", "/c d", "/e,f", "/up:per", "is written"},
		`ro,lowerdir+=/a:b,datadir+=/c\134d`:                                   {"/a:b", `/c\d`},
		`ro,lowerdir=/a\072b:/c`:                                               {"/a:b", "/c"},
		`ro,lowerdir=/a:/b::/c`:                                                {"/a", "/b", "/c"},
	} {
		got, upper := overlayLayers(options)
		if upper != "" && got[len(got)-1] == upper {
			got = append(got, "is written")
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", options, got, want)
		}
	}
}

// A process whose /proc says what is wanted passes, and each single lie is
// named.
func TestWitnessNamesEachLie(t *testing.T) {
	const status = `Name:	x
Umask:	0022
TracerPid:	0
NSpid:	4711	1
NSsid:	4711	1
Uid:	1000	1000	1000	1000
Gid:	1000	1000	1000	1000
Groups:	4 20
CapInh:	0000000000000000
CapPrm:	00000000000000ff
CapEff:	00000000000000ff
CapBnd:	00000000000000ff
CapAmb:	0000000000000000
NoNewPrivs:	1
Seccomp:	2
`
	good := expectation{
		caps: [5]uint64{0, 0xff, 0xff, 0xff, 0}, noNewPrivs: true, seccomp: true,
		uid: 1000, gid: 1000, groups: []uint32{20, 4}, umask: 0o22, cgroup: "/a.slice/b.scope",
		uidMap: []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 65536}},
	}
	ours, err := os.ReadFile("/proc/self/status") // we may be under filters, too
	if err != nil {
		t.Fatal(err)
	}
	own, _ := strconv.Atoi(statusFields(string(ours))["Seccomp_filters"])
	files := map[string]string{
		"status": status + fmt.Sprintf("Seccomp_filters:	%d\n", own+1), "uid_map": "         0     100000      65536\n", "cgroup": "0::/a.slice/b.scope\n",
	}
	check := func(files map[string]string, e expectation) error {
		dir := t.TempDir()
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		w := &witness{proc: dir}
		w.status(&e)
		w.idMap("uid_map", e.uidMap)
		w.cgroup(&e)
		return errors.Join(w.diffs...)
	}
	if err := check(files, good); err != nil {
		t.Fatalf("the truth is refused: %v", err)
	}
	lies := []struct{ file, from, to, name string }{
		{"status", "CapInh:	0000000000000000", "CapInh:	0000000000000001", "CapInh"},
		{"status", "CapPrm:	00000000000000ff", "CapPrm:	00000000000001ff", "CapPrm"},
		{"status", "CapEff:	00000000000000ff", "CapEff:	000001ffffffffff", "CapEff"},
		{"status", "CapBnd:	00000000000000ff", "CapBnd:	00000000000000fe", "CapBnd"},
		{"status", "CapAmb:	0000000000000000", "CapAmb:	0000000000000400", "CapAmb"},
		{"status", "NoNewPrivs:	1", "NoNewPrivs:	0", "NoNewPrivs"},
		{"status", "Seccomp:	2", "Seccomp:	0", "Seccomp"},
		{"status", fmt.Sprintf("Seccomp_filters:	%d", own+1), fmt.Sprintf("Seccomp_filters:	%d", own), "Seccomp_filters"},
		{"status", "Uid:	1000	1000	1000	1000", "Uid:	1000	1000	0	1000", "Uid"},
		{"status", "Gid:	1000	1000	1000	1000", "Gid:	0	1000	1000	1000", "Gid"},
		{"status", "Groups:	4 20", "Groups:	0 4 20", "Groups"},
		{"status", "Umask:	0022", "Umask:	0000", "Umask"},
		{"status", "TracerPid:	0", "TracerPid:	7", "TracerPid"},
		{"status", "NSsid:	4711	1", "NSsid:	4000	0", "session"},
		{"uid_map", "100000", "0", "uid_map"},
		{"uid_map", "65536", "65537", "uid_map"},
		{"cgroup", "b.scope", "c.scope", "cgroup"},
	}
	for _, lie := range lies {
		told := map[string]string{}
		for name, text := range files {
			told[name] = text
		}
		told[lie.file] = strings.Replace(files[lie.file], lie.from, lie.to, 1)
		err := check(told, good)
		if err == nil || !strings.HasPrefix(err.Error(), lie.name+" is ") {
			t.Errorf("%s -> %s: %v; want an error about %s", lie.from, lie.to, err, lie.name)
		}
	}
}

func TestCgroupLimitsNameTheProperty(t *testing.T) {
	dir := t.TempDir()
	for file, content := range map[string]string{
		"pids.max": "max\n", "io.max": "8:0 rbps=max wbps=5 riops=max wiops=max\n", "io.weight": "default 50\n", "memory.oom.group": "0\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w := &witness{}
	w.cgroupLimits(dir, &expectation{limits: []scope.Limit{
		{Property: "TasksMax", File: "pids.max", Value: "64"}, {Property: "MemoryMax", File: "memory.max", Value: "4096"},
		{Property: "IOReadBandwidthMax", File: "io.max", Device: "8:0", Field: "rbps", Value: "7"},
		{Property: "IOWriteBandwidthMax", File: "io.max", Device: "8:0", Field: "wbps", Value: "5"},
		{Property: "IODeviceWeight", File: "io.weight", Device: "8:0", Value: "7"}, // it has no such scheduler
		{Property: "IOWeight", File: "io.weight", Device: "default", Value: "60"},
		{Property: "OOMPolicy", File: "memory.oom.group", Value: "1"},
	}})
	if len(w.diffs) != 5 {
		t.Errorf("%d differences, want 5: %v", len(w.diffs), w.diffs)
	}
	text := errors.Join(w.diffs...).Error()
	for _, want := range []string{"TasksMax (pids.max) is max, want 64", "MemoryMax: open ", "IOReadBandwidthMax (io.max 8:0) is max, want 7",
		"IOWeight (io.weight default) is 50, want 60", "OOMPolicy (memory.oom.group) is 0, want 1"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q lacks %q", text, want)
		}
	}
}

// A process whose root and working directory lie on none of the mounts it is said
// to have (CVE-2024-21626).
func TestA5WitnessSeesDirectoriesOutside(t *testing.T) {
	w := &witness{proc: "/proc/self"}
	table := mountTable{byID: map[uint64]mountLine{}, top: map[string]mountLine{}}
	w.directories(table)
	text := errors.Join(w.diffs...).Error()
	for _, name := range []string{"root", "cwd"} {
		if !strings.Contains(text, name+" directory is outside of the container's mounts") {
			t.Errorf("%q says nothing about %s", text, name)
		}
	}
	for _, m := range parseMountinfo((&witness{proc: "/proc/self"}).read("mountinfo")) {
		table.byID[m.id] = m
	}
	w = &witness{proc: "/proc/self"}
	if w.directories(table); len(w.diffs) != 0 {
		t.Errorf("the truth: %v", errors.Join(w.diffs...))
	}
}

// A mask that has the right name but lies in another mount than proc covers nothing of it.
func TestB9WitnessFollowsMounts(t *testing.T) {
	table := mountTable{byID: map[uint64]mountLine{}}
	for _, m := range []mountLine{{id: 1, parent: 1000, point: "/"}, {id: 2, parent: 1, point: "/proc"}, {id: 3, parent: 2, point: "/proc/sys"},
		{id: 4, parent: 3, point: "/proc/sys/x"}, {id: 5, parent: 1, point: "/proc/keys"}, {id: 6, parent: 6, point: "/odd"}} {
		table.byID[m.id] = m
	}
	for id, want := range map[uint64]bool{1: false, 2: true, 3: true, 4: true, 5: false, 6: false} {
		if got := table.within(table.byID[id], 2); got != want {
			t.Errorf("mount %d within 2: %v", id, got)
		}
	}
}

// What is compared of the Spec's mounts: those that must be there, each with what it takes away, but for those that a
// later one covers.
func TestSpecMounts(t *testing.T) {
	spec := &specs.Spec{Mounts: []specs.Mount{
		{Destination: "/a/b", Options: []string{"ro"}},
		{Destination: "/a", Options: []string{"bind", "ro", "rw", "nosuid"}},
		{Destination: "/a/c/", Options: []string{"rro", "dev", "nodev"}},
		{Destination: "/a/c", Options: []string{"ro", "noexec", "x-sdc.optional"}},
	}}
	want := []specMount{{"/a", []string{"nosuid"}, spec.Mounts[2:3]}, {"/a/c", []string{"nodev", "ro"}, []specs.Mount{}}}
	if d := cmp.Diff(want, specMounts(spec), cmp.AllowUnexported(specMount{})); d != "" {
		t.Error(d)
	}
	// From Linux 6.8 on the lines of one point are in any order: then the path itself is asked.
	table := mountTable{top: map[string]mountLine{"/a": {id: 1}}, byID: map[uint64]mountLine{1: {id: 1}}, many: map[string]bool{}}
	w := &witness{proc: filepath.Join(t.TempDir(), "gone")}
	if m, ok := w.mountAt(table, "/a"); !ok || m.id != 1 {
		t.Errorf("one line: %+v, %v", m, ok)
	}
	table.many["/a"] = true
	if m, ok := w.mountAt(table, "/a"); ok {
		t.Errorf("several lines, and nobody to ask: %+v", m)
	}
}

// A mount that a later one hides, where links of the image put it, is no difference; one that is not there is.
func TestHiddenMounts(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	for _, dir := range []string{"x/y", "z"} {
		if err := os.MkdirAll(filepath.Join(w.root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/x", filepath.Join(w.root, "link")); err != nil {
		t.Fatal(err)
	}
	tmpfs := func(at string, options ...string) specs.Mount {
		return specs.Mount{Destination: at, Type: "tmpfs", Source: "tmpfs", Options: options}
	}
	for i, c := range []struct {
		name   string
		mounts []specs.Mount
	}{
		{"below a later one", []specs.Mount{tmpfs("/link/y", "ro"), tmpfs("/x")}},
		{"below a later one behind a link", []specs.Mount{tmpfs("/link/y"), tmpfs("/z"), tmpfs("/link")}},
		{"on the same place", []specs.Mount{tmpfs("/x", "ro", "nosuid"), tmpfs("/link")}},
		{"by text", []specs.Mount{tmpfs("/x/y", "ro"), tmpfs("/link")}},
	} {
		id := "hidden" + strconv.Itoa(i)
		for _, lie := range []bool{false, true} {
			spec := w.spec(id, "/bin/true")
			spec.Mounts = append(spec.Mounts, c.mounts...)
			s := sabotage{}
			if lie {
				s.build = func(s *specs.Spec) { s.Mounts = s.Mounts[:len(s.Mounts)-1] }
			}
			l := w.launch(&Container{rt: w.Runtime, id: id}, spec, w.options(CreateOptions{}))
			err := l.sabotaged(t, s, l.steps())
			if want := "mount " + c.mounts[len(c.mounts)-1].Destination + " is"; !lie && err != nil ||
				lie && c.name != "on the same place" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("%s, the last left out %v: %v", c.name, lie, err)
			}
			if err := l.takeBack(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}
}
