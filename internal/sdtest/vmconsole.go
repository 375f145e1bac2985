// SPDX-License-Identifier: Apache-2.0

package sdtest

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
)

// trouble is what the kernel says when it is broken, not when a container is.
var trouble = regexp.MustCompile(`(?m)^.*(BUG: |Oops|Kernel panic|general protection fault|WARNING: CPU|` +
	`kernel BUG|hung_task|blocked for more than|UBSAN|KASAN|refcount_t:|list_(add|del) corruption).*$`)

func (v *VM) kernelTrouble() error {
	text, err := os.ReadFile(v.consolePath())
	if err != nil {
		return err
	}
	for _, found := range trouble.FindAll(text, -1) {
		if v.Accel == "tcg" && bytes.Contains(found, []byte("soft lockup")) {
			continue // an emulated CPU may stand still for long on a busy host
		}
		return fmt.Errorf("the kernel of Debian %s: %s%s", v.Release, strings.TrimSpace(string(found)), v.Console())
	}
	return nil
}

// Console is the end of what the guest and QEMU wrote, to be shown when something went wrong.
func (v *VM) Console() string {
	const lines = 40
	var b strings.Builder
	console, _ := os.ReadFile(v.consolePath()) // QEMU may have ended before making it
	for what, text := range map[string]string{"console": string(console), "QEMU": v.complaints.String()} {
		if text == "" {
			continue
		}
		all := strings.Split(strings.TrimRight(strings.ReplaceAll(text, "\r", ""), "\n"), "\n")
		all = all[max(0, len(all)-lines):]
		fmt.Fprintf(&b, "\n--- %s of Debian %s\n%s", what, v.Release, strings.Join(all, "\n"))
	}
	return b.String()
}

// complaints keeps what QEMU says on its standard error, and ends QEMU when
// that is the end of the guest: it would stay stopped for ever.
type complaints struct {
	mu   sync.Mutex
	text bytes.Buffer
	end  func()
}

func (c *complaints) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text.Write(p)
	c.judge()
	return len(p), nil
}

// onEnd says what ends QEMU. It may have complained by then.
func (c *complaints) onEnd(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end = f
	c.judge()
}

func (c *complaints) judge() {
	if bytes.Contains(c.text.Bytes(), []byte("KVM internal error")) && c.end != nil {
		c.end()
	}
}

func (c *complaints) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}
