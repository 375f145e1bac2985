// SPDX-License-Identifier: Apache-2.0

package rootfs

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/nsexec"
)

// A change is a set of MOUNT_ATTR_ flags to set and to clear.
type change struct{ set, clear uint64 }

func (c *change) add(o change) {
	if o.clear == unix.MOUNT_ATTR__ATIME {
		// The access time modes are one field: the kernel wants all of it cleared.
		c.set &^= unix.MOUNT_ATTR__ATIME
	}
	c.set = c.set&^o.clear | o.set
	c.clear = c.clear&^o.set | o.clear
}

// rights says whether a change makes a mount read-only or writable.
func (c change) rights() (readOnly, writable bool) {
	return c.set&unix.MOUNT_ATTR_RDONLY != 0, c.clear&unix.MOUNT_ATTR_RDONLY != 0
}

// forget leaves to others what o changes.
func (c *change) forget(o change) {
	c.set &^= o.set | o.clear
	c.clear &^= o.set | o.clear
}

// attributes are the options that change a mount. With an "r" before it, each
// changes the mounts below too.
var attributes = sync.OnceValue(func() map[string]change {
	return map[string]change{
		"ro":            {set: unix.MOUNT_ATTR_RDONLY},
		"rw":            {clear: unix.MOUNT_ATTR_RDONLY},
		"nosuid":        {set: unix.MOUNT_ATTR_NOSUID},
		"suid":          {clear: unix.MOUNT_ATTR_NOSUID},
		"nodev":         {set: unix.MOUNT_ATTR_NODEV},
		"dev":           {clear: unix.MOUNT_ATTR_NODEV},
		"noexec":        {set: unix.MOUNT_ATTR_NOEXEC},
		"exec":          {clear: unix.MOUNT_ATTR_NOEXEC},
		"nodiratime":    {set: unix.MOUNT_ATTR_NODIRATIME},
		"diratime":      {clear: unix.MOUNT_ATTR_NODIRATIME},
		"nosymfollow":   {set: unix.MOUNT_ATTR_NOSYMFOLLOW},
		"symfollow":     {clear: unix.MOUNT_ATTR_NOSYMFOLLOW},
		"relatime":      {set: unix.MOUNT_ATTR_RELATIME, clear: unix.MOUNT_ATTR__ATIME},
		"norelatime":    {clear: unix.MOUNT_ATTR__ATIME},
		"noatime":       {set: unix.MOUNT_ATTR_NOATIME, clear: unix.MOUNT_ATTR__ATIME},
		"atime":         {clear: unix.MOUNT_ATTR__ATIME},
		"strictatime":   {set: unix.MOUNT_ATTR_STRICTATIME, clear: unix.MOUNT_ATTR__ATIME},
		"nostrictatime": {clear: unix.MOUNT_ATTR__ATIME},
	}
})

// propagations are the propagation types. With an "r" before it, each holds for
// the mounts below too.
var propagations = map[string]uint64{
	"private":    unix.MS_PRIVATE,
	"slave":      unix.MS_SLAVE,
	"shared":     unix.MS_SHARED,
	"unbindable": unix.MS_UNBINDABLE,
}

// superFlags are the options that are set on a new filesystem; on a bind mount they could have no effect.
var superFlags = []string{"sync", "dirsync", "lazytime", "mand"}

// idle are options with nothing to do: the opposites of superFlags are the kernel's default. The specification demands iversion,
// which fsconfig(2) has no flag for: of the filesystems made here none counts versions on demand, as ext4 did before Linux 6.1,
// and what the host has mounted counts them or does not.
var idle = []string{"async", "nodirsync", "nolazytime", "nomand", "iversion", "noiversion", "silent", "loud", "defaults"}

// superblock says whether an option is one of [superFlags], which it returns, or of [idle].
func superblock(option string) (flag string, ok bool) {
	switch {
	case slices.Contains(superFlags, option):
		return option, true
	case slices.Contains(idle, option):
		return "", true
	}
	return "", false
}

// Create says what the parent makes where a bind source is missing.
type Create struct {
	Kind     nsexec.Kind
	Mode     uint32
	UID, GID uint32
}

// A param is a filesystem's own option: key=value, or a key alone.
type param struct {
	key, value string
	flag       bool
}

func (p param) String() string {
	if p.flag {
		return p.key
	}
	return p.key + "=" + p.value
}

// options are the options of one mount, understood.
type options struct {
	below       change // of the mount and all below it, first
	attr        change // of the mount itself, where later options say otherwise
	bind        bool
	recursive   bool
	propagation uint64
	spread      bool // the propagation holds for the mounts below, too
	idmap       bool
	idmapBelow  bool
	super       []string
	params      []param
	optional    bool
	create      *Create
}

// parseOptions understands every standard mount option; keys are the parameters
// that the filesystem itself has.
func parseOptions(list []string, bind bool, keys []string) (options, error) {
	o := options{bind: bind}
	for _, s := range list {
		if err := o.add(s, keys); err != nil {
			return o, err
		}
	}
	return o, nil
}

func (o *options) add(s string, keys []string) error {
	if o.addMount(s) || o.addSuper(s) {
		return nil
	}
	key, value, hasValue := strings.Cut(s, "=")
	if strings.HasPrefix(key, "x-sdc.") {
		return o.addOwn(key, value)
	}
	switch key {
	case "tmpcopyup":
		return fmt.Errorf("option %q: copying the image's files into a tmpfs is not supported", s)
	case "notmpcopyup":
		return nil
	case "remount":
		return fmt.Errorf("option %q: give the mount itself the options it shall have", s)
	}
	if !slices.Contains(keys, key) {
		return o.unknown(s, keys)
	}
	if len(value) > maxValue {
		return fmt.Errorf("option %q: value longer than the kernel's %d bytes", key, maxValue)
	}
	if want := wanted(key, value); want != "" {
		return fmt.Errorf("option %q: want %s", s, want)
	}
	o.params = append(o.params, param{key, value, !hasValue})
	return nil
}

// unknown says what an option may be meant to be, or what there is.
func (o *options) unknown(s string, keys []string) error {
	own := slices.Concat(slices.Sorted(maps.Keys(attributes())), slices.Sorted(maps.Keys(propagations)))
	rest := keys
	if !o.bind {
		rest = slices.Concat(superFlags, keys)
	}
	name, _, hasValue := strings.Cut(strings.ToLower(s), "=")
	like, sign := slices.Clone(keys), "="
	if !hasValue {
		like, sign = slices.Concat(own, rest, idle, []string{"bind", "rbind"}), ""
		like = slices.DeleteFunc(like, func(n string) bool { return wanted(n, "") != "" })
		for _, n := range own {
			like = append(like, "r"+n)
		}
	}
	meant := map[string]string{"norw": "ro", "noro": "rw"}[name] // the nearest one would be the opposite
	// What fstab(5) has besides is like some, too: of a short name little may be wrong.
	if near, slips := configs.Nearest(name, like), min((len(name)-1)/2, 2); configs.EditDistance(name, near, slips+1) <= slips {
		meant = cmp.Or(meant, near)
	}
	if meant != "" {
		return fmt.Errorf("unknown option %q; did you mean %q?", s, meant+sign)
	}
	return fmt.Errorf("unknown option %q: want one of %s", s, strings.Join(append([]string{strings.Join(own, ", ") + " (each also with an r before it)"}, rest...), ", "))
}

// wanted says what an option takes that means the same to each filesystem that has it, "" if value is that. The kernel would
// say no more than EINVAL, at the start.
func wanted(key, value string) string {
	switch key {
	case "size", "nr_blocks", "nr_inodes":
		number, _ := strings.CutSuffix(value, "%")
		if key != "size" || number == value {
			number = strings.TrimRight(value, "KMGTPEkmgtpe")
		}
		if _, err := strconv.ParseUint(number, 0, 64); err == nil && len(value) <= len(number)+1 {
			return ""
		}
		if key == "size" {
			return "a whole number of bytes, like size=64M (K, M, G, T are powers of 1024), or a share of the memory, like size=10%"
		}
		return "a whole number, like " + key + "=16k (k is 1024)"
	case "mode", "ptmxmode":
		if n, err := strconv.ParseUint(value, 8, 32); err != nil || n > 0o7777 {
			return "an octal mode, like " + key + "=0755"
		}
	case "uid", "gid":
		n, err := strconv.ParseUint(value, 0, 32)
		switch {
		case err == nil && n < noID:
		case value != "" && !strings.ContainsRune("+-0123456789", rune(value[0])):
			return "a number: names of the container are not known yet"
		default:
			return fmt.Sprintf("a number from 0 to %d", noID-1)
		}
	case "mpol":
		if mode, _, _ := strings.Cut(value, ":"); !slices.Contains(policies, strings.TrimSuffix(strings.TrimSuffix(mode, "=static"), "=relative")) {
			return "a policy of " + strings.Join(policies, ", ") + ", with nodes, like mpol=bind:0-1"
		}
	case "noswap", "inode32", "inode64", "volatile", "userxattr", "default_permissions", "newinstance":
		if value != "" {
			return key + " without a value"
		}
	default:
		if words := choices()[key]; words != nil && !slices.Contains(words, value) {
			return key + "= with one of " + strings.Join(words, ", ")
		}
	}
	return ""
}

// policies are those of memory that a tmpfs may have (tmpfs(5)).
var policies = []string{"default", "prefer", "bind", "interleave", "local"}

// choices are the words that an option of a filesystem takes: fs/overlayfs/params.c, mm/shmem.c and fs/proc/root.c of the
// kernel, whatever its version.
var choices = sync.OnceValue(func() map[string][]string {
	onOff := []string{"on", "off"}
	return map[string][]string{
		"huge":         {"never", "always", "within_size", "advise"},
		"redirect_dir": {"on", "off", "follow", "nofollow"},
		"index":        onOff,
		"nfs_export":   onOff,
		"metacopy":     onOff,
		"xino":         {"on", "off", "auto"},
		"uuid":         {"on", "off", "null", "auto"},
		"verity":       {"on", "off", "require"},
		"hidepid":      {"0", "1", "2", "4", "off", "noaccess", "invisible", "ptraceable"},
		"subset":       {"pid"},
	}
})

// maxValue is what fsconfig takes as a string.
const maxValue = 255

func (o *options) addMount(s string) bool {
	below := strings.TrimPrefix(s, "r")
	switch {
	case s == "bind":
		o.bind = true
	case s == "rbind":
		o.bind, o.recursive = true, true
	case s == "idmap":
		o.idmap = true
	case s == "ridmap":
		o.idmap, o.idmapBelow = true, true
	case has(attributes(), s):
		o.attr.add(attributes()[s])
	case has(propagations, s):
		o.propagation, o.spread = propagations[s], false
	case below == s:
		return false
	case has(attributes(), below):
		o.below.add(attributes()[below])
		o.attr.forget(attributes()[below]) // that is for the mount too, and the last word counts
	case has(propagations, below):
		o.propagation, o.spread = propagations[below], true
	default:
		return false
	}
	return true
}

// top is what all options together make of the mount itself.
func (o *options) top() change {
	c := o.below
	c.add(o.attr)
	return c
}

// Restrictions are those of "nodev", "noexec", "nosuid" and "ro" that hold of a mount with these options: each takes
// effect in its order, on the mount itself also with an "r" before it.
func Restrictions(list []string) (held []string) {
	var o options
	for _, s := range list {
		o.addMount(s) // others forbid nothing
	}
	top := o.top()
	for _, name := range []string{"nodev", "noexec", "nosuid", "ro"} {
		if top.set&attributes()[name].set != 0 {
			held = append(held, name)
		}
	}
	return held
}

func has[K comparable, V any, M ~map[K]V](m M, key K) bool {
	_, ok := m[key]
	return ok
}

func (o *options) addSuper(s string) bool {
	flag, ok := superblock(s)
	if ok && flag != "" {
		o.super = append(o.super, flag)
	}
	return ok
}

// addOwn understands our own options, which no kernel knows.
func (o *options) addOwn(key, value string) error {
	switch key {
	case "x-sdc.optional":
		if value != "" {
			return fmt.Errorf("option %q takes no value", key)
		}
		o.optional = true
		return nil
	case "x-sdc.create":
		c, err := parseCreate(value)
		o.create = c
		return err
	}
	return fmt.Errorf("unknown option %q: want x-sdc.optional or x-sdc.create", key)
}

// parseCreate reads dir, file, or either with :MODE:UID:GID.
func parseCreate(s string) (*Create, error) {
	f := strings.Split(s, ":")
	c := &Create{Kind: nsexec.Dir, Mode: 0o755}
	switch f[0] {
	case "dir":
	case "file":
		c.Kind, c.Mode = nsexec.File, 0o644
	default:
		return nil, fmt.Errorf("x-sdc.create=%q: want dir or file, or dir:MODE:UID:GID", s)
	}
	if len(f) == 1 {
		return c, nil
	}
	if len(f) != 4 {
		return nil, fmt.Errorf("x-sdc.create=%q: want dir:MODE:UID:GID", s)
	}
	mode, err1 := strconv.ParseUint(f[1], 8, 32)
	uid, err2 := strconv.ParseUint(f[2], 10, 32)
	gid, err3 := strconv.ParseUint(f[3], 10, 32)
	if err1 != nil || err2 != nil || err3 != nil || mode > 0o7777 || uid == noID || gid == noID {
		return nil, fmt.Errorf("x-sdc.create=%q: want an octal mode and two numbers", s)
	}
	c.Mode, c.UID, c.GID = uint32(mode), uint32(uid), uint32(gid)
	return c, nil
}

// noID is the id that means "none" to the kernel.
const noID = 1<<32 - 1
