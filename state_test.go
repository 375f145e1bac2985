// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"errors"
	"os"
	"testing"
)

func TestLoadUnit(t *testing.T) {
	r := &Runtime{Dir: t.TempDir()}
	for _, id := range []string{"db", "web"} {
		r.put(t, record{ID: id, BootID: "earlier", Phase: Running})
	}
	for _, tt := range []struct {
		unit, want string
		err        error
	}{
		{"sdc-web.scope", "web", nil},
		{"sdc-db.scope", "db", nil},
		{"web", "", ErrNotExist}, // a name is for Load
		{"sdc-web", "", ErrNotExist},
		{"", "", ErrNotExist},
	} {
		c, err := r.LoadUnit(tt.unit)
		if !errors.Is(err, tt.err) || err == nil && c.ID() != tt.want || err != nil && c != nil {
			t.Errorf("LoadUnit(%q) = %v, %v; want %q, %v", tt.unit, c, err, tt.want, tt.err)
		}
	}
	// Whether the unreadable one is it, nobody knows; the others are found.
	if err := os.WriteFile(r.path("db", stateFile), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := r.LoadUnit("sdc-web.scope"); err != nil || c.ID() != "web" {
		t.Errorf("beside a damaged record: %v, %v", c, err)
	}
	if c, err := r.LoadUnit("sdc-db.scope"); !errors.Is(err, ErrDamaged) || c != nil {
		t.Errorf("of a damaged record: %v, %v; want %v", c, err, ErrDamaged)
	}
}
