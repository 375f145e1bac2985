// SPDX-License-Identifier: Apache-2.0

package sweep

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// R10: a soft-reboot kills every process and starts systemd anew, but /run stays, and so does the boot id: records are of this
// boot, and of containers that nobody has seen end. The container runs no longer, its name starts again, and rm removes it.
func TestR10SoftReboot(t *testing.T) {
	const release = "13" // older systemds have none
	sdtest.Require(t, sdtest.Systemd, sdtest.Built(release))
	image, _, err := sdtest.FindImage(release)
	if err != nil {
		t.Fatal(err)
	}
	s, err := sdtest.Boot(t.Context(), sdtest.BootOptions{Rootfs: image.Rootfs()}) // nobody else's
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	const text = "version = 1\n[rootfs]\npath = '/srv/root'\nidmap = false\n[process]\nargs = ['/bin/sleep', '1000']\n" +
		"[log]\ndriver = 'none'\n[systemd]\nstrict = false\n"
	if err := errors.Join(sdtest.BuildCommand(filepath.Join(s.Share, "sdcontainer")), sdtest.BusyboxRoot(filepath.Join(s.Share, "root"), "sleep"),
		os.Mkdir(filepath.Join(s.Share, "root/run"), 0o755), os.WriteFile(filepath.Join(s.Share, "c.toml"), []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
	must := func(args ...string) string {
		t.Helper()
		out, code := s.Enter(t, args...)
		if code != 0 {
			t.Fatalf("%s: exit %d: %s", strings.Join(args, " "), code, out)
		}
		return strings.TrimSpace(out)
	}
	must("sh", "-c", fmt.Sprintf("cp -r %s/. /srv", sdtest.ShareInside)) // what is mounted may not come through
	names := []string{"again", "paused", "removed"}
	for _, name := range names {
		must("/srv/sdcontainer", "run", "-d", "--name", name, "/srv/c.toml")
	}
	must("/srv/sdcontainer", "pause", "paused")
	boot := must("cat", "/proc/sys/kernel/random/boot_id")
	// Nobody tells who is killed when it is over. systemd stops everybody before it kills them, and nsenter, which stops itself
	// with its child, would wait for ever to be continued: each command has its own end.
	brief := func(args ...string) string {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		out, err := s.Command(ctx, args[0], args[1:]...).CombinedOutput()
		if err != nil {
			return fmt.Sprintf("%s%v", out, err)
		}
		return string(out)
	}
	said := brief("busctl", "call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", "SoftReboot", "s", "")
	for end := time.Now().Add(time.Minute); said != "1\nrunning\n"; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it does not come back: %s", said)
		}
		said = brief("sh", "-c", "systemctl show -P SoftRebootsCount && systemctl is-system-running")
	}
	if now := must("cat", "/proc/sys/kernel/random/boot_id"); now != boot {
		t.Errorf("the boot id was %s and is %s: this is no soft-reboot", boot, now)
	}
	for _, name := range names {
		if state := must("/srv/sdcontainer", "inspect", "--format", "{{.Status}} {{.Pid}} {{.ExitUnknown}}", name); state != "stopped 0 true" {
			t.Errorf("%s: %s; want one that nobody has seen end", name, state)
		}
	}
	must("/srv/sdcontainer", "run", "-d", "--name", "again", "/srv/c.toml")
	if state := must("/srv/sdcontainer", "inspect", "--format", "{{.Status}}", "again"); state != "running" {
		t.Errorf("started again: %s", state)
	}
	must("/srv/sdcontainer", "rm", "-f", "again")
	must("/srv/sdcontainer", "rm", "paused", "removed")
	if left := must("sh", "-c", "cd /run/sdcontainer && ls . && ls .userns"); left != "" {
		t.Errorf("left of records and claims:\n%s", left)
	}
	if units := must("systemctl", "list-units", "--all", "--plain", "--no-legend", "sdc-*"); units != "" {
		t.Errorf("left of units:\n%s", units)
	}
}
