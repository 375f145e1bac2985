// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
)

// A row is one of ours against a base, whose length is 1.
type row struct {
	name, base string
	ratio      float64
	bar        float64 // the target; 0 is none
}

// rows are those of a scenario: each of ours against the base of its table, and against what else there is a bar for.
func rows(s scenario) (all []row) {
	against := []string{s.base()}
	for _, p := range bars {
		if p.scenario == s.Name && p.base != against[0] {
			against = append(against, p.base)
		}
	}
	for _, base := range against {
		for _, c := range s.Contenders {
			ratio, ok := c.Ratio[base]
			if !ok || !isOurs(c.Name) {
				continue
			}
			name := s.Name
			if c.Name != "sdcontainer" {
				name += ": " + strings.TrimPrefix(c.Name, "sdcontainer ")
			}
			most, _ := barOf(s.Name, base) // 0 is none
			all = append(all, row{name, base, ratio, most})
		}
	}
	return all
}

// plot draws the rows; a dashed line marks 1, and a short one each row's bar.
func plot(rows []row) string {
	const left, unit, high, most = 330, 220.0, 26, 1.9
	height := high*len(rows) + 40
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="1030" height="%d" font-family="sans-serif" font-size="13">`+"\n", height)
	fmt.Fprintf(&b, `<rect width="1030" height="%d" fill="#fff"/>`+"\n", height)
	fmt.Fprintf(&b, `<line x1="%.0f" y1="6" x2="%.0f" y2="%d" stroke="#888" stroke-dasharray="4 3"/>`+"\n", left+unit, left+unit, height-26)
	for i, x := range rows {
		y := 10 + high*i
		end := left + min(x.ratio, most)*unit
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", left-10, y+15, x.name)
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%.0f" height="%d" fill="#30638e"/>`+"\n", left, y+2, end-left, high-8)
		said := fmt.Sprintf("%.2f of %s", x.ratio, x.base)
		if x.bar > 0 {
			at := left + min(x.bar, most)*unit
			fmt.Fprintf(&b, `<line class="bar" x1="%.0f" y1="%d" x2="%.0f" y2="%d" stroke="#d1495b" stroke-width="3"/>`+"\n", at, y-1, at, y+high-3)
			said += fmt.Sprintf(", bar %.2f", x.bar)
			end = max(end, at)
		}
		fmt.Fprintf(&b, `<text x="%.0f" y="%d">%s</text>`+"\n", end+6, y+15, said)
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d"><tspan fill="#888">dashed: the other's time; </tspan><tspan fill="#d1495b">red: our bar</tspan></text>`+"\n</svg>\n", left, height-8)
	return b.String()
}
