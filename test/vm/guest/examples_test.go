// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// examples is the gallery, as the module's sources have it.
const examples = "../../../configs/examples"

// TestExamples runs each example and compares its end with what the gallery's
// table says: an exit code, or that it runs until it is stopped.
func TestExamples(t *testing.T) {
	sdtest.Require(t, sdtest.Guest)
	text, err := os.ReadFile(filepath.Join(examples, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(examples, "*.toml"))
	if err != nil || len(files) < 10 {
		t.Fatalf("%d examples, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".toml")
		t.Run(name, func(t *testing.T) {
			row := regexp.MustCompile(`(?m)^\| \[` + regexp.QuoteMeta(name) + `\.toml\].*$`).FindString(string(text))
			if row == "" {
				t.Fatalf("%s is not in the table of the gallery", name)
			}
			t.Cleanup(func() { _ = sd(t, "rm", "-f", name) }) // what is left of a failure
			if code := regexp.MustCompile(`exit code (\d+)`).FindStringSubmatch(row); code != nil {
				runsTo(t, file, code[1])
			} else {
				runsUntilStopped(t, file, name)
			}
		})
	}
}

func runsTo(t *testing.T, file, want string) {
	t.Helper()
	o := run(t, "sh", "-c", "sdcontainer run --rm "+file+"; echo exit code $?")
	if !strings.HasSuffix(o.stdout, "exit code "+want+"\n") {
		t.Errorf("want exit code %s: %v", want, o)
	}
}

func runsUntilStopped(t *testing.T, file, name string) {
	t.Helper()
	must(t, "sdcontainer", "run", "-d", file)
	if s := inspect(t, name); s.Status != "running" {
		t.Errorf("after the start: %+v", s)
	}
	if name == "web" {
		eventually(t, "an answer of the server", func() bool {
			return strings.Contains(run(t, "busybox", "wget", "-qO-", "http://127.0.0.1:8080/").stdout, "<h1>")
		})
	}
	must(t, "sdcontainer", "stop", name)
	if s := inspect(t, name); s.Status != "stopped" || s.ExitUnknown {
		t.Errorf("after stop: %+v", s)
	}
	must(t, "sdcontainer", "rm", name)
}
