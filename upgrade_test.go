// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// R45: a record is read by the commands of other versions. testdata/record/N holds one of format N with all there is, and
// is never changed but for a field that is new and may be missing: what no longer reads it, or writes another in its
// name, needs a new format number.
func TestRecordsOfOtherVersions(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 600700800, time.UTC)
	want := &record{
		Version: recordVersion, ID: "web", BootID: "0f1c4d1e-9f0a-4a55-8d0e-3c1f1d6a7b11", Phase: Running,
		Creator: procID{11, 1100}, Init: procID{12, 1200}, Keeper: procID{13, 1300},
		Unit: "sdc-web.scope", Cgroup: "/sdcontainer.slice/sdc-web.scope/payload", Inode: 4294967999, Service: true, Invocation: "5d41402abc4b2a76b9719d911017c592",
		OOMKills: 3, ManagedOOMKills: 2, Foreground: true, Remove: true, Userns: [2]uint32{usernsFirst, 65536},
		Rootfs: "/var/lib/machines/debian", Source: "/etc/sdcontainer/web.toml", Command: []string{"nginx", "-g", "daemon off;"},
		Created: at, Started: at.Add(time.Second), Logged: true, Above: &oomMark{Cgroup: "/sdcontainer.slice", Kills: 4},
	}
	for v, i := reflect.ValueOf(*want), 0; i < v.NumField(); i++ {
		if v.Field(i).IsZero() {
			t.Errorf("%s is not in the record of this test", v.Type().Field(i).Name)
		}
	}
	dir := filepath.Join("testdata", "record", strconv.Itoa(recordVersion))
	b, err := os.ReadFile(filepath.Join(dir, stateFile))
	if err != nil {
		t.Fatal(err)
	}
	have, err := parseRecord(b, "web")
	if d := cmp.Diff(want, have, cmp.AllowUnexported(record{}, oomMark{}, procID{})); d != "" || err != nil {
		t.Errorf("read: %v %s", err, d)
	}
	written, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var was, is map[string]any
	if err := json.Unmarshal(b, &was); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(written, &is); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(was, is); d != "" {
		t.Errorf("written: %s", d)
	}

	r := &Runtime{Dir: t.TempDir()}
	if err := os.CopyFS(r.path("web"), os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(r.path("web"), 0o700); err != nil {
		t.Fatal(err)
	}
	c, err := r.Load("web")
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.State()
	exit := &Exit{Code: 137, Signal: 9, OOMKilled: true, At: at.Add(2 * time.Second)}
	if d := cmp.Diff(exit, s.Exit); d != "" || err != nil || s.Status != Stopped {
		t.Errorf("%s, %v, %s", s.Status, err, d)
	}
	spec, err := c.Spec()
	if err != nil || spec.Process.Cwd != "/" || spec.Hostname != "web" {
		t.Errorf("%+v, %v", spec, err)
	}
}

// R45: a container that runs is entered, changed and ended by the command of another version: one whose records had fewer fields, and
// one whose have more.
func TestR45RunningContainerOfAnotherVersion(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	for name, change := range map[string]func(r map[string]any){
		"older": func(r map[string]any) {
			maps.DeleteFunc(r, func(key string, _ any) bool {
				return key == "logged" || key == "above" || key == "source" || key == "started" || key == "inode"
			})
		},
		"newer": func(r map[string]any) {
			r["later"], r["above"] = map[string]any{"x": []int{1}}, map[string]any{"later": true}
		},
	} {
		spec := w.spec("other", "/bin/sh", "-c", "trap 'exit 9' TERM; echo up; while :; do sleep 0.1; done")
		c, _ := w.startHostile("other", spec)
		rewrite(t, c.path(stateFile), change)
		rewrite(t, c.path(configFile), func(spec map[string]any) { // which this command would refuse to start
			spec["annotations"].(map[string]any)["org.systemd.property.CollectMode"] = "'inactive'"
		})
		t.Run(name, func(t *testing.T) { usable(t, w, "other") })
	}
}

func rewrite(t *testing.T, file string, change func(map[string]any)) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r map[string]any
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber() // limits are larger than a float is exact
	if err := d.Decode(&r); err != nil {
		t.Fatal(err)
	}
	change(r)
	if b, err = json.Marshal(r); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// usable does with a container what verbs do, to its end.
func usable(t *testing.T, w *world, id string) {
	c, err := w.Load(id)
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.Exec(t.Context(), &specs.Process{Args: []string{"/bin/sh", "-c", "exit 7"}}, ExecOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if e, err := p.Wait(t.Context()); err != nil || e.Code != 7 {
		t.Errorf("exec: %+v, %v", e, err)
	}
	if err := c.Pause(t.Context()); err != nil {
		t.Error("pause:", err)
	}
	if s, err := c.State(); err != nil || s.Status != Paused {
		t.Errorf("paused: %+v, %v", s, err)
	}
	if err := c.Resume(t.Context()); err != nil {
		t.Error("resume:", err)
	}
	if err := c.Update(t.Context(), &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: number[int64](99)}}, nil); err != nil {
		t.Error("update:", err)
	}
	if err := c.Stop(t.Context(), 5*time.Second); err != nil {
		t.Error("stop:", err)
	}
	if e, err := c.Wait(t.Context()); err != nil || e.Code != 9 {
		t.Errorf("%+v, %v, want code 9", e, err)
	}
	if err := c.Destroy(t.Context(), false); err != nil {
		t.Error("rm:", err)
	}
	w.nothingLeft(id)
}
