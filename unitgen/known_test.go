// SPDX-License-Identifier: Apache-2.0

package unitgen

import (
	"strings"
	"testing"

	"github.com/sdcontainer/sdcontainer/configs"
)

// An old name is refused with the one to use, which is one that may be set.
func TestOldNames(t *testing.T) {
	for name, use := range old() {
		number, section := sectionService, "service"
		if strings.HasPrefix(name, "Requi") {
			number, section = sectionUnit, "unit"
		}
		if err := permitted(number, name, []string{"5"}); err == nil || !strings.Contains(err.Error(), "(use "+use+")") {
			t.Errorf("%s: %v, want %s", name, err, use)
		}
		if err := permitted(number, use, nil); err != nil || !configs.KnownDirective(section, use) || !configs.KnownDirective(section, name) {
			t.Errorf("%s instead of %s: %v", use, name, err)
		}
	}
}
