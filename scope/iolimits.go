// SPDX-License-Identifier: Apache-2.0

package scope

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/kernel"
)

// deviceFields is where a property's number is in the line of a device.
var deviceFields = map[string]string{
	"IOReadBandwidthMax": "rbps", "IOWriteBandwidthMax": "wbps", "IOReadIOPSMax": "riops", "IOWriteIOPSMax": "wiops",
	"IODeviceLatencyTargetUSec": "target",
}

func deviceLimits(i Info, devices []PathValue) (limits []Limit) {
	for _, d := range devices {
		l := Limit{Property: i.Name, File: i.File, Device: d.Path, Field: deviceFields[i.Name]}
		if i.File == "io.weight" {
			limits = append(limits, weightLimits(l, d.Value)...)
			continue
		}
		l.Value = fileValue(i, d.Value)
		if strings.HasSuffix(l.Field, "iops") && d.Value >= 1<<32-1 { // the kernel has 32 bits for these
			l.Value = "max"
		}
		limits = append(limits, l)
	}
	return limits
}

// bfqWeightFile is io.weight for the scheduler BFQ. Removable when no kernel has it: systemd writes both until then.
const bfqWeightFile = "io.bfq.weight"

// weightLimits are a weight in the kernel's two files for it, the second as systemd scales it: to 1 to 1000, and the default
// of 100 to the same.
func weightLimits(l Limit, v any) []Limit {
	n, _ := v.(uint64)
	bfq := l
	bfq.File = bfqWeightFile
	l.Value = strconv.FormatUint(n, 10)
	if n > 100 {
		n = 100 + (n-100)*(1000-100)/(10000-100)
	}
	bfq.Value = strconv.FormatUint(n, 10)
	return []Limit{l, bfq}
}

// Optional says whether the cgroup may do without the file: a weight needs a scheduler that weighs beside the
// controller, what is to happen at an OOM kill is set by default, and none is what a cgroup has that cannot be limited.
func (l Limit) Optional(cgroup string) bool {
	switch path.Base(l.File) {
	case "io.weight", bfqWeightFile:
		have, err := Controllers(cgroup)
		return err == nil && slices.Contains(have, "io")
	}
	return l.Property == "OOMPolicy" || l.none()
}

// none says whether the limit is that there is none.
func (l Limit) none() bool {
	switch file := path.Base(l.File); file {
	case "memory.low", "memory.min":
		return l.Value == "0"
	case "memory.high":
		return l.Value == "max"
	default:
		value, _, _ := strings.Cut(l.Value, " ") // a period may follow
		return strings.HasSuffix(file, ".max") && value == "max"
	}
}

// Find puts the number of the device that systemd takes in the place of its path; ok is false where only systemd can
// tell. Errors: fs.ErrNotExist where there is no such device.
func (l *Limit) Find() (ok bool, err error) {
	if strings.HasPrefix(l.Device, "/") {
		l.Device, err = diskOf(l.Device)
		return l.Device != "", err
	}
	return true, nil
}

// In is what the content of the file says of the limit, once its device was found; ok is false where it says nothing: a
// scheduler that weighs has no line for a device that is not its.
func (l Limit) In(content string) (value string, ok bool) {
	if l.Device == "" {
		return strings.TrimSpace(content), true
	}
	for line := range strings.Lines(content) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != l.Device {
			continue
		}
		for _, f := range fields[1:] {
			key, value, pair := strings.Cut(f, "=")
			switch {
			case l.Field == "" && !pair:
				return f, true
			case pair && key == l.Field:
				return value, true
			}
		}
	}
	return "max", l.Field != "" // the kernel writes no line for a device without limits
}

// diskOf is the number of the disk that systemd limits when it is given a path: that of the device, or of the one
// below the path's filesystem; of a volume on one other device that device's; of a partition the disk's.
func diskOf(name string) (string, error) {
	number, ok := strings.CutPrefix(name, "/dev/block/") // there need not be such a link
	if _, _, err := deviceNumbers(number); !ok || err != nil {
		var st unix.Stat_t
		if err := unix.Stat(name, &st); err != nil {
			return "", &os.PathError{Op: "stat", Path: name, Err: err}
		}
		dev := st.Dev
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFBLK:
			dev = st.Rdev
		case unix.S_IFCHR:
			return "", fmt.Errorf("%s: want a block device, or a file on one", name)
		}
		if unix.Major(dev) == 0 {
			return "", onNoDevice(name)
		}
		number = fmt.Sprintf("%d:%d", unix.Major(dev), unix.Minor(dev))
	}
	for range maxStack {
		below := below(number)
		if below == "" {
			break
		}
		number = below
	}
	return whole(number), nil
}

// onNoDevice is nil for Btrfs alone, which systemd asks for the device.
func onNoDevice(name string) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(name, &fs); err != nil {
		return &os.PathError{Op: "statfs", Path: name, Err: err}
	}
	if fs.Type == unix.BTRFS_SUPER_MAGIC {
		return nil
	}
	return fmt.Errorf("%s: its filesystem is on no block device (give the device)", name)
}

// maxStack is how many devices may be on top of each other.
const maxStack = 16

const sysBlockDir = "/sys/dev/block/"

var sysBlock = sysBlockDir // tests put another in its place

// below is the one device that a device mapper's is on, or the disk that all of them are parts of; "" is none.
func below(number string) (one string) {
	slaves, _ := filepath.Glob(sysBlock + number + "/slaves/*/dev")
	for _, slave := range slaves {
		b, err := kernel.ReadFile(slave)
		if err != nil {
			return ""
		}
		n := strings.TrimSpace(string(b))
		if len(slaves) == 1 {
			return n
		}
		if n = whole(n); one != "" && n != one {
			return ""
		}
		one = n
	}
	return one
}

// whole is the disk that a partition is part of, or the device itself.
func whole(number string) string {
	if _, err := os.Stat(sysBlock + number + "/partition"); err != nil {
		return number
	}
	b, err := kernel.ReadFile(sysBlock + number + "/../dev") // not cleaned: it is a link
	if err != nil {
		return number
	}
	return strings.TrimSpace(string(b))
}
