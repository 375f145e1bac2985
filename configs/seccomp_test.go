// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A field of a seccomp profile that OCI does not have, or that is given twice, would be another filter than the one written.
func TestSeccompProfileIsReadStrictly(t *testing.T) {
	const right = `{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1,
		"args": [{"index": 0, "value": 1, "valueTwo": 0, "op": "SCMP_CMP_EQ"}]}], "flags": null}`
	const at = `x.toml:4:10: security.seccomp: "p.json": `
	replaced := func(pairs ...string) string { return strings.NewReplacer(pairs...).Replace(right) }
	for _, tt := range []struct{ profile, want string }{
		{right, ""},
		{replaced("syscalls", "sycalls"), at + `line 1: sycalls: unknown field; did you mean "syscalls"?`},
		{replaced(`"args"`, `"arg"`), at + `line 2: syscalls[0].arg: unknown field; did you mean "args"?`},
		{replaced("errnoRet", "comment", `"op"`, `"operator"`), at + "line 1: syscalls[0].comment: unknown field; accepted here: names, action, errnoRet, args\n" +
			at + "line 2: syscalls[0].args[0].operator: unknown field; accepted here: index, value, valueTwo, op"},
		{replaced(`"flags": null`, `"Syscalls": []`), at + "line 2: Syscalls: given twice"},
		{replaced(`"index": 0, `, `"index": 0, "index": 1,`), at + "line 2: syscalls[0].args[0].index: given twice"},
		{replaced(`"errnoRet": 1`, `"includes": {"caps": ["CAP_SYS_ADMIN"]}, "comment": ""`), at + "line 1: syscalls[0].includes: this is the format of Docker and Podman, " +
			"with conditions that no OCI profile has: want the OCI one, as linux.seccomp of a config.json"},
		{replaced(`"flags": null`, `"archMap": [{"architecture": "x", "subArchitectures": []}]`), at + "line 2: archMap: this is the format of Docker"},
		{replaced(`"flags": null`, `"listenerPath": "/x"`), at + "listenerPath, listenerMetadata: not supported"},
		{replaced(`"value": 1`, `"value": "1"`, "flags", "flag"), at + "line 2: syscalls[0].args[0].value: want a whole number of 0 or more, not a JSON string\n" +
			at + "line 2: flag: unknown field; did you mean \"flags\"?"},
		{replaced(`["mkdir"]`, `"mkdir"`), at + "line 1: syscalls[0].names: want an array, not a JSON string"},
		{replaced(`"mkdir"`, `"mkdir", 5, null, true, [0]`, `"errnoRet": 1`, `"errnoRet": -1`, `"value": 1`, `"value": 1.5`, `"valueTwo": 0`, `"valueTwo": 99999999999999999999`,
			`"flags": null`, `"flags": {"a": 1}, "listenerPath": "/x"`), at + "line 1: syscalls[0].names[1]: want a string, not a JSON number\n" +
			at + "line 1: syscalls[0].names[3]: want a string, not a JSON boolean\n" + at + "line 1: syscalls[0].names[4]: want a string, not a JSON array\n" +
			at + "line 1: syscalls[0].errnoRet: want a whole number of 0 or more, not a JSON number like -1\n" +
			at + "line 2: syscalls[0].args[0].value: want a whole number of 0 or more, not a JSON number like 1.5\n" +
			at + "line 2: syscalls[0].args[0].valueTwo: want a whole number of 0 or more, not a JSON number like 99999999999999999999\n" +
			at + "line 2: flags: want an array, not a JSON object\n" + at + "listenerPath, listenerMetadata: not supported"},
		{replaced(`"value": 1`, `"value": 18446744073709551615`), ""},
		{`{"listenerPath": "/x"}`, at + "has no defaultAction: want an OCI seccomp profile\n" + at + "listenerPath, listenerMetadata: not supported"},
		{`{"defaultAction": 5}`, at + "line 1: defaultAction: want a string, not a JSON number"},
		{`{}`, at + "has no defaultAction: want an OCI seccomp profile"},
		{`[1]`, at + "is a JSON array: want the object of an OCI seccomp profile"},
		{"{\n\"defaultAction\": }", at + "line 2: invalid character '}' looking for beginning of value"},
		{right + "{}", at + "line 2: invalid character '{' after top-level value"},
		{"", at + "line 1: unexpected end of JSON input"},
	} {
		t.Run(tt.profile, func(t *testing.T) {
			got := problemsOf(t, "x.toml", minimal+"security.seccomp = 'p.json'\n", "p.json", tt.profile)
			var lines []string
			if tt.want != "" {
				lines = strings.Split(tt.want, "\n")
			}
			if len(got) != len(lines) {
				t.Fatal(cmp.Diff(lines, got))
			}
			for i, line := range got {
				if !strings.HasPrefix(line, lines[i]) {
					t.Error(cmp.Diff(lines[i], line))
				}
			}
		})
	}
}

// A file of another kind may be all mistakes: a few are told, in the time that the size takes.
func TestSeccompProfileOfMistakesAlone(t *testing.T) {
	for name, tt := range map[string]struct {
		each func(i int) string
		last string
	}{
		"unknown": {func(i int) string { return fmt.Sprintf("\"k%d\": 1", i) }, `line 20: k19: unknown field; accepted here: `},
		"doubled": {func(int) string { return `"syscalls": null` }, "line 21: syscalls: given twice"},
	} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			b.WriteByte('{')
			i := 0
			for ; b.Len() < 1<<20; i++ {
				b.WriteString(tt.each(i) + ",\n")
			}
			b.WriteString(`"defaultAction": "SCMP_ACT_ALLOW"}`)
			begun := time.Now()
			_, errs := parseSeccomp([]byte(b.String()))
			if took := time.Since(begun); took > time.Minute { // were each line counted anew, or each name sought among the others: some minutes
				t.Errorf("took %v", took)
			}
			if len(errs) != MostMistakes+1 || !strings.HasPrefix(errs[MostMistakes-1].Error(), tt.last) {
				t.Fatalf("%d, the last %v", len(errs), errs[len(errs)-1])
			}
			if want := fmt.Sprintf("%d more such mistakes", i-MostMistakes-strings.Count(tt.last, "twice")); errs[MostMistakes].Error() != want {
				t.Errorf("%v, want %s", errs[MostMistakes], want)
			}
		})
	}
}

// What is unknown may be long, and have much in it.
func TestSeccompProfileOfOneLongName(t *testing.T) {
	profile := `{"` + strings.Repeat("x", 1<<20) + `": [` + strings.Repeat("0,", 1<<20) + "0]}"
	begun := time.Now()
	if _, errs := parseSeccomp([]byte(profile)); len(errs) != 1 {
		t.Errorf("%d mistakes", len(errs))
	}
	if took := time.Since(begun); took > time.Minute { // were the name made longer by each number: half an hour
		t.Errorf("took %v", took)
	}
}
