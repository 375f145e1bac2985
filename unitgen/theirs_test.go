// SPDX-License-Identifier: Apache-2.0

package unitgen

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What the administrator says of a unit is told from what we wrote, and from what systemd would not read as a directive.
func TestTheirs(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	files := []string{
		"", filepath.Join(dir, "gone.conf"), ControlDir + "/sdcontainer@web.service.d/50-TasksMax.conf",
		write(TemplateDropIn, madeByUs+"from \"/etc/sdcontainer/web.toml\": change that, not this.\n\n[Service]\nIOWeight=5\n"),
		write("override.conf", "[Unit]\nMemoryLow=1\n[Service]\n#MemoryHigh=1\n MemoryMax = 2G\nCPUQuota=\nno directive\n"+
			"Environment=A=1 \\\n# a comment\nMemoryMin=5 \\\n B=2\nTasksMax=5\n[Install]\nMemorySwapMax=1\n"),
		write("old.conf", "[Service]\nCPUShares=100"),
	}
	theirs, err := Theirs(files)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		"MemoryMax": true, "MemoryMaxScale": true, "CPUQuotaPerSecUSec": true, "TasksMax": true, "CPUWeight": true,
		"MemoryLow": false, "MemoryHigh": false, "MemoryMin": false, "MemorySwapMax": false, "IOWeight": false, "CPUQuotaPeriodUSec": false,
	} {
		if theirs(name) != want {
			t.Errorf("%s is the administrator's: %t", name, !want)
		}
	}
	if _, err := Theirs([]string{dir}); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("what cannot be read: %v", err)
	}
}
