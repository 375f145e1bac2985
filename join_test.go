// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/scope"
	"github.com/sdcontainer/sdcontainer/unitgen"
)

// joined has spec join that namespace instead of what it says.
func joined(spec *specs.Spec, typ specs.LinuxNamespaceType, path string) {
	without(typ)(spec)
	spec.Linux.Namespaces = append(spec.Linux.Namespaces, specs.LinuxNamespace{Type: typ, Path: path})
	if typ == specs.UserNamespace { // it has its ids
		delete(spec.Annotations, "io.sdcontainer.userns-auto")
	}
}

func namespaceOfPID(t *testing.T, pid int, kind string) (path, link string) {
	t.Helper()
	path = fmt.Sprintf("/proc/%d/ns/%s", pid, kind)
	link, err := os.Readlink(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, link
}

// Each kind of namespace can be another container's, by its path; with a user namespace of
// one's own, the other's, and none.
func TestJoinsEachNamespace(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	other := w.spec("other", "/bin/sleep", "60")
	other.Linux.Namespaces = append(other.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
	c, err := w.startSpec("other", other, CreateOptions{Detach: true})
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.State()
	if err != nil {
		t.Fatal(err)
	}
	users, _ := namespaceOfPID(t, s.Pid, "user")
	for _, user := range []string{"own", "others", "none"} {
		for _, k := range namespaceKinds {
			if k.typ == specs.MountNamespace { // below
				continue
			}
			id := user + "-" + k.kind
			spec := w.spec(id, "/bin/readlink", "/proc/self/ns/"+k.kind)
			spec.Hostname, spec.Linux.Sysctl = "", nil // a joined one is named and set already
			if user != "own" || k.typ == specs.UserNamespace {
				hostRoot(t, spec)
			}
			if user == "others" {
				joined(spec, specs.UserNamespace, users)
			}
			path, link := namespaceOfPID(t, s.Pid, k.kind)
			joined(spec, k.typ, path)
			if user == "own" && (k.kind == "pid" || k.kind == "ipc") { // it cannot see it, and is not shown the host's instead
				if _, err := w.startSpec(id, spec, CreateOptions{}); !strings.Contains(fmt.Sprint(err), fmt.Sprintf("linux.namespaces %q: ", k.kind)) {
					t.Errorf("%s: %v", id, err)
				}
				continue
			}
			if out, e := w.outputOf(id, spec); out != link+"\n" || e.Code != 0 {
				t.Errorf("%s: %q, %+v; want %s", id, out, e, link)
			}
		}
	}
}

// A keeper is in no namespace that its container joins, nor its children: what it ends as is a command of the host's, which
// has threads, and those are refused to who has another PID or time namespace for its children (clone(2)).
func TestKeeperStaysOutside(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	other := w.spec("other", "/bin/sleep", "60")
	other.Linux.Namespaces = append(other.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
	hostRoot(t, other)
	c, err := w.startSpec("other", other, CreateOptions{Detach: true})
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.State()
	if err != nil {
		t.Fatal(err)
	}
	spec := w.spec("joins", "/bin/cat")
	spec.Hostname, spec.Linux.Sysctl = "", nil // those that are joined are named and set already
	hostRoot(t, spec)
	kinds := []string{"pid_for_children", "time_for_children"}
	for _, k := range namespaceKinds {
		kinds = append(kinds, k.kind)
		if k.typ != specs.MountNamespace && k.typ != specs.UserNamespace { // these are refused
			path, _ := namespaceOfPID(t, s.Pid, k.kind)
			joined(spec, k.typ, path)
		}
	}
	w.endsWithoutUs("joins", spec, kinds)

	spec = w.spec("new-time", "/bin/cat")
	spec.Linux.Namespaces = append(spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
	w.endsWithoutUs("new-time", spec, kinds)
}

// endsWithoutUs starts a detached container that ends with its standard input, and expects its keeper in our namespaces of
// those kinds, and nothing left when that has ended.
func (w *world) endsWithoutUs(id string, spec *specs.Spec, kinds []string) {
	w.t.Helper()
	in, end := pipe(w.t)
	c, err := w.startSpec(id, spec, CreateOptions{Detach: true, Remove: true, Stdin: in})
	if err != nil {
		w.t.Fatal(err)
	}
	in.Close()
	keeper, err := unix.PidfdOpen(c.st.Keeper.Pid, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	defer unix.Close(keeper)
	for _, kind := range kinds {
		_, own := namespaceOfPID(w.t, os.Getpid(), kind)
		if _, its := namespaceOfPID(w.t, c.st.Keeper.Pid, kind); its != own {
			w.t.Errorf("%s: the keeper's %s is %s, want ours, %s", id, kind, its, own)
		}
	}
	conn, err := scope.Dial(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close()
	over, err := conn.WatchRemoved(soon(w.t), c.st.Unit) // which ends a moment after its last process
	if err != nil {
		w.t.Fatal(err)
	}
	end.Close()
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(keeper), Events: unix.POLLIN}}, 60_000); err != nil || n != 1 {
		w.t.Fatalf("%s: its keeper has not ended: %v", id, err)
	}
	if err := <-over; err != nil {
		w.t.Error(err)
	}
	w.nothingLeft(id)
}

// A mount namespace that is joined becomes the container's. So it is one made for it, and
// never the host's.
func TestJoinsMountNamespace(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	other := w.mustStart("other", CreateOptions{Detach: true}, "/bin/sleep", "60")
	s, err := other.State()
	if err != nil {
		t.Fatal(err)
	}
	users, _ := namespaceOfPID(t, s.Pid, "user")
	var path, link string
	for id, enter := range map[string][]string{"none": {"env"}, "joined": {"nsenter", "--user=" + users}} {
		made := exec.Command(enter[0], append(enter[1:], "unshare", "--mount", "--propagation", "private", "sh", "-c", "echo made; exec sleep 60")...)
		out, err := made.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := made.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = made.Process.Kill() // it may have ended
			_ = made.Wait()         // killed
		})
		if _, err := out.Read(make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
		path, link = namespaceOfPID(t, made.Process.Pid, "mnt")
		spec := w.spec(id, "/bin/sh", "-c", "readlink /proc/self/ns/mnt; echo /*")
		hostRoot(t, spec)
		joined(spec, specs.MountNamespace, path)
		if id == "joined" {
			joined(spec, specs.UserNamespace, users)
		}
		if out, e := w.outputOf(id, spec); out != link+"\n/bin /dev /etc /proc /sys /tmp\n" || e.Code != 0 {
			t.Errorf("%s: %q, %+v; want %s and the container's root", id, out, e, link)
		}
	}

	spec := w.spec("own", "/bin/true") // has no power over it
	joined(spec, specs.MountNamespace, path)
	if _, err := w.startSpec("own", spec, CreateOptions{}); err == nil || !strings.Contains(err.Error(), `linux.namespaces "mount": a container with a user namespace of its own`) {
		t.Errorf("with a user namespace: %v", err)
	}

	// Without one: the host's is refused for what it is.
	spec = w.spec("host", "/bin/true")
	hostRoot(t, spec)
	joined(spec, specs.MountNamespace, "/proc/self/ns/mnt")
	if _, err := w.startSpec("host", spec, CreateOptions{}); err == nil || !strings.Contains(err.Error(), "is the host's") {
		t.Errorf("the host's mount namespace: %v", err)
	}
}

// The clocks of a new time namespace are set off by what the Spec says.
func TestTimeOffsets(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	spec := w.spec("later", "/bin/cat", "/proc/self/timens_offsets", "/proc/uptime")
	spec.Linux.Namespaces = append(spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
	spec.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"monotonic": {Secs: 1000, Nanosecs: 5}, "boottime": {Secs: 864000}}
	out, e := w.outputOf("later", spec)
	f := strings.Fields(out)
	if want := []string{"monotonic", "1000", "5", "boottime", "864000", "0"}; e.Code != 0 || len(f) != 8 || !slices.Equal(f[:6], want) {
		t.Fatalf("%q, %+v", out, e)
	}
	if up, err := strconv.ParseFloat(f[6], 64); err != nil || up < 864000 {
		t.Errorf("up for %s seconds, want ten days more", f[6])
	}
}

// E1: what a container sets in a namespace that it joins is not set in the host's.
func TestE1JoinsNoHostNamespaceToSet(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	for typ, path := range map[specs.LinuxNamespaceType]string{
		specs.NetworkNamespace: "/proc/self/ns/net", specs.IPCNamespace: "/proc/1/ns/ipc", specs.UTSNamespace: "/proc/self/ns/uts",
	} {
		spec := w.spec("own", "/bin/true")
		hostRoot(t, spec)
		joined(spec, typ, path)
		if typ != specs.UTSNamespace {
			spec.Hostname = ""
		}
		spec.Linux.Sysctl = map[specs.LinuxNamespaceType]map[string]string{
			specs.NetworkNamespace: {"net.ipv4.ip_default_ttl": "63"}, specs.IPCNamespace: {"kernel.msgmax": "8191"},
		}[typ]
		if _, err := w.startSpec("own", spec, CreateOptions{}); err == nil || !strings.Contains(err.Error(), path+" is the host's: ") {
			t.Errorf("%s: %v", typ, err)
		}
	}
}

// E13: ids of the host are seen in a user namespace that is joined, by a start and by check.
func TestE13JoinsNoHostRoot(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	const want = " has id 0 of the host: security.profile = \"system\" gives CAP_SYS_ADMIN"
	for first, told := range map[int]bool{0: true, 100000: false} {
		ids := []syscall.SysProcIDMap{{HostID: first, Size: 65536}}
		sleep := exec.Command("sleep", "60")
		sleep.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, UidMappings: ids, GidMappings: ids, GidMappingsEnableSetgroups: true}
		if err := sleep.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = sleep.Process.Kill() // it may have ended
			_ = sleep.Wait()         // killed
		})
		path, _ := namespaceOfPID(t, sleep.Process.Pid, "user")
		spec := w.spec("own", "/bin/true")
		s, err := configs.SettingsOf(spec)
		if err != nil {
			t.Fatal(err)
		}
		s.Profile, s.AutoUserns, s.IdmapRootfs = configs.ProfileSystem, 0, false
		s.Annotate(spec)
		joined(spec, specs.UserNamespace, path)
		c, err := w.startSpec("own", spec, CreateOptions{})
		if got := fmt.Sprint(err); strings.Contains(got, path+want) != told || (err == nil) == told {
			t.Errorf("ids from %d on: %s", first, got)
		}
		if err == nil {
			if _, err := c.Wait(t.Context()); err != nil {
				t.Error(err)
			}
		}
		file := filepath.Join(t.TempDir(), "x.toml")
		text := fmt.Sprintf("version = 1\nrootfs.path = %q\nprocess.args = ['/bin/true']\nuserns.mode = 'path:%s'\nsecurity.profile = 'system'\n", w.root, path)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		problems, warnings := Check(file, unitgen.Options{})
		if got := fmt.Sprint(warnings); len(problems) > 0 || strings.Contains(got, ":4:8: userns.mode: user namespace: "+path+want) != told {
			t.Errorf("ids from %d on: %v, %s", first, problems, got)
		}
	}
}
