// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/scope"
	"github.com/sdcontainer/sdcontainer/unitgen"
)

// What the names of the template's instances begin with, and its TimeoutStopSec=.
const (
	instancePrefix  = "sdcontainer@"
	templateTimeout = 10 * time.Second
)

// templateHas is what an instance of the template has of what cannot change once systemd has
// started it: packaging/systemd/sdcontainer@.service.
var templateHas = map[string]any{
	"KillSignal": int32(unix.SIGTERM), "OOMPolicy": "kill", "Slice": scope.DefaultSlice,
	"TimeoutStopUSec": uint64(templateTimeout / time.Microsecond),
}

// templateSays is the same of directives.
var templateSays = map[string]string{"Restart": "no", "WantedBy": "multi-user.target"}

// beyondTemplate names the directives that a configuration wants and no instance of the
// template has: systemd read that before anybody has read the configuration.
func beyondTemplate(s configs.Settings, unit scope.Unit) []string {
	var names []string
	for _, p := range unit.Properties {
		info, _ := scope.Lookup(p.Name)
		if !info.Live && p.Source != scope.SourceAlways && p.Value != templateHas[p.Name] {
			name := p.Name
			if info.Kind == scope.KindUSec {
				name = strings.TrimSuffix(name, "USec") + "Sec"
			}
			names = append(names, name)
		}
	}
	for _, section := range []map[string][]string{s.Unit, s.Service, s.Install} {
		for name, values := range section {
			if len(values) != 1 || values[0] != cmp.Or(templateSays[name], "\n") {
				names = append(names, name)
			}
		}
	}
	if s.Notify == "container" {
		names = append(names, "NotifyAccess")
	}
	if len(s.Log.Fields) > 0 { // the rest of the log is ours to say
		names = append(names, "LogExtraFields")
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// checkTemplate refuses a configuration of which our service, an instance of the template and
// no more, cannot have everything. Who wrote a unit of his own has decided himself.
func (l *launch) checkTemplate(ctx context.Context) error {
	if !strings.HasPrefix(l.c.st.Unit, instancePrefix) {
		return nil
	}
	names := beyondTemplate(l.settings, l.plan.unit)
	if len(names) == 0 {
		return nil
	}
	fragment, dropIns, err := l.unitFiles(ctx)
	if err != nil {
		return err
	}
	installed := slices.ContainsFunc(dropIns, func(file string) bool { return path.Base(file) == unitgen.TemplateDropIn })
	if path.Base(fragment) != unitgen.Template || installed {
		return nil
	}
	lost := fmt.Sprintf("%s knows nothing of the configuration's %s= (run: sdcontainer unit install %s)",
		l.c.st.Unit, strings.Join(names, "=, "), l.settings.Source)
	if l.settings.Strict {
		return errors.New(lost)
	}
	l.c.rt.warn(lost)
	return nil
}

// unitFiles are the files that systemd has made our service of.
func (l *launch) unitFiles(ctx context.Context) (fragment string, dropIns []string, err error) {
	var p map[string]any
	err = l.c.withBus(ctx, func(conn *scope.Conn) (err error) {
		p, err = conn.Get(ctx, l.c.st.Unit, "FragmentPath", "DropInPaths")
		return err
	})
	fragment, _ = p["FragmentPath"].(string)
	dropIns, _ = p["DropInPaths"].([]string)
	return fragment, dropIns, err
}
