// SPDX-License-Identifier: Apache-2.0

package unitgen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/scope"
)

// madeByUs is how each of our files begins.
const madeByUs = "# Made by sdcontainer "

// ErrNotOurs is of a file that is in the way and that somebody else wrote.
var ErrNotOurs = errors.New("not made by sdcontainer")

// A NotInstalledError is of a container that has no unit file.
type NotInstalledError struct{ Name, Dir string }

func (e *NotInstalledError) Error() string {
	return fmt.Sprintf("%s: no unit file of it in %s", e.Name, e.Dir)
}

// templateDirs are where systemd finds shipped units.
var templateDirs = []string{Dir, "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"}

// TemplateInstalled says whether systemd has [Template].
func TemplateInstalled() bool {
	return slices.ContainsFunc(templateDirs, func(dir string) bool {
		st, err := os.Stat(filepath.Join(dir, Template))
		return err == nil && st.Mode().IsRegular() // else a whole unit file does without
	})
}

// Instance is the unit of a container that runs as a service.
func Instance(name string) string { return "sdcontainer@" + name + ".service" }

// InstanceName is the container whose service a unit is, "" of another unit.
func InstanceName(unit string) string {
	rest, ours := strings.CutPrefix(unit, "sdcontainer@")
	name, service := strings.CutSuffix(rest, ".service")
	if !ours || !service {
		return ""
	}
	return name
}

// Install writes the unit file of a configuration below dir and returns its path. What is in
// [configs.Dir] under the container's name gets a drop-in of the template, if that is installed,
// anything else a whole service; the other of the two, from when the configuration was
// elsewhere, is removed. In [Dir] systemd reads it then, and forgets what was set on the unit
// at run time; another directory is not made known to systemd.
//
// It returns the errors of [Service], and [ErrNotOurs], also of the other one: then nothing is done. With a path, an error is systemd's, and
// the file is there.
func Install(ctx context.Context, dir string, spec *specs.Spec, s configs.Settings, o Options) (string, error) {
	if err := configs.CheckName(s.Name); err != nil {
		return "", fmt.Errorf("container name %w", err)
	}
	path, other := unitPaths(dir, s.Name)
	write := Service
	if s.Source == filepath.Join(configs.Dir, s.Name+".toml") && TemplateInstalled() {
		path, other, write = other, path, DropIn
	}
	text, err := write(spec, s, o)
	if err != nil {
		return "", err
	}
	// Order: before anything is written: the other may be a copy of systemctl edit --full, or masked.
	if err := checkOurs(path, other); err != nil {
		return "", err
	}
	if err := writeUnit(path, text); err != nil {
		return "", err
	}
	if err := removeUnit(other); err != nil { // the configuration has moved
		return "", err
	}
	if dir != Dir {
		return path, nil
	}
	if err := forgetChanges(Instance(s.Name)); err != nil {
		return path, err
	}
	return path, systemctl(ctx, "daemon-reload")
}

// Wanted says whether there is something that wants a container's unit, by default or by its
// configuration: without, there is nothing to [Enable].
func Wanted(s configs.Settings) bool {
	for _, units := range s.Install {
		if len(units) > 0 {
			return true
		}
	}
	return len(s.Install) == 0
}

// Enable has a container's service start at boot, with the units that its configuration says and no others. Precondition: its
// unit is installed in [Dir].
func Enable(ctx context.Context, name string) error {
	return systemctl(ctx, "reenable", Instance(name))
}

// Start starts a container's service, and waits until it has started. The journal says more than
// an error of it. Precondition: as for [Enable].
func Start(ctx context.Context, name string) error { return systemctl(ctx, "start", Instance(name)) }

// Remove removes the unit files of containers that Install wrote below dir, and returns their
// paths; what an Install that was killed has left unfinished goes too. In [Dir] it stops and
// disables the services before, and has systemd read once what is left. Who fails keeps nobody
// from the rest; when it was interrupted, the same again does what was left out. Errors, joined:
// [NotInstalledError], [ErrNotOurs].
func Remove(ctx context.Context, dir string, names ...string) (removed []string, err error) {
	var errs []error
	reload := false
	for _, name := range names {
		tidy(dir, name)
		files := Installed(dir, name)
		if len(files) == 0 && !(dir == Dir && remembered(ctx, name)) {
			errs = append(errs, &NotInstalledError{name, dir})
			continue
		}
		// Order: before the service is stopped: who cannot be removed runs on.
		if err := checkOurs(files...); err != nil {
			errs = append(errs, err)
			continue
		}
		if dir == Dir {
			reload = true
			if err := retire(ctx, Instance(name), len(files) > 0); err != nil {
				errs = append(errs, err)
				continue
			}
		}
		// Order: the files last: as long as they are there, the same again does what was left out.
		for _, path := range files {
			if err := removeUnit(path); err != nil {
				errs = append(errs, err)
				break
			}
			removed = append(removed, path)
		}
	}
	if reload {
		errs = append(errs, systemctl(ctx, "daemon-reload"))
	}
	return removed, errors.Join(errs...)
}

// Installed are the unit files of a container below dir.
func Installed(dir, name string) (files []string) {
	if strings.Contains(name, "/") {
		return nil
	}
	unit, dropIn := unitPaths(dir, name)
	for _, path := range []string{unit, dropIn} {
		if exists(path) {
			files = append(files, path)
		}
	}
	return files
}

// unitPaths are where a container's unit and its drop-in are.
func unitPaths(dir, name string) (unit, dropIn string) {
	return filepath.Join(dir, Instance(name)), filepath.Join(dir, Instance(name)+".d", TemplateDropIn)
}

// exists says whether there is a file, also where it cannot be looked at: then whoever uses it fails, and nothing is taken for done.
func exists(path string) bool {
	st, err := os.Stat(path)
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR)
	}
	return st.Mode().IsRegular()
}

// askTime bounds a question whose answer is not needed.
const askTime = 2 * time.Second

// remembered says whether the manager still has a unit made of a file in [Dir]: there is none
// left of one whose removal was interrupted before systemd knew of it.
func remembered(ctx context.Context, name string) bool {
	if strings.Contains(name, "/") {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	conn, err := scope.Dial(ctx)
	if err != nil {
		return false
	}
	defer conn.Close()
	p, err := conn.Get(ctx, Instance(name), "FragmentPath", "DropInPaths")
	if err != nil {
		return false
	}
	unit, dropIn := unitPaths(Dir, name)
	from, _ := p["DropInPaths"].([]string)
	return p["FragmentPath"] == unit || slices.Contains(from, unit) || slices.Contains(from, dropIn)
}

// retire stops and disables a service, without a reload: there is one when its files are gone.
func retire(ctx context.Context, unit string, files bool) error {
	args := []string{"--no-reload", "disable", "--now", unit}
	if !files { // then it is disabled
		args = []string{"stop", unit}
	}
	// Without files systemd may be about to forget it, and then there is nothing to stop.
	if err := systemctl(ctx, args...); err != nil && (files || remembered(ctx, InstanceName(unit))) {
		return err
	}
	if err := forgetChanges(unit); err != nil {
		return err
	}
	_ = systemctl(ctx, "reset-failed", unit) // it need not have failed
	return nil
}

// forgetChanges removes what was set on a unit while it ran, and would meet its next start until a
// reboot; systemd has to read its units then.
func forgetChanges(unit string) error {
	return os.RemoveAll(filepath.Join(ControlDir, unit+".d"))
}

func systemctl(ctx context.Context, args ...string) error {
	out, err := kernel.Command(ctx, "systemctl", args...).CombinedOutput()
	if err == nil {
		return nil
	}
	what := "systemctl " + strings.Join(args, " ")
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", what, ctx.Err())
	}
	text, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if text == "" {
		return fmt.Errorf("%s: %w", what, err)
	}
	return fmt.Errorf("%s: %s", what, text)
}

// unfinished are the files that are being written: systemd reads none whose name begins with a dot. Who writes one has its lock.
const unfinished = ".sdcontainer-*"

// newUnfinished makes one, locked, and its directory, which whoever removes a unit takes away as long as it is empty.
func newUnfinished(dir string) (*os.File, error) {
	for {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
		f, err := os.CreateTemp(dir, unfinished)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		var st unix.Stat_t
		err = kernel.TryFlock(f, unix.LOCK_EX)
		if err == nil && unix.Fstat(int(f.Fd()), &st) == nil && st.Nlink > 0 {
			return f, nil
		}
		_ = f.Close()
		_ = os.Remove(f.Name())
		if err != nil && !errors.Is(err, unix.EWOULDBLOCK) { // else somebody sweeps, and took it for left
			return nil, err
		}
	}
}

// sweep removes those in a directory whose writer was killed.
func sweep(dir string) {
	left, _ := filepath.Glob(filepath.Join(dir, unfinished)) // a directory that cannot be read shows none
	for _, name := range left {
		f, err := kernel.Open(name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK)
		if err != nil {
			continue
		}
		if kernel.TryFlock(f, unix.LOCK_EX) == nil {
			_ = os.Remove(name) // systemd does not mind it
		}
		_ = f.Close()
	}
}

// writeUnit puts a file there whole or not at all, and never over one that is not ours.
func writeUnit(path, text string) error {
	if err := checkOurs(path); err != nil {
		return err
	}
	sweep(filepath.Dir(path))
	tmp, err := newUnfinished(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer tmp.Close() // and its lock, when it has its name
	_, err = tmp.WriteString(text)
	if err = errors.Join(err, tmp.Chmod(0o644)); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}

// removeUnit removes a file of ours, and its directory if that is empty then.
func removeUnit(path string) error {
	if err := checkOurs(path); err != nil {
		return err
	}
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err == nil && filepath.Base(path) == TemplateDropIn {
		tidyDropIns(filepath.Dir(path))
	}
	return err
}

// tidy removes what installs that were killed have left below dir, also where they had installed nothing yet.
func tidy(dir, name string) {
	if configs.CheckName(name) != nil {
		return
	}
	_, dropIn := unitPaths(dir, name)
	sweep(dir)
	tidyDropIns(filepath.Dir(dropIn))
}

// tidyDropIns removes a directory, unless others have drop-ins in it.
func tidyDropIns(dir string) {
	sweep(dir)
	_ = unix.Rmdir(dir)
}

// checkOurs refuses files that somebody else wrote.
func checkOurs(paths ...string) error {
	var errs []error
	for _, path := range paths {
		b, err := os.ReadFile(path)
		switch {
		case errors.Is(err, fs.ErrNotExist) || err == nil && strings.HasPrefix(string(b), madeByUs):
		case err != nil:
			errs = append(errs, err)
		default:
			errs = append(errs, fmt.Errorf("%s: %w", path, ErrNotOurs))
		}
	}
	return errors.Join(errs...)
}
