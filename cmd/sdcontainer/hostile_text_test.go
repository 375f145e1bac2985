// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// What containers say is never obeyed by a terminal that shows their records or lines, nor what an error repeats.
func TestG3HostileTextAtATerminal(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	flags := arena(t)
	flags[4] = "--name=hostile" // instead of --rm
	script := "printf '\\033]0;title\\007\\033[2Jline\\n'; exit 3 # \x1b]52;c;aGk=\a"
	if out, err := exec.Command("sdcontainer", append(flags, "-d", "--", "sh", "-c", script)...).CombinedOutput(); err != nil {
		t.Fatalf("run: %v: %s", err, out)
	}
	missing := "\x1b]0;x\a\x1b[2J\u009b31m"
	for _, args := range [][]string{{"wait", "hostile"}, {"logs", "hostile"}, {"ps", "-a", "--no-trunc"}, {"ps", "-a", "--format", "{{.Command}}"},
		{"inspect", missing}, {"run", missing + ".toml"}, {"run", "--rm", "--no-strict", "--rootfs", flags[len(flags)-1], "--", missing}, {"run", "--" + missing}, {missing}} {
		s := newScreen(t)
		cmd := s.start(t, append(flags[:2:2], args...)...)
		_ = code(t, cmd) // that of wait is the payload's, and others fail
		switch args[0] {
		case "logs":
			s.see(t, `\x1b]0;title\a\x1b[2Jline`)
		case "ps":
			s.see(t, `\x1b]52;c;aGk=\a`)
		case "wait":
		default:
			s.see(t, `\x1b]0;x\a\x1b[2J\u009b31m`)
		}
		for _, evil := range []string{"\x1b]", "\x1b[2J", "\a", "\u009b"} {
			if strings.Contains(s.text(), evil) {
				t.Errorf("%v prints %q:\n%q", args, evil, s.text())
			}
		}
	}
	if out, err := exec.Command("sdcontainer", append(flags[:2:2], "rm", "hostile")...).CombinedOutput(); err != nil {
		t.Errorf("rm: %v: %s", err, out)
	}
}

// G3: no line is more to the journal than a line: not one that is told in fields of the journal's own, not one that ends in NUL, and
// not one without an end, which is there to the last byte.
func TestG3ForgedLines(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	flags := arena(t)
	flags[4] = "--name=forger" // instead of --rm
	long := 10 << 20 / sdtest.Stride(10)
	script := fmt.Sprintf(`printf 'MESSAGE=x\nPRIORITY=0\n_UID=0\n<0>loud\n_SYSTEMD_UNIT=ssh.service\nbefore\000after\ra\033[2Jb\n'; busybox head -c %d /dev/zero | busybox tr '\000' y; echo; echo end`, long)
	if out, err := exec.Command("sdcontainer", append(flags, "-d", "--", "sh", "-c", script)...).CombinedOutput(); err != nil {
		t.Fatalf("run: %v: %s", err, out)
	}
	verb := func(args ...string) []byte {
		t.Helper()
		out, err := exec.Command("sdcontainer", append(flags[:2:2], args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v: %.200s", args, err, out)
		}
		return out
	}
	verb("wait", "forger")
	said := verb("logs", "forger")
	if n := bytes.Count(said, []byte("y")); n != long {
		t.Errorf("of a line of %d bytes %d are there", long, n)
	}
	want := "MESSAGE=x\nPRIORITY=0\n_UID=0\n<0>loud\n_SYSTEMD_UNIT=ssh.service\nbefore\nafter\ra\x1b[2Jb\n"
	if got := string(said[:min(len(said), len(want))]); got != want || !bytes.HasSuffix(said, []byte("\nend\n")) {
		t.Errorf("%q, want %q and an end", got, want)
	}
	forgedEntries(t)
	verb("rm", "forger")
}

// forgedEntries looks at the entries themselves: each has the level, the user and the unit that its writer has.
func forgedEntries(t *testing.T) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "journalctl", "--output=json", "--all", "--quiet", "_SYSTEMD_UNIT=sdc-forger.scope").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for line := range bytes.Lines(out) {
		var e map[string]any
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		if e["PRIORITY"] != "6" || e["_UID"] == "0" || e["_SYSTEMD_UNIT"] != "sdc-forger.scope" || e["_TRANSPORT"] != "stdout" {
			t.Errorf("%.300s", line)
		}
		if text, ok := e["MESSAGE"].(string); ok {
			seen[text] = true
		}
	}
	for text := range strings.FieldsSeq("MESSAGE=x PRIORITY=0 _UID=0 <0>loud _SYSTEMD_UNIT=ssh.service before") {
		if !seen[text] {
			t.Errorf("no entry says %s", text)
		}
	}
}
