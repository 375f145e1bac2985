// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/nsexec"
	"github.com/sdcontainer/sdcontainer/scope"
	"github.com/sdcontainer/sdcontainer/unitgen"
)

// serviceCgroup makes the sub-cgroup of our own service that the init is born
// in, and opens it. The service's own cgroup stays empty once we are gone, as systemd wants it.
func (l *launch) serviceCgroup() (*os.File, error) {
	own, err := scope.CgroupOf(os.Getpid())
	if err != nil {
		return nil, err
	}
	unit := path.Base(own)
	if !strings.HasSuffix(unit, ".service") {
		return nil, fmt.Errorf("run --unit: this process is in %s, not in a service (start it with systemctl, or leave out --unit)", own)
	}
	dir := filepath.Join(scope.Mount(), own)
	var yes [4]byte
	if n, err := unix.Getxattr(dir, "user.delegate", yes[:]); err != nil || string(yes[:n]) != "1" {
		return nil, fmt.Errorf("run --unit: %s is not delegated (set Delegate=yes in the unit)", unit)
	}
	payload, err := scope.MakePayload(own, nil, nil, 0)
	if err != nil {
		return nil, err
	}
	l.c.st.Unit, l.c.st.Invocation = unit, os.Getenv("INVOCATION_ID")
	files, err := openOOM(payload, true)
	if err != nil {
		files.close()
		return nil, err
	}
	l.c.st.OOMKills, l.c.st.ManagedOOMKills, _ = files.count()
	if l.c.st.Inode, err = scope.InodeOf(files.unit); err != nil {
		files.close()
		return nil, err
	}
	closeAll([]*os.File{files.unit, files.events})
	return files.payload, nil
}

// limitPayload gives the payload's cgroup its controllers and its own limits, if it needs any.
func (l *launch) limitPayload(path string) error {
	files, unit := l.plan.unit.Payload, scope.UnitCgroup(path)
	controllers, err := l.controllers(unit)
	if err != nil {
		return err
	}
	if len(files)+len(controllers) == 0 {
		return nil
	}
	// Order: before controllers are given to cgroups below: a cgroup with processes of its
	// own gives none (cgroups(7), "no internal processes").
	if err := scope.StepAside(unit, os.Getpid(), l.helper.Pid); err != nil {
		return err
	}
	_, err = scope.MakePayload(unit, files, controllers, 0)
	if len(files) == 0 && errors.Is(err, unix.EBUSY) { // a process that is not ours is in the unit's own cgroup
		l.c.rt.warn("the container's cgroup goes without controllers: other processes of " + l.c.st.Unit + " run beside it")
		return nil
	}
	return err
}

// adjustService gives our service the limits of the configuration where its unit
// file has others: an instance of the template without its drop-in has none. systemd
// keeps the change until a reboot (docs/on-disk.md). What the administrator's own files say stays.
func (l *launch) adjustService(ctx context.Context) error {
	if err := l.checkTemplate(ctx); err != nil {
		return err
	}
	unseen := l.mayDiffer()
	if !unseen && !l.differs() {
		return nil
	}
	if err := l.leaveTheirs(ctx); err != nil {
		return err
	}
	if !unseen && !l.differs() {
		return nil
	}
	live := slices.DeleteFunc(slices.Clone(l.plan.unit.Properties), func(p scope.Property) bool {
		info, _ := scope.Lookup(p.Name)
		return !info.Live || p.Name == "Description"
	})
	return l.c.setKnown(ctx, live, l.settings.Strict)
}

// differs says whether a file of the kernel shows another limit of our service than the configuration.
func (l *launch) differs() bool {
	unit := filepath.Join(scope.Mount(), scope.UnitCgroup(l.c.st.Cgroup))
	return slices.ContainsFunc(l.unitLimits(), func(limit scope.Limit) bool {
		if known, err := limit.Find(); err != nil {
			return false // the attestation tells
		} else if !known {
			return true // only systemd knows which disk it is
		}
		b, err := os.ReadFile(filepath.Join(unit, limit.File))
		have, ok := limit.In(string(b))
		return !errors.Is(err, os.ErrNotExist) && ok && have != limit.Value
	})
}

// mayDiffer says whether our service may have other limits than the configuration in what no file of the kernel
// shows, such as its devices: systemd has been told of some at an earlier start, or knows the template alone.
func (l *launch) mayDiffer() bool {
	unit := l.c.st.Unit
	there := func(elem ...string) bool {
		_, err := os.Lstat(filepath.Join(elem...))
		return err == nil
	}
	return there(unitgen.ControlDir, unit+".d") || strings.HasPrefix(unit, instancePrefix) &&
		!there(unitgen.Dir, unit) && !there(unitgen.Dir, unit+".d", unitgen.TemplateDropIn)
}

// leaveTheirs takes what the administrator's own files give our service out of what it shall have by the configuration: it
// would be his again after the next daemon-reload. His lists are added to, as they add to those of other files.
func (l *launch) leaveTheirs(ctx context.Context) error {
	fragment, dropIns, err := l.unitFiles(ctx)
	if err != nil {
		return err
	}
	if l.theirs, err = unitgen.Theirs(append(dropIns, fragment)); err != nil {
		return err
	}
	var left []scope.Property
	for _, p := range l.plan.unit.Properties {
		info, _ := scope.Lookup(p.Name)
		p.Added = info.Live && l.theirs(p.Name)
		if !p.Added || info.List() {
			left = append(left, p)
		}
	}
	l.plan.unit.Properties = left
	return nil
}

// countsOtherwise says whether a limit has another value for what the administrator's files set beside it: the other half of a
// quota, or what it is while the machine starts.
func (l *launch) countsOtherwise(limit scope.Limit) bool {
	switch {
	case l.theirs == nil:
		return false
	case limit.File == "cpu.max":
		return l.theirs("CPUQuotaPerSecUSec") || l.theirs("CPUQuotaPeriodUSec")
	}
	return l.theirs("Startup" + limit.Property)
}

// notifyPlace is where the service manager's socket appears in the container
// (systemd's container interface).
const notifyPlace = "/run/host/notify"

// passNotifySocket lets the payload itself tell the service manager that it is ready.
//
// Not with id 0 of the host, see [configs.Settings.CheckHostRoot]: systemd believes it whatever main PID it names.
func passNotifySocket(spec *specs.Spec) error {
	socket := os.Getenv("NOTIFY_SOCKET")
	if !path.IsAbs(socket) {
		return fmt.Errorf("systemd.notify = \"container\": NOTIFY_SOCKET is %q, want a path (set Type=notify in the unit)", socket)
	}
	spec.Mounts = append(spec.Mounts, specs.Mount{
		Type: "bind", Source: socket, Destination: notifyPlace, Options: []string{"bind", "rprivate", "nosuid", "nodev", "noexec"},
	})
	spec.Process.Env = append(withoutEnv(spec.Process.Env, "NOTIFY_SOCKET", watchdogEnv, "WATCHDOG_PID"), "NOTIFY_SOCKET="+notifyPlace)
	if every := os.Getenv(watchdogEnv); every != "" {
		// Without WATCHDOG_PID, which is ours: then every process of the payload may answer, as with process.init one does
		// that is not process 1 (sd_watchdog_enabled(3)).
		spec.Process.Env = append(spec.Process.Env, watchdogEnv+"="+every)
	}
	return nil
}

// watchdogEnv says how often systemd wants to hear from the service.
const watchdogEnv = "WATCHDOG_USEC"

// withoutEnv is an environment without the variables of these names.
func withoutEnv(env []string, names ...string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return slices.Contains(names, name)
	})
}

// recordServiceExit writes the exit record of a container in a service from what
// systemd tells ExecStopPost= (systemd.exec(5), $EXIT_CODE and $EXIT_STATUS).
func (c *Container) recordServiceExit() error {
	if e, err := c.exit(); e != nil || err != nil {
		return err
	}
	rec := nsexec.ExitRecord{At: time.Now()}
	rec.OOMKilled, rec.OOMKnown, rec.ManagedOOM = c.serviceOOM()
	status := os.Getenv("EXIT_STATUS")
	switch code := os.Getenv("EXIT_CODE"); code {
	case "exited":
		n, err := strconv.ParseUint(status, 10, 8)
		if err != nil {
			return fmt.Errorf("EXIT_STATUS=%q: want 0 to 255", status)
		}
		rec.Status = unix.WaitStatus(n << 8)
	case "killed", "dumped":
		sig, err := configs.ParseSignal(status)
		if err != nil {
			return fmt.Errorf("EXIT_STATUS: %w", err)
		}
		rec.Status = unix.WaitStatus(sig)
	default:
		return nil // not called by systemd: nothing is known
	}
	return c.writeExit(rec)
}

// serviceOOM says whether processes of a service were killed for want of memory, whether that is known, and whether it
// was systemd-oomd. systemd's result tells only with another OOMPolicy= than continue.
func (c *Container) serviceOOM() (killed, known, managed bool) {
	result := os.Getenv("SERVICE_RESULT") == "oom-kill"
	files, err := openOOM(c.st.Cgroup, true) // they are there while we run in the unit
	defer files.close()
	if err != nil {
		return result, result, false
	}
	kernel, oomd, known := files.count()
	killed = known && kernel > c.st.OOMKills
	return killed || result, known || result, oomd > c.st.ManagedOOMKills
}
