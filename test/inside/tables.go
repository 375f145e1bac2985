// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/sdcontainer/sdcontainer/caps"
)

// A sheet is one file: the lines below each title.
type sheet map[string][]string

const writable = "files of /proc and /sys that can be opened for writing"

func parse(text string) (sheet, error) {
	s := sheet{}
	title := ""
	for l := range strings.Lines(text) {
		l = strings.TrimSpace(l)
		if t, ok := strings.CutPrefix(l, "# "); ok {
			title = t
			s[title] = []string{}
		} else if l != "" {
			s[title] = append(s[title], l)
		}
	}
	for _, want := range []string{"status", "namespaces", "open files", "environment", "limits", "devices", writable, "system calls", numbers} {
		if _, ok := s[want]; !ok {
			return nil, fmt.Errorf("no lines below %q", want)
		}
	}
	return s, nil
}

// A topic is a table: for each column the cells by the names of their rows.
type topic struct {
	title, note string
	cells       func(sheet) map[string]string
	absent      string // the cell of a column that lacks a row
}

var topics = []topic{
	{"Capabilities", "The bounding set; permitted and effective are the same. With a user namespace they count for what belongs to it.", capabilities, ""},
	{"Identity and confinement", "", identity, "–"},
	{"Namespaces", "", spaces, "–"},
	{"Files of /proc and /sys that open for writing", "As root in the container; nothing was written.", writables, ""},
	{"Kernel files that can be read", "Bold where there is something in it, which need not be secret.", leaks, "–"},
	{"Devices", "What opening for reading and writing gives; `/dev/tty` has no terminal here.", devices, "–"},
	{"System calls", "Called with arguments that do no harm. Bold: the kernel looked at them, so a filter or a missing capability did not end it.", calls, "–"},
	{"Other ABIs", "A program of 64 bits that enters the kernel as others do. SIGSYS and ENOSYS: it may not.", abis, "–"},
	{"Limits", "Soft and hard; Go raises the soft number of open files before it looks.", limits, "–"},
	{"Open descriptors", "Without the one Go's runtime opens.", descriptors, "–"},
	{"Environment", "", environment, "–"},
	{"Network", "", network, "–"},
	{"Sockets in the file system", "All of the container's root but `/proc` and `/sys`, and what could not be looked into.", socketFiles, ""},
}

// write makes the table of the rows that differ, and a line of those that do not.
func (t topic) write(b *strings.Builder, all []sheet) {
	fmt.Fprintf(b, "### %s\n\n", t.title)
	if t.note != "" {
		fmt.Fprintf(b, "%s\n\n", t.note)
	}
	var cells []map[string]string
	names := map[string]bool{}
	for _, s := range all {
		c := t.cells(s)
		cells = append(cells, c)
		for name := range c {
			names[name] = true
		}
	}
	var differ, same []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if v, ok := agreed(cells, name); ok {
			same = append(same, strings.TrimSpace(name+" "+v))
		} else {
			differ = append(differ, name)
		}
	}
	if len(differ) > 0 {
		head(b, "")
		for _, name := range differ {
			i := -1
			row(b, name, all, func(sheet) string {
				i++
				if v, ok := cells[i][name]; ok {
					return v
				}
				return t.absent
			})
		}
		b.WriteString("\n")
	}
	if len(same) > 0 {
		fmt.Fprintf(b, "The same everywhere: %s.\n\n", strings.Join(same, ", "))
	}
}

// agreed is the cell of a row when all columns have the same.
func agreed(cells []map[string]string, name string) (string, bool) {
	first, ok := cells[0][name]
	for _, c := range cells {
		if v, has := c[name]; !has || v != first {
			return "", false
		}
	}
	return first, ok
}

func head(b *strings.Builder, title string) {
	fmt.Fprintf(b, "| %s | %s |\n|---%s|\n", title, strings.Join(columns, " | "), strings.Repeat("|---", len(columns)))
}

func row(b *strings.Builder, name string, all []sheet, cell func(sheet) string) {
	fmt.Fprintf(b, "| %s |", name)
	for _, s := range all {
		fmt.Fprintf(b, " %s |", cell(s))
	}
	b.WriteString("\n")
}

// field is the rest of the line that begins with a word.
func field(lines []string, word string) string {
	for _, l := range lines {
		if v, ok := strings.CutPrefix(l, word+" "); ok {
			return v
		}
	}
	return "–"
}

func code(s string) string {
	if s == "" {
		return "none"
	}
	return "`" + s + "`"
}

func capabilities(s sheet) map[string]string {
	out := map[string]string{}
	set, err := strconv.ParseUint(field(s["status"], "CapBnd:"), 16, 64)
	if err != nil {
		return map[string]string{"unreadable": err.Error()}
	}
	for _, name := range caps.Set(set).Names() {
		out[code(strings.TrimPrefix(name, "CAP_"))] = "yes"
	}
	return out
}

func identity(s sheet) map[string]string {
	out := map[string]string{}
	for _, l := range s["status"] {
		k, v, _ := strings.Cut(l, " ")
		k = strings.TrimSuffix(k, ":")
		if k == "CapBnd" || k == "CapPrm" || k == "CapEff" {
			continue
		}
		out[k] = code(v)
	}
	for _, l := range s["id maps"] {
		k, v, _ := strings.Cut(l, " ")
		out[k] = code(v)
	}
	return out
}

func spaces(s sheet) map[string]string {
	out := map[string]string{}
	for _, l := range s["namespaces"] {
		if k, v, _ := strings.Cut(l, " "); k != "cgroup" || !strings.HasPrefix(v, "path") {
			if v == "the host's" {
				v = "**the host's**"
			}
			out[k] = v
		}
	}
	return out
}

// writables counts the files of each directory: most have nothing behind them that writes.
func writables(s sheet) map[string]string {
	sums := map[string]int{}
	for _, f := range s[writable] {
		sums[group(f)]++
	}
	out := map[string]string{}
	for dir, n := range sums {
		out[code(dir)] = number(n)
	}
	return out
}

// group is the directory next to the top in which a file of /proc or /sys is, or a file there that has a row of its own.
func group(path string) string {
	if slices.Contains([]string{"/proc/mtrr", "/proc/sysrq-trigger", "/proc/kmsg"}, path) {
		return path
	}
	p := strings.Split(path, "/")
	if p[1] == "proc" {
		return strings.Join(p[:min(len(p)-1, 3)], "/") + "/"
	}
	return strings.Join(p[:min(len(p)-1, 4)], "/") + "/"
}

func leaks(s sheet) map[string]string {
	out := map[string]string{}
	for _, l := range s["kernel files that can be read"] {
		f := strings.Fields(l)
		switch {
		case len(f) != 3 || strings.HasPrefix(l, "kernel log"):
			out["kernel log"] = bold(field([]string{l}, "kernel log"), "ok")
		case f[1] != "ok":
			out[code(f[0])] = f[1]
		case f[2] == "false" || f[2] == "0":
			out[code(f[0])] = "empty"
		case f[2] == "true":
			out[code(f[0])] = "**read**"
		default:
			out[code(f[0])] = "**" + f[2] + " entries**"
		}
	}
	return out
}

func bold(v, what string) string {
	if v == what {
		return "**" + v + "**"
	}
	return v
}

func devices(s sheet) map[string]string {
	out := map[string]string{}
	for _, l := range s["devices"] {
		f := strings.Fields(l)
		switch {
		case f[0] == "mknod":
			out["mknod "+f[1]] = bold(f[2], "ok")
		case f[1] != "->":
			out[code(f[0])] = bold(f[len(f)-1], "ok")
		}
	}
	return out
}

// refused are the answers of a filter, or of the kernel for want of a capability or a module.
var refused = []string{"EPERM", "EACCES", "ENOSYS", "EAFNOSUPPORT"}

func calls(s sheet) map[string]string {
	out := map[string]string{}
	for _, l := range s["system calls"] {
		i := strings.LastIndex(l, " ")
		name, v := l[:i], l[i+1:]
		if !slices.Contains(refused, v) {
			v = "**" + v + "**"
		}
		out[name] = v
	}
	return out
}

func limits(s sheet) map[string]string {
	out := map[string]string{}
	soft := regexp.MustCompile(`^(Max [a-z ]+?) ([0-9]+|unlimited) ([0-9]+|unlimited)`)
	for _, l := range s["limits"] {
		if m := soft.FindStringSubmatch(l); m != nil {
			out[m[1]] = m[2] + " / " + m[3]
			continue
		}
		if v, ok := strings.CutPrefix(l, "cpu.max "); ok {
			out["cpu.max"] = v
			continue
		}
		i := strings.LastIndex(l, " ")
		out[l[:i]] = l[i+1:]
	}
	return out
}

func abis(s sheet) map[string]string {
	out := map[string]string{}
	for _, l := range s["other ABIs"] {
		i := strings.LastIndex(l, " ")
		out[l[:i]] = bold(l[i+1:], "runs")
	}
	return out
}

func socketFiles(s sheet) map[string]string {
	out := map[string]string{}
	for _, l := range s["sockets of the file system"] {
		path, err, _ := strings.Cut(l, " ")
		if err == "" {
			err = "**yes**"
		}
		out[code(path)] = err
	}
	return out
}

func descriptors(s sheet) map[string]string {
	out := map[string]string{}
	for _, l := range s["open files"] {
		if k, v, _ := strings.Cut(l, " "); !strings.HasSuffix(v, "/cpu.max") {
			out[k] = code(v)
		}
	}
	return out
}

func environment(s sheet) map[string]string {
	out := map[string]string{}
	for _, l := range s["environment"] {
		k, v, _ := strings.Cut(l, "=")
		out[code(k)] = code(v)
	}
	return out
}

func network(s sheet) map[string]string {
	out := map[string]string{}
	for _, l := range s["network"] {
		if k, v, ok := strings.Cut(l, " "); ok {
			if i := strings.LastIndex(l, " "); i > 0 {
				k, v = l[:i], l[i+1:]
			}
			out[k] = v
		} else {
			out[code(l)] = "yes"
		}
	}
	return out
}
