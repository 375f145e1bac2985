// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func (p *planner) blockIO(at string, b *specs.LinuxBlockIO) {
	if b.Weight != nil && *b.Weight != 0 {
		if w, ok := p.ioWeight(at+"weight", *b.Weight); ok {
			p.set(at+"weight", "IOWeight", w)
		}
	}
	if b.LeafWeight != nil && *b.LeafWeight != 0 {
		p.fail("%sleafWeight %d: cgroup v2 has none (leave it out)", at, *b.LeafWeight)
	}
	var weights []PathValue
	for _, d := range b.WeightDevice {
		if d.Weight == nil || *d.Weight == 0 {
			continue
		}
		if w, ok := p.ioWeight(at+"weightDevice", *d.Weight); ok {
			weights = append(weights, PathValue{blockPath(d.Major, d.Minor), w})
		}
	}
	if len(weights) > 0 {
		p.set(at+"weightDevice", "IODeviceWeight", weights)
	}
	p.throttle(at+"throttleReadBpsDevice", "IOReadBandwidthMax", b.ThrottleReadBpsDevice)
	p.throttle(at+"throttleWriteBpsDevice", "IOWriteBandwidthMax", b.ThrottleWriteBpsDevice)
	p.throttle(at+"throttleReadIOPSDevice", "IOReadIOPSMax", b.ThrottleReadIOPSDevice)
	p.throttle(at+"throttleWriteIOPSDevice", "IOWriteIOPSMax", b.ThrottleWriteIOPSDevice)
}

// ioWeight maps blkio.weight, 10 to 1000, to io.weight, 1 to 10000, so that the normal
// 100 stays 100, and where the BFQ scheduler is in use it gets the weight that
// was asked for: systemd maps io.weight to BFQ's by the inverse.
func (p *planner) ioWeight(at string, w uint16) (uint64, bool) {
	if w < 10 || w > 1000 {
		p.fail("%s %d: want 10 to 1000", at, w)
		return 0, false
	}
	if w <= 100 {
		return uint64(w), true
	}
	return 100 + (uint64(w)-100)*11, true
}

func (p *planner) throttle(at, name string, devices []specs.LinuxThrottleDevice) {
	var limits []PathValue
	for _, d := range devices {
		limits = append(limits, PathValue{blockPath(d.Major, d.Minor), d.Rate})
	}
	if len(limits) > 0 {
		p.set(at, name, limits)
	}
}

func blockPath(major, minor int64) string {
	return fmt.Sprintf("/dev/block/%d:%d", major, minor)
}
