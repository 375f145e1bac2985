// SPDX-License-Identifier: Apache-2.0

package unitgen

import (
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/scope"
)

// formOfLimit is what directives take whose property has no text of its own.
func formOfLimit(name string) (form, bool) {
	switch name {
	case "AllowedCPUs", "StartupAllowedCPUs", "AllowedMemoryNodes", "StartupAllowedMemoryNodes":
		return numbers(""), true
	case "CPUAffinity":
		return numbers("numa"), true
	case "NUMAMask":
		return numbers("all"), true
	case "NUMAPolicy":
		return oneOf("default", "preferred", "bind", "interleave", "local"), true
	case "IPAddressAllow", "IPAddressDeny":
		return form{want: `addresses like 10.0.0.0/8, any, localhost, link-local or multicast`, ok: isAddress, list: true}, true
	case "DeviceAllow":
		return form{want: `a device like "/dev/fuse rw" or "char-pts rw"`, ok: isDevice}, true
	case "IODeviceWeight":
		return ofDevice(`a path and a number from 1 to 10000, like "/dev/sda 200"`, inRange(1, 10000).ok), true
	case "IODeviceLatencyTargetSec":
		return ofDevice(`a path and a time, like "/dev/sda 25ms"`, span().ok), true
	case "IOReadBandwidthMax", "IOWriteBandwidthMax", "IOReadIOPSMax", "IOWriteIOPSMax":
		return ofDevice(`a path and a number with K, M, G or T as powers of 1000, or "infinity", like "/dev/sda 5M"`, func(v string) bool {
			n, ok := amount(v, 1000)
			return v == "infinity" || ok && n >= 1 && n <= math.MaxUint64
		}), true
	case "ManagedOOMMemoryPressureLimit":
		return form{want: `a share like "60%"`, ok: isShare}, true
	case "SocketBindAllow", "SocketBindDeny":
		return form{want: `sockets like any, tcp, ipv6:udp or ipv4:tcp:8000-8080, with ports from 1 to 65535`, ok: isBind(1), newer: isBind(0)}, true
	case "RestrictNetworkInterfaces":
		return interfaces(), true
	case "NFTSet":
		return several(`sets of nftables like "cgroup:inet:filter:web"`, isNFTSet), true
	case "BPFProgram":
		return form{want: `an attach type and an absolute path, like "egress:/sys/fs/bpf/x"`, ok: isProgram}, true
	}
	return form{}, false
}

// numbers are CPUs or nodes, or a word. Some systemd resolve specifiers there.
func numbers(word string) form {
	f := form{want: `numbers like "0-3 8"`, ok: func(v string) bool {
		return word != "" && v == word || quoted(v) || strings.Contains(v, "%") || !slices.ContainsFunc(
			strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' }), func(w string) bool { return !isNumbers(w) })
	}}
	if word != "" {
		f.want += ", or " + word
	}
	return f
}

// isNumbers says whether w is a CPU or memory node, or a range of them, that systemd has place for.
func isNumbers(w string) bool { return isRange(w, 0, configs.MaxCPU) }

// isRange says whether v is a number or a range of them, none less than least or more than most.
func isRange(v string, least, most int64) bool {
	low, high, ok := strings.Cut(v, "-")
	if !ok {
		high = low
	}
	first, ok1 := integer(low)
	last, ok2 := integer(high)
	return ok1 && ok2 && first >= least && first <= last && last <= most
}

func isAddress(w string) bool {
	if slices.Contains([]string{"any", "localhost", "link-local", "multicast"}, w) {
		return true
	}
	text, length, cut := strings.Cut(w, "/")
	a, err := netip.ParseAddr(text)
	bits, ok := integer(length)
	return err == nil && a.Zone() == "" && (!cut || ok && bits >= 0 && bits <= int64(a.BitLen()))
}

// split cuts a value with a path first. One with quotes is systemd's to read.
func split(v string) (path, rest string) {
	path, rest, _ = strings.Cut(strings.ReplaceAll(v, "\t", " "), " ")
	return path, strings.TrimSpace(rest)
}

func isDevice(v string) bool {
	if quoted(v) {
		return true
	}
	path, access := split(v)
	node := func(dir string) bool { return path+"/" == dir || strings.HasPrefix(path, dir) }
	known := strings.HasPrefix(path, "char-") || strings.HasPrefix(path, "block-") || strings.HasPrefix(path, "%") ||
		normal(path) && (node("/dev/") || node("/run/systemd/inaccessible/"))
	return known && strings.Trim(access, "rwm") == ""
}

// ofDevice is a path of the host with what is said of its device.
func ofDevice(want string, ok func(string) bool) form {
	return form{want: want, ok: func(v string) bool {
		if quoted(v) {
			return true
		}
		path, rest := split(v)
		return normal(path) && ok(rest)
	}}
}

// normal says whether a path has nothing that systemd takes for unsafe. Specifiers may become anything.
func normal(p string) bool {
	return p != "." && !slices.Contains(strings.Split(p, "/"), "..")
}

// isPath says whether p is an absolute path. Specifiers may become one.
func isPath(p string) bool {
	return (strings.HasPrefix(p, "/") || strings.HasPrefix(p, "%")) && normal(p)
}

// isBind reads FAMILY:PROTOCOL:PORTS, of which some may be left out. Only some systemd take port 0.
func isBind(least int64) func(string) bool {
	return func(v string) bool {
		parts := strings.Split(v, ":")
		for _, all := range [][]string{{"ipv4", "ipv6"}, {"tcp", "udp"}} {
			if len(parts) > 0 && slices.Contains(all, parts[0]) {
				parts = parts[1:]
			}
		}
		return len(parts) == 0 || len(parts) == 1 && (parts[0] == "any" || isRange(parts[0], least, math.MaxUint16))
	}
}

// interfaces is a list of names. Only some systemd take the alternative names of ip-link(8) too, which are longer.
func interfaces() form {
	all := func(v string, ok func(string) bool) bool {
		return quoted(v) || !slices.ContainsFunc(strings.Fields(v), func(w string) bool {
			w = strings.TrimPrefix(w, "~")
			return w != "" && !ok(w)
		})
	}
	return form{want: `names of interfaces that are no numbers, with up to 15 letters, after a ~ those that are denied`,
		ok: func(v string) bool {
			return all(v, func(w string) bool { return isInterface(w) && len(w) < unix.IFNAMSIZ })
		},
		newer: func(v string) bool { return all(v, isInterface) }}
}

func isInterface(w string) bool {
	_, err := scope.Parse("RestrictNetworkInterfaces", "(true, ["+strconv.Quote(w)+"])")
	return err == nil
}

var nftSet = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(cgroup|user|group):(arp|bridge|inet|ip|ip6|netdev):[A-Za-z][\w/.]{0,30}:[A-Za-z][\w/.]{0,30}$`)
})

func isNFTSet(w string) bool { return strings.Contains(w, "%") || nftSet().MatchString(w) }

func isProgram(v string) bool {
	typ, path, _ := strings.Cut(v, ":")
	_, err := scope.Parse("BPFProgram", "[("+strconv.Quote(typ)+", '/x')]")
	return err == nil && isPath(path)
}
