// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
	"github.com/sdcontainer/sdcontainer/nsexec"
)

// TestPowerOffIsNotForOurOwn refuses a process that came out in our own PID namespace.
func TestPowerOffIsNotForOurOwn(t *testing.T) {
	init, err := identify(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	c := &Container{st: &record{Init: init}}
	if err := c.inPIDNamespace(os.Getpid()); !errors.Is(err, ErrAttest) {
		t.Errorf("%v, want ErrAttest", err)
	}
}

// What hears one of these is left to systemd.
func TestStopSignals(t *testing.T) {
	for name, tt := range map[string]struct {
		unit map[string]any
		want []unix.Signal
	}{
		"252":        {map[string]any{"KillSignal": int32(15), "RestartKillSignal": int32(15), "SendSIGHUP": false}, []unix.Signal{unix.SIGTERM, unix.SIGTERM}},
		"at restart": {map[string]any{"KillSignal": int32(15), "RestartKillSignal": int32(10)}, []unix.Signal{unix.SIGTERM, unix.SIGUSR1}},
		"a shell":    {map[string]any{"KillSignal": int32(15), "SendSIGHUP": true}, []unix.Signal{unix.SIGTERM, unix.SIGHUP}},
	} {
		if got := stopSignals(tt.unit); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

// A9: the process that ends a container's PID namespace is seen from inside: it is in the
// container's other namespaces too, but for the user namespace.
func TestPowerOffShowsNothingOfTheHost(t *testing.T) {
	if !sdtest.Inside(t) {
		return
	}
	w := newWorld(t)
	c := w.mustStart("off", CreateOptions{Detach: true}, "/bin/sleep", "60")
	enter, _, err := compilePowerOff(c.st.Init.Pid)
	if err != nil {
		t.Fatal(err)
	}
	init, err := c.st.Init.open()
	if err != nil {
		t.Fatal(err)
	}
	defer init.Close()
	helper, err := nsexec.Start(nsexec.StartOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer helper.Close()
	if err := helper.Send(enter, init); err != nil {
		t.Fatal(err)
	}
	e, err := helper.Next(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"mnt", "net", "pid", "uts", "ipc", "user"} {
		var links [2]string
		for i, pid := range []int{e.Pid, c.st.Init.Pid} {
			if links[i], err = os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/" + kind); err != nil {
				t.Fatal(err)
			}
		}
		if same := links[0] == links[1]; same != (kind != "user") {
			t.Errorf("%s: %s, the container's is %s", kind, links[0], links[1])
		}
	}
	if err := endChild(soon(t), e.Pid, e.File); err != nil {
		t.Error(err)
	}
	if err := c.powerOff(soon(t)); err != nil {
		t.Error(err)
	}
}
