// SPDX-License-Identifier: Apache-2.0

package unitgen

import (
	"slices"
	"strings"
	"testing"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// The systemd at hand ignores exactly those directives without a value that are refused.
func TestEmptyValues(t *testing.T) {
	if !sdtest.InsideAll(t) {
		return
	}
	version := runningVersion(t)
	refused := map[string]bool{}
	var lines []string
	for number, section := range []string{"Unit", "Service"} {
		for _, name := range configs.Directives(strings.ToLower(section)) {
			if newerThan(name, "") > version || kept[name] != "" || permitted(number, name, nil) != nil {
				continue
			}
			line := section + "." + name + "="
			lines = append(lines, line)
			for _, none := range []string{"", " \t"} {
				refused[line] = permitted(number, name, []string{none}) != nil
			}
		}
	}
	if len(lines) < 150 || !slices.Contains(lines, "Service.TimeoutStopSec=") {
		t.Fatalf("%d directives, %q", len(lines), lines)
	}
	for line, is := range ignored(t, lines) {
		if is != refused[line] {
			t.Errorf("%s: systemd %d ignores it: %t, refused: %t", line, version, is, refused[line])
		}
	}
}
