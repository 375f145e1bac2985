// SPDX-License-Identifier: Apache-2.0

package caps

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sdcontainer/sdcontainer/configs"
)

const passwd = `# a comment
root:x:0:0:root:/root:/bin/sh
web:x:33:33:www:/var/www:/bin/false
1001:x:0:0:looks like a number:/trap:/bin/sh
huge:x:4294967296:0::/:/bin/sh
word:x:zero:zero::/:/bin/sh
empty:x:::::
minus:x:-1:0::/:/bin/sh
relative:x:50:50::home/relative:/bin/sh
newline:x:51:51::/a` + "\x07" + `b:/bin/sh
high:x:4294967294:4294967294::/high:/bin/sh
web:x:0:0:a second one of the same name:/root:/bin/sh
`

const group = `root:x:0:
www:x:33:
ssl:x:101:other,web
adm:x:4:web
2000:x:0:web2
bad:x:nan:web
`

// C4: names are names and numbers are numbers, in their range; nothing that is neither becomes root.
func TestResolve(t *testing.T) {
	for _, c := range []struct {
		user string
		want Identity
		err  string
	}{
		{"root", Identity{0, 0, []uint32{0}, "/root"}, ""},
		{"web", Identity{33, 33, []uint32{4, 33, 101}, "/var/www"}, ""},
		{"33", Identity{33, 33, []uint32{4, 33, 101}, "/var/www"}, ""},
		{"web:ssl", Identity{33, 101, []uint32{101}, "/var/www"}, ""},
		{"web:7", Identity{33, 7, []uint32{7}, "/var/www"}, ""},
		{"0", Identity{0, 0, []uint32{0}, "/root"}, ""},
		{"1", Identity{1, 0, []uint32{0}, "/"}, ""},
		{"1:1", Identity{1, 1, []uint32{1}, "/"}, ""},
		{"1001", Identity{1001, 0, []uint32{0}, "/"}, ""},
		{"33:2000", Identity{33, 2000, []uint32{2000}, "/var/www"}, ""},
		{"65536:65536", Identity{65536, 65536, []uint32{65536}, "/"}, ""},
		{"4294967294", Identity{4294967294, 4294967294, []uint32{4294967294}, "/high"}, ""},
		{"relative", Identity{50, 50, []uint32{50}, "/"}, ""},
		{"newline", Identity{51, 51, []uint32{51}, "/"}, ""},
		{user: "nobody", err: `no user "nobody"`},
		{user: "web:nobody", err: `no group "nobody"`},
		{user: "huge", err: "no user"},
		{user: "word", err: "no user"},
		{user: "empty", err: "no user"},
		{user: "minus", err: "no user"},
		{user: "web:bad", err: "no group"},
		{user: "-1", err: "not a user"},
		{user: "4294967295", err: "want a number"},
		{user: "4294967296", err: "want a number"},
		{user: "99999999999999999999", err: "want a number"},
		{user: "0x0", err: "want a number"},
		{user: "01", err: "want a number"},
		{user: "1e3", err: "want a number"},
		{user: "1:", err: "empty"},
		{user: ":1", err: "empty"},
		{user: ":", err: "empty"},
		{user: " 1", err: "not a user"},
		{user: "1:1:1", err: "want a number"},
		{user: "web\n", err: "not a user"},
		{user: "../web", err: "not a user"},
	} {
		t.Run(c.user, func(t *testing.T) {
			got, err := Resolve(strings.NewReader(passwd), strings.NewReader(group), specs.User{Username: c.user, UID: 7, GID: 7})
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("got %+v, %v, want an error with %q", got, err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestC4ResolveNumbers(t *testing.T) {
	got, err := Resolve(strings.NewReader(passwd), nil, specs.User{UID: 33, GID: 5, AdditionalGids: []uint32{9, 5, 7}})
	if err != nil {
		t.Fatal(err)
	}
	want := Identity{33, 5, []uint32{5, 7, 9}, "/var/www"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for _, u := range []specs.User{{UID: noID}, {GID: noID}, {AdditionalGids: []uint32{1, noID}}} {
		if got, err := Resolve(nil, nil, u); err == nil {
			t.Errorf("%+v: got %+v, want an error", u, got)
		}
	}
}

const noID = 1<<32 - 1

func TestResolveWithoutFiles(t *testing.T) {
	got, err := Resolve(nil, nil, specs.User{Username: "1000:100"})
	if err != nil || got.UID != 1000 || got.GID != 100 || got.Home != "/" {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := Resolve(nil, nil, specs.User{Username: "root"}); err == nil {
		t.Error("a name without a passwd file was found")
	}
}

// endless is a file such as /dev/zero, with lines if line is set.
type endless struct{ line string }

func (e endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = e.line[i%len(e.line)]
	}
	return len(b), nil
}

// B18: a passwd without an end is refused, and soon.
func TestResolveRefusesHugeFiles(t *testing.T) {
	for name, r := range map[string]io.Reader{
		"zeros":     endless{"\x00"},
		"one line":  endless{"x"},
		"lines":     endless{"a:x:1:1::/:\n"},
		"newlines":  strings.NewReader(strings.Repeat("\n", maxUserLines+1)),
		"long line": strings.NewReader(strings.Repeat("a", MaxUserFile+1)),
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			if _, err := Resolve(r, nil, specs.User{Username: "web"}); err == nil || !strings.Contains(err.Error(), "/etc/passwd") {
				t.Errorf("got %v, want an error about /etc/passwd", err)
			}
			if d := time.Since(start); d > 5*time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
}

func FuzzResolve(f *testing.F) {
	for _, u := range []string{"root", "33:33", "web:ssl", "-1", "01", "4294967295", ":"} {
		f.Add(passwd, group, u)
	}
	f.Fuzz(func(t *testing.T, passwd, group, u string) {
		id, err := Resolve(strings.NewReader(passwd), strings.NewReader(group), specs.User{Username: u})
		if err != nil || u == "" {
			return
		}
		if id.UID > configs.MaxID || id.GID > configs.MaxID || len(id.Groups) == 0 || !strings.HasPrefix(id.Home, "/") {
			t.Fatalf("%q: %+v", u, id)
		}
		// What is printed as a number is that number.
		name, _, _ := strings.Cut(u, ":")
		if name[0] >= '0' && name[0] <= '9' && fmt.Sprint(id.UID) != name {
			t.Fatalf("user %q became %d", u, id.UID)
		}
	})
}
