// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func plainSpec() *specs.Spec {
	return &specs.Spec{
		Version: specs.Version, Root: &specs.Root{Path: "/srv/root"},
		Process: &specs.Process{Args: []string{"/bin/true"}, Cwd: "/"},
		Linux:   &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.MountNamespace}, {Type: specs.PIDNamespace}}},
	}
}

// C12, D6, E6: what would be needed for a label, for a filter that asks somebody, or for a cgroup that a caller names, is refused, whatever it says.
func TestValidate(t *testing.T) {
	if err := Validate(plainSpec()); err != nil {
		t.Fatal(err)
	}
	one := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 1000, Size: 10}}
	user := specs.LinuxNamespace{Type: specs.UserNamespace}
	for _, tt := range []struct {
		want   string
		change func(*specs.Spec)
	}{
		{"root.path", func(s *specs.Spec) { s.Root.Path = "root" }},
		{"directory of its own", func(s *specs.Spec) { s.Root.Path = "//" }},
		{"process.cwd", func(s *specs.Spec) { s.Process.Cwd = "x" }},
		{"want a command", func(s *specs.Spec) { s.Process.Args = nil }},
		{"NUL", func(s *specs.Spec) { s.Process.Env = []string{"A=\x00"} }},
		{`process: env[1] "FOO": want NAME=VALUE`, func(s *specs.Spec) { s.Process.Env = []string{"A=b\nc", "FOO"} }},
		{"mounts[0].destination", func(s *specs.Spec) { s.Mounts = []specs.Mount{{}} }},
		{"linux.maskedPaths", func(s *specs.Spec) { s.Linux.MaskedPaths = []string{"x"} }},
		{"linux.readonlyPaths", func(s *specs.Spec) { s.Linux.ReadonlyPaths = []string{""} }},
		{"pid twice", func(s *specs.Spec) { s.Linux.Namespaces = append(s.Linux.Namespaces, s.Linux.Namespaces[1]) }},
		{"pid: path", func(s *specs.Spec) { s.Linux.Namespaces[1].Path = "ns/pid" }},
		{"without a uts namespace", func(s *specs.Spec) { s.Hostname = "x" }},
		{"linux.timeOffsets", func(s *specs.Spec) { s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"monotonic": {}} }},
		{`clock "realtime": want monotonic or boottime`, func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
			s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {}, "realtime": {}}
		}},
		{`type "net": want one of [pid network mount`, func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: "net"})
		}},
		{"no user namespace", func(s *specs.Spec) { s.Linux.UIDMappings = one }},
		{"needs both", func(s *specs.Spec) { s.Linux.Namespaces = append(s.Linux.Namespaces, user) }},
		{"automatic range", func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, user)
			s.Linux.UIDMappings, s.Linux.GIDMappings = one, one
			Settings{AutoUserns: 5}.Annotate(s)
		}},
		{"the user namespace is joined", func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace, Path: "/proc/1/ns/user"})
			Settings{AutoUserns: 5}.Annotate(s)
		}},
		{"want a user namespace", func(s *specs.Spec) { Settings{IdmapRootfs: true}.Annotate(s) }},
		{"uidMappings[1]: overlaps [0]", func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, user)
			s.Linux.UIDMappings, s.Linux.GIDMappings = append(one, one...), one
		}},
		{"gidMappings[0]: want a size", func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, user)
			s.Linux.UIDMappings, s.Linux.GIDMappings = one, []specs.LinuxIDMapping{{}}
		}},
		{"gidMappings: 341 ranges", func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, user)
			for i := range uint32(341) {
				s.Linux.GIDMappings = append(s.Linux.GIDMappings, specs.LinuxIDMapping{ContainerID: i, HostID: i, Size: 1})
			}
			s.Linux.UIDMappings = one
		}},
		{"init: want a new pid namespace", func(s *specs.Spec) {
			s.Linux.Namespaces = s.Linux.Namespaces[:1]
			Settings{Init: true}.Annotate(s)
		}},
		{"profile", func(s *specs.Spec) { Settings{Profile: "x"}.Annotate(s) }},
		{"seccomp: \"x\"", func(s *specs.Spec) { Settings{Seccomp: "x"}.Annotate(s) }},
		{"linux.seccomp says", func(s *specs.Spec) {
			s.Linux.Seccomp = &specs.LinuxSeccomp{}
			Settings{Seccomp: "default"}.Annotate(s)
		}},
		{"log.driver", func(s *specs.Spec) { Settings{Log: LogSettings{Driver: "x"}}.Annotate(s) }},
		{"notify", func(s *specs.Spec) { Settings{Notify: "x"}.Annotate(s) }},
		{"name: \"a/b\"", func(s *specs.Spec) { Settings{Name: "a/b"}.Annotate(s) }},
		{"SIGX", func(s *specs.Spec) { Settings{StopSignal: "SIGX"}.Annotate(s) }},
		{"stop-timeout", func(s *specs.Spec) { Settings{StopTimeout: -1}.Annotate(s) }},
		{"io.sdcontainer.x: unknown", func(s *specs.Spec) { s.Annotations = map[string]string{"io.sdcontainer.x": ""} }},
		{"this is Linux", func(s *specs.Spec) { s.Windows = &specs.Windows{} }},
		{"intelRdt", func(s *specs.Spec) { s.Linux.IntelRdt = &specs.LinuxIntelRdt{} }},
		{"apparmorProfile", func(s *specs.Spec) { s.Process.ApparmorProfile = "unconfined" }},
		{"selinuxLabel", func(s *specs.Spec) { s.Process.SelinuxLabel = "system_u:system_r:container_t:s0" }},
		{"mountLabel", func(s *specs.Spec) { s.Linux.MountLabel = "system_u:object_r:container_file_t:s0" }},
		{"hooks.createContainer", func(s *specs.Spec) {
			s.Hooks = &specs.Hooks{CreateContainer: []specs.Hook{{Path: "/bin/true"}}}
		}},
		{"cgroupsPath", func(s *specs.Spec) { s.Linux.CgroupsPath = "system.slice:crio:web" }},
		{"cgroupsPath", func(s *specs.Spec) { s.Linux.CgroupsPath = "../x" }},
		{"cgroupsPath", func(s *specs.Spec) { s.Linux.CgroupsPath = "/sdcontainer.slice/sdc-web.scope" }},
		{"listenerPath", func(s *specs.Spec) {
			s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, ListenerPath: "/run/x"}
		}},
		{"listenerMetadata", func(s *specs.Spec) {
			s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, ListenerMetadata: "x"}
		}},
		{"netDevices", func(s *specs.Spec) { s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"eth0": {}} }},
	} {
		s := plainSpec()
		tt.change(s)
		err := Validate(s)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v, want only %q", err, tt.want)
		}
	}
	for _, s := range []*specs.Spec{nil, {}} {
		if Validate(s) == nil {
			t.Errorf("%v is accepted", s)
		}
	}
	s := plainSpec()
	s.Root.Path, s.Process.Args, s.Hostname = "x", nil, "x"
	if err := Validate(s); strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("want three problems at once: %v", err)
	}
}

// What a configuration compiles to can be written as config.json and read again, by who trusts its author: with its settings,
// which a bundle of somebody else may not have.
func TestBundleRoundTrip(t *testing.T) {
	spec := load1(t, "x.toml", minimal+"rootfs.read_only = true\nresources.memory.high = '1M'\n")
	b, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	dir := write(t, "config.json", string(b))
	if _, err := LoadBundle(dir); err == nil || !strings.Contains(err.Error(), "annotation io.sdcontainer.userns-auto: not accepted") {
		t.Errorf("%v", err)
	}
	got, err := bundle(dir, "config.json", b)
	if err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	if string(b) != string(again) {
		t.Errorf("%s\n%s", b, again)
	}
}

func TestLoadBundle(t *testing.T) {
	dir := write(t, "config.json", `{"ociVersion": "1.0.2", "root": {"path": "rootfs"}, "process": {"args": ["x"], "cwd": "/"}, "linux": {}}`)
	spec, err := LoadBundle(dir)
	if err != nil || spec.Root.Path != filepath.Join(dir, "rootfs") {
		t.Errorf("%v, %v", spec, err)
	}
	for _, bad := range []string{"{", `{"linux": {}}`, `{"root": {"path": "rootfs"}, "process": {}, "linux": {}}`} {
		dir := write(t, "config.json", bad)
		if _, err := LoadBundle(dir); err == nil || !strings.Contains(err.Error(), "config.json") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if _, err := LoadBundle(t.TempDir()); !os.IsNotExist(err) {
		t.Errorf("%v", err)
	}
}

// FuzzBundle: what is accepted is valid, is the same when written and read again, and has
// settings that compile to the same annotations.
func FuzzBundle(f *testing.F) {
	files, err := filepath.Glob("examples/*.config.json")
	if err != nil || len(files) < 10 {
		f.Fatalf("%d examples, %v", len(files), err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		spec, err := bundle("/bundle", "config.json", b)
		if err != nil {
			return
		}
		once, err := json.Marshal(spec)
		if err != nil {
			t.Fatal(err)
		}
		again, err := bundle("/elsewhere", "config.json", once)
		if err != nil {
			t.Fatalf("%s\nis accepted, but not again as\n%s\n%v", b, once, err)
		}
		if twice, err := json.Marshal(again); err != nil || string(once) != string(twice) {
			t.Errorf("%s\nbecame\n%s\n%v", once, twice, err)
		}
		if _, err := SettingsOf(spec); err != nil {
			t.Error(err)
		}
	})
}

// E2: who writes a bundle's annotations sets no property that reaches beyond the container, and no directive of a
// unit file; limits and what engines set are accepted.
func TestE2AnnotationsOfBundles(t *testing.T) {
	load := func(key, value string) error {
		b, err := json.Marshal(map[string]string{key: value})
		if err != nil {
			t.Fatal(err)
		}
		_, err = LoadBundle(write(t, "config.json", `{"ociVersion": "1.0.2", "root": {"path": "rootfs"}, "process": {"args": ["x"], "cwd": "/"},
			"linux": {}, "annotations": `+string(b)+`}`))
		return err
	}
	for name, value := range map[string]string{
		"SuccessAction": "'poweroff-force'", "FailureAction": "'reboot'", "JobTimeoutAction": "'reboot'",
		"OnFailure": "['a.service']", "OnSuccess": "['a.service']", "Conflicts": "['sshd.service']", "PropagatesStopTo": "['sshd.service']",
		"Requires": "['a.service']", "Wants": "['poweroff.target']", "Slice": "'-.slice'", "User": "'root'", "Delegate": "false",
		"BPFProgram": "[('device', '/sys/fs/bpf/x')]", "IPEgressFilterPath": "['/sys/fs/bpf/x']", "IPIngressFilterPath": "['/sys/fs/bpf/x']",
		"DeviceAllow": "[('/dev/sda', 'rwm')]", "DevicePolicy": "'auto'", "RequiresMountsFor": "['/']", "KillMode": "'none'",
		"SendSIGKILL": "false", "Nonsense": "1", "": "1", "Sec": "1", "successaction": "'reboot'",
	} {
		key := "org.systemd.property." + name
		if err := load(key, value); err == nil || !strings.Contains(err.Error(), "annotation "+key+": not accepted from a bundle: want a limit") ||
			!strings.Contains(err.Error(), "TimeoutStopUSec") {
			t.Errorf("%s: %v", key, err)
		}
	}
	for key, value := range map[string]string{
		"org.systemd.property.TimeoutStopSec": "5", "org.systemd.property.TimeoutStopUSec": "uint64 5", "org.systemd.property.CollectMode": "'inactive'",
		"org.systemd.property.After": "['crio.service']", "org.systemd.property.DefaultDependencies": "true", "org.systemd.property.KillSignal": "15",
		"org.systemd.property.MemoryMax": "uint64 67108864", "org.systemd.property.CPUQuotaPeriodSec": "1", "io.kubernetes.pod": "x",
	} {
		if err := load(key, value); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
}

// E2: of our own annotations a bundle may have those that change nothing but its container; a new one is refused until it is
// among the first.
func TestE2SettingsOfBundles(t *testing.T) {
	const auto, mapped = `[{"type": "pid"}, {"type": "user"}]}`, `[{"type": "pid"}, {"type": "user"}], "uidMappings": [{"hostID": 9, "size": 1}], "gidMappings": [{"hostID": 9, "size": 1}]}`
	load := func(key, value string) error {
		linux := mapped
		if key == "userns-auto" {
			linux = auto
		}
		b, err := json.Marshal(map[string]string{prefix + key: value})
		if err != nil {
			t.Fatal(err)
		}
		_, err = LoadBundle(write(t, "config.json", `{"ociVersion": "1.0.2", "root": {"path": "rootfs"}, "process": {"args": ["x"], "cwd": "/"},
			"annotations": `+string(b)+`, "linux": {"namespaces": `+linux+`}`))
		return err
	}
	known := map[string]struct{ accepted, refused []string }{
		"name": {[]string{"web"}, nil}, "description": {[]string{"a web"}, nil}, "slice": {[]string{"web.slice"}, nil},
		"profile": {[]string{"app", "system"}, nil}, "init": {[]string{"true"}, nil}, "stop-signal": {[]string{"SIGINT"}, nil}, "stop-timeout": {[]string{"5s"}, nil},
		"strict": {[]string{"true"}, []string{"false", "0"}}, "seccomp": {[]string{"default"}, []string{"unconfined"}},
		"log.driver":  {[]string{"journald", "none"}, []string{"passthrough"}},
		"userns-auto": {nil, []string{"65536"}}, "idmap-rootfs": {nil, []string{"true"}}, "parent-death-signal": {nil, []string{"SIGCHLD"}},
		"notify": {nil, []string{"container", "started"}}, "source": {nil, []string{"/etc/sdcontainer/other.toml"}},
		"log.identifier": {nil, []string{"sshd"}}, "log.fields": {nil, []string{`{"A": "b"}`}}, "log.level-prefix": {nil, []string{"true"}},
		"log.stdout-level": {nil, []string{"0"}}, "log.stderr-level": {nil, []string{"0"}}, "unit.unit": {nil, []string{`{"SuccessAction": ["poweroff-force"]}`}},
		"property-keys": {nil, []string{`{"MemoryMax": ["resources.memory.max"]}`}},
		"unit.service":  {nil, []string{`{"User": ["root"]}`}}, "unit.install": {nil, []string{`{"WantedBy": ["sysinit.target"]}`}},
	}
	for _, a := range annotations() {
		k, ok := known[a.key]
		if !ok && checkForeign(map[string]string{prefix + a.key: ""}) == nil {
			t.Errorf("%s is accepted: it is not among what this test knows", a.key)
		}
		for _, v := range k.accepted {
			if err := load(a.key, v); err != nil {
				t.Errorf("%s = %q: %v", a.key, v, err)
			}
		}
		for _, v := range k.refused {
			if err := load(a.key, v); err == nil || !strings.Contains(err.Error(), "annotation "+prefix+a.key+": ") || !strings.Contains(err.Error(), "not accepted from a bundle") {
				t.Errorf("%s = %q: %v", a.key, v, err)
			}
		}
	}
}
