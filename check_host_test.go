// SPDX-License-Identifier: Apache-2.0

package sdcontainer_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer"
	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/unitgen"
)

// Everything of the host that is not there is told at once, in the words of the TOML.
func TestCheckFindsPaths(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "x.toml")
	text := "version = 1\nprocess.args = ['/x']\nrootfs.path = 'x.toml'\n" +
		"[[mount]]\nsource = 'a'\ntarget = '/a'\n[[mount]]\nsource = 'x.toml/b'\ntarget = '/b'\n" +
		"[[mount]]\nsource = 'c'\ntarget = '/c'\noptional = true\n[[mount]]\nsource = 'd'\ntarget = '/d'\ncreate = 'dir'\n" +
		"[[mount]]\nsource = 'x.toml'\ntarget = '/e'\n" +
		"[[mount]]\ntype = 'overlay'\ntarget = '/f'\nlower = ['/', 'x.toml']\nupper = 'u'\nwork = 'w'\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	problems, _ := sdcontainer.Check(file, unitgen.Options{})
	var got []string
	for _, p := range problems {
		got = append(got, strings.ReplaceAll(p.String(), dir+"/", ""))
	}
	const hint = ` (optional = true leaves the mount out, create = "dir" makes a directory)`
	const overlay = " (want a directory of the host: an overlay makes none)"
	want := []string{
		`x.toml:3:8: rootfs.path: "x.toml": not a directory (want the directory with the container's files)`,
		`x.toml:5:1: mount.source: "a": no such file or directory` + hint,
		`x.toml:8:1: mount.source: "x.toml/b": not a directory` + hint,
		`x.toml:24:15: mount.lower: "x.toml": not a directory` + overlay,
		`x.toml:25:1: mount.upper: "u": no such file or directory` + overlay,
		`x.toml:26:1: mount.work: "w": no such file or directory` + overlay,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// User and executable are each told for themselves, at their keys.
func TestCheckTellsWhatTheRootLacks(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "root/bin"), 0o755), os.WriteFile(filepath.Join(dir, "root/bin/true"), nil, 0o755),
		os.Mkdir(filepath.Join(dir, "root/etc"), 0o755), os.WriteFile(filepath.Join(dir, "root/etc/passwd"), []byte("www:x:7:6::/:\n"), 0o644),
		os.WriteFile(filepath.Join(dir, "root/etc/group"), []byte("big:x:70000:www\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	const ids = `:3:29: process.user: "www", as the rootfs has it now: groups: id 70000 is not mapped in the user namespace` + "\n"
	const user = `:3:29: process.user: user "nobody" is looked up in the rootfs, which does not have it now: no user "nobody" in the container's /etc/passwd` + "\n"
	const executable = `:3:20: process.args: executable "false" is looked up in the rootfs, which does not have it now: executable not found` + "\n"
	for process, want := range map[string]string{
		"args = ['true'], user = '5'": "", "args = ['true'], user = 'www'": ids, "args = ['true'], user = 'nobody'": user, "args = ['false'], user = '5'": executable, "args = ['false'], user = 'nobody'": executable + strings.Replace(user, ":29:", ":30:", 1),
	} {
		file := filepath.Join(dir, "x.toml")
		if err := os.WriteFile(file, []byte("version = 1\nrootfs = { path = 'root', idmap = false }\nprocess = {"+process+"}\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		problems, warnings := sdcontainer.Check(file, unitgen.Options{})
		if got := strings.ReplaceAll(texts(warnings), file, ""); len(problems) > 0 || got != want {
			t.Errorf("%s: %v, %s", process, problems, cmp.Diff(want, got))
		}
	}
}

// What a start refuses on this machine is no mistake of the file, and told all the same, by explain too.
func TestCheckTellsWhereOthersGet(t *testing.T) {
	sdtest.Require(t, sdtest.Root)
	dir := t.TempDir()
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "root"), 0o755), os.Mkdir(filepath.Join(dir, "data"), 0o755)); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "x.toml")
	const text = "version = 1\nrootfs.path = 'root'\nprocess.args = ['x']\n[[mount]]\nsource = 'data'\ntarget = '/data'\nidmap = true\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	places := []string{"x.toml:2:8: rootfs.path: " + dir + "/root lies where ", "x.toml:6:1: mount.target: \"/data\": " + dir + "/data lies where "}
	for mode, want := range map[os.FileMode]int{0o700: 0, 0o755: 2} {
		if err := errors.Join(os.Chmod(dir, mode), os.Chmod(filepath.Dir(dir), mode)); err != nil {
			t.Fatal(err)
		}
		problems, warnings := sdcontainer.Check(file, unitgen.Options{})
		const told = "where other users of this machine get to"
		if got := strings.Count(texts(warnings), told); len(problems) > 0 || got != want {
			t.Errorf("%o: %v, %q: want %d warnings", mode, problems, warnings, want)
		}
		for _, at := range places[:want] {
			if !strings.Contains(texts(warnings), at) {
				t.Errorf("%o: %q: want %s", mode, warnings, at)
			}
		}
		spec, err := configs.Load(file, configs.LoadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		x, err := sdcontainer.Explain("", spec, unitgen.Options{})
		if err != nil || strings.Count(strings.Join(x.Notes, "\n"), told) != want {
			t.Errorf("%o: %v, notes %q: want %d of it", mode, err, x.Notes, want)
		}
	}
}

// A file that is no namespace, or one of another kind, is told at its key, beside what else is wrong. On a regular file
// somebody may mount one yet.
func TestCheckOpensNamespaces(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "x.toml")
	const text = "version = 1\nnam = 1\nrootfs.path = '/srv'\nprocess.args = ['x']\n[namespaces]\nuts = 'path:%d/pipe'\n" +
		"ipc = 'path:/proc/self/ns/net'\n[network]\nmode = 'path:/proc/self/ns/uts'\n[userns]\nmode = 'path:/dev/null'\n"
	if err := errors.Join(unix.Mkfifo(filepath.Join(dir, "pipe"), 0o600), os.WriteFile(file, []byte(strings.Replace(text, "%d", dir, 1)), 0o644)); err != nil {
		t.Fatal(err)
	}
	problems, _ := sdcontainer.Check(file, unitgen.Options{})
	var got []string
	for _, p := range problems {
		text, _, _ := strings.Cut(strings.TrimPrefix(p.String(), file), " (want a file")
		got = append(got, strings.ReplaceAll(text, dir, ""))
	}
	want := []string{
		`:2:1: nam: unknown key; did you mean "name"?`, ":6:1: namespaces.uts: uts namespace: /pipe is not one",
		":7:1: namespaces.ipc: ipc namespace: /proc/self/ns/net is not one", ":9:1: network.mode: net namespace: /proc/self/ns/uts is not one",
		":11:1: userns.mode: user namespace: /dev/null is not one",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if err := os.WriteFile(file, []byte("version = 1\nrootfs.path = '/srv'\nprocess.args = ['x']\nnamespaces.uts = 'path:/etc/passwd'\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	problems, warnings := sdcontainer.Check(file, unitgen.Options{})
	if len(problems) > 0 || !strings.Contains(texts(warnings), ":4:12: namespaces.uts: uts namespace: /etc/passwd is not one") {
		t.Errorf("%v, %q: want it to be told as what may change", problems, warnings)
	}
}

// E1: a setting of a namespace that is joined by its path is refused where that is the host's own.
func TestE1SysctlsOfHostNamespaces(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.toml")
	const sysctl = "security.sysctl = { 'kernel.msgmax' = 5, 'net.ipv4.ip_forward' = 1 }\n"
	for text, want := range map[string]string{
		sysctl + "network.mode = 'path:/proc/self/ns/net'\n":                                                                              ":6:9: network.mode: network namespace: /proc/self/ns/net is the host's: sysctl net.ipv4.ip_forward would change",
		sysctl + "namespaces.ipc = 'path:/proc/self/ns/ipc'\n":                                                                            ":6:12: namespaces.ipc: ipc namespace: /proc/self/ns/ipc is the host's: sysctl kernel.msgmax would change",
		"network.mode = 'path:/proc/self/ns/net'\nnamespaces.ipc = 'path:/proc/self/ns/ipc'\nnamespaces.uts = 'path:/proc/self/ns/uts'\n": "",
	} {
		doc := "version = 1\nrootfs.path = '/srv'\nprocess.args = ['x']\nuserns.mode = 'none'\n" + text
		if err := os.WriteFile(file, []byte(doc), 0o644); err != nil {
			t.Fatal(err)
		}
		problems, _ := sdcontainer.Check(file, unitgen.Options{})
		if got := texts(problems); !strings.HasPrefix(got, file+want) && want != "" || (got == "") != (want == "") || len(problems) > 1 {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// Nobody can join the user namespace that they are in (setns(2): EINVAL).
func TestCheckOwnUserNamespace(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.toml")
	const doc = "version = 1\nrootfs.path = '/srv'\nprocess.args = ['x']\nuserns.mode = 'path:/proc/self/ns/user'\n"
	if err := os.WriteFile(file, []byte(doc), 0o644); err != nil {
		t.Fatal(err)
	}
	problems, _ := sdcontainer.Check(file, unitgen.Options{})
	const want = ":4:8: userns.mode: user namespace: /proc/self/ns/user is the host's: who is in it cannot join it"
	if got := texts(problems); !strings.HasPrefix(got, file+want) || len(problems) != 1 {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestCheckWithoutRights: what the caller may not see is no mistake of the file.
func TestCheckWithoutRights(t *testing.T) {
	sdtest.Require(t, sdtest.Root)
	dir := t.TempDir()
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(filepath.Dir(dir), 0o755),
		os.Mkdir(filepath.Join(dir, "root"), 0o755), os.Mkdir(filepath.Join(dir, "closed"), 0o700)); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "c.toml")
	const text = "version = 1\nrootfs.path = 'root'\nprocess.args = ['x']\n[[mount]]\nsource = 'closed/x'\ntarget = '/x'\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if problems, _ := sdcontainer.Check(file, unitgen.Options{}); len(problems) != 1 || !strings.Contains(problems[0].Msg, "no such file") {
		t.Errorf("root finds %v", problems)
	}
	later := "[namespaces]\nuts = 'path:/run/nothing/uts'\n" // made by another unit, perhaps
	if err := os.WriteFile(file, []byte(text+later), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setresuid(-1, 65534, 0); err != nil { // of all threads
		t.Fatal(err)
	}
	problems, warnings := sdcontainer.Check(file, unitgen.Options{})
	if err := syscall.Setresuid(-1, 0, 0); err != nil {
		t.Fatal(err)
	}
	all := texts(warnings)
	if len(problems) > 0 || !strings.Contains(all, "c.toml:5:1: mount.source: ") || !strings.Contains(all, "closed/x\": permission denied") || !strings.Contains(all, "c.toml:8:1: namespaces.uts: uts namespace: open /run/nothing/uts: no such file") {
		t.Errorf("another finds %v, with the warnings %q", problems, warnings)
	}
}

// Everything that the running systemd lacks is told at its key, beside what else is wrong.
func TestCheckVersion(t *testing.T) {
	const text = "version = 1\nrootfs.path = '/'\nprocess.args = ['x']\nresources.memory.zswap_max = '10M'\n" +
		"systemd.scope.CoredumpReceive = true\n[systemd.service]\nRestartMode = 'direct'\nImportCredential = ['a', 'b']\n[resources.unified]\n'memory.zswap.writeback' = 0\n"
	const lacks, without = "needs systemd ", ", the running one is 252 (set systemd.strict = false to do without)"
	want := []string{
		`:2:8: rootfs.path: "/": want a directory of its own`,
		":4:18: resources.memory.zswap_max: MemoryZSwapMax= " + lacks + "253" + without,
		":5:15: systemd.scope.CoredumpReceive: CoredumpReceive= " + lacks + "255" + without,
		":7:1: systemd.service.RestartMode: RestartMode= " + lacks + "254" + without,
		":8:1: systemd.service.ImportCredential: ImportCredential= " + lacks + "254" + without,
		":10:1: resources.unified.memory.zswap.writeback: MemoryZSwapWriteback= " + lacks + "256" + without,
	}
	for doc, want := range map[string][]string{text: want, strings.Replace(text, "resources", "systemd.strict = false\nresources", 1): want[:1]} {
		file := filepath.Join(t.TempDir(), "x.toml")
		if err := os.WriteFile(file, []byte(doc), 0o644); err != nil {
			t.Fatal(err)
		}
		problems, _ := sdcontainer.Check(file, unitgen.Options{Version: 252, Running: true})
		var got []string
		for _, p := range problems {
			got = append(got, strings.TrimPrefix(p.String(), file))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}
