// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
)

// A bar is one of ours against a base, whose length is 1.
type bar struct {
	name, base string
	ratio      float64
}

// plot draws the bars; a line marks 1.
func plot(bars []bar) string {
	const left, unit, row = 300, 220.0, 26
	height := row*len(bars) + 40
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="760" height="%d" font-family="sans-serif" font-size="13">`+"\n", height)
	fmt.Fprintf(&b, `<rect width="760" height="%d" fill="#fff"/>`+"\n", height)
	for i, x := range bars {
		y := 10 + row*i
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", left-10, y+15, x.name)
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%.0f" height="%d" fill="#30638e"/>`+"\n", left, y+2, min(x.ratio, 1.9)*unit, row-8)
		fmt.Fprintf(&b, `<text x="%.0f" y="%d">%.2f of %s</text>`+"\n", left+min(x.ratio, 1.9)*unit+6, y+15, x.ratio, x.base)
	}
	fmt.Fprintf(&b, `<line x1="%.0f" y1="6" x2="%.0f" y2="%d" stroke="#d1495b" stroke-dasharray="4 3"/>`+"\n", left+unit, left+unit, height-26)
	fmt.Fprintf(&b, `<text x="%.0f" y="%d" text-anchor="middle" fill="#d1495b">1: the other's time</text>`+"\n</svg>\n", left+unit, height-8)
	return b.String()
}
