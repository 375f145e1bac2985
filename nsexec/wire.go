// SPDX-License-Identifier: Apache-2.0

package nsexec

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
)

// The wire formats of nsexec.h, which has the picture of the conversation:
//
//	parent                                 K                        C (init)
//	  |-- order PROGRAM + memfd, fds ----->|                         |
//	  |                                    |-- clone3 -------------->|
//	  |<- report FORKED pid + pidfd -------|                         |
//	  |                                    exit, or second socket    |
//	  |-- order PROGRAM + memfd, fds ------------------------------->|
//	  |<- report SYNCED id / order ANSWER id ----------------------->|
//	  |<- report DONE or FAIL; end of file: executed ----------------|
//
// All integers are little endian, as both architectures are.
const (
	magic      = 0x31676f7270636473 // "sdcprog1"
	headerSize = 32
	stepSize   = 72
	relocSize  = 8
	orderSize  = 16
	reportSize = 24

	orderProgram = 1
	orderAnswer  = 2

	noDst   = 255
	refused = 0xffffffff // report.Step: the program was not begun
)

var le = binary.LittleEndian

// header is the beginning of an encoded program; steps, relocs and data follow.
type header struct {
	Magic                                         uint64
	Size, Steps, Relocs, Data, Received, FirstReg uint32
}

// wireStep is one step as the interpreter sees it.
type wireStep struct {
	Op, Dst   uint8
	Skip      uint16
	NR        uint32
	Tag       [6]uint8
	_         [2]uint8
	Tolerated [maxTolerate]uint16
	Arg       [6]uint64
}

// order goes down: a program, or the answer to a Sync. Descriptors go with it.
type order struct{ Kind, Program, Value, Count uint32 }

// report comes up, with at most one descriptor.
type report struct {
	Kind          EventKind
	Program, Step uint32
	Errno         int32
	Value         uint64
}

// wireRecord is the exit record on disk, written by the keeper once.
type wireRecord struct {
	Magic        [8]byte
	Version      uint32
	Code, Status int32
	Zero         uint32
	Sec, Nsec    int64
	Events       [456]byte // the text of memory.events, NUL-terminated
	Oomd         [16]byte  // how often systemd-oomd killed the cgroup, if it did: digits
}

const (
	recordSize    = 512
	recordMagic   = "sdcexit1"
	recordVersion = 1
)

// ExitRecord is how a container's init ended, as its keeper saw it.
type ExitRecord struct {
	Status unix.WaitStatus
	// OOMKilled says that the kernel killed a process of the container for lack
	// of memory. OOMKnown is false if nobody could tell.
	OOMKilled, OOMKnown bool
	// ManagedOOM says that systemd-oomd killed the container.
	ManagedOOM bool
	At         time.Time
}

// ParseExitRecord reads what a keeper wrote.
func ParseExitRecord(b []byte) (ExitRecord, error) {
	if len(b) != recordSize {
		return ExitRecord{}, fmt.Errorf("exit record: %d bytes, want %d", len(b), recordSize)
	}
	var w wireRecord
	if _, err := binary.Decode(b, le, &w); err != nil {
		return ExitRecord{}, fmt.Errorf("exit record: %w", err)
	}
	if string(w.Magic[:]) != recordMagic || w.Version != recordVersion || w.Zero != 0 {
		return ExitRecord{}, fmt.Errorf("exit record: magic %q, version %d: written by another program", w.Magic, w.Version)
	}
	status, err := waitStatus(w.Code, w.Status)
	if err != nil {
		return ExitRecord{}, err
	}
	if w.Nsec < 0 || w.Nsec >= int64(time.Second) {
		return ExitRecord{}, fmt.Errorf("exit record: %d ns: out of range", w.Nsec)
	}
	text, _, _ := bytes.Cut(w.Events[:], []byte{0})
	kills, known := kernel.OOMKills(string(text))
	return ExitRecord{
		Status: status, OOMKilled: kills > 0, OOMKnown: known, ManagedOOM: managed(status, w.Oomd[0]), At: time.Unix(w.Sec, w.Nsec),
	}, nil
}

// managed says whether systemd-oomd killed a payload that ended so, from how the count of
// its kills begins. It sends SIGKILL to all; what else ended is not its work.
func managed(status unix.WaitStatus, count byte) bool {
	return Killed(status) && count >= '1' && count <= '9'
}

// Killed says whether SIGKILL ended a process.
func Killed(status unix.WaitStatus) bool { return status.Signaled() && status.Signal() == unix.SIGKILL }

// Encode is the record as a keeper would write it: for who waits himself.
func (r ExitRecord) Encode() []byte {
	w := wireRecord{Magic: [8]byte([]byte(recordMagic)), Version: recordVersion, Sec: r.At.Unix(), Nsec: int64(r.At.Nanosecond())}
	switch {
	case r.Status.Signaled() && r.Status.CoreDump():
		w.Code, w.Status = cldDumped, int32(r.Status.Signal())
	case r.Status.Signaled():
		w.Code, w.Status = cldKilled, int32(r.Status.Signal())
	default:
		w.Code, w.Status = cldExited, int32(r.Status.ExitStatus())
	}
	kills := 0
	if r.OOMKilled {
		kills = 1
	}
	if r.OOMKnown {
		copy(w.Events[:], fmt.Sprintf("oom_kill %d\n", kills))
	}
	if r.ManagedOOM {
		w.Oomd[0] = '1'
	}
	return put(make([]byte, 0, recordSize), w)
}

// How a child ended, as waitid(2) puts it.
const (
	cldExited = 1
	cldKilled = 2
	cldDumped = 3
)

// waitStatus turns what waitid(2) says into what wait4(2) would.
func waitStatus(code, status int32) (unix.WaitStatus, error) {
	switch {
	case code == cldExited && status >= 0 && status <= 255:
		return unix.WaitStatus(status << 8), nil
	case code == cldKilled && status > 0 && status <= 64:
		return unix.WaitStatus(status), nil
	case code == cldDumped && status > 0 && status <= 64:
		return unix.WaitStatus(status | 0x80), nil
	}
	return 0, fmt.Errorf("exit record: code %d, status %d: not an end", code, status)
}
