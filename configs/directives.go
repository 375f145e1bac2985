// SPDX-License-Identifier: Apache-2.0

package configs

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
)

// directiveNames are the directives of systemd 252 to [DirectivesOf], by section: what
// systemd --dump-configuration-items prints, without the values. A section is looked up when a
// configuration has a table for it: other starts do not touch the text.
//
//go:embed directives.txt
var directiveNames string

// DirectivesOf is the newest systemd whose directives are known here.
const DirectivesOf = 257

// unitTables are the tables of directives with their sections.
var unitTables = map[string]string{"unit": "Unit", "service": "Service", "install": "Install"}

// Directives are the names that systemd up to [DirectivesOf] knows in a section of a service's
// unit file, "unit", "service" or "install"; sorted.
func Directives(section string) []string {
	_, names, _ := strings.Cut(directiveNames, "["+unitTables[section]+"]\n")
	names, _, _ = strings.Cut(names, "[")
	return strings.Fields(names)
}

// KnownDirective says whether systemd up to [DirectivesOf] takes a name in a section. With no more
// than a line in the journal it ignores any other, unless it begins with X-, which is for others.
func KnownDirective(section, name string) bool {
	return strings.HasPrefix(name, "X-") || slices.Contains(Directives(section), name)
}

// unknownDirective says what is wrong with the name; meant is what it may stand for, "" if that is no other. Then a systemd
// newer than [DirectivesOf] may know it.
func unknownDirective(section, name string) (msg, meant string) {
	msg = fmt.Sprintf("not a directive of [%s] that systemd up to %d knows", unitTables[section], DirectivesOf)
	for _, other := range sortedKeys(unitTables) {
		if slices.Contains(Directives(other), name) {
			return msg, join("systemd."+other, name)
		}
	}
	return msg, Nearest(name, Directives(section))
}
