// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"strings"
	"testing"
)

func TestLimitProperty(t *testing.T) {
	for _, c := range []struct{ name, text, property, value string }{
		{"MemoryMax", "512M", "MemoryMax", "uint64 536870912"},
		{"MemoryMax", "infinity", "MemoryMax", "uint64 18446744073709551615"},
		{"MemorySwapMax", "50%", "MemorySwapMaxScale", "uint32 2147483647"},
		{"MemoryHigh", "100%", "MemoryHighScale", "uint32 4294967295"},
		{"StartupMemoryMax", "1G", "StartupMemoryMax", "uint64 1073741824"},
		{"TasksMax", "100", "TasksMax", "uint64 100"},
		{"TasksMax", "10%", "TasksMaxScale", "uint32 429496729"},
		{"CPUQuotaPerSecUSec", "150%", "CPUQuotaPerSecUSec", "uint64 1500000"},
		{"CPUQuotaPerSecUSec", "infinity", "CPUQuotaPerSecUSec", "uint64 18446744073709551615"},
		{"CPUWeight", "idle", "CPUWeight", "uint64 0"},
		{"StartupIOWeight", "200", "StartupIOWeight", "uint64 200"},
	} {
		property, value, err := LimitProperty(c.name, c.text)
		if err != nil || property != c.property || value != c.value {
			t.Errorf("%s %s: %s %s, %v; want %s %s", c.name, c.text, property, value, err, c.property, c.value)
			continue
		}
		if _, err := Parse(property, value); err != nil {
			t.Errorf("%s %s: %v", c.name, c.text, err)
		}
	}
}

func TestLimitPropertyErrors(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"MemoryMax", "lots", `"lots": want a size like "512M"`},
		{"StartupMemoryMax", "50%", `"50%": want no share, which systemd does not take for StartupMemoryMax`},
		{"TasksMax", "0", `"0": want a number like 512`},
		{"CPUQuotaPerSecUSec", "1.5", `"1.5": want a share of CPU time`},
		{"CPUWeight", "50%", `"50%": want a number from 1 to 10000`},
		{"IOWeight", "idle", `"idle": want a number from 1 to 10000`},
		{"MemoryMaxScale", "50%", "property MemoryMaxScale: neither a size nor a number, share or weight (want GVariant text like uint32 2147483648)"},
		{"KillMode", "mixed", "(want GVariant text like 'mixed')"},
		{"MemryMax", "1G", "did you mean MemoryMax?"},
		{"CPUQuota", "5%", "use CPUQuotaPerSecUSec"},
	} {
		if property, value, err := LimitProperty(c.name, c.text); err == nil || !strings.Contains(err.Error(), c.want) || property+value != "" {
			t.Errorf("%s %s: %s %s, %v; want %q", c.name, c.text, property, value, err, c.want)
		}
	}
}

// systemd has no property to read of those that only set another.
func TestReadName(t *testing.T) {
	for name, want := range map[string]string{
		"MemoryMaxScale": "MemoryMax", "DefaultMemoryLowScale": "DefaultMemoryLow", "MemoryMax": "MemoryMax",
		"ManagedOOMMemoryPressureLimit": "ManagedOOMMemoryPressureLimit", "TimeoutStopSec": "TimeoutStopUSec",
		"CPUQuotaPerSecUSec": "CPUQuotaPerSecUSec", "MemoryCurrent": "MemoryCurrent", "BogusScale": "BogusScale", "BogusSec": "BogusSec",
	} {
		if got := ReadName(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
