// SPDX-License-Identifier: Apache-2.0

package unitgen

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// ignored says which lines, each "Section.Name=value", the systemd at hand ignores.
func ignored(t *testing.T, lines []string) map[string]bool {
	t.Helper()
	dir := t.TempDir()
	var units []string
	for i, line := range lines {
		section, line, _ := strings.Cut(line, ".")
		text := fmt.Sprintf("[Unit]\nX-A=b\n[Service]\nExecStart=%s\n[%s]\n%s\n", program, section, line)
		units = append(units, fmt.Sprintf("sdc-line-%d.service", i))
		if err := os.WriteFile(filepath.Join(dir, units[i]), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out := verify(t, dir, units...)
	told, all := regexp.MustCompile(`sdc-line-[0-9]+\.service`).FindAllString(out, -1), map[string]bool{}
	for i, unit := range units {
		all[lines[i]] = slices.Contains(told, unit)
	}
	return all
}

// The systemd at hand ignores exactly the words that are said to be newer.
func TestNewerWords(t *testing.T) {
	if !sdtest.InsideAll(t) {
		return
	}
	version := runningVersion(t)
	var lines []string
	for _, section := range []string{"Unit", "Service"} {
		for _, name := range configs.Directives(strings.ToLower(section)) {
			f, _ := formOf(name)
			words, ok := strings.CutPrefix(f.want, "one of ")
			if !ok || newerThan(name, "") > version || name == "Personality" { // whose words are those of machines
				continue
			}
			words, _, _ = strings.Cut(words, ", or")
			for word := range strings.SplitSeq(words, ", ") {
				lines = append(lines, section+"."+name+"="+word)
			}
		}
	}
	for line, is := range ignored(t, lines) {
		_, directive, _ := strings.Cut(line, ".")
		name, word, _ := strings.Cut(directive, "=")
		if need := newerThan(name, word); is != (need > version) {
			t.Errorf("%s: systemd %d ignores it: %t, said to need %d", line, version, is, need)
		}
	}
}
