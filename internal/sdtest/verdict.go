// SPDX-License-Identifier: Apache-2.0

package sdtest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// A Verdict is how a command that measures ends: its last line, and the commit it is about. It is
// embedded in what the command leaves in bin, for docs/figures.md to quote.
type Verdict struct {
	Said   string `json:"said"`
	Commit string `json:"commit,omitempty"` // "" without a repository
}

// Verdicted is a last line about the commit that is checked out; what is not committed is told by a "+".
func Verdicted(ctx context.Context, said string) Verdict {
	out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--match=", "--abbrev=12", "--dirty=+").Output()
	if err != nil {
		return Verdict{Said: said}
	}
	return Verdict{said, strings.TrimSpace(string(out))}
}

// WriteMeasured writes what a command measured, with its [Verdict], as JSON.
func WriteMeasured(file string, measured any) error {
	b, err := json.MarshalIndent(measured, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644)
}

// Listed is a test, given with its package, as docs/security-tests.md has it.
func Listed(pkg, test string) string {
	const module = "github.com/sdcontainer/sdcontainer"
	dir := "."
	if pkg != module {
		dir = strings.TrimPrefix(pkg, module+"/")
	}
	return "`" + test + "` in `" + dir + "`"
}

// Took is a time as a last line has it.
func Took(d time.Duration) string {
	if d < 2*time.Minute {
		return fmt.Sprintf("%.0f s", d.Seconds())
	}
	return fmt.Sprintf("%.0f min", d.Minutes())
}
