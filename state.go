// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/nsexec"
)

// The record of a container, one directory below Runtime.Dir:
//
//	ID/                 mode 0700; flock on it serialises the verbs that change the container
//	ID/state.json       record; replaced by rename
//	ID/config.json      the Spec, with automatic ranges filled in; never changed
//	ID/exit             nsexec.ExitRecord, written once at the end; empty before
//
// The directory exists before any resource of the container does and is removed
// after the last one. docs/on-disk.md describes the fields.
const (
	stateFile  = "state.json"
	configFile = "config.json"
	exitFile   = "exit"

	newPrefix  = ".new-"  // a record being made
	gonePrefix = ".gone-" // a record being removed

	recordVersion = 1
	maxRecord     = 4 << 20
)

// DefaultDir is where records are kept.
const DefaultDir = "/run/sdcontainer"

// A process is named by PID and start time: a recycled PID has another one.
type procID struct {
	Pid   int    `json:"pid"`
	Start uint64 `json:"start"`
}

func identify(pid int) (procID, error) {
	start, err := kernel.StartTime(pid)
	return procID{pid, start}, err
}

func (p procID) alive() bool {
	if p.Pid <= 0 {
		return false
	}
	start, err := kernel.StartTime(p.Pid)
	return err == nil && start == p.Start
}

// open returns a pidfd of exactly this process, or ESRCH.
func (p procID) open() (*os.File, error) {
	if p.Pid <= 0 {
		return nil, os.NewSyscallError("pidfd_open", unix.ESRCH)
	}
	f, err := kernel.Pidfd(p.Pid)
	if err != nil {
		return nil, err
	}
	if !p.alive() {
		f.Close()
		return nil, os.NewSyscallError("pidfd_open", unix.ESRCH)
	}
	return f, nil
}

type record struct {
	Version int    `json:"version"`
	ID      string `json:"id"`
	BootID  string `json:"bootId"`
	Phase   Status `json:"phase"` // creating, created or running: how far the start got
	Creator procID `json:"creator"`
	Init    procID `json:"init"`
	Keeper  procID `json:"keeper"`
	Unit    string `json:"unit"`
	Cgroup  string `json:"cgroup,omitempty"`
	Service bool   `json:"service,omitempty"`
	// Invocation is the service's, OOMKills what its cgroup had counted before it.
	Invocation string `json:"invocation,omitempty"`
	OOMKills   uint64 `json:"oomKills,omitempty"`
	// Foreground: the creator itself reaps the init and records its end.
	Foreground bool      `json:"foreground,omitempty"`
	Remove     bool      `json:"remove,omitempty"`
	Userns     [2]uint32 `json:"userns,omitzero"` // automatic range: first host id, size
	Rootfs     string    `json:"rootfs"`
	Source     string    `json:"source,omitempty"`
	Command    []string  `json:"command"`
	Created    time.Time `json:"created"`
	Started    time.Time `json:"started,omitzero"`
	Logged     bool      `json:"logged,omitempty"` // the journal has the end
}

func (r *Runtime) dir() string {
	if r.Dir == "" {
		return DefaultDir
	}
	return r.Dir
}

// trusted refuses a directory of records that others can write to: a record says
// what is killed and which unit is stopped.
func (r *Runtime) trusted() error {
	var st unix.Stat_t
	err := unix.Stat(r.dir(), &st)
	switch {
	case err == unix.ENOENT:
		return nil
	case err != nil:
		return &os.PathError{Op: "stat", Path: r.dir(), Err: err}
	case st.Uid != 0 && int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0:
		return fmt.Errorf("%s belongs to user %d and has mode %04o: others could forge records (want your own, mode 0700)",
			r.dir(), st.Uid, st.Mode&0o7777)
	}
	return nil
}

func (r *Runtime) path(id string, elem ...string) string {
	return filepath.Join(append([]string{r.dir(), id}, elem...)...)
}

func (c *Container) path(elem ...string) string { return c.rt.path(c.id, elem...) }

// Load finds a container by ID. Errors: ErrNotExist.
func (r *Runtime) Load(id string) (*Container, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	c := &Container{rt: r, id: id}
	if err := c.read(); err != nil {
		return nil, wrap("load", id, err)
	}
	return c, nil
}

// List returns all containers, ordered by ID. Records that cannot be read are
// reported in the error, the others are returned all the same.
func (r *Runtime) List() ([]*Container, error) {
	entries, err := os.ReadDir(r.dir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []*Container
	var errs []error
	for _, e := range entries {
		if !e.IsDir() || checkID(e.Name()) != nil {
			continue
		}
		c, err := r.Load(e.Name())
		switch {
		case errors.Is(err, ErrNotExist): // removed meanwhile
		case err != nil:
			errs = append(errs, err)
		default:
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b *Container) int { return compareIDs(a.id, b.id) })
	return list, errors.Join(errs...)
}

func compareIDs(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// checkID accepts what is a file name, a host name and a unit name part alike.
func checkID(id string) error {
	ok := len(id) > 0 && len(id) <= 63
	for i, c := range []byte(id) {
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		ok = ok && (alnum || i > 0 && (c == '_' || c == '.' || c == '-'))
	}
	if !ok {
		return fmt.Errorf("container name %q: want 1 to 63 letters, digits, '_', '.' or '-', the first a letter or digit", id)
	}
	return nil
}

func (c *Container) read() error {
	if err := c.rt.trusted(); err != nil {
		return err
	}
	b, err := readSmall(c.path(stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(c.path()); errors.Is(err, fs.ErrNotExist) {
			return ErrNotExist
		}
	}
	if err != nil {
		return err
	}
	var st record
	if err := json.Unmarshal(b, &st); err != nil {
		return fmt.Errorf("%s: %w (remove the container with rm -f)", c.path(stateFile), err)
	}
	if st.Version != recordVersion || st.ID != c.id {
		return fmt.Errorf("%s: version %d of %q: want version %d of %q (remove the container with rm -f)",
			c.path(stateFile), st.Version, st.ID, recordVersion, c.id)
	}
	c.st = &st
	return nil
}

// readSmall reads a regular file of ours, never following a link.
func readSmall(path string) ([]byte, error) {
	dir, err := kernel.OpenPath(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return kernel.ReadIn(dir, filepath.Base(path), maxRecord)
}

// write replaces state.json in one step.
func (c *Container) write() error { return c.writeTo(c.path()) }

func (c *Container) writeTo(dir string) error {
	b, err := json.Marshal(c.st)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, stateFile), b)
}

func writeFile(path string, b []byte) error {
	tmp := path + ".new"
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		_ = os.Remove(tmp) // the write's error says more
		return err
	}
	return os.Rename(tmp, path)
}

// lock takes the container's lock: an exclusive flock on its directory. The
// lock is gone with the process.
func (c *Container) lock() (unlock func(), err error) {
	if err := c.rt.trusted(); err != nil {
		return nil, err
	}
	d, err := os.Open(c.path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotExist
	}
	if err != nil {
		return nil, err
	}
	if err := flock(d); err != nil {
		d.Close()
		return nil, err
	}
	// The directory may have been removed, and made anew, while we waited.
	have, err1 := d.Stat()
	want, err2 := os.Stat(c.path())
	if err1 != nil || err2 != nil || !os.SameFile(have, want) {
		d.Close()
		return nil, ErrNotExist
	}
	return func() { d.Close() }, nil
}

// flock waits for the exclusive lock on f, which ends with f.
func flock(f *os.File) error {
	err := error(unix.EINTR)
	for err == unix.EINTR {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		return &os.PathError{Op: "flock", Path: f.Name(), Err: err}
	}
	return nil
}

// locked runs f under the container's lock, on a fresh reading of its record.
func (c *Container) locked(f func() error) error {
	unlock, err := c.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := c.read(); err != nil {
		return err
	}
	return f()
}

// Spec is what the container was made from, with automatic ranges filled in.
func (c *Container) Spec() (*specs.Spec, error) {
	b, err := readSmall(c.path(configFile))
	if err != nil {
		return nil, wrap("inspect", c.id, err)
	}
	var spec specs.Spec
	if err := json.Unmarshal(b, &spec); err != nil {
		return nil, wrap("inspect", c.id, fmt.Errorf("%s: %w", configFile, err))
	}
	return &spec, nil
}

func (c *Container) writeSpec(spec *specs.Spec) error {
	b, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	return writeFile(c.path(configFile), b)
}

// exit reads the exit record; nil while there is none.
func (c *Container) exit() (*Exit, error) {
	b, err := readSmall(c.path(exitFile))
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(b) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return decodeExit(b)
}

func decodeExit(b []byte) (*Exit, error) {
	rec, err := nsexec.ParseExitRecord(b)
	if err != nil {
		return nil, err
	}
	e := exitOf(rec.Status)
	e.OOMKilled, e.At = rec.OOMKilled, rec.At
	return &e, nil
}

// exitOf turns a wait status into the code a shell would report.
func exitOf(ws unix.WaitStatus) Exit {
	if ws.Signaled() {
		return Exit{Code: 128 + int(ws.Signal()), Signal: int(ws.Signal())}
	}
	return Exit{Code: ws.ExitStatus()}
}

// State reads what is true now.
func (c *Container) State() (State, error) {
	if err := c.read(); err != nil {
		return State{}, wrap("state", c.id, err)
	}
	st := c.st
	s := State{
		ID: st.ID, Unit: st.Unit, Cgroup: st.Cgroup, Rootfs: st.Rootfs, Source: st.Source,
		Command: st.Command, Created: st.Created, Service: st.Service,
	}
	if !st.Started.IsZero() {
		s.Started = &st.Started
	}
	s.Status = c.status()
	if s.Status != Stopped {
		s.Pid = st.Init.Pid
		if st.Keeper.alive() {
			s.KeeperPid = st.Keeper.Pid
		}
		return s, nil
	}
	exit, err := c.exit()
	if err != nil {
		return s, wrap("state", c.id, err)
	}
	s.Exit = exit
	s.ExitUnknown = exit == nil && !st.Keeper.alive()
	return s, nil
}

func (c *Container) status() Status {
	st := c.st
	switch {
	case st.BootID != kernel.BootID():
		return Stopped
	case st.Phase == Creating && st.Creator.alive():
		return Creating
	case st.Phase == Creating || !st.Init.alive():
		return Stopped
	case st.Phase == Created:
		return Created
	case c.frozen():
		return Paused
	}
	return Running
}
