// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"fmt"
	"io"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// rights are the capability sets of a Spec, and what a program that is executed with them has (Prm, Eff, Inh, Bnd, Amb): CAP_CHOWN
// is 1, CAP_NET_BIND_SERVICE 400.
type rights struct {
	name       string
	sets       *specs.LinuxCapabilities
	root, user string
}

func allRights() []rights {
	chown, bind := []string{"CAP_CHOWN"}, []string{"CAP_NET_BIND_SERVICE"}
	both := append(chown[:1:1], bind...)
	return []rights{
		{"none", &specs.LinuxCapabilities{}, "0 0 0 0 0", "0 0 0 0 0"},
		{"less", &specs.LinuxCapabilities{Bounding: bind, Permitted: bind, Effective: bind}, "400 400 0 400 0", "0 0 0 400 0"},
		{"both", &specs.LinuxCapabilities{Bounding: both, Permitted: both, Effective: both}, "401 401 0 401 0", "0 0 0 401 0"},
		{"ambient", &specs.LinuxCapabilities{Bounding: both, Permitted: both, Effective: both, Inheritable: chown, Ambient: chown}, "401 401 1 401 1", "1 1 1 401 1"},
	}
}

// C2: CVE-2025-27612. What is started, and what is executed beside it, has the sets that were asked for and no other: who is not
// root keeps none, inherits none and has none ambient that he was not given.
func TestC2Rights(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	for _, r := range sdtest.Some(allRights(), 4) {
		for _, user := range []bool{false, true} {
			for _, nnp := range []bool{false, true} {
				w.compareRights(r, user, nnp)
			}
		}
	}
}

// sets are those lines of a process's status, its no_new_privs at the end.
func sets(status string) string {
	has := map[string]string{}
	for line := range strings.Lines(status) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":\t")
		if has[key] = value; strings.HasPrefix(key, "Cap") {
			has[key] = strings.TrimLeft(value[:len(value)-1], "0") + value[len(value)-1:]
		}
	}
	return fmt.Sprintln(has["CapPrm"], has["CapEff"], has["CapInh"], has["CapBnd"], has["CapAmb"], has["NoNewPrivs"])
}

func (r rights) want(user, nnp bool) string {
	have := map[bool]string{false: r.root, true: r.user}[user]
	return fmt.Sprintln(have, map[bool]int{true: 1}[nnp])
}

func someone(user bool) specs.User {
	if user {
		return specs.User{UID: 1000, GID: 1000}
	}
	return specs.User{Username: "0"}
}

func (w *world) compareRights(r rights, user, nnp bool) {
	w.t.Helper()
	name := fmt.Sprintf("%s, user %v, no_new_privs %v", r.name, user, nnp)
	spec := w.spec("rights", "/bin/sh", "-c", "cat /proc/self/status; echo; exec sleep 60")
	spec.Process.Capabilities, spec.Process.User, spec.Process.NoNewPrivileges = r.sets, someone(user), nnp
	out, in := pipe(w.t)
	c, err := w.startSpec("rights", spec, CreateOptions{Detach: true, Stdout: in})
	in.Close()
	if err != nil {
		w.t.Fatal(name, err)
	}
	var status strings.Builder
	for b := make([]byte, 1); !strings.HasSuffix(status.String(), "\n\n"); status.Write(b) {
		if _, err := out.Read(b); err != nil {
			w.t.Fatal(name, err)
		}
	}
	if got, want := sets(status.String()), r.want(user, nnp); got != want {
		w.t.Errorf("%s: started with %s, want %s", name, got, want)
	}
	var execs []rightsExec
	for _, x := range allRights() {
		for n := range 8 {
			execs = append(execs, rightsExec{x, n&1 != 0, n&2 != 0, n&4 != 0 && x.name == r.name})
		}
	}
	for _, x := range sdtest.Some(execs, 16) {
		w.compareExec(name, c, r, x, nnp)
	}
	if err := c.Destroy(w.t.Context(), true); err != nil {
		w.t.Fatal(name, err)
	}
}

// A rightsExec is a process executed with its rights, or with those of the container, which are the same.
type rightsExec struct {
	rights
	user, nnp, inherits bool
}

func (w *world) compareExec(name string, c *Container, r rights, x rightsExec, nnp bool) {
	w.t.Helper()
	name = fmt.Sprintf("%s: exec, %s, user %v, no_new_privs %v, inherited %v", name, x.name, x.user, x.nnp, x.inherits)
	p := &specs.Process{Args: []string{"cat", "/proc/self/status"}, User: someone(x.user), Capabilities: x.sets, NoNewPrivileges: x.nnp}
	if x.inherits {
		p.Capabilities = nil
	}
	out, in := pipe(w.t)
	e, err := c.Exec(w.t.Context(), p, ExecOptions{Stdout: in})
	in.Close()
	if len(x.sets.Bounding) > len(r.sets.Bounding) {
		if err == nil || !strings.Contains(err.Error(), "the container's bounding set does not have it") {
			w.t.Errorf("%s: %v, want an error that names the bounding set", name, err)
		}
		return
	}
	if err != nil {
		w.t.Fatal(name, err)
	}
	b, err := io.ReadAll(out)
	if _, end := e.Wait(w.t.Context()); err != nil || end != nil {
		w.t.Error(name, err, end)
	}
	if got, want := sets(string(b)), x.want(x.user, nnp || x.nnp); got != want {
		w.t.Errorf("%s: %s, want %s", name, got, want)
	}
}
