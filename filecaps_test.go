// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// capped copies busybox to a program with every capability in its file's inheritable set, in effect at once: it gains
// those that its process has in its own.
func (w *world) capped(name string) {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join(w.root, "bin/busybox"))
	if err != nil {
		w.t.Fatal(err)
	}
	path := filepath.Join(w.root, "bin", name)
	if err := os.WriteFile(path, b, 0o755); err != nil {
		w.t.Fatal(err)
	}
	// struct vfs_cap_data: revision 2 and the effective bit, then permitted and inheritable, twice 32 bits each.
	xattr := binary.LittleEndian.AppendUint32(nil, 0x02000001)
	for _, set := range []uint32{0, 1<<32 - 1, 0, 1<<32 - 1} {
		xattr = binary.LittleEndian.AppendUint32(xattr, set)
	}
	if err := unix.Setxattr(path, "security.capability", xattr, 0); err != nil {
		w.t.Fatal(err)
	}
}

// C1: nobody's inheritable set has anything, so that a program with capabilities in its file's gives none to who is not
// root: not to a payload, and not to a command that is executed beside it.
func TestC1InheritableFileCapabilities(t *testing.T) {
	if !sdtest.InsideAll(t) {
		return
	}
	w := newWorld(t)
	w.capped("cat")
	for _, uid := range []uint32{0, 1000} {
		for _, userns := range []bool{false, true} {
			t.Run(fmt.Sprintf("uid=%d,userns=%v", uid, userns), func(t *testing.T) {
				w := &world{w.Runtime, w.root, t}
				spec := w.spec("filecaps", "/bin/cat", "/proc/self/status")
				if !userns {
					hostRoot(t, spec)
				}
				spec.Process.User.UID, spec.Process.NoNewPrivileges = uid, false
				spec.Process.Rlimits = nil // not every root may set those of another user
				unconfined(t, spec, "CAP_SYS_ADMIN")
				out, e := w.outputOf("filecaps", spec)
				if e.Code != 0 {
					t.Fatalf("%+v: %s", e, out)
				}
				checkSets(t, out, uid)

				spec.Process.Args = []string{"/bin/sleep", "1000"}
				c, err := w.startSpec("beside", spec, CreateOptions{Detach: true})
				if err != nil {
					t.Fatal(err)
				}
				r, fd := pipe(t)
				p, err := c.Exec(t.Context(), &specs.Process{Args: []string{"/bin/cat", "/proc/self/status"}}, ExecOptions{Stdout: fd, Stderr: fd})
				fd.Close()
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(r)
				if e, waited := p.Wait(t.Context()); err != nil || waited != nil || e.Code != 0 {
					t.Fatalf("%v, %v, %+v: %s", err, waited, e, b)
				}
				checkSets(t, string(b), uid)
			})
		}
	}
}

func checkSets(t *testing.T, status string, uid uint32) {
	t.Helper()
	const none = "0000000000000000"
	set := map[string]string{}
	for line := range strings.Lines(status) {
		name, value, _ := strings.Cut(line, ":")
		set[name] = strings.TrimSpace(value)
	}
	if set["CapInh"] != none || set["CapBnd"] == none || uid != 0 && (set["CapPrm"] != none || set["CapEff"] != none) {
		t.Errorf("inheritable %s, permitted %s, effective %s, bounding %s", set["CapInh"], set["CapPrm"], set["CapEff"], set["CapBnd"])
	}
}
