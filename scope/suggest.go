// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"fmt"
	"strings"

	"github.com/sdcontainer/sdcontainer/configs"
)

// spellings are names of unit files, and of cgroup v1, with the property to use.
func spellings() map[string]string {
	return map[string]string{
		"BlockIOWeight":    "IOWeight",
		"CPUQuota":         "CPUQuotaPerSecUSec",
		"CPUQuotaPerSec":   "CPUQuotaPerSecUSec",
		"CPUShares":        "CPUWeight",
		"LimitNPROC":       "TasksMax",
		"MemoryLimit":      "MemoryMax",
		"StartupCPUShares": "StartupCPUWeight",
	}
}

func unknownProperty(name string) error {
	if use, ok := spellings()[name]; ok {
		return fmt.Errorf("property %q: not on the bus (use %s)", name, use)
	}
	best, distance := "", 4
	for _, p := range Properties() {
		if d := configs.EditDistance(strings.ToLower(name), strings.ToLower(p.Name), distance); d < distance {
			best, distance = p.Name, d
		}
	}
	if best != "" {
		return fmt.Errorf("property %q: unknown (did you mean %s?)", name, best)
	}
	return fmt.Errorf("%q is no property of a scope (org.freedesktop.systemd1(5) lists those)", name)
}
