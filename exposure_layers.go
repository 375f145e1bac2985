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
	for written, ok := h.written(table); ok && !slices.Contains(all, written); written, ok = written.written(table) {
		all = append(all, written)
	}
	for i := 0; i < len(all); i++ { // it ends: an overlay's layers were there before it
		for _, m := range table {
			for _, layer := range m.layers {
				dev, root, ok := located(layer, table)
				if !ok || dev != all[i].dev {
					continue
				}
				rest, within := beneath(all[i].root, root)
				_, part := beneath(root, all[i].root)
				if shown := (holding{dev: m.dev, root: filepath.Join("/", rest)}); (within || part) && !slices.Contains(all, shown) {
					all = append(all, shown)
				}
			}
		}
	}
	return all
}

// written is where the files come to lie that are made in h, if it lies in an overlay.
func (h holding) written(table []mountLine) (in holding, ok bool) {
	for _, m := range table {
		if m.dev == h.dev && m.upper != "" {
			dev, root, ok := located(m.upper, table)
			return holding{dev: dev, root: filepath.Join(root, h.root)}, ok
		}
	}
	return in, false
}

// located says of which file system a path is, and what it is there.
func located(path string, table []mountLine) (dev, root string, ok bool) {
	longest := -1
	for _, m := range table {
		if rest, below := beneath(path, m.point); below && len(m.point) >= longest {
			longest, dev, root = len(m.point), m.dev, filepath.Join(m.root, rest)
		}
	}
	return dev, root, longest >= 0
}
