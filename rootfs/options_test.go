// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/nsexec"
)

func TestParseOptions(t *testing.T) {
	const ro, nosuid, noatime, strict, atime = unix.MOUNT_ATTR_RDONLY, unix.MOUNT_ATTR_NOSUID, unix.MOUNT_ATTR_NOATIME,
		unix.MOUNT_ATTR_STRICTATIME, unix.MOUNT_ATTR__ATIME
	for in, want := range map[string]options{
		"":                           {},
		"defaults,async,silent":      {},
		"ro,nosuid":                  {attr: change{set: ro | nosuid}},
		"ro,rw":                      {attr: change{clear: ro}},
		"rw,ro":                      {attr: change{set: ro}},
		"noatime":                    {attr: change{set: noatime, clear: atime}},
		"noatime,strictatime":        {attr: change{set: strict, clear: atime}},
		"strictatime,relatime":       {attr: change{clear: atime}},
		"noatime,ro,rw":              {attr: change{set: noatime, clear: atime | ro}},
		"rro,rw":                     {below: change{set: ro}, attr: change{clear: ro}},
		"rw,rro":                     {below: change{set: ro}},
		"ro,rrw,nosuid":              {below: change{clear: ro}, attr: change{set: nosuid}},
		"strictatime,rnoatime":       {below: change{set: noatime, clear: atime}},
		"rnoatime,strictatime":       {below: change{set: noatime, clear: atime}, attr: change{set: strict, clear: atime}},
		"rro,rexec":                  {below: change{set: ro, clear: unix.MOUNT_ATTR_NOEXEC}},
		"rnosymfollow":               {below: change{set: unix.MOUNT_ATTR_NOSYMFOLLOW}},
		"rbind,rslave":               {bind: true, recursive: true, propagation: unix.MS_SLAVE, spread: true},
		"bind,shared":                {bind: true, propagation: unix.MS_SHARED},
		"rshared,private":            {propagation: unix.MS_PRIVATE},
		"relatime,rprivate":          {attr: change{clear: atime}, propagation: unix.MS_PRIVATE, spread: true},
		"ridmap":                     {idmap: true, idmapBelow: true},
		"sync,lazytime":              {super: []string{"sync", "lazytime"}},
		"size=1m,k,key=":             {params: []param{{"size", "1m", false}, {"k", "", true}, {"key", "", false}}},
		"x-sdc.optional":             {optional: true},
		"x-sdc.create=dir":           {create: &Create{nsexec.Dir, 0o755, 0, 0}},
		"x-sdc.create=file":          {create: &Create{nsexec.File, 0o644, 0, 0}},
		"x-sdc.create=dir:0700:33:4": {create: &Create{nsexec.Dir, 0o700, 33, 4}},
		"notmpcopyup":                {},
	} {
		var list []string
		if in != "" {
			list = strings.Split(in, ",")
		}
		got, err := parseOptions(list, false, []string{"size", "k", "key"})
		if err != nil {
			t.Errorf("%s: %v", in, err)
		}
		if d := cmp.Diff(want, got, cmp.AllowUnexported(options{}, change{}, param{})); d != "" {
			t.Errorf("%s: %s", in, d)
		}
	}
}

func TestB25ParseOptionsRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"":           `unknown option "": want one of `,
		"r":          "unknown",
		"rbin":       `unknown option "rbin"; did you mean "rbind"?`,
		"rrbind":     `unknown option "rrbind"; did you mean "rbind"?`,
		"RO":         `unknown option "RO"; did you mean "ro"?`,
		"size":       "want a whole number of bytes",
		"ro=1":       "unknown",
		"nodve":      `unknown option "nodve"; did you mean "nodev"?`,
		"rnodve":     `unknown option "rnodve"; did you mean "rnodev"?`,
		"norelatim":  `unknown option "norelatim"; did you mean "norelatime"?`,
		"norw":       `unknown option "norw"; did you mean "ro"?`,
		"noro":       `unknown option "noro"; did you mean "rw"?`,
		"no-exec":    `unknown option "no-exec"; did you mean "noexec"?`,
		"Private":    `unknown option "Private"; did you mean "private"?`,
		"dirsyn":     `unknown option "dirsyn"; did you mean "dirsync"?`,
		"Iversion":   `unknown option "Iversion"; did you mean "iversion"?`,
		"nr_block=5": `unknown option "nr_block=5"; did you mean "nr_blocks="?`,
		"foo": `unknown option "foo": want one of atime, dev, diratime, exec, noatime, nodev, nodiratime, noexec, norelatime, nostrictatime, nosuid, nosymfollow, ` +
			`relatime, ro, rw, strictatime, suid, symfollow, private, shared, slave, unbindable (each also with an r before it), sync, dirsync, lazytime, mand, key, size, mode, gid, nr_blocks`,
		"noauto":                             `"noauto": want one of`,
		"nofail":                             `"nofail": want one of`,
		"user":                               `"user": want one of`,
		"_netdev":                            `"_netdev": want one of`,
		"loop":                               `"loop": want one of`,
		"sec=krb5":                           `"sec=krb5": want one of`,
		"remount":                            "the mount itself",
		"tmpcopyup":                          "not supported",
		"x-sdc.optional=1":                   "takes no value",
		"x-sdc.other":                        "want x-sdc.optional or x-sdc.create",
		"x-sdc.create":                       "want dir or file",
		"x-sdc.create=":                      "want dir or file",
		"x-sdc.create=dir:0700":              "want dir:MODE:UID:GID",
		"x-sdc.create=dir:9:0:0":             "octal",
		"x-sdc.create=dir:17777::":           "octal",
		"x-sdc.create=dir:0700:0:4294967295": "octal",
		"key=" + strings.Repeat("x", 256):    "longer than",
		"mode=":                              "octal",
		"gid=4294967295":                     "want a number from 0 to 4294967294",
		"gid=99999999999":                    "want a number from 0 to 4294967294",
		"gid=-1":                             "want a number from 0 to 4294967294",
		"gid=wheel":                          "want a number: names of the container are not known yet",
		"nr_blocks=5%":                       "want a whole number, like nr_blocks=16k",
		"nr_blocks=5kk":                      "want a whole number, like nr_blocks=16k",
		"gid":                                "want a number",
		"size=1m,mode=0777":                  "want a whole number of bytes",
		"size=1m\nuid=7":                     "want a whole number of bytes",
		"size=1m\x00":                        "want a whole number of bytes",
		"nr_blocks=4,uid=7":                  "want a whole number, like nr_blocks=16k",
		"mode=0700,uid=7":                    "octal",
		"mode=0700\n":                        "octal",
		"gid=5,mode=0777":                    "want a number",
		"gid=5\x00":                          "want a number",
		"ro,rw":                              `unknown option "ro,rw"`,
		"ro\n":                               "unknown option",
	} {
		got, err := parseOptions([]string{in}, false, []string{"key", "size", "mode", "gid", "nr_blocks"})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v, want %q", in, got, err, want)
		}
	}
}

func FuzzParseOptions(f *testing.F) {
	for _, s := range []string{"ro,rro,noatime", "x-sdc.create=dir:0700:1:1", "size=1,mode=0", "rbind,rslave,rw", "relatime,strictatime"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		o, err := parseOptions(strings.Split(s, ","), false, tmpfsKeys)
		if err != nil {
			return
		}
		for _, c := range []change{o.attr, o.below} {
			// What mount_setattr(2) asks for.
			if a := c.clear & unix.MOUNT_ATTR__ATIME; a != 0 && a != unix.MOUNT_ATTR__ATIME || a == 0 && c.set&unix.MOUNT_ATTR__ATIME != 0 {
				t.Fatalf("%q: access time %#x, cleared %#x", s, c.set, c.clear)
			}
			if c.set&c.clear&^unix.MOUNT_ATTR__ATIME != 0 {
				t.Fatalf("%q: sets and clears %#x", s, c.set&c.clear)
			}
		}
	})
}

// The reference names the options there are, and no others.
func TestReferenceNamesTheOptions(t *testing.T) {
	keys := configs.Keys()
	doc := keys[slices.IndexFunc(keys, func(k configs.Key) bool { return k.Path == "mount[].options" })].Doc
	taken, refused, ok := strings.Cut(doc, " Everything else of mount(8) is refused: ")
	if !ok {
		t.Fatal("says nothing of those that are refused")
	}
	opposites := []string{"rw", "suid", "dev", "exec", "diratime", "symfollow", "norelatime", "atime", "nostrictatime"}
	named := map[string]bool{}
	for _, name := range regexp.MustCompile("`[a-z0-9_]+`").FindAllString(taken, -1) {
		named[strings.Trim(name, "`")] = true
	}
	want := map[string]bool{"rro": true, "r": true, "defaults": true}
	for name := range attributes() {
		want[name] = !slices.Contains(opposites, name)
	}
	for name := range propagations {
		want[name] = true
	}
	for _, name := range []string{"sync", "dirsync", "lazytime", "mand"} {
		if flag, _ := superblock(name); flag != name {
			t.Errorf("%s is no option of a filesystem", name)
		}
		want[name] = true
	}
	for _, name := range idle {
		if flag, ok := superblock(name); !ok || flag != "" {
			t.Errorf("%s does something", name)
		}
		want[name] = !slices.Contains([]string{"async", "nodirsync", "nolazytime", "nomand"}, name) // the opposites
	}
	for _, name := range slices.Concat(fstypes()["tmpfs"].keys, fstypes()["overlay"].keys) {
		want[name] = !slices.Contains([]string{"size", "mode", "lowerdir", "upperdir", "workdir"}, name) // which have keys
	}
	maps.DeleteFunc(want, func(_ string, documented bool) bool { return !documented })
	if d := cmp.Diff(want, named); d != "" {
		t.Error(d)
	}
	refused, _, _ = strings.Cut(refused, ". Of contradicting")
	for _, name := range regexp.MustCompile("`[a-z_.-]+`").FindAllString(refused, -1) {
		if _, err := parseOptions([]string{strings.Trim(name, "`")}, false, tmpfsKeys); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
