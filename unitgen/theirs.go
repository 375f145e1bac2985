// SPDX-License-Identifier: Apache-2.0

package unitgen

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Theirs are the properties that the administrator has set in a unit's files, which systemd tells as its FragmentPath and
// DropInPaths. What [Install] writes is not his, nor is what set-property --runtime has set, as update does.
func Theirs(files []string) (func(property string) bool, error) {
	set := map[string]bool{}
	for _, file := range files {
		if file == "" || strings.HasPrefix(file, ControlDir+"/") {
			continue
		}
		b, err := os.ReadFile(filepath.Clean(file))
		if errors.Is(err, fs.ErrNotExist) { // removed, as systemd will know after a daemon-reload
			continue
		}
		if err != nil {
			return nil, err
		}
		text := string(b)
		if strings.HasPrefix(text, madeByUs) {
			continue
		}
		lines, _ := parse(text) // what is no directive systemd ignores, too
		for _, l := range lines {
			if l.section == sectionNames[sectionService] {
				set[l.name], set[old()[l.name]] = true, true
			}
		}
	}
	return func(property string) bool { return set[fileName(property)] }, nil
}

// line is one directive as systemd reads it.
type line struct{ section, name, value string }

// parse reads a unit file as systemd's config_parse does: comments, continuation
// lines, sections. It knows nothing of how [file] writes. With an error it returns what it understood.
func parse(text string) (out []line, _ error) {
	section, pending := "", ""
	var errs []error
	for _, l := range strings.Split(text, "\n") {
		l = strings.TrimLeft(l, " \t\n\r")
		if l == "" && pending == "" || l != "" && (l[0] == '#' || l[0] == ';') { // also between those that are continued
			continue
		}
		l = pending + l
		escaped := false
		for _, c := range []byte(l) {
			escaped = !escaped && c == '\\'
		}
		if escaped {
			pending = l[:len(l)-1] + " "
			continue
		}
		pending = ""
		l = strings.TrimSpace(l)
		name, value, ok := strings.Cut(l, "=")
		switch {
		case strings.HasPrefix(l, "[") && strings.HasSuffix(l, "]"):
			section = l[1 : len(l)-1]
		case strings.HasPrefix(l, "["):
			errs = append(errs, fmt.Errorf("section %q", l))
		case !ok:
			errs = append(errs, fmt.Errorf("line %q", l))
		default:
			out = append(out, line{section, strings.TrimSpace(name), strings.TrimSpace(value)})
		}
	}
	if pending != "" {
		errs = append(errs, fmt.Errorf("the last line is continued: %q", pending))
	}
	return out, errors.Join(errs...)
}
