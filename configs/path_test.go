// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Quotes make one name of what would be a path: that is no key there is.
func TestQuotedNames(t *testing.T) {
	for more, want := range map[string]string{
		`resources."memory.max" = "5M"`:        `4:11: resources.memory.max: unknown key; in quotes "memory.max" is one name: did you mean resources.memory.max?`,
		`"process.user" = "0"`:                 `4:1: process.user: unknown key; in quotes "process.user" is one name: did you mean process.user?`,
		`"resources.memory" = {}`:              `4:1: resources.memory: unknown key; in quotes "resources.memory" is one name: did you mean [resources.memory]?`,
		`"systemd.service" = { Nice = "5" }`:   `4:1: systemd.service: unknown key; in quotes "systemd.service" is one name: did you mean systemd.service?`,
		`"process.stdin" = 5`:                  `4:1: process.stdin: unknown key; `,
		`"mount[]" = { target = "/x" }`:        `4:1: mount[]: unknown key; in quotes "mount[]" is one name: did you mean [[mount]]?`,
		`["mount[]"]`:                          `4:1: mount[]: unknown key; `,
		`"mount[].target" = "/x"`:              `4:1: mount[].target: unknown key; in quotes "mount[].target" is one name: did you mean mount.target?`,
		`"mount[0]" = {}`:                      `4:1: mount[0]: unknown key; did you mean "mount"?`,
		`"mount[0].x" = 1`:                     `4:1: mount[0].x: unknown key; accepted here: capabilities, `,
		`"a.b" = 1`:                            `4:1: a.b: unknown key; accepted here: capabilities, `,
		`resources."a.b" = 1`:                  `4:11: resources.a.b: unknown key; accepted here: cpu, `,
		"\n'' = 1":                             `5:1: "": unknown key; accepted here: capabilities, `,
		`process."" = 1`:                       `4:9: process."": unknown key; accepted here: args, `,
		`process.env = { "A[0]" = [], "" = 5}`: `4:17: process.env.A[0]: []: want a string`,
	} {
		if got := problemsOf(t, "x.toml", minimal+more); len(got) == 0 || !strings.HasPrefix(got[0], "x.toml:"+want) {
			t.Errorf("%s: %q, want %s", more, got, want)
		}
	}
	if got := problemsOf(t, "x.toml", minimal+`"resources"."memory".'max' = "5M"`+"\n"+`"process"."env" = { "a.b" = "c", "d[0]" = "e" }`); len(got) > 0 {
		t.Errorf("of quotes alone: %q", got)
	}
}

// A quoted name and the path it looks like are two keys in every file, each with its own problems and place.
func TestQuotedNamesBesidePaths(t *testing.T) {
	const base = minimal + `resources."memory.max" = "5M"
resources.memory.max = "6 M"
process.env = { "A.B" = "%Q", A = "x" }
"mount[0]" = { target = "x" }
mount = [{ target = "y", source = "/y" }]
`
	dir := write(t, "x.toml", base, "x.toml.d/1.toml", "process.env.A = 'y'")
	o := LoadOptions{Set: []Setting{{Flag: "--env", Key: "process.env", Value: map[string]any{"A": "%Q"}}}}
	want := []string{
		`x.toml:4:11: resources.memory.max: unknown key; `,
		`x.toml:5:18: resources.memory.max: "6 M": want a size`,
		`x.toml:6:17: process.env.A.B: "%Q": unknown specifier %Q`,
		`x.toml:7:1: mount[0]: unknown key; `,
		`x.toml:8:12: mount.target: "y": want an absolute path`,
	}
	got := o.Check(filepath.Join(dir, "x.toml"))
	if !slices.EqualFunc(got, want, func(p Problem, want string) bool {
		return strings.HasPrefix(strings.TrimPrefix(p.String(), dir+"/"), want)
	}) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}
