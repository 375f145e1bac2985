// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"fmt"
	"strings"
)

const (
	unitPrefix  = "sdc-"
	scopeSuffix = ".scope"
	maxUnitName = 255 // UNIT_NAME_MAX, with the NUL
)

// DefaultSlice is the slice of containers that name none.
const DefaultSlice = "sdcontainer.slice"

// UnitName is the unit of the container id. Two ids never have the same unit:
// what a unit name cannot hold is written \xNN, the backslash too. [Plan] refuses
// an id for which that is too long.
func UnitName(id string) string { return unitPrefix + escape(id) + scopeSuffix }

func checkUnitName(id string) error {
	if n := len(UnitName(id)); n >= maxUnitName {
		return fmt.Errorf("container name of %d bytes: its unit's name would have %d, systemd takes %d", len(id), n, maxUnitName-1)
	}
	return nil
}

// escape keeps letters, digits, '_', '.', ':' and '-'. An '@' would make a template.
func escape(id string) string {
	var b strings.Builder
	for i := range len(id) {
		if c := id[i]; isNameByte(c) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, `\x%02x`, c)
		}
	}
	return b.String()
}

func isNameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.' || c == ':' || c == '-'
}
