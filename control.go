// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"context"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/scope"
)

// Update changes limits of a running container through its unit, at once and as
// long as the unit lives. res has what is to change; props are systemd
// properties as GVariant text, as in configs.Settings.UnitProperties. Errors: ErrNotRunning.
func (c *Container) Update(ctx context.Context, res *specs.LinuxResources, props map[string]string) error {
	return wrap("update", c.id, c.locked(ctx, func() error { return c.unlessEnded(c.update(ctx, res, props)) }))
}

func (c *Container) update(ctx context.Context, res *specs.LinuxResources, props map[string]string) error {
	if !c.runs() {
		return ErrNotRunning
	}
	spec, err := c.readSpec()
	if err != nil {
		return err
	}
	settings, err := configs.SettingsOf(spec)
	if err != nil {
		return err
	}
	old, err := scope.Plan(spec, settings)
	if err != nil {
		return err
	}
	merged := *spec.Linux.Resources
	overlay(&merged, res)
	spec.Linux.Resources = &merged
	for name, v := range props {
		if settings.UnitProperties == nil {
			settings.UnitProperties = map[string]string{}
		}
		settings.UnitProperties[name] = v
	}
	next, err := scope.Plan(spec, settings)
	if err != nil {
		return err
	}
	changes, err := old.Changes(next)
	if err != nil {
		return err
	}
	settings.Annotate(spec)
	// Order: before anything is changed: what is left to do then takes no room.
	commit, err := prepareJSON(c.path(configFile), spec)
	if err != nil {
		return err
	}
	if len(changes) > 0 {
		err := c.withBus(ctx, func(conn *scope.Conn) error { return conn.SetProperties(ctx, c.st.Unit, true, changes) })
		if err != nil {
			return err
		}
	}
	if len(next.Payload) > 0 {
		if err := scope.WritePayload(c.st.Cgroup, next.Payload); err != nil {
			return err
		}
	}
	return commit()
}

// overlay lays what res has over the container's resources.
func overlay(into, res *specs.LinuxResources) {
	if res == nil {
		return
	}
	if res.Memory != nil {
		into.Memory = res.Memory
	}
	if res.CPU != nil {
		into.CPU = res.CPU
	}
	if res.Pids != nil {
		into.Pids = res.Pids
	}
	if res.BlockIO != nil {
		into.BlockIO = res.BlockIO
	}
	if len(res.Devices) > 0 {
		into.Devices = res.Devices
	}
	if len(res.Unified) > 0 {
		all := map[string]string{}
		for _, m := range []map[string]string{into.Unified, res.Unified} {
			for k, v := range m {
				all[k] = v
			}
		}
		into.Unified = all
	}
}

// runs says whether the container is there as a whole: its processes, its unit, its cgroup.
func (c *Container) runs() bool {
	s := c.status()
	return s == Created || s == Running || s == Paused
}

func (c *Container) frozen() bool { return c.st.Cgroup != "" && scope.Frozen(c.st.Cgroup) }

// Stats reads the container's cgroup. Errors: ErrNotRunning.
func (c *Container) Stats() (Stats, error) {
	if err := c.read(); err != nil {
		return Stats{}, wrap("stats", c.id, err)
	}
	if !c.runs() {
		return Stats{}, wrap("stats", c.id, ErrNotRunning)
	}
	s, err := scope.ReadStats(c.st.Cgroup)
	return s, wrap("stats", c.id, err)
}

// Processes lists the PIDs, on the host, of the container's processes. Errors: ErrNotRunning.
func (c *Container) Processes() ([]int, error) {
	if err := c.read(); err != nil {
		return nil, wrap("top", c.id, err)
	}
	if !c.runs() {
		return nil, wrap("top", c.id, ErrNotRunning)
	}
	pids, err := scope.Procs(c.st.Cgroup)
	return pids, wrap("top", c.id, err)
}
