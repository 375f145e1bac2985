// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"os"
	"path/filepath"
	"strings"
)

// Dir is where configurations have names: there [Find], and the template of services, look for them.
const Dir = "/etc/sdcontainer"

// Find is the path of a configuration given by path or by name, as the command takes it: "web" is Dir/web.toml where that
// is a file, whatever lies in the working directory, which may be anybody's; "web.toml" is first the one there, and
// "./web" is always a path. What is nowhere stays as it is: [Load] tells of it.
func Find(file string) string { return findIn(Dir, file) }

func findIn(dir, file string) string {
	if strings.Contains(file, "/") {
		return file
	}
	if _, err := os.Stat(file); err == nil && filepath.Ext(file) == ".toml" {
		return file
	}
	for _, name := range []string{file, file + ".toml"} {
		path := filepath.Join(dir, name)
		if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() {
			return path
		}
	}
	return file
}
