// SPDX-License-Identifier: Apache-2.0

package nsexec

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

var parserBinary string

// TestMain gives the parser's test program a place that outlives the tests that share it.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == orphanCommand {
		orphanMain()
		return
	}
	dir, err := os.MkdirTemp("", "nsexec-parser")
	if err != nil {
		panic(err)
	}
	parserBinary = filepath.Join(dir, "parser")
	before := openFiles()
	code := sdtest.Main(m)
	for link, n := range openFiles() {
		if n > before[link] && code == 0 {
			os.Stderr.WriteString("leaked descriptor: " + link + "\n")
			code = 1
		}
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

// openFiles counts this process's sockets, memory files and process descriptors.
func openFiles() map[string]int {
	open := make(map[string]int)
	fds, _ := os.ReadDir("/proc/self/fd") // none: nothing is counted
	for _, fd := range fds {
		link, _ := os.Readlink("/proc/self/fd/" + fd.Name())
		for _, kind := range []string{"socket:", "memfd:", "pidfd"} {
			if strings.Contains(link, kind) {
				open[link]++
			}
		}
	}
	return open
}

// buildParser compiles the interpreter's own parser, with sanitizers if there are any.
var buildParser = sync.OnceValue(func() error {
	flags := []string{"-std=gnu11", "-O1", "-g", "-fno-omit-frame-pointer", "-o", parserBinary, "testdata/parser.c"}
	sanitizers := []string{"-fsanitize=address,undefined", "-fno-sanitize-recover=all"}
	if exec.Command("gcc", append(sanitizers, flags...)...).Run() == nil {
		return nil
	}
	out, err := exec.Command("gcc", flags...).CombinedOutput()
	if err != nil {
		os.Stderr.Write(out)
	}
	return err
})

// parser is a running parser.
type parser struct {
	in     io.WriteCloser
	out    io.Reader
	errors *bytes.Buffer
}

func startParser(t testing.TB, args ...string) *parser {
	t.Helper()
	sdtest.Require(t, sdtest.Tool("gcc"))
	if err := buildParser(); err != nil {
		t.Fatal(err)
	}
	return startProgram(t, parserBinary, args...)
}

func startProgram(t testing.TB, binary string, args ...string) *parser {
	t.Helper()
	cmd := exec.Command(binary, args...)
	cmd.Env = append(os.Environ(), "ASAN_OPTIONS=detect_leaks=0")
	p := &parser{errors: &bytes.Buffer{}}
	cmd.Stderr = p.errors
	var err error
	if p.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if p.out, err = cmd.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("parser: %v\n%s", err, p.errors)
		}
	})
	return p
}

// accepts asks the parser about a program.
func (p *parser) accepts(t testing.TB, program []byte) bool {
	t.Helper()
	msg := append(le.AppendUint32(nil, uint32(len(program))), program...)
	if _, err := p.in.Write(msg); err != nil {
		t.Fatalf("write to parser: %v", err)
	}
	var answer [1]byte
	if _, err := io.ReadFull(p.out, answer[:]); err != nil {
		t.Fatalf("parser died: %v", err)
	}
	return answer[0] == 'y'
}

// sampleProgram has every kind of step.
func sampleProgram() *Program {
	spawn := New("spawn")
	spawn.At("fork init", "the child builds the container")
	cgroup := spawn.Receive("cgroup directory")
	record := spawn.Receive("exit record")
	cleanup := spawn.Receive("cleanup command")
	child := spawn.Fork(Control, CloneArgs{Namespaces: unix.CLONE_NEWNS | unix.CLONE_NEWPID, Cgroup: cgroup})
	unit := spawn.SyncReceive(Control, 3)
	spawn.At("keep", "")
	spawn.Keep(Keeper{Child: child, Record: record, Cgroup: unit, Cleanup: cleanup, Argv: []string{"sdcontainer", "cleanup"}})
	return spawn
}

// samplePayload has the rest.
func samplePayload() *Program {
	p := Next("build", sampleProgram())
	root := p.Receive("rootfs")
	p.At("mount proc on /proc", "the payload expects it")
	place := p.MkPath(root, "/proc", Dir, 0o755)
	fs := p.Fsopen("proc")
	p.FsconfigString(fs, "hidepid", "2")
	mnt := p.Fsmount(fs, "proc", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV)
	p.MoveMount(mnt, place, "/proc")
	p.At("check /dev/null", "an image may have put something else there")
	null := p.OpenInRoot(root, "/dev/null", unix.O_PATH)
	p.CheckNode(null, "/dev/null", unix.S_IFCHR, unix.Mkdev(1, 3))
	p.At("run hook", "")
	p.Spawn("/bin/hook", []string{"hook", "a b"}, []string{"X=1"}, []byte(`{"id":"x"}`), 2*time.Second)
	p.At("make /dev", "")
	p.Mkdir(root, "dev", 0o755)
	p.Fsopen("nonsense")
	p.call(unix.SYS_CLOSE, "", Imm(1)).OrSkip(1, unix.EBADF, unix.EINTR)
	p.Umask(0o22)
	p.At("become pid 1", "")
	p.Reap()
	p.CheckCwd()
	p.At("run payload", "")
	p.Ready(Control, 9)
	p.Exec("/bin/sh", []string{"sh", "-c", "true"}, []string{"PATH=/bin"})
	return p
}

func encode(t testing.TB, p *Program) []byte {
	t.Helper()
	b, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(b) // for changing
}

// The mirror in Go has every field where C has it.
func TestWireLayout(t *testing.T) {
	p := startParser(t, "layout")
	got, err := io.ReadAll(p.out)
	if err != nil {
		t.Fatal(err)
	}
	var want []byte
	want = put(want, header{1, 2, 3, 4, 5, 6, 7})
	want = put(want, wireStep{Op: 1, Dst: 2, Skip: 3, NR: 4, Tag: [6]uint8{5, 6, 7, 8, 9, 10},
		Tolerated: [4]uint16{11, 12, 13, 14}, Arg: [6]uint64{15, 16, 17, 18, 19, 20}})
	want = put(want, reloc{1, 2})
	want = put(want, order{1, 2, 3, 4})
	want = put(want, report{1, 2, 3, -4, 5})
	record := wireRecord{Magic: [8]byte([]byte(recordMagic)), Version: 1, Code: 2, Status: -3, Sec: 4, Nsec: 5}
	copy(record.Events[:], "oom_kill 6\n")
	record.Oomd[0] = '7'
	want = put(want, record)
	if !bytes.Equal(got, want) {
		t.Errorf("C  %x\nGo %x", got, want)
	}
	for size, v := range map[int]any{headerSize: header{}, stepSize: wireStep{}, relocSize: reloc{}, orderSize: order{}, reportSize: report{}, recordSize: wireRecord{}} {
		if n := binary.Size(v); n != size {
			t.Errorf("%T: %d bytes, the constant says %d", v, n, size)
		}
	}
}

// Cut anywhere, a program is refused.
func TestJ2ParserRefusesTruncation(t *testing.T) {
	parser := startParser(t)
	b := encode(t, samplePayload())
	for n := range b {
		if parser.accepts(t, b[:n]) {
			t.Errorf("the first %d of %d bytes accepted", n, len(b))
		}
	}
	if parser.accepts(t, append(bytes.Clone(b), 0)) {
		t.Error("a byte too many accepted")
	}
}

// Every field of 1, 2, 4 and 8 bytes set to what overflows or lies just outside:
// refused, or everything is still in range (the parser's test program sees to that).
func TestJ2ParserMutations(t *testing.T) {
	parser := startParser(t)
	for _, p := range []*Program{sampleProgram(), samplePayload()} {
		b := encode(t, p)
		n := uint64(len(b))
		data := uint64(le.Uint32(b[20:]))
		values := []uint64{0, 1, 0x7fffffff, 0x80000000, 0xffffffff, n - 1, n, n + 1, data - 1, data, data + 1, ^uint64(0), 1 << 63}
		accepted := 0
		// The data section is free: only its last byte is looked at.
		for at := range len(b) - int(data) {
			for _, width := range []int{1, 2, 4, 8} {
				if at%width != 0 || at+width > len(b) {
					continue
				}
				for _, v := range values {
					m := bytes.Clone(b)
					var word [8]byte
					le.PutUint64(word[:], v)
					copy(m[at:at+width], word[:width])
					ok := parser.accepts(t, m)
					if ok != valid(m) {
						t.Errorf("%d bytes at %d set to %#x: C says %v", width, at, v, ok)
					}
					if ok {
						accepted++
					}
				}
			}
		}
		t.Logf("%s: %d bytes, %d mutations accepted", p.Name(), n, accepted)
		m := bytes.Clone(b)
		m[n-1] = 1
		if parser.accepts(t, m) {
			t.Error("data without a 0 at its end accepted")
		}
	}
}
