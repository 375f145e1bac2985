// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/rootfs"
	"github.com/sdcontainer/sdcontainer/unitgen"
)

// examples are the texts of the gallery's files.
func examples(f *testing.F, pattern string) (all [][]byte) {
	sdtest.Require(f, sdtest.Tool("go")) // they are where the sources are
	files, err := filepath.Glob("configs/examples/" + pattern)
	if err != nil || len(files) < 10 {
		f.Fatalf("%d examples, %v", len(files), err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, b)
	}
	return all
}

// planned compiles a Spec with every planner there is: the scope, the three programs, the
// filter, the unit. It is refused, and the error returned, or everything about it can be written.
func planned(t *testing.T, spec *specs.Spec) string {
	unseen := errors.New("not looked at")
	nowhere := func(*specs.Spec) sighting { return sighting{noUser: unseen, noExecutable: unseen} }
	x, err := explain("fuzz", spec, unitgen.Options{}, rootfs.Facts{Sources: map[string]rootfs.SourceKind{}, OverlayLowerPlus: true}, nowhere)
	if err != nil {
		return err.Error()
	}
	for _, p := range x.programs {
		// What is too large or has a NUL is refused here, before anything is begun.
		if _, err := p.Encode(); err != nil && strings.Contains(err.Error(), "last step") {
			t.Errorf("a program without an end: %v", err)
		}
	}
	var b strings.Builder
	if err := x.WriteText(&b); err != nil {
		t.Error(err)
	}
	if _, err := json.Marshal(x); err != nil {
		t.Error(err)
	}
	return b.String()
}

// FuzzSpec: whatever a bundle says, planning it ends.
func FuzzSpec(f *testing.F) {
	for _, b := range examples(f, "*.config.json") {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var spec specs.Spec
		if json.Unmarshal(b, &spec) == nil {
			planned(t, &spec)
		}
	})
}

// FuzzTOML: the same for a configuration, from its text on. What it compiles to is all there is of it:
// written as a config.json and read again, it comes to the same unit, programs and service.
func FuzzTOML(f *testing.F) {
	for _, b := range examples(f, "*.toml") {
		f.Add(b)
	}
	file := filepath.Join(f.TempDir(), "x.toml")
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(file, b, 0o644); err != nil {
			t.Fatal(err)
		}
		spec, err := configs.Load(file, configs.LoadOptions{Env: func(string) (string, bool) { return "", false }})
		if err != nil {
			return
		}
		b, err = json.Marshal(spec)
		if err != nil {
			t.Fatal(err)
		}
		var there specs.Spec
		if err := json.Unmarshal(b, &there); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(planned(t, spec), planned(t, &there)); diff != "" {
			t.Errorf("a start from config.json differs:\n%s", diff)
		}
	})
}

// FuzzMountinfo: what the kernel writes about mounts is read as it was meant, whatever
// they are called (the kernel's mangle writes spaces, tabs, line breaks, # and \ as octal).
func FuzzMountinfo(f *testing.F) {
	f.Add("/a b", "rw,nosuid", "tmpfs")
	f.Add("/a\u00a0b\u2028c\r\v", "ro", "")
	f.Add(`/\040`, "ro", `\`)
	f.Fuzz(func(t *testing.T, point, options, source string) {
		options = strings.Map(func(r rune) rune {
			if r <= ' ' || r > '~' {
				return -1
			}
			return r
		}, options)
		if strings.ContainsRune(point+source, 0) {
			return
		}
		line := fmt.Sprintf("36 35 98:0 / /%s r%s shared:1 - tmpfs %s rw\n", mangled(point), options, mangled(source))
		got := parseMountinfo(line + line)
		want := mountLine{point: "/" + point, options: strings.Split("r"+options, ","), peers: true}
		if len(got) != 2 || got[0].point != want.point || !slices.Equal(got[1].options, want.options) || !got[1].peers {
			t.Errorf("%q read as %+v", line, got)
		}
		parseMountinfo(point)
	})
}

func mangled(s string) string {
	return strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`, "#", `\043`).Replace(s)
}

// FuzzStatus: text of the kernel's that has another form than we know makes no panic, and
// an id map is read back as it was written.
func FuzzStatus(f *testing.F) {
	f.Add("CapEff:\t0000\nUid:\t1\t2\t3\t4\n", uint32(0), uint32(100000), uint32(65536))
	f.Fuzz(func(t *testing.T, text string, inside, outside, size uint32) {
		statusFields(text)
		parseIDMap(text)
		m := specs.LinuxIDMapping{ContainerID: inside, HostID: outside, Size: size}
		if got := parseIDMap(fmt.Sprintf("%10d %10d %10d\n", inside, outside, size)); !slices.Equal(got, []specs.LinuxIDMapping{m}) {
			t.Errorf("%+v read as %+v", m, got)
		}
	})
}
