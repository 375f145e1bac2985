// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"errors"
	"fmt"
	"strconv"
)

// MaxID is the highest user or group id: the next one means "no id".
const MaxID = 1<<32 - 2

// ParseID tells a number from a name. What could be read as either, now or by
// another program, is neither: "01", "0x0", "-1", "1e3" (CVE-2024-40635, CVE-2020-13776).
func ParseID(s string) (id uint32, numeric bool, err error) {
	if s == "" {
		return 0, false, errors.New("empty user or group")
	}
	if s[0] < '0' || s[0] > '9' {
		return 0, false, checkName(s)
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > MaxID || s[0] == '0' && s != "0" {
		return 0, false, fmt.Errorf("%q: want a number from 0 to %d without a leading zero, or a name", s, uint32(MaxID))
	}
	return uint32(n), true, nil
}

func checkName(s string) error {
	for i, r := range s {
		ok := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_' ||
			i > 0 && (r >= '0' && r <= '9' || r == '-' || r == '.' || r == '$' || r == '@' || r == '\\')
		if !ok || i > 255 {
			return fmt.Errorf("%q is not a user or group name", s)
		}
	}
	return nil
}
