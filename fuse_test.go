// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
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
