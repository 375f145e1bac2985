// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"fmt"
	"strings"
)

// spellings are names of unit files, and of cgroup v1, with the property to use.
var spellings = map[string]string{
	"BlockIOWeight":    "IOWeight",
	"CPUQuota":         "CPUQuotaPerSecUSec",
	"CPUQuotaPerSec":   "CPUQuotaPerSecUSec",
	"CPUShares":        "CPUWeight",
	"LimitNPROC":       "TasksMax",
	"MemoryLimit":      "MemoryMax",
	"StartupCPUShares": "StartupCPUWeight",
}

func unknownProperty(name string) error {
	if use, ok := spellings[name]; ok {
		return fmt.Errorf("property %q: not on the bus (use %s)", name, use)
	}
	best, distance := "", 4
	for _, p := range Properties {
		if d := editDistance(strings.ToLower(name), strings.ToLower(p.Name), distance); d < distance {
			best, distance = p.Name, d
		}
	}
	if best != "" {
		return fmt.Errorf("property %q: unknown (did you mean %s?)", name, best)
	}
	return fmt.Errorf("property %q: not one of a scope (docs/reference/properties.md lists them)", name)
}

// editDistance is the number of letters to change, or limit when there are more.
func editDistance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, diagonal+1, row[j]+1)
		}
	}
	return min(row[len(b)], limit)
}
