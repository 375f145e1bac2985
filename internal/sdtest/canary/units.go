// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
)

// manager is systemd's private socket: no bus is needed, and systemd counts no client of one.
const manager = "unix:path=/run/systemd/private"

type unit struct {
	Name, Description, Load, Active, Sub, Following string
	Path                                            dbus.ObjectPath
	Job                                             uint32
	JobType                                         string
	JobPath                                         dbus.ObjectPath
}

// units lists every unit that systemd has in mind, with its states and its job.
func units(ctx context.Context, _ Watch, s Snapshot) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	conn, err := dbus.Dial(manager, dbus.WithContext(ctx))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // no systemd here
	}
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.Auth([]dbus.Auth{dbus.AuthExternal("0")}); err != nil {
		return err
	}
	// A first message that is too small may be lost: systemd reads 256 bytes of the authentication, and
	// what of a message is among them stays unseen until more can be read.
	padding := strings.Repeat("x", 512)
	var list []unit
	err = conn.Object("org.freedesktop.systemd1", "/org/freedesktop/systemd1").
		CallWithContext(ctx, "org.freedesktop.systemd1.Manager.ListUnitsByPatterns", 0, []string{}, []string{"*", padding}).Store(&list)
	if err != nil {
		return fmt.Errorf("list units: %w", err)
	}
	for _, u := range list {
		if comesAndGoes(u) {
			continue
		}
		state := strings.Join([]string{u.Load, u.Active, u.Sub}, " ")
		if u.Job != 0 {
			state += ", job " + u.JobType
		}
		s.put("unit", u.Name, state)
	}
	return nil
}

// ours begins the names of units that only we make.
func ours(unit string) bool {
	return strings.HasPrefix(unit, "sdc-") || strings.HasPrefix(unit, "sdcontainer")
}

// comesAndGoes tells units that follow something else, and those of systemd's own that start and end when they like.
// Failed, they count. The slice of all containers is made once, and stays.
func comesAndGoes(u unit) bool {
	if u.Active == "failed" {
		return false
	}
	switch filepath.Ext(u.Name) {
	case ".device", ".swap":
		return true
	case ".slice":
		return u.Name == sharedSlice
	case ".service", ".timer", ".scope", ".socket", ".mount":
		return systems(u.Name)
	}
	// Loaded because somebody mentioned it.
	return u.Active == "inactive" && !ours(u.Name) || u.Load == "not-found"
}

const sharedSlice = "sdcontainer.slice"

// systems says whether a unit belongs to the distribution, and works when its time has come.
func systems(unit string) bool {
	for _, prefix := range []string{"systemd-", "user@", "user-runtime-dir@", "session-", "apt-", "dpkg-", "fstrim", "e2scrub",
		"logrotate", "man-db", "cron", "dbus", "modprobe@", "getty@", "serial-getty@", "run-user-", "run-credentials-", "init.scope",
		"polkit", "initrd-", "emergency", "rescue", "rc-local", "auditd", "syslog", "plymouth", "ldconfig", "user-"} {
		if strings.HasPrefix(unit, prefix) {
			return true
		}
	}
	return false
}

const cgroupRoot = "/sys/fs/cgroup"

// cgroups lists the cgroups, but for those of the units above.
func cgroups(_ context.Context, _ Watch, s Snapshot) error {
	return filepath.WalkDir(cgroupRoot, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist): // went while we looked
			return nil
		case err != nil:
			return err
		case !d.IsDir():
			return nil
		case systems(d.Name()), filepath.Ext(path) == ".mount": // which systemd makes when it reloads, and not before; the mount counts
			return filepath.SkipDir
		case path != cgroupRoot && d.Name() != sharedSlice:
			s.put("cgroup", strings.TrimPrefix(path, cgroupRoot), "there")
		}
		return nil
	})
}
