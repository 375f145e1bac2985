// SPDX-License-Identifier: Apache-2.0

// Command inside writes docs/inside.md: what a payload sees and can do under our two
// profiles, as another user than root, in the host's user namespace and under the defaults of others. It compares test/vm/guest/testdata/inside-*-13.txt,
// which TestB23SeenFromInside keeps true for ours and make inside measured for theirs.
package main

import (
	_ "embed"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
)

//go:embed page.md
var prose string

// columns are the files compared, in the order of the page.
var columns = []string{"app", "nonroot", "system", "hostids", "podman", "docker", "nspawn"}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 3 {
		log.Fatal("usage: inside DIRECTORY FILE")
	}
	var all []sheet
	for _, c := range columns {
		b, err := os.ReadFile(filepath.Join(os.Args[1], "inside-"+c+"-13.txt"))
		if err != nil {
			log.Fatal(err)
		}
		s, err := parse(string(b))
		if err != nil {
			log.Fatalf("%s: %v", c, err)
		}
		all = append(all, s)
	}
	if err := os.WriteFile(os.Args[2], []byte(page(all)), 0o644); err != nil {
		log.Fatal(err)
	}
}

// page fills the tables into the prose, which says {{figures}}, {{versions}} and {{tables}} where they belong.
func page(all []sheet) string {
	var b strings.Builder
	for _, t := range topics {
		t.write(&b, all)
	}
	differing(&b, all)
	return strings.NewReplacer("{{versions}}", versions(all), "{{figures}}", figures(all), "{{tables}}", strings.TrimSpace(b.String())).Replace(prose)
}

func versions(all []sheet) string {
	var list []string
	for i, s := range all {
		if v := s["measured with"]; len(v) > 0 {
			list = append(list, columns[i]+": "+strings.Join(v, ", "))
		}
	}
	return strings.Join(list, "; ")
}

// figures are how much there is of what should be little.
func figures(all []sheet) string {
	var b strings.Builder
	head(&b, "")
	for _, f := range []struct {
		title string
		count func(sheet) string
	}{
		{"capabilities", func(s sheet) string { return number(len(capabilities(s))) }},
		{"files of `/proc` and `/sys` that open for writing", func(s sheet) string { return number(len(s[writable])) }},
		{"kernel files with something to read", func(s sheet) string { return number(count(leaks(s), "**")) }},
		{"devices that open or can be made", func(s sheet) string { return number(count(devices(s), "**ok")) }},
		{"system calls of those tried that reach the kernel's code", func(s sheet) string { return number(count(calls(s), "**")) }},
		{"system calls of all numbers that do, with nothing but -1", reachedCount},
	} {
		row(&b, f.title, all, f.count)
	}
	return strings.TrimSpace(b.String())
}

func number(n int) string { return fmt.Sprint(n) }

func count(cells map[string]string, prefix string) (n int) {
	for _, c := range cells {
		if strings.HasPrefix(c, prefix) {
			n++
		}
	}
	return n
}
