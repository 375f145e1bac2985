// SPDX-License-Identifier: Apache-2.0

package sdtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// BusyboxRoot makes a root directory with a static busybox that answers to the names of applets.
func BusyboxRoot(dir string, applets ...string) error {
	path, err := exec.LookPath("busybox")
	if err != nil {
		path = "/var/lib/machines/busybox/bin/busybox" // guests have it there
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("%w (install busybox-static)", err)
	}
	var errs []error
	for _, d := range []string{"bin", "proc", "sys", "dev", "etc", "tmp"} {
		errs = append(errs, os.MkdirAll(filepath.Join(dir, d), 0o755))
	}
	errs = append(errs, os.Chmod(dir, 0o755), os.WriteFile(filepath.Join(dir, "bin/busybox"), b, 0o755))
	for _, applet := range applets {
		errs = append(errs, os.Symlink("busybox", filepath.Join(dir, "bin", applet)))
	}
	return errors.Join(errs...)
}
