// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// What is not set stays, what is set takes its place, and the container's own are left alone.
func TestOverlay(t *testing.T) {
	device := func(minor int64, rate uint64) specs.LinuxThrottleDevice {
		d := specs.LinuxThrottleDevice{Rate: rate}
		d.Major, d.Minor = 8, minor
		return d
	}
	type r = specs.LinuxResources
	for what, c := range map[string]struct{ old, res, want *r }{
		"nothing": {&r{CPU: &specs.LinuxCPU{Cpus: "0"}}, nil, &r{CPU: &specs.LinuxCPU{Cpus: "0"}}},
		"fields, and zero is none": {
			&r{Memory: &specs.LinuxMemory{Limit: number[int64](1), Swap: number[int64](2)}, CPU: &specs.LinuxCPU{Shares: number[uint64](3), Cpus: "0"}},
			&r{Memory: &specs.LinuxMemory{Limit: number[int64](4), Swap: number[int64](0)}, CPU: &specs.LinuxCPU{Mems: "1"}},
			&r{Memory: &specs.LinuxMemory{Limit: number[int64](4), Swap: number[int64](2)}, CPU: &specs.LinuxCPU{Shares: number[uint64](3), Cpus: "0", Mems: "1"}},
		},
		"shares end idleness": {
			&r{CPU: &specs.LinuxCPU{Idle: number[int64](1)}}, &r{CPU: &specs.LinuxCPU{Shares: number[uint64](3)}},
			&r{CPU: &specs.LinuxCPU{Shares: number[uint64](3)}},
		},
		"devices, by number": {
			&r{BlockIO: &specs.LinuxBlockIO{Weight: number[uint16](50), ThrottleReadBpsDevice: []specs.LinuxThrottleDevice{device(0, 1), device(16, 2)}}},
			&r{BlockIO: &specs.LinuxBlockIO{ThrottleReadBpsDevice: []specs.LinuxThrottleDevice{device(0, 3)}}},
			&r{BlockIO: &specs.LinuxBlockIO{Weight: number[uint16](50), ThrottleReadBpsDevice: []specs.LinuxThrottleDevice{device(16, 2), device(0, 3)}}},
		},
		"what systemd lacks": {
			&r{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 1}, {Pagesize: "1GB", Limit: 2}}},
			&r{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 3}}, Rdma: map[string]specs.LinuxRdma{"mlx5_0": {HcaHandles: number[uint32](1)}}},
			&r{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "1GB", Limit: 2}, {Pagesize: "2MB", Limit: 3}}, Rdma: map[string]specs.LinuxRdma{"mlx5_0": {HcaHandles: number[uint32](1)}}},
		},
		"over keys of before, below those of now": {
			&r{Unified: map[string]string{"pids.max": "1", "memory.high": "2"}},
			&r{Pids: &specs.LinuxPids{Limit: number[int64](3)}, Unified: map[string]string{"memory.high": "4", "cpu.weight": "5"}},
			&r{Pids: &specs.LinuxPids{Limit: number[int64](3)}, Unified: map[string]string{"memory.high": "4", "cpu.weight": "5"}},
		},
	} {
		before, err1 := json.Marshal(c.old)
		got, _ := overlay(c.old, c.res)
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", what, d)
		}
		if after, err2 := json.Marshal(c.old); errors.Join(err1, err2) != nil || string(after) != string(before) {
			t.Errorf("%s: the container's own are %s, %v; were %s", what, after, errors.Join(err1, err2), before)
		}
	}
}
