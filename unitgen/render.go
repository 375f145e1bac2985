// SPDX-License-Identifier: Apache-2.0

package unitgen

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/scope"
)

// spell writes a property of the bus as unit files do: the directive's name and
// its values, one line each. They need no more escaping.
func spell(p scope.Property) (name string, values []string, err error) {
	info, ok := scope.Lookup(p.Name)
	if !ok {
		return "", nil, fmt.Errorf("property %s: unknown", p.Name)
	}
	name = fileName(p.Name)
	switch v := p.Value.(type) {
	case bool:
		return name, []string{yesNo(v)}, nil
	case string:
		s, err := text(v)
		return name, []string{s}, err
	case int32:
		s, err := signalName(v)
		return name, []string{s}, err
	case uint32:
		return name, []string{percent(float64(v) / math.MaxUint32)}, nil
	case uint64:
		return name, []string{number(info, v)}, nil
	case []byte:
		return name, []string{scope.FormatSet(v)}, nil
	case []string:
		if strings.HasSuffix(name, "FilterPath") { // a path a line, not words
			values, err = each(v, text)
			return name, values, err
		}
		s, err := joined(word, v...)
		return name, []string{s}, err
	case scope.Interfaces:
		s, err := joined(word, v.Names...)
		return name, []string{map[bool]string{false: "~"}[v.Allow] + s}, err
	case []scope.PathValue:
		values, err = each(v, func(e scope.PathValue) (string, error) { return pathNumber(info, e) })
	case []scope.PathWord:
		values, err = each(v, pathWord(p.Name))
	case []scope.Address:
		values, err = each(v, address)
	case []scope.Bind:
		values, err = each(v, bind)
	case []scope.NFT:
		values, err = each(v, nft)
	default:
		err = fmt.Errorf("property %s: a %T has no place in a unit file", p.Name, p.Value)
	}
	return name, values, err
}

// fileName is how unit files call a property of the bus.
func fileName(property string) string {
	switch {
	case property == "CPUQuotaPerSecUSec":
		return "CPUQuota"
	case strings.HasSuffix(property, "USec"):
		return strings.TrimSuffix(property, "USec") + "Sec"
	}
	return strings.TrimSuffix(property, "Scale")
}

func each[T any](in []T, f func(T) (string, error)) ([]string, error) {
	out := make([]string, len(in))
	for i, e := range in {
		var err error
		if out[i], err = f(e); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// number writes a property of type t.
func number(info scope.Info, v uint64) string {
	switch {
	case v == scope.Infinity && (info.Kind == scope.KindPercent || strings.HasSuffix(info.Name, "Weight")):
		return "" // as if it were not set
	case v == scope.Infinity:
		return "infinity"
	case info.Kind == scope.KindBytes:
		return size(v)
	case info.Kind == scope.KindUSec:
		return configs.UnitSpan(v)
	case info.Kind == scope.KindPercent:
		return percent(float64(v) / 1e6)
	case v == 0 && strings.HasSuffix(info.Name, "CPUWeight"):
		return "idle"
	}
	return strconv.FormatUint(v, 10)
}

// size writes bytes with the largest suffix, of base 1024, that loses nothing.
func size(v uint64) string {
	suffix := ""
	for _, s := range []string{"K", "M", "G", "T"} {
		if v == 0 || v%1024 != 0 {
			break
		}
		v, suffix = v/1024, s
	}
	return strconv.FormatUint(v, 10) + suffix
}

// percent writes a fraction of one with the two decimals systemd reads, never
// less than asked for by more than their rounding, and never zero for something.
func percent(fraction float64) string {
	permyriad := math.Round(fraction * 10000)
	if permyriad == 0 && fraction > 0 {
		permyriad = 1
	}
	return strconv.FormatFloat(permyriad/100, 'f', -1, 64) + "%"
}

// signalName is systemd's name of a signal; real-time ones count from SIGRTMIN.
func signalName(n int32) (string, error) {
	const rtMin, rtMax = 34, 64
	switch name := unix.SignalName(unix.Signal(n)); {
	case n == rtMin:
		return "SIGRTMIN", nil
	case n > rtMin && n <= rtMax:
		return fmt.Sprintf("SIGRTMIN+%d", n-rtMin), nil
	case name != "":
		return name, nil
	}
	return "", fmt.Errorf("%d is not a signal", n)
}

func pathNumber(info scope.Info, e scope.PathValue) (string, error) {
	path, err := word(e.Path)
	if err != nil {
		return "", err
	}
	if info.Kind == scope.KindPathDuration {
		return path + " " + configs.UnitSpan(e.Value), nil
	}
	// Rates take suffixes of base 1000, unlike sizes: plain digits mislead nobody.
	if e.Value == scope.Infinity {
		return path + " infinity", nil
	}
	return path + " " + strconv.FormatUint(e.Value, 10), nil
}

func pathWord(property string) func(scope.PathWord) (string, error) {
	return func(e scope.PathWord) (string, error) {
		if property == "BPFProgram" {
			return text(e.Path + ":" + e.Word)
		}
		return joined(word, strings.TrimSpace(e.Path), e.Word)
	}
}

func address(a scope.Address) (string, error) {
	ip, ok := netip.AddrFromSlice(a.Address)
	if !ok || int(a.Prefix) > ip.BitLen() {
		return "", fmt.Errorf("address %v/%d: want 4 or 16 bytes and a prefix length", a.Address, a.Prefix)
	}
	return netip.PrefixFrom(ip, int(a.Prefix)).String(), nil
}

// bind writes FAMILY:PROTOCOL:PORTS; what is zero matches all and is left out.
func bind(b scope.Bind) (string, error) {
	var parts []string
	for _, part := range []struct {
		value int32
		names map[int32]string
	}{
		{b.Family, map[int32]string{unix.AF_INET: "ipv4", unix.AF_INET6: "ipv6"}},
		{b.Protocol, map[int32]string{unix.IPPROTO_TCP: "tcp", unix.IPPROTO_UDP: "udp"}},
	} {
		if part.value == 0 {
			continue
		}
		name, ok := part.names[part.value]
		if !ok {
			return "", fmt.Errorf("socket bind rule %+v: want family 2 or 10 and protocol 6 or 17", b)
		}
		parts = append(parts, name)
	}
	switch {
	case b.Count > 1:
		parts = append(parts, fmt.Sprintf("%d-%d", b.Port, int(b.Port)+int(b.Count)-1))
	case b.Count == 1:
		parts = append(parts, strconv.Itoa(int(b.Port)))
	case len(parts) == 0:
		parts = []string{"any"}
	}
	return strings.Join(parts, ":"), nil
}

func nft(n scope.NFT) (string, error) {
	source := map[int32]string{3: "cgroup", 4: "user", 5: "group"}[n.Source]
	family := map[int32]string{1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}[n.Protocol]
	if source == "" || family == "" {
		return "", fmt.Errorf("nft set %+v: want source 3 to 5 and a netfilter family", n)
	}
	return text(strings.Join([]string{source, family, n.Table, n.Set}, ":"))
}
