// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"fmt"
	"strings"

	"github.com/sdcontainer/sdcontainer/configs"
)

// LimitProperty turns a limit as people write it, and as configurations have it, into what sets
// it: a property and its value as GVariant text, as in configs.Settings.UnitProperties. name is
// that of a limit of this kind:
//
//   - a size, "512M", "infinity", and a share, "50%": MemoryMax, MemoryHigh, MemorySwapMax and the others of memory
//   - a number, "100", "infinity", and a share: TasksMax
//   - CPU time, "150%", "infinity": CPUQuotaPerSecUSec
//   - a weight from 1 to 10000: IOWeight, CPUWeight, of which the latter may be "idle"
//
// A share is set by another property, MemoryMaxScale for MemoryMax. An error about the text
// does not say the name.
func LimitProperty(name, text string) (property, value string, err error) {
	info, ok := Lookup(name)
	if !ok {
		return "", "", unknownProperty(name)
	}
	var n configs.Size
	switch {
	case info.Kind == KindBytes:
		n, err = configs.ParseSize(text)
	case info.Kind == KindPercent:
		n.Bytes, err = configs.ParseQuota(text)
	case strings.HasSuffix(name, "IOWeight"):
		n.Bytes, err = configs.ParseIOWeight(text)
	case strings.HasSuffix(name, "CPUWeight"):
		n.Bytes, err = configs.ParseWeight(text)
	case info.Kind == KindCount:
		n, err = configs.ParseCount(text)
	default:
		err = fmt.Errorf("property %s: neither a size nor a number, share or weight (want GVariant text like %s)", name, example(info))
	}
	if err == nil && n.Percent > 0 && Twin(name) == "" {
		err = fmt.Errorf("%q: want no share, which systemd does not take for %s", text, name)
	}
	switch {
	case err != nil:
		return "", "", err
	case n.Percent > 0:
		return Twin(name), fmt.Sprintf("uint32 %d", n.Scale()), nil
	}
	return name, fmt.Sprintf("uint64 %d", n.Bytes), nil
}
