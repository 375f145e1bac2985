// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sdcontainer/sdcontainer"
	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/scope"
)

// A limit is one flag of update and the property it becomes.
type limit struct {
	flag, short, usage string
	aliases            []string // other names for it, as run has them
	property           string
}

func limits() []limit {
	return []limit{
		{"memory", "m", "most memory: `size`, share like 50%, infinity", []string{"memory-max"}, "MemoryMax"},
		{"memory-high", "", "memory above which it is slowed: `size`", nil, "MemoryHigh"},
		{"memory-low", "", "memory protected if possible: `size`, as far as its slice has it", nil, "MemoryLow"},
		{"memory-min", "", "memory protected in any case: `size`, as far as its slice has it", nil, "MemoryMin"},
		{"swap", "", "most swap: `size`", []string{"memory-swap-max"}, "MemorySwapMax"},
		{"cpus", "", "CPU time: `number` of CPUs, share like 150%, infinity", []string{"cpu-quota"}, "CPUQuotaPerSecUSec"},
		{"cpu-weight", "", "share of CPU when there is too little: `weight`, 1 to 10000 or idle", nil, "CPUWeight"},
		{"io-weight", "", "share of I/O when there is too little: `weight`, 1 to 10000", nil, "IOWeight"},
		{"pids-limit", "", "most processes and threads: `number`, share, infinity", []string{"tasks", "tasks-max"}, "TasksMax"},
	}
}

func (a *app) update() *cobra.Command {
	var set []string
	cmd := &cobra.Command{
		Use:   "update [flags] NAME...",
		Short: "Change limits of running containers",
		Long: `Changes limits of running containers at once, through their units, and prints what
changed. What was set before, by whomever, is replaced.

On a scope the change lasts as long as the scope. On a service it survives a
daemon-reload; the next start restores each limit that the configuration sets, and a
limit that it does not set stays, as a drop-in of the unit, until a reboot, unit
install, unit rm or, for an instance without unit install, systemctl revert. For a
lasting change edit the configuration, or use systemctl edit, whose drop-in no start
changes.

--set takes any property of a unit by its systemd name, with its value as in
GVariant text: uint64 5, 'text', [('/dev/sda', uint64 1000000)].`,
		Example: `  sdcontainer update --memory 512M --pids-limit 100 web
  sdcontainer update --cpus 150% web
  sdcontainer update --set 'MemoryZSwapMax=uint64 0' web`,
		ValidArgsFunction: a.completeNames,
		Args:              names(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			props, err := properties(cmd.Flags(), set)
			if err != nil {
				return err
			}
			return a.each(cmd.Context(), args, func(c *sdcontainer.Container) error { return a.change(cmd.Context(), c, props) })
		},
	}
	for _, l := range limits() {
		cmd.Flags().StringP(l.flag, l.short, "", l.usage)
		for _, alias := range l.aliases { // a flag of its own: errors name what was typed
			cmd.Flags().String(alias, "", "the same as --"+l.flag)
			must(cmd.Flags().MarkHidden(alias))
		}
		cmd.MarkFlagsMutuallyExclusive(append(l.aliases, l.flag)...)
	}
	cmd.Flags().StringArrayVar(&set, "set", nil, "any property: `PROPERTY=VALUE`")
	must(cmd.RegisterFlagCompletionFunc("set", completeProperties))
	return cmd
}

func completeProperties(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var all []string
	for _, p := range scope.Properties() {
		if p.Live {
			all = append(all, p.Name+"=")
		}
	}
	return all, noFiles | cobra.ShellCompDirectiveNoSpace
}

// set is the property that the flag's text sets, and its value.
func (l limit) set(text string) (property, value string, err error) {
	if l.flag != "cpus" {
		return scope.LimitProperty(l.property, text)
	}
	property, value, err = scope.LimitProperty(l.property, cpuShare(text))
	if err != nil {
		err = fmt.Errorf("%q: want %s", text, wantCPUs)
	}
	return property, value, err
}

// properties are those that the flags change, as GVariant text.
func properties(flags *pflag.FlagSet, set []string) (map[string]string, error) {
	props := map[string]string{}
	var errs []error
	for _, l := range limits() {
		f := flags.Lookup(l.flag)
		for _, alias := range l.aliases {
			if flags.Changed(alias) {
				f = flags.Lookup(alias)
			}
		}
		if !f.Changed {
			continue
		}
		name, value, err := l.set(f.Value.String())
		if err != nil {
			errs = append(errs, usage("--%s %w", f.Name, err))
		}
		props[name] = value
	}
	for _, s := range set {
		name, value, ok := strings.Cut(s, "=")
		if !ok || name == "" {
			errs = append(errs, usage("--set %s: want PROPERTY=VALUE", s))
			continue
		}
		if _, err := scope.Parse(name, value); err != nil {
			errs = append(errs, usage("--set %w", err))
		}
		props[name] = value
	}
	if len(props) == 0 && len(errs) == 0 {
		return nil, usage("nothing to change: give a limit, such as --memory 512M")
	}
	return props, errors.Join(errs...)
}

// change updates one container and prints what is different then.
func (a *app) change(ctx context.Context, c *sdcontainer.Container, props map[string]string) error {
	names := slices.Collect(maps.Keys(props))
	before, err := readable(ctx, c, names)
	if err != nil {
		return err
	}
	if err := c.Update(ctx, nil, props); err != nil {
		return err
	}
	after, err := readable(ctx, c, names)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(after)) {
		line := fmt.Sprintf("%s: %s: %s (unchanged)", c.ID(), name, shown(name, after[name]))
		if old := shown(name, before[name]); old != shown(name, after[name]) {
			line = fmt.Sprintf("%s: %s: %s -> %s", c.ID(), name, old, shown(name, after[name]))
		}
		if err := a.println(line); err != nil {
			return err
		}
	}
	return nil
}

// readable reads what this systemd has of some properties: whether the others may be passed over, Update knows.
func readable(ctx context.Context, c *sdcontainer.Container, names []string) (map[string]any, error) {
	all, err := c.Properties(ctx, names...)
	if !errors.Is(err, scope.ErrUnsupported) {
		return all, err
	}
	all = map[string]any{}
	for _, name := range names {
		one, err := c.Properties(ctx, name)
		if err != nil && !errors.Is(err, scope.ErrUnsupported) {
			return nil, err
		}
		maps.Copy(all, one)
	}
	return all, nil
}

// shown is a property's value for people.
func shown(name string, v any) string {
	n, ok := v.(uint64)
	switch {
	case !ok:
		return fmt.Sprint(v)
	case n == configs.Infinity && strings.HasSuffix(name, "Weight"):
		return "default"
	case n == 0 && strings.HasSuffix(name, "CPUWeight"):
		return "idle"
	case n == configs.Infinity:
		return "infinity"
	case strings.HasPrefix(name, "Memory"):
		return size(n)
	case name == "CPUQuotaPerSecUSec":
		return fmt.Sprintf("%g%%", float64(n)/10000)
	}
	return fmt.Sprint(n)
}
