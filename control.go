// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/scope"
)

// Update changes limits of a running container through its unit, at once. The unit keeps
// them as long as it lives, that of a service until it starts again, and those that its configuration does not
// set until a reboot (docs/on-disk.md). res has what is to change, field by field; props are systemd properties as GVariant text, as in
// configs.Settings.UnitProperties; [scope.LimitProperty] makes them of texts such as "512M". Both are
// set whatever the unit had. Errors: ErrNotRunning.
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
	old, knew := scope.Plan(spec, settings)
	asked, err := ask(spec, &settings, res, props)
	if err != nil {
		return err
	}
	// It runs with what it has: what this command would refuse of that keeps nobody from changing the rest.
	next, err := scope.Plan(spec, settings)
	if err != nil && fmt.Sprint(err) != fmt.Sprint(knew) {
		return err
	}
	changes, err := old.Changes(next, asked)
	if err != nil {
		return err
	}
	if err := c.seenByOomd(old, next, settings.Strict); err != nil {
		return err
	}
	settings.Annotate(spec)
	// Order: before anything is changed: what is left to do then takes no room.
	commit, err := prepareJSON(c.path(configFile), spec)
	if err != nil {
		return err
	}
	if len(changes) > 0 {
		if err := c.setKnown(ctx, changes, settings.Strict); err != nil {
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

// setKnown changes the running unit. With systemd.strict = false what this systemd lacks is a warning, as at the start.
func (c *Container) setKnown(ctx context.Context, changes []scope.Property, strict bool) error {
	return c.withBus(ctx, func(conn *scope.Conn) error {
		dropped, err := conn.SetKnown(ctx, scope.Unit{Name: c.st.Unit, Properties: changes, Strict: strict}, true)
		c.rt.tell(dropped)
		return err
	})
}

// Properties reads properties of a running container's unit, be it a scope or a service: what
// Update sets, and all else that systemd tells of the unit, such as MemoryCurrent. The result has the
// names under which they are read: MemoryMax where MemoryMaxScale is asked for. Values
// are what D-Bus has, uint64 for a limit, with [scope.Infinity] for none; of a weight that is the
// default. Errors: ErrNotRunning; [scope.ErrUnsupported] for what this systemd does not have.
func (c *Container) Properties(ctx context.Context, names ...string) (map[string]any, error) {
	values, err := c.properties(ctx, names)
	return values, wrap("properties", c.id, err)
}

func (c *Container) properties(ctx context.Context, names []string) (values map[string]any, err error) {
	unlock, err := c.lock(ctx, shared) // waits for one that is being created
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := c.read(); err != nil {
		return nil, err
	}
	read := make([]string, len(names))
	for i, name := range names {
		read[i] = scope.ReadName(name)
	}
	err = c.unlessEnded(c.withBus(ctx, func(conn *scope.Conn) (err error) {
		values, err = conn.Get(ctx, c.st.Unit, read...)
		return err
	}))
	// Order: after reading: of a unit that has gone systemd tells what a new one would have.
	if err == nil && !c.runs() {
		err = ErrNotRunning
	}
	if err != nil {
		return nil, err
	}
	return values, nil
}

// runs says whether the container is there as a whole: its processes, its unit, its cgroup.
func (c *Container) runs() bool {
	s := c.status()
	return s == Created || s == Running || s == Paused
}

func (c *Container) frozen() bool { return c.st.Cgroup != "" && scope.Frozen(c.st.Cgroup) }

// Stats reads the cgroup of the container's unit, which has what systemd knows of limits: below it, in the payload's
// own, controllers are on only where something needs them. A CPU quota with a burst is one of those things, and counted
// there. A service's counts from the start of the service. Errors: ErrNotRunning.
func (c *Container) Stats() (Stats, error) {
	if err := c.read(); err != nil {
		return Stats{}, wrap("stats", c.id, err)
	}
	if !c.runs() {
		return Stats{}, wrap("stats", c.id, ErrNotRunning)
	}
	unit := scope.UnitCgroup(c.st.Cgroup)
	s, err := scope.ReadStats(unit)
	s.OOMKills -= min(s.OOMKills, c.st.OOMKills)
	if unit != c.st.Cgroup && s.CPU.Periods == 0 {
		if own, err := scope.ReadStats(c.st.Cgroup); err == nil {
			s.CPU.Periods, s.CPU.Throttled = own.CPU.Periods, own.CPU.Throttled
		}
	}
	return s, wrap("stats", c.id, c.unlessEnded(err))
}

// Processes lists the PIDs, on the host, of the container's processes; [Container.Top] says more of them. Errors: ErrNotRunning.
func (c *Container) Processes() ([]int, error) {
	pids, err := c.pids()
	return pids, wrap("processes", c.id, err)
}

func (c *Container) pids() ([]int, error) {
	if err := c.read(); err != nil {
		return nil, err
	}
	if !c.runs() {
		return nil, ErrNotRunning
	}
	pids, err := scope.Procs(c.st.Cgroup)
	// Order: after reading: processes leave their cgroup, and systemd removes it, before the first of them has ended.
	if errors.Is(err, fs.ErrNotExist) && c.runs() && !kernel.Ending(c.st.Init.Pid) {
		return nil, fmt.Errorf("its cgroup is gone: somebody has moved process %d to another (rm -f ends it): %w", c.st.Init.Pid, err)
	}
	return pids, c.unlessEnded(err)
}
