// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/sdcontainer/sdcontainer/caps"
	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/nsexec"
	"github.com/sdcontainer/sdcontainer/scope"
)

// A ParentStep is something that Create and Start do themselves, around the programs.
type ParentStep struct {
	Phase string `json:"phase"` // of the start
	Does  string `json:"does"`
	Why   string `json:"why"`
}

// A teller collects what the steps of a launch would do, in their order.
type teller struct {
	phase string
	list  []ParentStep
}

func (t *teller) say(why, format string, a ...any) {
	t.list = append(t.list, ParentStep{t.phase, fmt.Sprintf(format, a...), why})
}

// parent has every step of a start in the foreground tell what it does: of the same plan, in the same order.
func parent(p *plan, who *caps.Payload) []ParentStep {
	l := &launch{c: &Container{id: p.settings.Name}, spec: p.spec, settings: p.settings, plan: p, who: who}
	t := &teller{}
	for _, s := range l.steps() {
		t.phase = s.name
		s.tell(t)
	}
	t.phase = "start"
	t.say("the payload runs", "write the record, answer the init: it executes %s", who.Path)
	return t.list
}

func (l *launch) tellCheck(t *teller) {
	t.say("nothing is made for what cannot be started", "check the configuration")
}

func (l *launch) tellReserve(t *teller) {
	t.say("from here on its name is taken, and what a crash leaves is found by it", "make and lock the record of %s", l.c.id)
}

func (l *launch) tellSpawn(t *teller) {
	if n := l.settings.AutoUserns; n > 0 {
		t.say("no other container and no user of the host has them", "claim %d ids, which here begin with %d", n, l.spec.Linux.UIDMappings[0].HostID)
	}
	for _, j := range l.plan.joins {
		t.say("it is what its name says, or the start ends here", "open %s, the %s namespace to join", j.path, j.kind)
	}
	l.tellSend(t, "no Go code runs in the container", "start nsexec and send program", l.plan.spawn.Name(), len(l.plan.spawn.Received()))
}

func (l *launch) tellSend(t *teller, why, what, program string, files int) {
	if files > 0 {
		program += fmt.Sprintf(" with %d descriptors", files)
	}
	t.say(why, "%s %s", what, program)
}

func (l *launch) tellPlan(t *teller) {
	for _, s := range l.plan.world.Sources {
		if c := s.Create; c != nil {
			kind := map[bool]string{true: "file", false: "directory"}[c.Kind == nsexec.File]
			t.say(s.For, "make the %s %s where there is none: mode %04o, owner %d:%d", kind, s.Path, c.Mode, c.UID, c.GID)
		}
		if len(s.Nodes) > 0 {
			paths := make([]string, len(s.Nodes))
			for i, n := range s.Nodes {
				paths[i] = n.Path
			}
			t.say("who watches the host's learns what others do with them", "make a filesystem with %s", strings.Join(paths, ", "))
		}
	}
	t.say("while the namespaces are made", "look at the sources of mounts, compile program %s and the filter", l.plan.world.Program.Name())
}

func (l *launch) tellFork(t *teller) {
	t.say("its pidfd means no other process, whoever gets the number", "wait for the init")
}

func (l *launch) tellAttach(t *teller) {
	if l.plan.made(specs.UserNamespace) {
		const why = "before the init makes anything, which would belong to nobody"
		t.say(why, "write /proc/INIT/uid_map: %s", mapText(l.spec.Linux.UIDMappings))
		t.say(why, "write /proc/INIT/gid_map: %s", mapText(l.spec.Linux.GIDMappings))
	}
	if joins(l.spec, specs.UserNamespace) {
		t.say("some settings do not go with id 0 of the host", "read /proc/INIT/uid_map and gid_map")
	}
	if score := l.spec.Process.OOMScoreAdj; score != nil {
		t.say("to lower it needs a right of the host's", "write /proc/INIT/oom_score_adj: %d", *score)
	}
	t.say("systemd puts the init into the cgroup, with every limit it has a property for", "call StartTransientUnit for %s", l.plan.unit.Name)
	t.say("which processes there are is known to who cleans up", "write the record")
}

// mapText is what is written, on one line.
func mapText(list []specs.LinuxIDMapping) string {
	return strings.ReplaceAll(strings.TrimSuffix(configs.IDMapText(list), "\n"), "\n", "; ")
}

func (l *launch) tellBuild(t *teller) {
	for _, s := range l.plan.world.Sources {
		if len(s.Nodes) > 0 {
			continue
		}
		how := ""
		if s.Recursive {
			how = ", with what is mounted below"
		}
		switch {
		case s.IDMap == nil:
		case len(s.IDMap.UIDs) > 0:
			how += ", with ids of a mapping of its own"
		default:
			how += ", with the container's ids"
		}
		t.say(s.For, "clone the mount of %s%s", s.Path, how)
	}
	l.tellSend(t, "it ends at the gate: the rest waits for the cgroup", "send program", l.plan.world.Program.Name(), len(l.plan.world.Program.Received()))
	if !l.spec.Process.Terminal {
		return
	}
	t.say("the caller's own is never inside", "receive the master of the container's terminal")
	if s := l.spec.Process.ConsoleSize; s != nil {
		t.say("process.consoleSize", "make the terminal %d columns by %d rows", s.Width, s.Height)
	}
}

func (l *launch) tellFind(t *teller) {
	t.say("names and PATH are those of the image", "look for user %s and executable %s in the container's files", userText(l.spec.Process.User), l.spec.Process.Args[0])
}

func (l *launch) tellSettle(t *teller) {
	t.say("the limits hold before anything of the image runs", "wait for the job of %s", l.plan.unit.Name)
	if files := l.plan.unit.Payload; l.needsPayload() {
		t.say("the unit's own cgroup is systemd's", "make payload/ in the unit's cgroup and move the init there")
		for _, file := range slices.Sorted(maps.Keys(files)) {
			t.say("systemd has no property for it", "write payload/%s: %s", file, strings.ReplaceAll(files[file], "\n", "; "))
		}
	}
	if uid, gid, ok := cgroupOwner(l.spec); ok {
		t.say("the container's root makes cgroups of its own", "give payload/ to %d:%d", uid, gid)
	}
	t.say("that the kernel killed for memory is known at the end", "open memory.events")
}

func (l *launch) tellEnter(t *teller) {
	if !l.spec.Process.Terminal {
		t.say("it can open /dev/stdout; files, devices and sockets stay as they are", "let everybody who has them open standard streams that are pipes, in their direction")
	}
	t.say("one step before exec the init waits", "open the gate: send program enter, wait until it is ready")
}

func (l *launch) tellAttest(t *teller) {
	for _, r := range l.who.Rlimits {
		t.say("last: the init may need more than the payload", "prlimit(INIT, %s, %s, %s)", r.Name, rlimitText(r.Soft), rlimitText(r.Hard))
	}
	const right = "the right to raise it is one of the host's: in a user namespace nobody has it"
	if s := l.spec.Process.Scheduler; s != nil {
		flags := "0"
		if len(s.Flags) > 0 {
			flags = fmt.Sprint(s.Flags)
		}
		t.say(right, "sched_setattr(INIT, %s, flags %s, nice %d, priority %d, runtime %d, deadline %d, period %d)",
			s.Policy, flags, s.Nice, s.Priority, s.Runtime, s.Deadline, s.Period)
	}
	if p := l.spec.Process.IOPriority; p != nil {
		t.say(right, "ioprio_set(INIT, %s, %d)", p.Class, p.Priority)
	}
	var files []string
	for _, limit := range l.unitLimits() {
		if !slices.Contains(files, limit.File) {
			files = append(files, limit.File)
		}
	}
	for _, limit := range scope.PayloadLimits(l.plan.unit) {
		files = append(files, "payload/"+limit.File)
	}
	t.say("what the kernel says counts: on any difference the init is killed",
		"compare the init with the configuration: credentials, namespaces, descriptors, %d rlimits, %d mounts, %d masked and %d read-only paths; %s",
		len(l.who.Rlimits), len(specMounts(l.spec)), len(l.spec.Linux.MaskedPaths), len(l.spec.Linux.ReadonlyPaths), strings.Join(files, ", "))
}

func rlimitText(n uint64) string {
	if n == configs.Infinity {
		return "infinity"
	}
	return fmt.Sprint(n)
}

func (l *launch) tellRecord(t *teller) {
	t.say("it is created: start or rm comes next", "write the record")
}
