// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// The payload of the check from inside is this binary.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "inside":
			fmt.Print(inside(os.Args[2:]))
			return
		case "write":
			fmt.Print(strings.Join(writes(os.Args[2:]), "\n"))
			return
		}
	}
	os.Exit(sdtest.Main(m))
}

//go:embed testdata
var goldens embed.FS

// B22, B23, C1, C13, C15, C17, D5, E7: what a payload of each profile sees and can
// do. A new line after a new kernel is to be understood before it becomes the file's.
func TestB23SeenFromInside(t *testing.T) {
	sdtest.Require(t, sdtest.Guest)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"/inside", "inside"}
	for _, kind := range []string{"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"} {
		own, err := os.Readlink("/proc/self/ns/" + kind)
		if err != nil {
			t.Fatal(err)
		}
		args = append(args, own)
	}
	list, err := json.Marshal(args) // as in TOML
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []struct{ name, profile, userns, user string }{
		{"app", "app", "auto", "0"}, {"nonroot", "app", "auto", "1000:1000"}, {"system", "system", "auto", "0"}, {"hostids", "app", "none", "0"},
	} {
		t.Run(p.name, func(t *testing.T) {
			name := "inside-" + p.name
			file := container(t, name, fmt.Sprintf("[security]\nprofile = %q\n[userns]\nmode = %q\n[rootfs]\npath = %q\n[process]\nuser = %q\nargs = %s\n[[mount]]\ntype = \"bind\"\n"+
				"source = %q\ntarget = \"/inside\"\noptions = [\"ro\", \"exec\"]\n", p.profile, p.userns, busybox, p.user, list, self))
			o := sd(t, "run", "--rm", file)
			if o.code != 0 || o.stderr != "" {
				t.Fatal(o)
			}
			golden := "testdata/" + name + "-" + release(t) + ".txt" // each kernel shows other files
			want, err := goldens.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(o.stdout, "\n")); d != "" {
				t.Errorf("%s is another: %s", filepath.Base(golden), d)
				for l := range strings.Lines(o.stdout) {
					t.Logf("INSIDE %s %s", filepath.Base(golden), strings.TrimSuffix(l, "\n"))
				}
			}
		})
	}
}

// B22: what root of the host's own ids can open for writing has nothing behind it that writes.
func TestB22NothingWrites(t *testing.T) {
	sdtest.Require(t, sdtest.Guest)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	golden, err := goldens.ReadFile("testdata/inside-hostids-" + release(t) + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	_, files, _ := strings.Cut(string(golden), "# files of /proc and /sys that can be opened for writing\n")
	files, _, _ = strings.Cut(files, "\n#")
	list := strings.Fields(files)
	if len(list) < 20 {
		t.Fatalf("%d files in the golden file: %q", len(list), list)
	}
	args, err := json.Marshal(append([]string{"/inside", "write"}, list...)) // as in TOML
	if err != nil {
		t.Fatal(err)
	}
	file := container(t, "writes", fmt.Sprintf("[userns]\nmode = \"none\"\n[rootfs]\npath = %q\n[process]\nargs = %s\n[[mount]]\ntype = \"bind\"\n"+
		"source = %q\ntarget = \"/inside\"\noptions = [\"ro\", \"exec\"]\n", busybox, args, self))
	o := sd(t, "run", "--rm", file)
	if o.code != 0 || o.stderr != "" {
		t.Fatal(o)
	}
	var want []string
	for _, f := range list {
		want = append(want, f+" EIO")
	}
	if d := cmp.Diff(want, strings.Split(o.stdout, "\n")); d != "" {
		t.Error(d)
	}
}

// release is that of Debian, which decides the kernel's.
func release(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("/etc/os-release")
	if err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(l), "VERSION_ID="); ok {
			return strings.Trim(v, `"`)
		}
	}
	t.Fatal("no VERSION_ID")
	return ""
}
