// SPDX-License-Identifier: Apache-2.0

// Command gen writes what is made from the table of configuration keys: the JSON
// Schema for editors, the reference page and the manual page. Its argument is the module's root.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// pages are the files and what makes them.
var pages = []struct {
	file string
	make func() []byte
}{
	{"configs/schema/container-v1.json", schema},
	{"docs/reference/config.md", reference},
	{"docs/man/sdcontainer.toml.5", manual},
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: gen ROOT")
		os.Exit(2)
	}
	for _, p := range pages {
		if err := os.WriteFile(filepath.Join(os.Args[1], p.file), p.make(), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, "gen:", err)
			os.Exit(1)
		}
	}
}
