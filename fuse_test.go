// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/rootfs"
	"github.com/sdcontainer/sdcontainer/unitgen"
)

// A fuse is a filesystem with one empty directory that answers, until it is told to be mute.
type fuse struct {
	dir    string
	dev    *os.File
	device uint64 // what the mount has as st_dev
	mute   atomic.Bool
}

// mountFuse mounts one; the connection ends with the test.
func mountFuse(t *testing.T) *fuse {
	t.Helper()
	place := t.TempDir()
	node := filepath.Join(place, "node")
	if err := unix.Mknod(node, unix.S_IFCHR|0o600, int(unix.Mkdev(10, 229))); err != nil {
		t.Fatal(err)
	}
	dev, err := os.OpenFile(node, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := &fuse{dir: filepath.Join(place, "mnt"), dev: dev}
	if err := os.Mkdir(f.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	options := "fd=" + strconv.Itoa(int(dev.Fd())) + ",rootmode=40000,user_id=0,group_id=0,allow_other"
	if err := unix.Mount("fuse", f.dir, "fuse", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() { defer close(served); f.serve() }()
	var st unix.Stat_t
	if err := unix.Stat(f.dir, &st); err != nil {
		t.Fatal(err)
	}
	f.device = st.Dev
	t.Cleanup(func() {
		_ = unix.Unmount(f.dir, unix.MNT_DETACH)
		f.abort(t)
		<-served
		dev.Close()
	})
	return f
}

// abort ends the connection, and with it everybody's waiting. It is called by the minor number of
// the mount's device, among those of the whole machine.
func (f *fuse) abort(t *testing.T) {
	t.Helper()
	const connections = "/sys/fs/fuse/connections"
	name := filepath.Join(connections, strconv.Itoa(int(unix.Minor(f.device))), "abort")
	if _, err := os.Stat(name); err != nil {
		if err := unix.Mount("fusectl", connections, "fusectl", 0, ""); err != nil {
			t.Log(err)
		}
	}
	if err := os.WriteFile(name, []byte("1"), 0); err != nil {
		t.Log(err)
	}
}

// fuseDir is the one name in a fuse. It is asked for each time.
const fuseDir = "dir"

// directory is the kernel's struct fuse_attr of one.
func directory(inode uint64) []byte {
	attr := make([]byte, 88)
	binary.LittleEndian.PutUint64(attr, inode)
	binary.LittleEndian.PutUint32(attr[60:], unix.S_IFDIR|0o755)
	binary.LittleEndian.PutUint32(attr[64:], 2) // links
	return attr
}

// serve answers as little as makes a directory (linux/fuse.h).
func (f *fuse) serve() {
	const lookup, forget, getattr, initialize, interrupt, batchForget = 1, 2, 3, 26, 36, 42
	b := make([]byte, 1<<17)
	for {
		n, err := unix.Read(int(f.dev.Fd()), b)
		if err == unix.EINTR || err == unix.ENOENT {
			continue
		}
		if err != nil || n < 40 {
			return
		}
		op, unique := binary.LittleEndian.Uint32(b[4:]), binary.LittleEndian.Uint64(b[8:])
		if op == forget || op == batchForget || op == interrupt || f.mute.Load() && op == lookup {
			continue
		}
		var out []byte
		var errno int32
		switch op {
		case initialize:
			out = binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, 7), 31)
			out = append(out, make([]byte, 56)...)
			binary.LittleEndian.PutUint32(out[20:], 1<<16) // max_write
		case getattr:
			out = append(make([]byte, 16), directory(1)...)
		case lookup:
			if name, _, _ := bytes.Cut(b[40:n], []byte{0}); string(name) != fuseDir {
				errno = -int32(unix.ENOENT)
				break
			}
			out = append(make([]byte, 40), directory(2)...)
			out[0] = 2 // the node
		default:
			errno = -int32(unix.ENOSYS)
		}
		var reply bytes.Buffer
		for _, v := range []any{uint32(16 + len(out)), errno, unique, out} {
			_ = binary.Write(&reply, binary.LittleEndian, v) // to memory
		}
		_, _ = unix.Write(int(f.dev.Fd()), reply.Bytes()) // the one who asked may be gone
	}
}

// check and explain ask no filesystem for ever, and of several wait for one.
func TestCheckOfWhatDoesNotAnswer(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	silent := mountFuse(t)
	impatient(t)
	silent.mute.Store(true)
	in := filepath.Join(silent.dir, fuseDir)
	minimal := "version = 1\nprocess.args = ['/bin/true']\nrootfs.path = "
	for more, want := range map[string]string{
		fmt.Sprintf("%q\nmount = [{ target = '/mnt', source = %q }]", in, in):               "3:8: rootfs.path: ",
		fmt.Sprintf("%q", silent.dir):                                                       "look at the root and at the sources of mounts: ",
		fmt.Sprintf("%q\nuserns.mode = 'none'\nnamespaces.uts = 'path:%s'", silent.dir, in): "look at namespaces to join: ",
		fmt.Sprintf("%q\nmount = [{ target = '/mnt', source = %q }]", w.root, in):           "4:29: mount.source: ",
	} {
		path := filepath.Join(t.TempDir(), "x.toml")
		if err := os.WriteFile(path, []byte(minimal+more), 0o600); err != nil {
			t.Fatal(err)
		}
		problems := answered(t, func() []configs.Problem { problems, _ := Check(path, unitgen.Options{}); return problems })
		if len(problems) != 1 || !strings.Contains(problems[0].String(), want) || !strings.Contains(problems[0].Msg, "does not answer") {
			t.Errorf("%s: %v, want %s", more, problems, want)
		}
	}
	root, source := w.spec("silent", "/bin/true"), w.spec("silent", "/bin/true")
	root.Root.Path = silent.dir
	source.Mounts = append(source.Mounts, specs.Mount{Type: "bind", Source: in, Destination: "/mnt", Options: []string{"bind"}})
	for want, spec := range map[string]*specs.Spec{"in the rootfs": root, "sources of mounts": source} {
		err := answered(t, func() error { _, err := Explain("silent", spec, unitgen.Options{}); return err })
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), want) {
			t.Errorf("explain: %v, want that of what is %s", err, want)
		}
	}
	err := answered(t, func() error {
		_, err := exposedWithin(t.Context(), []rootfs.Source{{Path: in, For: "root", IDMap: &rootfs.IDMap{}}}, false)
		return err
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("exposures: %v, want a deadline exceeded", err)
	}
}

// answered is what f returns, if it does.
func answered[T any](t *testing.T, f func() T) T {
	t.Helper()
	came := make(chan T, 1)
	go func() { came <- f() }()
	select {
	case v := <-came:
		return v
	case <-time.After(20 * time.Second):
		t.Fatal("no answer: it waits for the filesystem")
	}
	panic("not reached")
}
