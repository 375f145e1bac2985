// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The real-time signals as C libraries number them: the first two are theirs.
const sigRTMin, sigRTMax = 34, 64

// ParseSignal understands SIGTERM, TERM, 15, SIGRTMIN+3 and SIGRTMAX-1.
func ParseSignal(name string) (unix.Signal, error) {
	n := strings.TrimPrefix(strings.ToUpper(name), "SIG")
	if i, err := strconv.Atoi(n); err == nil {
		if i < 1 || i > sigRTMax {
			return 0, fmt.Errorf("signal %q: want 1 to %d", name, sigRTMax)
		}
		return unix.Signal(i), nil
	}
	for base, at := range map[string]int{"RTMIN": sigRTMin, "RTMAX": sigRTMax} {
		offset, ok := strings.CutPrefix(n, base)
		if !ok {
			continue
		}
		i, err := 0, error(nil)
		if offset != "" {
			i, err = strconv.Atoi(offset)
		}
		if err != nil || at+i < sigRTMin || at+i > sigRTMax {
			return 0, fmt.Errorf("signal %q: want SIGRTMIN+0 to SIGRTMIN+%d", name, sigRTMax-sigRTMin)
		}
		return unix.Signal(at + i), nil
	}
	if s := unix.SignalNum("SIG" + n); s != 0 {
		return s, nil
	}
	return 0, fmt.Errorf("signal %q: want a name like SIGTERM or a number", name)
}
