// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/sdcontainer/sdcontainer/configs"
)

// overlayLayers are the layers in the options of an overlay's file system, and the one of them that is written.
func overlayLayers(options string) (layers []string, upper string) {
	for option := range strings.SplitSeq(options, ",") { // one in a name is escaped
		switch key, value, _ := strings.Cut(option, "="); key {
		case "upperdir":
			upper = unescapeMount(value)
			layers = append(layers, upper)
		case "lowerdir+", "datadir+":
			layers = append(layers, unescapeMount(value))
		case "lowerdir":
			// Linux 6.5 shows a colon of a name as \072, others as it was given, after a backslash.
			layers = append(layers, configs.SplitLower(unescapeMount(strings.ReplaceAll(value, `\072`, `\134:`)))...)
		}
	}
	return slices.DeleteFunc(layers, func(name string) bool { return name == "" }), upper // two colons come before layers of data
}

// The overlays of a machine: where their layers lie, and the upper one of each by the overlay's device.
type overlays struct {
	layers []shownLayer
	upper  map[string]holding
}

type shownLayer struct {
	holding
	of string // the overlay's device
}

// overlaysIn looks at nothing but the table: a layer named by a relative path, through a symbolic link, or as it is called in
// another mount namespace, is not found.
func overlaysIn(table []mountLine) (o overlays) {
	var points mountPoints
	for _, m := range table {
		if m.overlay == "" {
			continue
		}
		if points == nil {
			points, o.upper = pointsOf(table), map[string]holding{}
		}
		layers, upper := overlayLayers(m.overlay)
		for _, path := range layers {
			in, ok := points.located(path)
			if !ok {
				continue
			}
			o.layers = append(o.layers, shownLayer{in, m.dev})
			if path == upper {
				o.upper[m.dev] = in
			}
		}
	}
	return o
}

// everywhere are h and what else on this machine has its files or a part of them: the upper layer that it writes, if it
// lies in an overlay, and overlays of which it has a layer, is one or lies in one. The way down goes into a file system once: paths
// of another mount namespace may lead in a circle.
func (o overlays) everywhere(h holding) []holding {
	all, devs := []holding{h}, []string{h.dev}
	for written, ok := o.upper[h.dev]; ok && !slices.Contains(devs, written.dev); written, ok = o.upper[written.dev] {
		written.root = filepath.Join(written.root, all[len(all)-1].root)
		all, devs = append(all, written), append(devs, written.dev)
	}
	for i := 0; i < len(all); i++ { // it ends: what is shown of a root is a part of that path
		for _, l := range o.layers {
			if l.dev != all[i].dev {
				continue
			}
			rest, within := beneath(all[i].root, l.root)
			_, part := beneath(l.root, all[i].root)
			if shown := (holding{dev: l.of, root: filepath.Join("/", rest)}); (within || part) && !slices.Contains(all, shown) {
				all = append(all, shown)
			}
		}
	}
	return all
}

// mountPoints are the visible mounts by their place: a machine with many containers has thousands of layers to locate.
type mountPoints map[string]mountLine

func pointsOf(table []mountLine) mountPoints {
	byID := make(map[uint64]mountLine, len(table))
	for _, m := range table {
		byID[m.id] = m
	}
	covered := map[uint64]bool{} // by one on the same place. The order of lines does not say it from Linux 6.8 on
	for _, m := range table {
		if below, ok := byID[m.parent]; ok && below.point == m.point && below.id != m.id {
			covered[below.id] = true
		}
	}
	points := make(mountPoints, len(table))
	for _, m := range table {
		if !covered[m.id] {
			points[m.point] = m
		}
	}
	return points
}

// located says of which file system an absolute path is, and what it is there.
func (points mountPoints) located(path string) (in holding, ok bool) {
	if !filepath.IsAbs(path) {
		return in, false
	}
	path = filepath.Clean(path)
	for at := path; ; at = filepath.Dir(at) {
		if m, ok := points[at]; ok {
			return holding{dev: m.dev, root: filepath.Join(m.root, strings.TrimPrefix(path, at))}, true
		}
		if at == "/" {
			return in, false
		}
	}
}
