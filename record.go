// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
	"github.com/sdcontainer/sdcontainer/internal/oncejson"
	"github.com/sdcontainer/sdcontainer/nsexec"
	"github.com/sdcontainer/sdcontainer/scope"
)

// The record of a container, one directory below Runtime.Dir:
//
//	ID/                 mode 0700
//	ID/lock             FIFO; flock on it serialises the verbs that change the container
//	ID/state.json       record; replaced by rename
//	ID/config.json      the Spec, with automatic ranges filled in; replaced by rename
//	ID/exit             nsexec.ExitRecord, written at the end; empty before, its room taken
//
// The directory exists before any resource of the container does and is removed
// after the last one. docs/on-disk.md describes the fields.
const (
	stateFile  = "state.json"
	configFile = "config.json"
	exitFile   = "exit"
	lockFile   = "lock"
	turnFile   = "turn" // a lock too

	newPrefix  = ".new-"  // a record being made
	gonePrefix = ".gone-" // a record being removed

	recordVersion = 1
	maxRecord     = 4 << 20
	exitRoom      = 512 // of an nsexec.ExitRecord
)

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
	// Inode is the cgroup's of the unit, which no other has before the next boot: one that has its name later is another
	// container's. Commands that did not write it told by the name alone.
	Inode   uint64 `json:"inode,omitempty"`
	Service bool   `json:"service,omitempty"`
	// Invocation is the service's. OOMKills is what its cgroup had counted before it, of the kernel's,
	// ManagedOOMKills of systemd-oomd's.
	Invocation      string `json:"invocation,omitempty"`
	OOMKills        uint64 `json:"oomKills,omitempty"`
	ManagedOOMKills uint64 `json:"managedOOMKills,omitempty"`
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
	Above      *oomMark  `json:"above,omitempty"`  // of a detached one with a memory controller
}

// same says whether other is the record of the same container, at another time, and not of one that has had the name since.
func (st *record) same(other *record) bool {
	return st.Creator == other.Creator && st.Created.Equal(other.Created)
}

func (c *Container) read() error {
	if err := c.rt.trusted(); err != nil {
		return err
	}
	b, err := c.readFile(stateFile)
	if errors.Is(err, fs.ErrNotExist) {
		return &damage{c.path(stateFile), "missing"}
	}
	if err != nil {
		return err
	}
	st, err := parseRecord(b, c.id)
	if err != nil {
		return &damage{c.path(stateFile), err.Error()}
	}
	boot, err := kernel.BootID()
	if err != nil {
		return err
	}
	if st.BootID != boot {
		// Whatever these name now is somebody else's.
		st.Creator, st.Init, st.Keeper, st.Cgroup = procID{}, procID{}, procID{}, ""
	}
	c.st = st
	return nil
}

// parseRecord reads state.json of the container id. What it accepts may be acted on:
// it names one unit, and a cgroup of that unit.
func parseRecord(b []byte, id string) (*record, error) {
	var st record
	if err := oncejson.Unmarshal(b, &st); err != nil {
		return nil, err
	}
	switch unit := scope.UnitCgroup(st.Cgroup); {
	case st.Version != recordVersion || st.ID != id:
		return nil, fmt.Errorf("version %d of %q: want version %d of %q", st.Version, st.ID, recordVersion, id)
	case st.Phase != Creating && st.Phase != Created && st.Phase != Running:
		return nil, fmt.Errorf("phase %q", st.Phase)
	case st.Unit == "" || len(st.Unit) > 255 || strings.ContainsAny(st.Unit, "/\x00\n"):
		return nil, fmt.Errorf("unit %q", st.Unit)
	case st.Cgroup != "" && (path.Clean("/"+st.Cgroup) != st.Cgroup || path.Base(unit) != st.Unit):
		return nil, fmt.Errorf("cgroup %q is not one of %s", st.Cgroup, st.Unit)
	case !validRange(st.Userns):
		return nil, fmt.Errorf("userns %v", st.Userns)
	}
	return &st, nil
}

// damage is what makes a file of a record useless.
type damage struct{ path, what string }

func (d *damage) Error() string {
	return fmt.Sprintf("%s: %s (kill and remove the container with rm -f)", d.path, d.what)
}

func (d *damage) Is(target error) bool { return target == ErrDamaged }

// openFile opens a file of the record for reading: a regular one, in a directory, by
// no link, so that nothing here blocks. Errors: ErrNotExist, fs.ErrNotExist where only
// the file is missing, *damage.
func (c *Container) openFile(name string) (*os.File, error) {
	for {
		f, err := c.tryOpenFile(name)
		if err != errReplaced {
			return f, err
		}
	}
}

// errReplaced says that another record took the place of the one that was looked at.
var errReplaced = errors.New("replaced")

func (c *Container) tryOpenFile(name string) (*os.File, error) {
	dir, err := os.OpenFile(c.path(), unix.O_PATH|unix.O_NOFOLLOW|unix.O_DIRECTORY, 0)
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil, &damage{c.path(), "not a directory"}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotExist
	}
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	f, err := kernel.OpenIn(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY)
	switch {
	case errors.Is(err, unix.ENOENT):
		if at, err := isAt(dir, c.path()); err != nil {
			return nil, err
		} else if !at { // if it was removed, the next try finds no directory
			return nil, errReplaced
		}
		return nil, err
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENXIO):
		return nil, &damage{c.path(name), "not a regular file"}
	case err != nil:
		return nil, fmt.Errorf("%s: %w", c.path(), err)
	}
	var st unix.Stat_t
	err = os.NewSyscallError("fstat", unix.Fstat(int(f.Fd()), &st))
	switch {
	case err != nil:
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		err = &damage{c.path(name), "not a regular file"}
	case st.Size > maxRecord:
		err = &damage{c.path(name), fmt.Sprintf("%d bytes, larger than %d", st.Size, maxRecord)}
	case forgeable(&st) != "":
		err = &damage{c.path(name), forgeable(&st)}
	default:
		return f, nil
	}
	f.Close()
	return nil, err
}

func (c *Container) readFile(name string) ([]byte, error) {
	f, err := c.openFile(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxRecord)) // it may be growing
}

// write replaces state.json in one step.
func (c *Container) write() error { return c.writeTo(c.path()) }

func (c *Container) writeTo(dir string) error {
	commit, err := prepareJSON(filepath.Join(dir, stateFile), c.st)
	if err != nil {
		return err
	}
	return commit()
}

// prepareJSON writes what is to replace the file at path, and returns what replaces
// it: there everything that takes room has been done.
func prepareJSON(path string, v any) (commit func() error, err error) {
	b, err := oncejson.Marshal(v)
	if err != nil {
		return nil, err
	}
	if len(b) > maxRecord {
		return nil, fmt.Errorf("%s: %d bytes, larger than %d", path, len(b), maxRecord)
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		_ = os.Remove(tmp) // the write's error says more
		return nil, roomFor(err)
	}
	return func() error { return os.Rename(tmp, path) }, nil
}

// A noRoom is the error of a run directory that takes nothing more, with what to do.
type noRoom struct {
	error
	todo string
}

func (e noRoom) Error() string { return e.error.Error() + " (" + e.todo + ")" }

func (e noRoom) Unwrap() error { return e.error }

// roomFor says what to do where the run directory takes nothing more: once, however
// many layers ask.
func roomFor(err error) error {
	switch {
	case errors.As(err, new(noRoom)):
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return noRoom{err, "make room in the run directory, where containers have their records"}
	case errors.Is(err, unix.EROFS):
		return noRoom{err, "make the run directory, where containers have their records, writable"}
	}
	return err
}

// Spec is what the container was made from, with automatic ranges filled in.
func (c *Container) Spec() (*specs.Spec, error) {
	spec, err := c.readSpec()
	return spec, wrap("inspect", c.id, err)
}

func (c *Container) readSpec() (*specs.Spec, error) {
	b, err := c.readFile(configFile)
	if errors.Is(err, fs.ErrNotExist) {
		if err := c.stillMade(); err != nil {
			return nil, err
		}
		// Order: after that: the last moment of being created may have passed since.
		if b, err = c.readFile(configFile); errors.Is(err, fs.ErrNotExist) {
			err = &damage{c.path(configFile), "missing"}
		}
	}
	if err != nil {
		return nil, err
	}
	var spec specs.Spec
	if err := oncejson.Unmarshal(b, &spec); err != nil {
		return nil, &damage{c.path(configFile), err.Error()}
	}
	if spec.Root == nil || spec.Process == nil || spec.Linux == nil || spec.Linux.Resources == nil {
		return nil, &damage{c.path(configFile), "not the Spec of a container of ours"}
	}
	return &spec, nil
}

// stillMade says whether the container that was read is there, and has been made: one in the making has no Spec yet, and may
// have taken the place of the other. Errors: ErrNotExist, ErrNotRunning.
func (c *Container) stillMade() error {
	now := &Container{rt: c.rt, id: c.id}
	if err := now.read(); err != nil {
		return err
	}
	switch {
	case c.st != nil && !c.st.same(now.st):
		return ErrNotExist
	case now.status() == Creating:
		return fmt.Errorf("%w: it is being created", ErrNotRunning)
	case now.st.Phase == Creating:
		return fmt.Errorf("%w: its creation was cut short", ErrNotRunning)
	}
	return nil
}

func (c *Container) writeSpec(spec *specs.Spec) error {
	commit, err := prepareJSON(c.path(configFile), spec)
	if err != nil {
		return err
	}
	return commit()
}

// makeExit makes the exit record: empty, with room for what will be written into it
// when it is too late to complain.
func makeExit(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	err = unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, exitRoom)
	if err != nil && err != unix.EOPNOTSUPP {
		return &os.PathError{Op: "fallocate", Path: path, Err: err}
	}
	return nil
}

// writeExit fills the exit record: in place, where those who wait have it open. It is
// not truncated first, which would give its room away.
func (c *Container) writeExit(rec nsexec.ExitRecord) error {
	f, err := os.OpenFile(c.path(exitFile), os.O_WRONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	if _, err := f.Write(rec.Encode()); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// exit reads the exit record; nil while it is empty, or missing. Errors: ErrNotExist, *damage.
func (c *Container) exit() (*Exit, error) {
	f, err := c.openFile(exitFile)
	if err != nil {
		return nil, ignoreMissing(err)
	}
	defer f.Close()
	return c.exitFrom(f)
}

func (c *Container) exitFrom(f *os.File) (*Exit, error) {
	rec, err := c.readExitRecord(f)
	if rec == nil {
		return nil, err
	}
	e := exitIn(*rec)
	return &e, nil
}

func (c *Container) readExitRecord(f *os.File) (*nsexec.ExitRecord, error) {
	if f == nil {
		return nil, nil
	}
	b := make([]byte, 2*exitRoom)
	n, err := f.ReadAt(b, 0)
	switch {
	case err != nil && err != io.EOF:
		return nil, err
	case n == 0:
		return nil, nil
	}
	rec, err := nsexec.ParseExitRecord(b[:n])
	if err != nil {
		return nil, &damage{c.path(exitFile), err.Error()}
	}
	return &rec, nil
}

// exitIn is what an exit record says.
func exitIn(rec nsexec.ExitRecord) Exit {
	e := exitOf(rec.Status)
	e.OOMKilled, e.ManagedOOM, e.At = rec.OOMKilled || rec.ManagedOOM, rec.ManagedOOM, rec.At
	return e
}

// exitOf turns a wait status into the code a shell would report.
func exitOf(ws unix.WaitStatus) Exit {
	if ws.Signaled() {
		return Exit{Code: 128 + int(ws.Signal()), Signal: int(ws.Signal())}
	}
	return Exit{Code: ws.ExitStatus()}
}
