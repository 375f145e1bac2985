// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
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
