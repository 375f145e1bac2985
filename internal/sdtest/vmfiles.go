// SPDX-License-Identifier: Apache-2.0

package sdtest

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/sdcontainer/sdcontainer/internal/sdtest/wire"
)

// Push names what to copy into a guest: the file or directory Src of the host
// becomes Dst.
type Push struct{ Src, Dst string }

// Push copies files and directories into the guest, owned by root.
func (v *VM) Push(ctx context.Context, files ...Push) error {
	if len(files) == 0 {
		return nil
	}
	r, w := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := pack(w, files)
		packed <- err
		w.CloseWithError(err)
	}()
	var complaint bytes.Buffer
	code, err := v.Exec(ctx, Command{
		Request: wire.Request{Args: []string{"tar", "-C", "/", "--no-same-owner", "-xf", "-"}},
		Stdin:   r, Stderr: &complaint,
	})
	r.Close() // ends the packer when the guest stopped reading
	if err := errors.Join(err, <-packed); err != nil {
		return err
	}
	if code != 0 {
		return fmt.Errorf("copy into Debian %s: tar exited with %d: %s", v.Release, code, complaint.String())
	}
	return nil
}

func pack(w io.Writer, files []Push) error {
	t := tar.NewWriter(w)
	for _, f := range files {
		err := filepath.WalkDir(f.Src, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(f.Src, path)
			if err != nil {
				return err
			}
			return packOne(t, path, strings.TrimPrefix(filepath.Join(f.Dst, rel), "/"))
		})
		if err != nil {
			return err
		}
	}
	return t.Close()
}

func packOne(t *tar.Writer, path, name string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	link := ""
	if info.Mode()&fs.ModeSymlink != 0 {
		if link, err = os.Readlink(path); err != nil {
			return err
		}
	}
	head, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return err
	}
	head.Name, head.Uid, head.Gid, head.Uname, head.Gname = name, 0, 0, "", ""
	if err := t.WriteHeader(head); err != nil || !info.Mode().IsRegular() {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(t, f)
	return err
}
