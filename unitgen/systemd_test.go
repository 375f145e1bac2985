// SPDX-License-Identifier: Apache-2.0

package unitgen

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

const manager = "/usr/lib/systemd/systemd"

// TestSystemdReads is row E5 with systemd's own parser: what it dumps of each
// unit it has read is what went in.
func TestSystemdReads(t *testing.T) {
	sdtest.Require(t, sdtest.Tool(manager))
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // the manager runs as nobody
		t.Fatal(err)
	}
	target := "[Unit]\nDefaultDependencies=no\n"
	var values []string
	for _, v := range nasty {
		if strings.TrimSpace(v) != v || len(v) > 1000 {
			continue
		}
		spec, s := small()
		spec.Root.Path, s.Description, s.Log.Fields = "/srv/"+v, "is "+v, map[string]string{"A_LABEL": v}
		s.Source = "/etc/x/" + v
		text, err := Service(spec, s, Options{Binary: program})
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("sdc-%d.service", len(values))
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		target += "Wants=" + name + "\n"
		values = append(values, v)
	}
	if err := os.WriteFile(filepath.Join(dir, "all.target"), []byte(target), 0o644); err != nil {
		t.Fatal(err)
	}
	units := dump(t, dir, "all.target")
	for i, v := range values {
		got := units[fmt.Sprintf("sdc-%d.service", i)]
		for key, want := range map[string]string{
			"Description": "is " + v, "RequiresMountsFor": filepath.Clean("/srv/"+v) + " (origin-file)",
			"Source Path": "/etc/x/" + v, "LogExtraFields": "A_LABEL=" + v,
		} {
			if !slices.Contains(got[key], want) {
				t.Errorf("%q: %s is %q, want %q", v, key, got[key], want)
			}
		}
		// A $ is undoubled when the command is run, which it is not.
		want := []string{program, "run", "--unit", strings.ReplaceAll("/etc/x/"+v, "$", "$$")}
		if len(got["Command Line"]) != 2 {
			t.Errorf("%q: commands %q, want two", v, got["Command Line"])
		} else if argv, err := words(got["Command Line"][0]); err != nil || !slices.Equal(argv, want) {
			t.Errorf("%q: command %q, want %q", v, argv, want)
		}
	}
}

// dump has the manager read a unit and all it wants, and prints what it understood:
// by unit and key, every value.
func dump(t *testing.T, dir, unit string) map[string]map[string][]string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), manager, "--test", "--system", "--unit="+unit, "--no-pager")
	cmd.Env = []string{"SYSTEMD_UNIT_PATH=" + dir + ":", "LC_ALL=C.UTF-8"}
	if os.Geteuid() == 0 { // it refuses to test as root
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("systemd --test: %v\n%s", err, out)
	}
	units := map[string]map[string][]string{}
	var current map[string][]string
	for l := range strings.Lines(string(out)) {
		l = strings.TrimSuffix(l, "\n")
		if name, ok := strings.CutPrefix(strings.TrimSpace(l), "-> Unit "); ok {
			current = map[string][]string{}
			units[strings.TrimSuffix(name, ":")] = current
			continue
		}
		if key, value, ok := strings.Cut(strings.TrimLeft(l, "\t"), ": "); ok && current != nil {
			current[key] = append(current[key], value)
		}
	}
	return units
}
