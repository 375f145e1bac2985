// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"context"
	"errors"
	"testing"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// samples are values that a type alone does not suggest, as GVariant text. Several
// would reach other units: their values name none that exists.
var samples = map[string]string{
	"CollectMode":                   "'inactive-or-failed'",
	"DelegateControllers":           "['memory']",
	"DelegateSubgroup":              "'sub'",
	"Description":                   "'A sample'",
	"DevicePolicy":                  "'closed'",
	"DisableControllers":            "['io']",
	"Documentation":                 "['https://example.org']",
	"FailureAction":                 "'none'",
	"FinalKillSignal":               "9",
	"Group":                         "'root'",
	"IODeviceLatencyTargetUSec":     "[('/', 1000)]",
	"IODeviceWeight":                "[('/', 100)]",
	"IOReadBandwidthMax":            "[('/', 100000)]",
	"IOReadIOPSMax":                 "[('/', 100000)]",
	"IOWriteBandwidthMax":           "[('/', 100000)]",
	"IOWriteIOPSMax":                "[('/', 100000)]",
	"IPEgressFilterPath":            "['/sys/fs/bpf/none']",
	"IPIngressFilterPath":           "['/sys/fs/bpf/none']",
	"BindsTo":                       "['sysinit.target']",
	"BPFProgram":                    "[('egress', '/sys/fs/bpf/none')]",
	"KillMode":                      "'control-group'",
	"ManagedOOMMemoryPressure":      "'kill'",
	"ManagedOOMPreference":          "'avoid'",
	"ManagedOOMSwap":                "'kill'",
	"MemoryPressureWatch":           "'on'",
	"NFTSet":                        "[(3, 1, 'table', 'set')]",
	"OOMPolicy":                     "'kill'",
	"Requires":                      "['sysinit.target']",
	"Requisite":                     "['sysinit.target']",
	"RequiresMountsFor":             "['/']",
	"RestrictNetworkInterfaces":     "(true, ['lo'])",
	"Slice":                         "'sample.slice'",
	"SuccessAction":                 "'none'",
	"User":                          "'root'",
	"WantsMountsFor":                "['/']",
	"ManagedOOMMemoryPressureLimit": "1000000",
}

// byType are values of the other properties.
var byType = map[string]string{
	"b": "true", "i": "15", "t": "1000000", "u": "1000000", "as": "['sample.target']", "ay": "[1]",
	"a(ss)": "[('/dev/null', 'r')]", "a(iayu)": "[(2, [10, 0, 0, 0], 8)]", "a(iiqq)": "[(2, 6, 1, 80)]",
}

// weights have a range of their own.
var weights = []string{"CPUWeight", "StartupCPUWeight", "IOWeight", "StartupIOWeight"}

func sample(t *testing.T, i Info) Property {
	t.Helper()
	text, ok := samples[i.Name]
	if !ok {
		text = byType[i.Sig]
	}
	for _, w := range weights {
		if w == i.Name {
			text = "100"
		}
	}
	p, err := Parse(i.Name, text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestRealTable: the running systemd has exactly the properties that the table says its
// version has, takes values of their types, and changes exactly the live ones.
func TestRealTable(t *testing.T) {
	if !sdtest.InsideAll(t) {
		return
	}
	c := dialTest(t)
	t.Cleanup(func() { _ = c.Stop(context.Background(), "sample.slice") }) // it is there if the table has Slice
	version, err := c.Version(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all := Properties()
	for i := 0; i < len(all); i += sdtest.Stride(8) {
		info := all[i]
		switch info.Name {
		case "PIDs", "PIDFDs", "AddRef", "Controller": // of every start; for clients of a bus
			continue
		}
		t.Run(info.Name, func(t *testing.T) { tryProperty(t, c, info, version) })
	}
}

func tryProperty(t *testing.T, c *Conn, info Info, version int) {
	p := sample(t, info)
	u := Unit{Name: "sdc-sample.scope", Strict: true, Properties: []Property{{Name: "CollectMode", Value: "inactive-or-failed"}}}
	if info.Name == "CollectMode" {
		u.Properties = nil
	}
	u.Properties = append(u.Properties, p)
	job, err := c.Start(t.Context(), u, sleeper(t))
	if err != nil {
		t.Fatal(err)
	}
	err = job.Wait(t.Context())
	if failed := (*JobError)(nil); errors.As(err, &failed) {
		return // it was taken, and names what does not exist
	}
	if has := !errors.Is(err, ErrUnsupported); has != (info.Since <= version) || has && err != nil {
		t.Errorf("systemd %d, the table says since %d: %v", version, info.Since, err)
	}
	if err != nil {
		return
	}
	err = c.SetProperties(t.Context(), u.Name, true, []Property{p})
	if (err == nil) != info.Live {
		t.Errorf("live is %v in the table, and changing it: %v", info.Live, err)
	}
	if err := c.Stop(t.Context(), u.Name); err != nil {
		t.Error(err)
	}
}
