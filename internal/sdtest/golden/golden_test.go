// SPDX-License-Identifier: Apache-2.0

package golden

import (
	"path/filepath"
	"testing"
)

// A recorder is a test that may fail.
type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Errorf(string, ...any) { r.failed = true }
func (r *recorder) Fatalf(string, ...any) { r.failed = true }

func TestCheck(t *testing.T) {
	file := filepath.Join(t.TempDir(), "new", "file")
	*update = true
	Check(t, file, "a\n")
	*update = false
	Check(t, file, "a\n")
	for name, missing := range map[string]string{"another content": file, "no file": file + "2"} {
		r := &recorder{TB: t}
		if Check(r, missing, "b\n"); !r.failed {
			t.Errorf("%s: no failure", name)
		}
	}
}
