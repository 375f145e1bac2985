// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"os"
	"path/filepath"
	"testing"
)

// Where nobody can list the rules of nftables, that the module came is told.
func TestModuleIsTold(t *testing.T) {
	t.Setenv("PATH", t.TempDir()) // with no nft in it
	defer func(file string) { modules = file }(modules)
	modules = filepath.Join(t.TempDir(), "modules")
	snapshot := func(list string) Snapshot {
		t.Helper()
		if err := os.WriteFile(modules, []byte(list), 0o600); err != nil {
			t.Fatal(err)
		}
		s := Snapshot{}
		if err := rules(t.Context(), Watch{}, s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	const other = "overlay 192512 0 - Live 0x0\n"
	before := snapshot(other)
	if diff := before.Diff(snapshot(other + "nf_tables 372736 1 nft_ct, Live 0x0\n")); diff != "+ nft module nf_tables: there\n" {
		t.Errorf("it came: %q", diff)
	}
	if diff := before.Diff(snapshot(other)); diff != "" {
		t.Errorf("it did not: %q", diff)
	}
}
