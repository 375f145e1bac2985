// SPDX-License-Identifier: Apache-2.0

package unitgen

import (
	"slices"
	"strings"
	"testing"

	"github.com/sdcontainer/sdcontainer/scope"
)

func TestSpell(t *testing.T) {
	for _, tt := range []struct {
		name  string
		value any
		want  string
	}{
		{"MemoryMax", uint64(512 << 20), "MemoryMax=512M"},
		{"MemoryMax", uint64(1000), "MemoryMax=1000"},
		{"MemorySwapMax", uint64(0), "MemorySwapMax=0"},
		{"MemoryHigh", uint64(scope.Infinity), "MemoryHigh=infinity"},
		{"MemoryMaxScale", uint32(0x80000000), "MemoryMax=50%"},
		{"TasksMax", uint64(512), "TasksMax=512"},
		{"TasksMax", uint64(1024), "TasksMax=1024"},
		{"TasksMaxScale", uint32(429496730), "TasksMax=10%"},
		{"CPUQuotaPerSecUSec", uint64(1500000), "CPUQuota=150%"},
		{"CPUQuotaPerSecUSec", uint64(12500), "CPUQuota=1.25%"},
		{"CPUQuotaPerSecUSec", uint64(10), "CPUQuota=0.01%"},
		{"CPUQuotaPerSecUSec", uint64(scope.Infinity), "CPUQuota="},
		{"CPUQuotaPeriodUSec", uint64(50000), "CPUQuotaPeriodSec=50ms"},
		{"RuntimeMaxUSec", uint64(5400e6), "RuntimeMaxSec=90min"},
		{"CPUWeight", uint64(0), "CPUWeight=idle"},
		{"CPUWeight", uint64(200), "CPUWeight=200"},
		{"AllowedCPUs", []byte{0x0f, 0x01}, "AllowedCPUs=0-3,8"},
		{"AllowedCPUs", []byte{0x01, 0x80}, "AllowedCPUs=0,15"},
		{"AllowedCPUs", []byte{0xff}, "AllowedCPUs=0-7"},
		{"IOWeight", uint64(50), "IOWeight=50"},
		{"IOReadBandwidthMax", []scope.PathValue{{Path: "/dev/sda", Value: 1000000}, {Path: "/dev/my disk", Value: scope.Infinity}},
			"IOReadBandwidthMax=/dev/sda 1000000\nIOReadBandwidthMax=\"/dev/my disk\" infinity"},
		{"IODeviceLatencyTargetUSec", []scope.PathValue{{Path: "/dev/sda", Value: 25000}}, "IODeviceLatencyTargetSec=/dev/sda 25ms"},
		{"DeviceAllow", []scope.PathWord{{Path: "/dev/fuse", Word: "rw"}, {Path: "char-pts", Word: "rwm"}},
			"DeviceAllow=/dev/fuse rw\nDeviceAllow=char-pts rwm"},
		{"IPAddressDeny", []scope.Address{{Family: 2, Address: []byte{10, 0, 0, 0}, Prefix: 8}, {Family: 10, Address: make([]byte, 16)}},
			"IPAddressDeny=10.0.0.0/8\nIPAddressDeny=::/0"},
		{"SocketBindAllow", []scope.Bind{{Family: 2, Protocol: 6, Count: 11, Port: 80}, {}, {Protocol: 17, Count: 1, Port: 53}},
			"SocketBindAllow=ipv4:tcp:80-90\nSocketBindAllow=any\nSocketBindAllow=udp:53"},
		{"RestrictNetworkInterfaces", scope.Interfaces{Names: []string{"eth0", "eth1"}}, "RestrictNetworkInterfaces=~eth0 eth1"},
		{"RestrictNetworkInterfaces", scope.Interfaces{Allow: true, Names: []string{"lo"}}, "RestrictNetworkInterfaces=lo"},
		{"BPFProgram", []scope.PathWord{{Path: "egress", Word: "/sys/fs/bpf/x"}}, "BPFProgram=egress:/sys/fs/bpf/x"},
		{"NFTSet", []scope.NFT{{Source: 3, Protocol: 1, Table: "filter", Set: "web"}}, "NFTSet=cgroup:inet:filter:web"},
		{"IPEgressFilterPath", []string{"/sys/fs/bpf/a", "/sys/fs/bpf/b"}, "IPEgressFilterPath=/sys/fs/bpf/a\nIPEgressFilterPath=/sys/fs/bpf/b"},
		{"After", []string{"a.service", "b.service"}, "After=a.service b.service"},
		{"KillSignal", int32(15), "KillSignal=SIGTERM"},
		{"KillSignal", int32(37), "KillSignal=SIGRTMIN+3"},
		{"SendSIGHUP", true, "SendSIGHUP=yes"},
		{"ManagedOOMMemoryPressureLimit", uint32(0x80000000), "ManagedOOMMemoryPressureLimit=50%"},
		{"DevicePolicy", "closed", "DevicePolicy=closed"},
	} {
		name, values, err := spell(scope.Property{Name: tt.name, Value: tt.value})
		var lines []string
		for _, v := range values {
			lines = append(lines, name+"="+v)
		}
		if got := strings.Join(lines, "\n"); err != nil || got != tt.want {
			t.Errorf("%s %v: %q, %v, want %q", tt.name, tt.value, got, err, tt.want)
		}
	}
}

// TestSpellAll has a spelling for every property a scope can have.
func TestSpellAll(t *testing.T) {
	samples := map[string]any{"b": true, "s": "x", "t": uint64(1), "u": uint32(1), "i": int32(1), "as": []string{"x"}, "ay": []byte{1},
		"a(st)": []scope.PathValue{{Path: "/x"}}, "a(ss)": []scope.PathWord{{Path: "x", Word: "y"}},
		"a(iayu)": []scope.Address{{Family: 2, Address: []byte{1, 2, 3, 4}}}, "a(iiqq)": []scope.Bind{{}},
		"(bas)": scope.Interfaces{}, "a(iiss)": []scope.NFT{{Source: 3, Protocol: 1}}}
	for _, info := range scope.Properties() {
		if slices.Contains(own, info.Name) || strings.HasPrefix(info.Name, "PID") {
			continue
		}
		if _, values, err := spell(scope.Property{Name: info.Name, Value: samples[info.Sig]}); err != nil || len(values) != 1 {
			t.Errorf("%s: %q, %v", info.Name, values, err)
		}
	}
}
