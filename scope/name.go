// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

const (
	unitPrefix   = "sdc-"
	scopeSuffix  = ".scope"
	sliceSuffix  = ".slice"
	maxUnitName  = 255 // UNIT_NAME_MAX, with the NUL
	DefaultSlice = "sdcontainer.slice"
)

// UnitName is the unit of the container id. Two ids never have the same unit:
// what a unit name cannot hold is written \xNN, the backslash too. An id that
// would be too long ends in a hash behind a mark that no escape produces.
func UnitName(id string) string {
	e := escape(id)
	if room := maxUnitName - 1 - len(unitPrefix) - len(scopeSuffix); len(e) > room {
		sum := sha256.Sum256([]byte(id))
		mark := `\:` + hex.EncodeToString(sum[:])
		e = e[:room-len(mark)] + mark
	}
	return unitPrefix + e + scopeSuffix
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

// checkSlice accepts the name of a slice, "-.slice" for the root one.
func checkSlice(name string) error {
	base, ok := strings.CutSuffix(name, sliceSuffix)
	ok = ok && base != "" && len(name) < maxUnitName
	for i := range len(base) {
		ok = ok && (isNameByte(base[i]) || base[i] == '\\')
	}
	if base != "-" { // dashes nest: a-b.slice is in a.slice
		ok = ok && !strings.HasPrefix(base, "-") && !strings.HasSuffix(base, "-") && !strings.Contains(base, "--")
	}
	if !ok {
		return fmt.Errorf("slice %q: want a name of letters, digits, '_', '.' and single '-' that ends in .slice", name)
	}
	return nil
}
