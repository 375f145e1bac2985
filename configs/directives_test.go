// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A directive that systemd would ignore is an error where it stands, with what may be meant;
// without strict it is a warning, and so is one like no other, which a newer systemd may have.
func TestUnknownDirectives(t *testing.T) {
	const nowhere = "not a directive of [Service] that systemd up to 257 knows"
	for more, want := range map[string]string{
		"systemd.service.Restrat = 'always'":                                     "4:17: systemd.service.Restrat: " + nowhere + "; did you mean Restart?",
		"systemd.service.memory_max = '5G'":                                      "4:17: systemd.service.memory_max: " + nowhere + "; did you mean MemoryMax?",
		"systemd.service.Zzzzzzzzzzzz = '5G'":                                    "4:17: systemd.service.Zzzzzzzzzzzz: " + nowhere,
		"[systemd.service]\nNice = 5\nRequiredBy = 'a.target'":                   "6:1: systemd.service.RequiredBy: " + nowhere + "; did you mean systemd.install.RequiredBy?",
		"[systemd.unit]\nMemoryMax = '5G'":                                       "5:1: systemd.unit.MemoryMax: not a directive of [Unit] that systemd up to 257 knows; did you mean systemd.service.MemoryMax?",
		"systemd.unit.Afterr = 'a.service'":                                      "4:14: systemd.unit.Afterr: not a directive of [Unit] that systemd up to 257 knows; did you mean After?",
		"systemd.install.WantdBy = 'a.target'":                                   "4:17: systemd.install.WantdBy: not a directive of [Install] that systemd up to 257 knows; did you mean WantedBy?",
		"systemd.service = { \"Nice\\nUser\" = 5 }":                              "4:21: systemd.service.Nice\nUser: " + nowhere,
		"systemd.service = { X-Restrat = 5, MemoryZSwapWriteback = 'no' }":       "",
		"systemd = { unit.X-A = 5, install.X-B = '', service.LimitNOFILE = 99 }": "",
	} {
		for _, strict := range []bool{true, false} {
			end, warned := " (systemd.strict = false accepts it)", !strict || !strings.Contains(want, "mean")
			var warnings []Problem
			o := LoadOptions{Warn: func(p Problem) { warnings = append(warnings, p) }}
			if warned {
				end = ""
			}
			if !strict {
				o.Set = []Setting{{Flag: "--no-strict", Key: "systemd.strict", Value: false}}
			}
			dir := write(t, "x.toml", minimal+more+"\n")
			problems := o.Check(filepath.Join(dir, "x.toml"))
			if warned {
				problems, warnings = warnings, problems
			}
			var got []string
			for _, p := range slices.Concat(problems, warnings) {
				got = append(got, strings.ReplaceAll(p.String(), dir+"/", ""))
			}
			var all []string
			if want != "" {
				all = []string{"x.toml:" + want + end}
			}
			if diff := cmp.Diff(all, got); diff != "" || len(warnings) > 0 {
				t.Errorf("%s, strict %v: %s", more, strict, diff)
			}
		}
	}
}
