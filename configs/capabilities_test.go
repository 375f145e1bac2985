// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"path/filepath"
	"strings"
	"testing"
)

// A flag may take back a capability that the file adds; nothing else is added and dropped at once.
func TestCapabilityFlagsContradict(t *testing.T) {
	one := func(key, flag string) Setting {
		return Setting{Flag: flag, Key: "capabilities." + key, Value: []any{"KILL"}}
	}
	add, drop := one("add", "--cap-add"), one("drop", "--cap-drop")
	for _, tt := range []struct {
		more string
		set  []Setting
		want string
	}{
		{`capabilities.add = ["KILL"]`, []Setting{drop}, ""},
		{`capabilities.drop = ["kill"]`, []Setting{add}, `x.toml:4:22: capabilities.drop: "kill": --cap-add has it, too`},
		{"", []Setting{add, drop}, `--cap-drop "KILL": --cap-add has it, too`},
	} {
		dir := write(t, "x.toml", minimal+tt.more)
		var got []string
		for _, p := range (LoadOptions{Set: tt.set}).Check(filepath.Join(dir, "x.toml")) {
			got = append(got, strings.TrimPrefix(p.String(), dir+"/"))
		}
		if strings.Join(got, "\n") != tt.want {
			t.Errorf("%s: %q, want %q", tt.more, got, tt.want)
		}
	}
}
