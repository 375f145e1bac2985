// SPDX-License-Identifier: Apache-2.0

package nsexec

import (
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestC9CheckIDMaps(t *testing.T) {
	m := func(container, host, size uint32) specs.LinuxIDMapping {
		return specs.LinuxIDMapping{ContainerID: container, HostID: host, Size: size}
	}
	many := make([]specs.LinuxIDMapping, 341)
	long := make([]specs.LinuxIDMapping, 300)
	for i := range many {
		many[i] = m(uint32(i), uint32(i), 1)
	}
	for i := range long {
		long[i] = m(uint32(i), 4000000000+2*uint32(i), 1)
	}
	for name, c := range map[string]struct {
		maps []specs.LinuxIDMapping
		want string
	}{
		"one":            {[]specs.LinuxIDMapping{m(0, 100000, 65536)}, ""},
		"beside":         {[]specs.LinuxIDMapping{m(0, 1000, 10), m(10, 2000, 10)}, ""},
		"340":            {many[:340], ""},
		"whole range":    {[]specs.LinuxIDMapping{m(0, 0, 0xffffffff)}, ""},
		"none":           {nil, "empty"},
		"341":            {many, "341 ranges"},
		"4095 bytes":     {append(long[:246:246], m(246, 3000000000, 1000000)), ""},
		"4096 bytes":     {append(long[:246:246], m(246, 3000000000, 10000000)), "247 ranges, which are 4096 bytes"},
		"zero":           {[]specs.LinuxIDMapping{m(0, 1000, 0)}, "range 0:1000:0 is empty"},
		"beyond":         {[]specs.LinuxIDMapping{m(1, 0, 0xffffffff)}, "reaches beyond"},
		"host beyond":    {[]specs.LinuxIDMapping{m(0, 0xfffffffe, 2)}, "reaches beyond"},
		"inside overlap": {[]specs.LinuxIDMapping{m(0, 1000, 10), m(9, 2000, 10)}, "0:1000:10 and 9:2000:10 overlap"},
		"host overlap":   {[]specs.LinuxIDMapping{m(0, 1000, 10), m(10, 1009, 1)}, "overlap"},
	} {
		t.Run(name, func(t *testing.T) {
			good := []specs.LinuxIDMapping{m(0, 0, 1)}
			for kind, err := range map[string]error{"uid": CheckIDMaps(c.maps, good), "gid": CheckIDMaps(good, c.maps)} {
				if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), kind+" map")) {
					t.Errorf("%s: %v, want %q", kind, err, c.want)
				}
			}
		})
	}
}
