// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"path/filepath"
	"slices"
	"strings"
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
			layers = append(layers, splitLayers(unescapeMount(strings.ReplaceAll(value, `\072`, `\134:`)))...)
		}
	}
	return layers, upper
}

// splitLayers splits at colons that have no backslash before them.
func splitLayers(list string) (layers []string) {
	var name []byte
	for i := 0; i <= len(list); i++ {
		switch {
		case i == len(list) || list[i] == ':':
			if len(name) > 0 { // two colons come before layers of data
				layers = append(layers, string(name))
			}
			name = nil
		case list[i] == '\\' && i+1 < len(list):
			i++
			name = append(name, list[i])
		default:
			name = append(name, list[i])
		}
	}
	return layers
}

// everywhere are h and what else on this machine has its files or a part of them: the upper layer that it writes, if it
// lies in an overlay, and overlays of which it has a layer, is one or lies in one. Nothing is looked at but the table: a layer named by a
// relative path, or through a symbolic link, is not found.
func (h holding) everywhere(table []mountLine) []holding {
	all := []holding{h}
	if !slices.ContainsFunc(table, func(m mountLine) bool { return len(m.layers) > 0 }) {
		return all
	}
	points := pointsOf(table)
	for written, ok := h.written(table, points); ok && !slices.Contains(all, written); written, ok = written.written(table, points) {
		all = append(all, written)
	}
	for i := 0; i < len(all); i++ { // it ends: an overlay's layers were there before it
		for _, m := range table {
			for _, layer := range m.layers {
				in, ok := points.located(layer)
				if !ok || in.dev != all[i].dev {
					continue
				}
				rest, within := beneath(all[i].root, in.root)
				_, part := beneath(in.root, all[i].root)
				if shown := (holding{dev: m.dev, root: filepath.Join("/", rest)}); (within || part) && !slices.Contains(all, shown) {
					all = append(all, shown)
				}
			}
		}
	}
	return all
}

// written is where the files come to lie that are made in h, if it lies in an overlay.
func (h holding) written(table []mountLine, points mountPoints) (in holding, ok bool) {
	for _, m := range table {
		if m.dev == h.dev && m.upper != "" {
			in, ok = points.located(m.upper)
			in.root = filepath.Join(in.root, h.root)
			return in, ok
		}
	}
	return in, false
}

// mountPoints are the visible mounts by their place: a machine with many containers has thousands of layers to locate.
type mountPoints map[string]mountLine

func pointsOf(table []mountLine) mountPoints {
	points := make(mountPoints, len(table))
	for _, m := range table {
		points[m.point] = m // a later one covers an earlier one
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
