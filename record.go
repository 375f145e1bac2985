// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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
