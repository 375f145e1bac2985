// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"errors"
	"strings"
	"testing"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// ruleCases are values at both sides of each rule.
var ruleCases = []struct{ name, refused, taken string }{
	{"KillMode", "'process'", "'mixed'"},
	{"SendSIGKILL", "false", "true"},
	{"FinalKillSignal", "3", "9"},
	{"KillSignal", "0", "1"},
	{"KillSignal", "65", "64"},
	{"WatchdogSignal", "-1", "6"},
	{"TimeoutStopUSec", "0", "1"},
	{"CPUWeight", "20000", "0"},
	{"StartupCPUWeight", "10001", "10000"},
	{"CPUWeight", "18446744073709551614", "18446744073709551615"},
	{"IOWeight", "0", "1"},
	{"StartupIOWeight", "10001", "18446744073709551615"},
	{"TasksMax", "0", "1"},
	{"TasksMaxScale", "4294967295", "4294967294"},
	{"TasksMaxScale", "0", "1"},
	{"MemoryMax", "0", "1"},
	{"MemoryHigh", "0", "18446744073709551615"},
	{"MemoryMaxScale", "0", "4294967295"},
	{"CPUQuotaPerSecUSec", "0", "1"},
	{"IODeviceWeight", "[('/dev/a', 1), ('/dev/b', 20000)]", "[('/dev/a', 1), ('/dev/b', 10000)]"},
	{"IODeviceWeight", "[('/dev/a', 18446744073709551615)]", "[]"},
	{"IOReadBandwidthMax", "[('/dev//a', 1)]", "[('/dev/a', 1)]"},
	{"IOWriteIOPSMax", "[('/dev/./a', 1)]", "[('/srv/', 1)]"},
	{"IODeviceLatencyTargetUSec", "[('/dev/../a', 1)]", "[('/dev/a', 0)]"},
	{"DeviceAllow", "[('foo', 'rw')]", "[('char-*', 'rw')]"},
	{"DeviceAllow", "[('/dev/null', 'rwx')]", "[('/dev/null', '')]"},
	{"DeviceAllow", "[('/etc/null', 'r')]", "[('/run/systemd/inaccessible/chr', 'r')]"},
	{"DeviceAllow", "[('/dev/a b', 'r')]", "[('block-loop', 'mr')]"},
	{"After", "['foo']", "['foo.service', 'a@b.socket']"},
	{"OnFailure", "['a@.service']", "['a@b.service']"},
	{"RequiresMountsFor", "['x']", "['/x//y/./z/']"},
	{"RequiresMountsFor", "['/x/../y']", "['/x..y']"},
	{"Documentation", "['foo']", "['man:x(1)', 'https://x', 'file:/x', 'info:x']"},
	{"Documentation", "['http://']", "['http://x']"},
	{"DisableControllers", "['foo']", "['cpu', 'io']"},
	{"BPFProgram", "[('foo', '/x')]", "[('device', '/x')]"},
	{"BPFProgram", "[('device', 'x')]", "[('sysctl', '/x')]"},
	{"IPIngressFilterPath", "['x']", "['/x']"},
	{"IPAddressAllow", "[(2, [10, 0, 0, 0], 33)]", "[(2, [10, 0, 0, 0], 32)]"},
	{"IPAddressDeny", "[(10, [10, 0, 0, 0], 8)]", "[(2, [10, 0, 0, 0], 0)]"},
	{"IPAddressDeny", "[(2, [10, 0, 0], 8)]", "[]"},
	{"SocketBindAllow", "[(1, 6, 1, 80)]", "[(10, 17, 0, 0)]"},
	{"SocketBindDeny", "[(2, 1, 1, 80)]", "[(0, 0, 0, 0)]"},
	{"SocketBindDeny", "[(2, 6, 2, 65535)]", "[(2, 6, 1, 65535)]"},
	{"SocketBindDeny", "[(2, 6, 1, 0)]", "[(2, 6, 65535, 1)]"},
	{"RestrictNetworkInterfaces", "(true, ['a/b'])", "(true, ['eth0.5'])"},
	{"RestrictNetworkInterfaces", "(true, ['0x10'])", "(true, ['1_0', '0x80000000', '-1'])"},
	{"NFTSet", "[(1, 1, 't', 's')]", "[(3, 1, 't', 's')]"},
	{"NFTSet", "[(3, 4, 't', 's')]", "[(5, 10, 't', 's')]"},
	{"NFTSet", "[(3, 1, '1', 's')]", "[(4, 2, 'a/b', 's_1')]"},
}

// What systemd would refuse is told before, and what it takes is not.
func TestRules(t *testing.T) {
	for _, c := range ruleCases {
		if _, err := Parse(c.name, c.refused); err == nil || !strings.Contains(err.Error(), "property "+c.name+": value ") || !strings.Contains(err.Error(), ": want ") {
			t.Errorf("%s=%s: error is %v, want a value and what is accepted", c.name, c.refused, err)
		}
		if _, err := Parse(c.name, c.taken); err != nil {
			t.Errorf("%s=%s: %v", c.name, c.taken, err)
		}
	}
}

// The running systemd has the same rules, but for the ends that would leave processes behind.
func TestRealRules(t *testing.T) {
	if !sdtest.InsideAll(t) {
		return
	}
	c := dialTest(t)
	version, err := c.Version(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	start := func(name, text string) error {
		info, _ := Lookup(name)
		p := &parser{text: text}
		u := Unit{Name: "sdc-rule.scope", Strict: true, Properties: []Property{
			{Name: "CollectMode", Value: "inactive-or-failed"}, {Name: name, Value: p.value(info.Sig)},
		}}
		if p.err != nil {
			t.Fatal(p.err)
		}
		job, err := c.Start(t.Context(), u, sleeper(t))
		if err == nil {
			err = job.Wait(t.Context())
		}
		if failed := (*JobError)(nil); err != nil && !errors.As(err, &failed) {
			return err
		}
		_ = c.Stop(t.Context(), u.Name) // it has gone where it names what does not exist
		return nil
	}
	for _, r := range sdtest.Some(ruleCases, 16) {
		info, _ := Lookup(r.name)
		if info.Since > version || info.Kind == KindNFT { // for the latter systemd loads nf_tables, which stays
			continue
		}
		if err := start(r.name, r.taken); err != nil {
			t.Errorf("%s=%s: %v, want it taken", r.name, r.taken, err)
		}
		switch r.name {
		case "KillMode", "SendSIGKILL", "FinalKillSignal", "TimeoutStopUSec", "RestrictNetworkInterfaces": // the last only in unit files
			continue
		}
		if err := start(r.name, r.refused); err == nil {
			t.Errorf("%s=%s is taken, want it refused", r.name, r.refused)
		}
	}
}
