// SPDX-License-Identifier: Apache-2.0

package nsexec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

var opNames = [...]string{
	OpCall: "call", OpStore: "store", OpSync: "sync", OpFork: "fork", OpSpawn: "spawn", OpMkPath: "mkpath",
	OpCheck: "check", OpKeep: "keep", OpReap: "reap", OpEnd: "end",
}

// callNames has every system call a builder uses.
var callNames = sync.OnceValue(func() map[uint32]string {
	return map[uint32]string{
		unix.SYS_CAPSET:            "capset",
		unix.SYS_CHDIR:             "chdir",
		unix.SYS_CLOSE:             "close",
		unix.SYS_CLOSE_RANGE:       "close_range",
		unix.SYS_DUP3:              "dup3",
		unix.SYS_EXECVE:            "execve",
		unix.SYS_EXECVEAT:          "execveat",
		unix.SYS_FACCESSAT2:        "faccessat2",
		unix.SYS_FCHDIR:            "fchdir",
		unix.SYS_FCHOWN:            "fchown",
		unix.SYS_FCHOWNAT:          "fchownat",
		unix.SYS_FSCONFIG:          "fsconfig",
		unix.SYS_FSMOUNT:           "fsmount",
		unix.SYS_FSOPEN:            "fsopen",
		unix.SYS_IOCTL:             "ioctl",
		unix.SYS_KEYCTL:            "keyctl",
		unix.SYS_MKDIRAT:           "mkdirat",
		unix.SYS_MKNODAT:           "mknodat",
		unix.SYS_MOUNT:             "mount",
		unix.SYS_MOUNT_SETATTR:     "mount_setattr",
		unix.SYS_MOVE_MOUNT:        "move_mount",
		unix.SYS_OPENAT:            "openat",
		unix.SYS_OPENAT2:           "openat2",
		unix.SYS_OPEN_TREE:         "open_tree",
		unix.SYS_PERSONALITY:       "personality",
		unix.SYS_PIVOT_ROOT:        "pivot_root",
		unix.SYS_PRCTL:             "prctl",
		unix.SYS_REBOOT:            "reboot",
		unix.SYS_SCHED_SETAFFINITY: "sched_setaffinity",
		unix.SYS_SECCOMP:           "seccomp",
		unix.SYS_SETDOMAINNAME:     "setdomainname",
		unix.SYS_SETGROUPS:         "setgroups",
		unix.SYS_SETHOSTNAME:       "sethostname",
		unix.SYS_SETNS:             "setns",
		unix.SYS_SETRESGID:         "setresgid",
		unix.SYS_SETRESUID:         "setresuid",
		unix.SYS_SETSID:            "setsid",
		unix.SYS_SOCKET:            "socket",
		unix.SYS_SYMLINKAT:         "symlinkat",
		unix.SYS_UMASK:             "umask",
		unix.SYS_UMOUNT2:           "umount2",
		unix.SYS_UNSHARE:           "unshare",
		unix.SYS_WRITE:             "write",
	}
})

// Call is the name of the step's system call, or of its kind.
func (s Step) Call() string {
	if s.Op != OpCall {
		return opNames[s.Op]
	}
	if name, ok := callNames()[s.NR]; ok {
		return name
	}
	return "syscall_" + strconv.Itoa(int(s.NR))
}

// StepInfo is one step as people and tools read it.
type StepInfo struct {
	Program   string   `json:"program"`
	Index     int      `json:"index"`
	Name      string   `json:"name"`
	Why       string   `json:"why,omitempty"`
	Call      string   `json:"call"`
	Args      []string `json:"args"`
	Result    string   `json:"result,omitempty"`
	Tolerated []string `json:"tolerated,omitempty"`
	Skip      int      `json:"skip,omitempty"` // steps passed over when it fails so
}

// Explain describes every step.
func (p *Program) Explain() []StepInfo {
	targets := make(map[uint32]uint32, len(p.relocs))
	for _, r := range p.relocs {
		targets[r.Where] = r.Target
	}
	list := make([]StepInfo, len(p.steps))
	for i, s := range p.steps {
		info := StepInfo{Program: p.name, Index: i, Name: s.Name, Why: s.Why, Call: s.Call(), Args: p.explainArgs(s, targets), Skip: int(s.Skip)}
		if s.Keeps {
			info.Result = regName(s.Dst)
		}
		for _, e := range s.Tolerated {
			info.Tolerated = append(info.Tolerated, unix.ErrnoName(e))
		}
		list[i] = info
	}
	return list
}

// MarshalJSON is the program as [Program.Explain] has it.
func (p *Program) MarshalJSON() ([]byte, error) { return json.Marshal(p.Explain()) }

// Format writes the program one step a line, as strace would show it, grouped
// under what the steps belong to.
func (p *Program) Format(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "program %s\n", p.name)
	for i, r := range p.received {
		fmt.Fprintf(&b, "      %s = %s, from the parent\n", regName(p.firstReg+Reg(i)), r)
	}
	last := ""
	for _, s := range p.Explain() {
		if head := s.Name + "\x00" + s.Why; head != last {
			last = head
			b.WriteString(s.Name)
			if s.Why != "" {
				b.WriteString("  # " + s.Why)
			}
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%5d  %s\n", s.Index, s)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (s StepInfo) String() string {
	line := s.Call + "(" + strings.Join(s.Args, ", ") + ")"
	if s.Result != "" {
		line += " = " + s.Result
	}
	if len(s.Tolerated) > 0 {
		line += " or " + strings.Join(s.Tolerated, "|")
	}
	if s.Skip > 0 {
		line += fmt.Sprintf(", then skip %d", s.Skip)
	}
	return line
}

func regName(r Reg) string {
	if r == Control {
		return "control"
	}
	return "r" + strconv.Itoa(int(r))
}

func (p *Program) explainArgs(s Step, targets map[uint32]uint32) []string {
	var args []string
	if o := s.operand(); o != "" {
		args = append(args, o)
	}
	for i, a := range s.Args {
		switch a := a.(type) {
		case nil:
		case Reg:
			args = append(args, regName(a))
		case Imm:
			args = append(args, s.text(i, uint64(a)))
		case Data:
			args = append(args, p.dataText(a, targets, s, i))
		}
	}
	return args
}

// immText keeps small numbers and negative ones decimal; the rest are flags.
func immText(v Imm) string {
	if n := int64(v); n < 1000 && n > -1000 {
		if n == -100 {
			return "AT_FDCWD"
		}
		return strconv.FormatInt(n, 10)
	}
	return "0x" + strconv.FormatUint(uint64(v), 16)
}

// dataText shows argument i of s: a string, a vector of strings, or the words of a structure.
func (p *Program) dataText(d Data, targets map[uint32]uint32, s Step, i int) string {
	b := p.data[d.off : d.off+d.len]
	if shape := symbols().shapes[s.Call()][i]; shape != nil {
		return shape(b)
	}
	if _, ok := targets[d.off]; ok && len(b) >= 16 {
		return p.vectorText(d, targets)
	}
	if s := strings.TrimSuffix(string(b), "\x00"); printable(s) {
		return strconv.Quote(s)
	}
	return wordsText(b, symbols().words[s.Call()])
}

func (p *Program) vectorText(d Data, targets map[uint32]uint32) string {
	var list []string
	for at := d.off; at+8 < d.off+d.len; at += 8 {
		s, _, _ := bytes.Cut(p.data[targets[at]:], []byte{0})
		if _, ok := targets[at]; !ok || !printable(string(s)) {
			return wordsText(p.data[d.off:d.off+d.len], nil)
		}
		list = append(list, strconv.Quote(string(s)))
	}
	return "[" + strings.Join(list, ", ") + "]"
}

func printable(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r == 0x7f }) < 0
}

// wordsText shows a structure of 64-bit words; form says how the first of them read.
func wordsText(b []byte, form []notation) string {
	const most = 12
	var list []string
	for len(b) >= 8 && len(list) < most {
		text := func(v uint64) string { return immText(Imm(v)) }
		if n := len(list); n < len(form) && form[n] != nil {
			text = form[n]
		}
		list = append(list, text(le.Uint64(b)))
		b = b[8:]
	}
	if len(b) > 0 {
		list = append(list, fmt.Sprintf("... %d bytes", len(b)))
	}
	return "{" + strings.Join(list, ", ") + "}"
}
