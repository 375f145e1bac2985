// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"

	"github.com/sdcontainer/sdcontainer/configs"
)

var update = flag.Bool("update", false, "write the generated files")

const root = "../.."

func TestGenerated(t *testing.T) {
	for _, p := range pages {
		file := filepath.Join(root, p.file)
		if *update {
			if err := os.WriteFile(file, p.make(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		have, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(have), string(p.make())); diff != "" {
			t.Errorf("%s is not current (run make docs):\n%s", p.file, diff)
		}
	}
}

// Every key has a place in both pages, and each says what it is for.
func TestEveryKeyIsExplained(t *testing.T) {
	page, man := string(reference()), string(manual())
	seen := map[string]bool{}
	for _, k := range configs.Keys() {
		if k.Doc == "" || k.Maps == "" || seen[k.Path] {
			t.Errorf("key %s: no text, nothing it becomes, or twice", k.Path)
		}
		seen[k.Path] = true
		if _, name := split(k.Path); !strings.Contains(page, "| `"+name+"` |") {
			t.Errorf("key %s is not in the page", k.Path)
		}
		if _, name := split(k.Path); !strings.Contains(man, ".TP\n\\fB"+escape(name)+"\\fR (") {
			t.Errorf("key %s is not in the manual", k.Path)
		}
	}
}

// Who writes an unknown specifier is told of all that the pages have.
func TestSpecifiersAreNamed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.toml")
	if err := os.WriteFile(file, []byte("description = '%Q'\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	problems := fmt.Sprint(configs.LoadOptions{}.Check(file))
	page, man := string(reference()), string(manual())
	for _, spec := range configs.Specifiers() {
		s := "%" + string(spec.Letter)
		if !strings.Contains(problems, s) {
			t.Errorf("%s is not in %s", s, problems)
		}
		if in := regexp.MustCompile("(?m)^(\\| `|\\\\fB)(%. )*" + s + "( %.)*(` \\| |\\\\fR$)"); !in.MatchString(page) || !in.MatchString(man) {
			t.Errorf("%s is not in both pages", s)
		}
	}
}

// Nothing in a text is a request or an escape of roff.
func TestManualIsText(t *testing.T) {
	var b bytes.Buffer
	roff(&b, ".so x\n'so \\fx\n\n- **a** `-b`")
	if diff := cmp.Diff("\\&.so x\n\\&'so \\efx\n.PP\n.IP \\(bu 2\n\\fBa\\fR \\fB\\-b\\fR\n", b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestEveryTableHasOneSection(t *testing.T) {
	seen := map[string]bool{}
	for line := range strings.Lines(string(reference())) {
		if strings.HasPrefix(line, "#") && seen[line] {
			t.Errorf("%s is there twice", strings.TrimSpace(line))
		}
		seen[line] = true
	}
}

// The schema and the loader agree: it accepts the examples, and refuses what
// the loader refuses for its type.
func TestSchemaAgreesWithLoader(t *testing.T) {
	var s map[string]any
	if err := json.Unmarshal(schema(), &s); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(root + "/configs/examples/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		var doc map[string]any
		if _, err := toml.DecodeFile(f, &doc); err != nil {
			t.Fatal(err)
		}
		if problems := validate(s, plain(doc), ""); len(problems) > 0 {
			t.Errorf("%s: the schema says %v", f, problems)
		}
	}
	for _, bad := range []string{
		`version = 2`, `nmae = "x"`, `rootfs = 1`, `rootfs.path = 1`, `process.args = "x"`, `process.umask = 22`,
		`process.umask = "0888"`, `process.oom_score_adj = 2000`, `process.rlimits.nofile = "9,3"`, `process.env.A = []`,
		`mount = {}`, `[[mount]]` + "\n" + `type = "volume"`, `[[device]]` + "\n" + `access = "x"`, `network.mode = "bridge"`, `resources.memory.max = "5X"`,
		`resources.cpu.quota = "1.5"`, `resources.cpu.weight = 0`, `resources.tasks = 0`, `userns.mode = "path:x"`, `systemd.stop_timeout = "10 parsecs!"`,
		`systemd.stop_timeout = "10 parsecs"`, `resources.memory.max = "1.5"`, `name = "a b"`, `process.umask = "1022"`, `process.scheduler = "fifo"`, `process.io_class = "be:9"`,
		`systemd.start_limit = "5"`, `[[mount]]` + "\n" + `create = "yes"`, `process.cwd = "x"`, `[[mount]]` + "\n" + `target = "x"`, `resources.cpu.weight = "0"`, `resources.tasks = "0"`,
		`userns.mode = "manual"` + "\n" + `userns.gid_map = ["0:1:1"]` + "\n" + `userns.uid_map = ["0:1"]`, `network.hostname = "a b"`,
		`resources."memory.max" = "5M"`, `"process.user" = "0"`, `"systemd.service" = {}`, `"mount[]" = {}`, `"mount[].target" = "/x"`, `"" = 1`,
	} {
		var doc map[string]any
		if _, err := toml.Decode(bad, &doc); err != nil {
			t.Fatalf("%s: %v", bad, err)
		}
		doc["version"] = cmp0(doc["version"], int64(1))
		if problems := validate(s, plain(doc), ""); len(problems) == 0 {
			t.Errorf("%s: the schema accepts it", bad)
		}
		if !loaderRefuses(t, bad) {
			t.Errorf("%s: the loader accepts it", bad)
		}
	}
}

// What the loader has nothing against, the schema accepts: an editor must not mark what works. Every
// value is given to every key; what a key refuses is told at that key.
func TestSchemaAcceptsWhatLoads(t *testing.T) {
	var s map[string]any
	if err := json.Unmarshal(schema(), &s); err != nil {
		t.Fatal(err)
	}
	indices := regexp.MustCompile(`\[\d+\]`)
	for _, value := range []string{
		`""`, `"x"`, `0`, `1`, `-1`, `0.5`, `true`, `[]`, `["a"]`, `[1]`, `{}`, `{ A = 1 }`, `{ A = "x" }`, `{ A = ["x"] }`, `{ A = true }`,
		`"0"`, `"00"`, `"1.G"`, `".5G"`, `"1.5g"`, `"7b"`, `"2KiB"`, `"512Mib"`, `"5P"`, `".5%"`, `"5.%"`, `"100%"`, `"150%"`, `"infinity"`, `"unlimited"`,
		`"1min 30s"`, `" 1 h 2m3sec "`, `".5s"`, `"1.s"`, `"2 weeks"`, `"1us"`, `"00644"`, `"07777"`, `"0777"`, `"00000000000777"`, `"wrm"`, `"0-3,8"`, `"00,1"`,
		`"sigterm"`, `"Term"`, `"RTMIN+3"`, `"SIGRTMAX-1"`, `"15"`, `"unlimited:infinity"`, `"5:infinity"`, `{ nofile = "5:unlimited", NPROC = 7 }`,
		`"path:/a\nb"`, `"path:/"`, `"idle"`, `"fifo:05"`, `"rr:99"`, `"be:7"`, `"rt:00"`, `"dir"`, `"file:0600:7"`, `"dir:07777:0:0"`, `"5/10s"`, `"05/1min 30s"`, `"5/infinity"`,
		`["0:0:65536"]`, `["0:100000:1", "1:7:3"]`, `["localhost"]`, `"host"`, `"none"`, `"system"`, `"a.b-c_9"`, `"%i"`, `["%t/x"]`, `{ "/dev/null" = "20M" }`, `{ "/dev/null" = "1ms" }`, `{ 2MB = 5 }`,
	} {
		text, paths := everyKey(value)
		var doc map[string]any
		if _, err := toml.Decode(text, &doc); err != nil {
			t.Fatalf("%s: %v", value, err)
		}
		refused := map[string]bool{}
		for _, p := range problems(t, text) {
			refused[p.Key] = true
			for at := p.Key; strings.Contains(at, "."); { // of one in the table
				at = at[:strings.LastIndexByte(at, '.')]
				refused[at] = true
			}
		}
		for _, p := range validate(s, plain(doc), "") {
			key, _, _ := strings.Cut(strings.TrimPrefix(indices.ReplaceAllString(p, ""), "."), ":")
			for key != "" && !slices.Contains(paths, key) {
				key = key[:max(0, strings.LastIndexByte(key, '.'))]
			}
			if !refused[key] {
				t.Errorf("%s = %s loads, and the schema says%s", key, value, p)
			}
		}
	}
}

// everyKey is a document that gives keys the same value: all but version, and those that decide, rightly or
// wrongly, whether others are looked at.
func everyKey(value string) (text string, paths []string) {
	heads, lines := []string{"mount", "device"}, map[string]string{}
	for _, k := range configs.Keys() {
		if slices.Contains([]string{"version", "namespaces.uts", "mount[].type"}, k.Path) {
			continue
		}
		table, key, array := strings.Cut(k.Path, "[].")
		if !array {
			table, key = "", k.Path
		}
		lines[table] += key + " = " + value + "\n"
		paths = append(paths, strings.ReplaceAll(k.Path, "[]", ""))
	}
	text = "version = 1\n" + lines[""]
	for _, head := range heads {
		text += "[[" + head + "]]\n" + lines[head]
	}
	return text, paths
}

func cmp0(v, def any) any {
	if v == nil {
		return def
	}
	return v
}

// loaderRefuses says whether more than the missing keys is wrong with a text.
func loaderRefuses(t *testing.T, text string) bool {
	t.Helper()
	return slices.ContainsFunc(problems(t, text), func(p configs.Problem) bool { return !strings.HasPrefix(p.Msg, "missing") })
}

func problems(t *testing.T, text string) []configs.Problem {
	t.Helper()
	file := filepath.Join(t.TempDir(), "x.toml")
	if err := os.WriteFile(file, []byte(text+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return configs.LoadOptions{}.Check(file)
}

// plain turns a decoded TOML into what a JSON decoder would give.
func plain(v any) any {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	var out any
	if err := json.Unmarshal(b, &out); err != nil {
		panic(err)
	}
	return out
}

// validate knows as much of JSON Schema as the generated one uses.
func validate(s map[string]any, v any, at string) (problems []string) {
	bad := func(format string, a ...any) { problems = append(problems, at+": "+fmt.Sprintf(format, a...)) }
	for word, want := range s {
		switch word {
		case "type":
			if !isType(want, v) {
				bad("%v is no %v", v, want)
			}
		case "enum":
			if !slices.Contains(want.([]any), v) {
				bad("%v is none of %v", v, want)
			}
		case "const":
			if v != want {
				bad("%v is not %v", v, want)
			}
		case "pattern":
			if text, ok := v.(string); ok && !regexp.MustCompile(want.(string)).MatchString(text) {
				bad("%q does not match %s", text, want)
			}
		case "minimum":
			if n, ok := v.(float64); ok && n < want.(float64) {
				bad("%v is below %v", n, want)
			}
		case "maximum":
			if n, ok := v.(float64); ok && n > want.(float64) {
				bad("%v is above %v", n, want)
			}
		case "anyOf":
			if !slices.ContainsFunc(want.([]any), func(o any) bool { return len(validate(o.(map[string]any), v, at)) == 0 }) {
				bad("%v fits none", v)
			}
		case "items":
			list, _ := v.([]any)
			for i, e := range list {
				problems = append(problems, validate(want.(map[string]any), e, fmt.Sprintf("%s[%d]", at, i))...)
			}
		case "properties", "additionalProperties":
			// Together, below.
		case "required":
			for _, k := range want.([]any) {
				if m, ok := v.(map[string]any); ok && m[k.(string)] == nil {
					bad("%s is missing", k)
				}
			}
		case "description", "title", "$schema":
		default:
			bad("the validator does not know %q", word)
		}
	}
	return append(problems, members(s, v, at)...)
}

func members(s map[string]any, v any, at string) (problems []string) {
	m, ok := v.(map[string]any)
	if !ok {
		return nil
	}
	known, _ := s["properties"].(map[string]any)
	for _, k := range slices.Sorted(maps.Keys(m)) {
		switch more := s["additionalProperties"].(type) {
		case map[string]any:
			problems = append(problems, validate(more, m[k], at+"."+k)...)
		case bool:
			if p, ok := known[k].(map[string]any); ok {
				problems = append(problems, validate(p, m[k], at+"."+k)...)
			} else {
				problems = append(problems, at+"."+k+": unknown")
			}
		}
	}
	return problems
}

func isType(want, v any) bool {
	if list, ok := want.([]any); ok {
		return slices.ContainsFunc(list, func(w any) bool { return isType(w, v) })
	}
	switch v := v.(type) {
	case string:
		return want == "string"
	case bool:
		return want == "boolean"
	case float64:
		return want == "number" || want == "integer" && v == float64(int64(v))
	case []any:
		return want == "array"
	case map[string]any:
		return want == "object"
	}
	return false
}
