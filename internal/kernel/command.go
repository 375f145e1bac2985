// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// programDirs are where programs are installed: all of them are root's. Where /usr is not merged, /bin and /usr/bin differ; the last
// is NixOS's.
var programDirs = []string{"/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/local/sbin", "/run/current-system/sw/bin"}

// Program is the path of a program of this machine. The caller's PATH says nothing about it: it may lead root to
// anybody's files (CVE-2026-41567). Errors: [exec.ErrNotFound].
func Program(name string) (string, error) {
	for _, dir := range programDirs {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%w: %s in %s (PATH is not searched)", exec.ErrNotFound, name, strings.Join(programDirs, ", "))
}

// Command is [exec.CommandContext] for a [Program]. Without one, who starts it gets Program's error.
func Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	path, err := Program(name)
	if err != nil {
		cmd := exec.CommandContext(ctx, filepath.Join(programDirs[0], name), args...)
		cmd.Err = err
		return cmd
	}
	return exec.CommandContext(ctx, path, args...)
}
