// SPDX-License-Identifier: Apache-2.0

package nsexec

import (
	"encoding/binary"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
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
	OOMKnown     uint32
	OOMKills     uint64
	Sec, Nsec    int64
	Zero         [2]int64
}

const recordSize = 64

// ExitRecord is how a container's init ended, as its keeper saw it.
type ExitRecord struct {
	Status unix.WaitStatus
	// OOMKilled says that the kernel killed a process of the container for lack
	// of memory. OOMKnown is false if nobody could tell.
	OOMKilled, OOMKnown bool
	At                  time.Time
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
	if string(w.Magic[:]) != "sdcexit1" || w.Version != 1 || w.Zero != [2]int64{} {
		return ExitRecord{}, fmt.Errorf("exit record: magic %q, version %d: written by another program", w.Magic, w.Version)
	}
	status, err := waitStatus(w.Code, w.Status)
	if err != nil {
		return ExitRecord{}, err
	}
	if w.Nsec < 0 || w.Nsec >= int64(time.Second) || w.OOMKnown > 1 {
		return ExitRecord{}, fmt.Errorf("exit record: %d ns, oom %d: out of range", w.Nsec, w.OOMKnown)
	}
	return ExitRecord{Status: status, OOMKilled: w.OOMKills > 0, OOMKnown: w.OOMKnown == 1, At: time.Unix(w.Sec, w.Nsec)}, nil
}

// waitStatus turns what waitid(2) says into what wait4(2) would.
func waitStatus(code, status int32) (unix.WaitStatus, error) {
	const exited, killed, dumped = 1, 2, 3 // CLD_
	switch {
	case code == exited && status >= 0 && status <= 255:
		return unix.WaitStatus(status << 8), nil
	case code == killed && status > 0 && status <= 64:
		return unix.WaitStatus(status), nil
	case code == dumped && status > 0 && status <= 64:
		return unix.WaitStatus(status | 0x80), nil
	}
	return 0, fmt.Errorf("exit record: code %d, status %d: not an end", code, status)
}
