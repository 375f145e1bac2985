// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer"
	"github.com/sdcontainer/sdcontainer/scope"
	"github.com/sdcontainer/sdcontainer/unitgen"
)

func checkUser(context.Context, *app) finding {
	if uid := os.Geteuid(); uid != 0 {
		return bad(broken, "sudo sdcontainer ...", "user id %d: containers are made by root", uid)
	}
	return good("root")
}

func checkSystemd(ctx context.Context, _ *app) finding {
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		return bad(broken, "boot this machine with systemd as PID 1", "systemd does not run here")
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	conn, err := scope.Dial(ctx)
	if err != nil {
		return bad(broken, "systemctl is-system-running", "systemd does not answer: %v", err)
	}
	defer conn.Close()
	version, err := conn.Version(ctx)
	release, _ := conn.Release(ctx) // the same answer
	switch {
	case err != nil:
		return bad(broken, "systemctl is-system-running", "systemd does not answer: %v", err)
	case version < unitgen.Floor:
		return bad(broken, fmt.Sprintf("upgrade to a release with systemd %d: Debian 12, RHEL 9, Ubuntu 24.04", unitgen.Floor),
			"systemd %d: want at least %d", version, unitgen.Floor)
	case endedByUsers(release):
		return bad(lacking, "upgrade to systemd 258.5, 259.2 or 260, unless the distribution has mended its own",
			"systemd %s: any user can end PID 1 while a container runs as a service (CVE-2026-40223)", release)
	}
	return good("systemd %d answers", version)
}

// endedByUsers says whether a version of systemd fails an assertion that every user can bring about while
// a unit with Delegate= and without User= runs, as our services are.
func endedByUsers(release string) bool {
	var major, minor int
	_, _ = fmt.Sscanf(release, "%d.%d", &major, &minor) // the first of a series has no minor
	return major == 258 && minor < 5 || major == 259 && minor < 2
}

// checkProperties names what a newer systemd would understand.
func checkProperties(ctx context.Context, _ *app) finding {
	version := runningSystemd(ctx)
	if version == 0 {
		return bad(lacking, "see systemd above", "not known without systemd")
	}
	missing := map[int][]string{}
	for _, p := range scope.Properties() {
		if p.Since > version && (p.Group == scope.Resource || p.Group == scope.Life) {
			missing[p.Since] = append(missing[p.Since], p.Name)
		}
	}
	if len(missing) == 0 {
		return good("systemd %d has all there are", version)
	}
	var words []string
	for _, since := range slices.Sorted(maps.Keys(missing)) {
		words = append(words, fmt.Sprintf("%d: %s", since, strings.Join(missing[since], ", ")))
	}
	f := good("newer systemd has more: %s", strings.Join(words, "; "))
	f.Fix = "nothing, unless a configuration needs one; systemd.strict = false goes without"
	return f
}

func checkCgroups(context.Context, *app) finding {
	mount := scope.Mount()
	var st unix.Statfs_t
	if err := unix.Statfs("/sys/fs/cgroup", &st); err != nil || st.Type != unix.CGROUP2_SUPER_MAGIC {
		return bad(broken, "boot with systemd.unified_cgroup_hierarchy=1 on the kernel command line",
			"/sys/fs/cgroup is not the unified hierarchy")
	}
	b, err := os.ReadFile(filepath.Join(mount, "cgroup.controllers"))
	if err != nil {
		return bad(broken, "mount cgroup2 on /sys/fs/cgroup", "%v", err)
	}
	have := strings.Fields(string(b))
	var missing []string
	for _, c := range []string{"cpu", "cpuset", "io", "memory", "pids"} {
		if !slices.Contains(have, c) {
			missing = append(missing, c)
		}
	}
	if len(missing) > 0 {
		return bad(lacking, "take cgroup_disable= off the kernel command line, or boot with cgroup_enable=memory",
			"unified, without %s: only configurations without their limits, or with systemd.strict = false, work", strings.Join(missing, ", "))
	}
	return good("unified, with %s", strings.Join(have, ", "))
}

func checkJournal(context.Context, *app) finding {
	const socket = "/run/systemd/journal/stdout"
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return bad(lacking, "systemctl start systemd-journald.socket systemd-journald.service",
			"journald does not listen: %v: detached containers cannot log", err)
	}
	_ = conn.Close()
	return good("journald listens")
}

func checkRecords(_ context.Context, a *app) finding {
	dir := quote(a.rt.Dir)
	st, err := os.Stat(a.rt.Dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return good("%s will be made by the first container", a.rt.Dir)
	case err == nil && !st.IsDir():
		return bad(broken, "rm "+dir, "%s is not a directory", a.rt.Dir)
	}
	list, err := a.rt.List()
	switch {
	case err == nil:
		return good("%s: %s", a.rt.Dir, count(len(list), "container"))
	case errors.Is(err, sdcontainer.ErrDamaged):
		return bad(lacking, "sdcontainer rm -f NAME", "%v", err)
	case errors.As(err, new(*fs.PathError)):
		return bad(broken, "ls -ld "+dir, "%v", err)
	}
	return bad(broken, "chown 0:0 "+dir+" && chmod 0700 "+dir, "%v", err) // not to be trusted
}

func checkUnits(context.Context, *app) finding {
	if !unitgen.TemplateInstalled() {
		return bad(lacking, "make install", "%s is not installed: unit install writes whole units", unitgen.Template)
	}
	return good("%s is installed", unitgen.Template)
}
