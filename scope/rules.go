// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"fmt"
	"math"
	"net/netip"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
)

// A requirement is what a value has to be beyond its type, or each entry of a list. But for those that would leave processes
// behind, and a 0 that means two things, they are the rules by which systemd refuses a start or a change.
type requirement struct {
	want string
	ok   func(any) bool
}

func ruled[T any](want string, ok func(T) bool) *requirement {
	return &requirement{want, func(v any) bool { return ok(v.(T)) }}
}

const wantPath = "an absolute path without .. in it"

// leaves is why a scope may not end with less than a SIGKILL of all.
const leaves = "another would leave processes behind"

// check is nil for a value that keeps the property's rule.
func (i Info) check(value any) error {
	r := ruleOf(i)
	if r == nil {
		return nil
	}
	for _, entry := range entries(i, value) {
		if !r.ok(entry) {
			return fmt.Errorf("value %s: want %s", written(entry), r.want)
		}
	}
	return nil
}

// entries are those of a list, else the value.
func entries(i Info, value any) (all []any) {
	if r := reflect.ValueOf(value); i.List() && r.Kind() == reflect.Slice {
		for n := range r.Len() {
			all = append(all, r.Index(n).Interface())
		}
		return all
	}
	return []any{value}
}

func written(v any) string {
	if s, ok := v.(string); ok {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprintf("%+v", v)
}

// ruleOf is the rule of a property, or nil.
func ruleOf(i Info) *requirement {
	switch i.Name {
	case "KillMode":
		return ruled("control-group or mixed: "+leaves, func(s string) bool { return s == "control-group" || s == "mixed" })
	case "SendSIGKILL":
		return ruled("true: "+leaves, func(on bool) bool { return on })
	case "FinalKillSignal":
		return ruled("9, SIGKILL: "+leaves, func(n int32) bool { return n == int32(unix.SIGKILL) })
	case "TimeoutStopUSec":
		return ruled("more than 0, which is no time at all, and in a unit file no limit", func(n uint64) bool { return n > 0 })
	case "CPUWeight", "StartupCPUWeight":
		return ruled("1 to 10000, or 0 for idle", func(n uint64) bool { return n == 0 || isWeight(n) || n == Infinity })
	case "IOWeight", "StartupIOWeight":
		return ruled("1 to 10000", func(n uint64) bool { return isWeight(n) || n == Infinity })
	case "TasksMax", "MemoryMax", "MemoryHigh", "StartupMemoryMax", "StartupMemoryHigh", "CPUQuotaPerSecUSec":
		return ruled("more than 0", func(n uint64) bool { return n > 0 })
	case "TasksMaxScale":
		return ruled("more than 0 and less than 4294967295, which is all", func(n uint32) bool { return n > 0 && n < math.MaxUint32 })
	case "MemoryMaxScale", "MemoryHighScale":
		return ruled("more than 0", func(n uint32) bool { return n > 0 })
	case "IODeviceWeight":
		return ruled("an absolute path and 1 to 10000", func(e PathValue) bool { return clean(e.Path) && isWeight(e.Value) })
	case "DeviceAllow":
		return ruled("a path below /dev, char-NAME or block-NAME, and any of the letters r, w and m", func(e PathWord) bool { return isDevice(e.Path) && strings.Trim(e.Word, "rwm") == "" })
	case "BPFProgram":
		return ruled("one of "+strings.Join(attachTypes, ", ")+", and an absolute path", func(e PathWord) bool { return slices.Contains(attachTypes, e.Path) && clean(e.Word) })
	case "Documentation":
		return ruled("a URI that begins with http://, https://, file:/, info: or man:", isDocumentation)
	case "IPIngressFilterPath", "IPEgressFilterPath":
		return ruled(wantPath, clean)
	case "RequiresMountsFor", "WantsMountsFor": // systemd makes these clean itself
		return ruled(wantPath, func(p string) bool { return path.IsAbs(p) && !slices.Contains(strings.Split(p, "/"), "..") })
	}
	if all := Words(i.Name); all != nil {
		return ruled("one of "+strings.Join(all, ", "), func(s string) bool { return slices.Contains(all, s) })
	}
	return ruleOfKind(i)
}

func ruleOfKind(i Info) *requirement {
	switch i.Kind {
	case KindStrings: // the others are names of units
		return ruled(`a unit name such as "network.target"`, func(s string) bool { return configs.IsUnitName(s) && !strings.Contains(s, "@.") })
	case KindSignal:
		return ruled("a signal's number, 1 to 64", func(n int32) bool { return n > 0 && n <= 64 })
	case KindPathValue, KindPathDuration:
		return ruled(wantPath, func(e PathValue) bool { return clean(e.Path) })
	case KindAddress:
		return ruled("family 2 with 4 bytes or 10 with 16, and a prefix length", isAddress)
	case KindBind:
		return ruled("family 0, 2 or 10, protocol 0, 6 or 17, and ports from 1 to 65535, or 0 for all", isBind)
	case KindInterfaces:
		return ruled("names of interfaces that are no numbers", func(e Interfaces) bool {
			return !slices.ContainsFunc(e.Names, func(s string) bool { return !isInterface(s) })
		})
	case KindNFT:
		return ruled("source 3 to 5, a netfilter family, and names of a table and a set", isNFT)
	}
	return nil
}

var attachTypes = []string{"ingress", "egress", "sock_create", "sock_ops", "device", "bind4", "bind6", "connect4", "connect6", "post_bind4", "post_bind6",
	"sendmsg4", "sendmsg6", "sysctl", "recvmsg4", "recvmsg6", "getsockopt", "setsockopt"}

func isWeight(n uint64) bool { return n >= 1 && n <= 10000 }

// clean says whether a path is absolute and has no component that systemd takes for unsafe; a slash may end it.
func clean(p string) bool {
	return path.IsAbs(p) && (path.Clean(p) == p || path.Clean(p)+"/" == p)
}

func isDevice(p string) bool {
	if strings.ContainsAny(p, " \t\n\r") {
		return false
	}
	return strings.HasPrefix(p, "char-") || strings.HasPrefix(p, "block-") ||
		path.Clean(p) == p && (strings.HasPrefix(p, "/dev/") || strings.HasPrefix(p, "/run/systemd/inaccessible/"))
}

func isDocumentation(uri string) bool {
	for _, scheme := range []string{"http://", "https://", "file:/", "info:", "man:"} {
		if rest, ok := strings.CutPrefix(uri, scheme); ok {
			return rest != "" && !strings.ContainsFunc(rest, func(r rune) bool { return r > 127 })
		}
	}
	return false
}

func isAddress(a Address) bool {
	ip, ok := netip.AddrFromSlice(a.Address)
	family := map[int]int32{4: unix.AF_INET, 16: unix.AF_INET6}[len(a.Address)]
	return ok && a.Family == family && int64(a.Prefix) <= int64(ip.BitLen())
}

func isBind(b Bind) bool {
	return slices.Contains([]int32{unix.AF_UNSPEC, unix.AF_INET, unix.AF_INET6}, b.Family) &&
		slices.Contains([]int32{0, unix.IPPROTO_TCP, unix.IPPROTO_UDP}, b.Protocol) &&
		int(b.Port)+int(b.Count) <= 1<<16 && (b.Port > 0 || b.Count == 0)
}

// isInterface says whether systemd takes a name for one: what it reads as a number is an index to it, also 0x10 and +1.
func isInterface(name string) bool {
	if n, err := strconv.ParseInt(name, 0, 32); err == nil && n > 0 && !strings.Contains(name, "_") {
		return false
	}
	return name != "" && len(name) < 128 && name != "." && name != ".." && name != "all" && name != "default" &&
		strings.Trim(name, "0123456789") != "" && !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(":/%", r) })
}

var identifierPattern = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z][A-Za-z0-9/\\_.]*$`) })

func isNFT(n NFT) bool {
	identifier := func(s string) bool { return len(s) < 32 && identifierPattern().MatchString(s) }
	return n.Source >= 3 && n.Source <= 5 && slices.Contains([]int32{1, 2, 3, 5, 7, 10}, n.Protocol) && identifier(n.Table) && identifier(n.Set)
}
