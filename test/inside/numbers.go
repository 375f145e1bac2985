// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/sdcontainer/sdcontainer/internal/seccomp"
)

const numbers = "all system call numbers"

// reached are the numbers of the system calls that neither a filter nor the want of a
// capability ended.
func reached(s sheet) (map[uint32]bool, error) {
	out := map[uint32]bool{}
	for _, l := range s[numbers] {
		answer, list, _ := strings.Cut(l, ": ")
		if answer == "not tried" || slices.Contains(refused, answer) {
			continue
		}
		for _, r := range strings.Fields(list) {
			from, to, ok := strings.Cut(r, "-")
			if !ok {
				to = from
			}
			a, err := strconv.ParseUint(from, 10, 32)
			if err != nil {
				return nil, err
			}
			b, err := strconv.ParseUint(to, 10, 32)
			if err != nil {
				return nil, err
			}
			for ; a <= b; a++ {
				out[uint32(a)] = true
			}
		}
	}
	return out, nil
}

func reachedCount(s sheet) string {
	r, err := reached(s)
	if err != nil {
		return err.Error()
	}
	return number(len(r))
}

// differing is the table of the system calls that reach the kernel in some columns
// only: a row for all that do in the same ones.
func differing(b *strings.Builder, all []sheet) {
	b.WriteString("### All system call numbers\n\nEvery number up to 547, with -1 for each argument. Those that neither a filter nor a missing capability ended in some only:\n\n")
	var cols []map[uint32]bool
	for _, s := range all {
		r, err := reached(s)
		if err != nil {
			fmt.Fprintln(b, err)
			return
		}
		cols = append(cols, r)
	}
	names := seccomp.Names("amd64")
	rows := map[string][]string{}
	for nr := range uint32(1024) {
		cells, n := "", 0
		for _, c := range cols {
			cell := ""
			if c[nr] {
				cell = "**yes**"
				n++
			}
			cells += " " + cell + " |"
		}
		if n == 0 || n == len(cols) {
			continue
		}
		name := names[nr]
		if name == "" {
			name = number(int(nr))
		}
		rows[cells] = append(rows[cells], code(name))
	}
	var out []string
	for cells, list := range rows {
		slices.Sort(list)
		out = append(out, "| "+strings.Join(list, ", ")+" |"+cells+"\n")
	}
	slices.Sort(out)
	head(b, "")
	b.WriteString(strings.Join(out, "") + "\n")
}
