// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// specifiers expands %-specifiers like those of unit files, for the container's
// name: %n, %N and %p are the name, since the unit is made from it.
func specifiers(name string) func(string) (string, error) {
	return func(s string) (string, error) {
		if !strings.Contains(s, "%") {
			return s, nil
		}
		var b strings.Builder
		for i := 0; i < len(s); i++ {
			if s[i] != '%' {
				b.WriteByte(s[i])
				continue
			}
			i++
			if i == len(s) {
				return "", fmt.Errorf("%q ends in %%: write %%%% for a percent sign", s)
			}
			v, err := specifier(s[i], name)
			if err != nil {
				return "", fmt.Errorf("%q: %w", s, err)
			}
			b.WriteString(v)
		}
		return b.String(), nil
	}
}

func specifier(c byte, name string) (string, error) {
	root := os.Geteuid() == 0
	either := func(system, variable, below string) string {
		if root {
			return system
		}
		if v := os.Getenv(variable); v != "" {
			return v
		}
		return filepath.Join(os.Getenv("HOME"), below)
	}
	switch c {
	case '%':
		return "%", nil
	case 'n', 'N', 'p', 'i', 'j':
		return name, nil
	case 't':
		return either("/run", "XDG_RUNTIME_DIR", ".run"), nil
	case 'S':
		return either("/var/lib", "XDG_STATE_HOME", ".local/state"), nil
	case 'C':
		return either("/var/cache", "XDG_CACHE_HOME", ".cache"), nil
	case 'L':
		return either("/var/log", "XDG_STATE_HOME", ".local/state/log"), nil
	case 'E':
		return either("/etc", "XDG_CONFIG_HOME", ".config"), nil
	case 'T':
		return "/tmp", nil
	case 'V':
		return "/var/tmp", nil
	case 'h':
		return either("/root", "HOME", ""), nil
	case 'H':
		return os.Hostname()
	case 'l':
		host, err := os.Hostname()
		host, _, _ = strings.Cut(host, ".")
		return host, err
	case 'm':
		return firstLine("/etc/machine-id")
	case 'b':
		id, err := firstLine("/proc/sys/kernel/random/boot_id")
		return strings.ReplaceAll(id, "-", ""), err
	case 'v':
		return firstLine("/proc/sys/kernel/osrelease")
	}
	return "", fmt.Errorf("unknown specifier %%%c: known are %%n %%N %%p %%i %%j %%t %%S %%C %%L %%E %%T %%V %%h %%H %%l %%m %%b %%v, and %%%% for a percent sign", c)
}

func firstLine(file string) (string, error) {
	b, err := os.ReadFile(file)
	line, _, _ := strings.Cut(string(b), "\n")
	return line, err
}
