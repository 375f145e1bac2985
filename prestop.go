// SPDX-License-Identifier: Apache-2.0

package sdcontainer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/nsexec"
	"github.com/sdcontainer/sdcontainer/scope"
)

// PreStop is for ExecStop= of a container's service. systemd is about to send the
// unit's stop signal: a payload that cannot hear it is ended at once, so that nobody
// waits for TimeoutStopSec= in vain. One that can is left to systemd, and so is one that
// $MAINPID does not name.
func (r *Runtime) PreStop(ctx context.Context, id string) error {
	c, err := r.Load(id)
	if errors.Is(err, ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, killTimeout)
	defer cancel()
	return wrap("prestop", id, c.preStop(ctx))
}

func (c *Container) preStop(ctx context.Context) error {
	// ExecStop= is also executed after the payload ended well: then there is no $MAINPID.
	if !c.st.Service || os.Getenv("MAINPID") != strconv.Itoa(c.st.Init.Pid) || !c.st.Init.alive() {
		return nil
	}
	deaf, err := c.deafToUnit(ctx)
	if err != nil || !deaf {
		return err
	}
	return c.powerOff(ctx)
}

// deafToUnit says whether what systemd would send is lost on the payload. The unit is
// asked, not the configuration: an administrator's drop-in counts.
func (c *Container) deafToUnit(ctx context.Context) (bool, error) {
	var p map[string]any
	err := c.withBus(ctx, func(conn *scope.Conn) (err error) {
		p, err = conn.Get(ctx, c.st.Unit, "KillMode", "KillSignal", "RestartKillSignal", "SendSIGHUP")
		return err
	})
	if err != nil {
		return false, err
	}
	if slices.ContainsFunc(stopSignals(p), c.hears) {
		return false, nil
	}
	if p["KillMode"] != "control-group" {
		return true, nil
	}
	// All processes get the signal: those that hear it may end as they wish, and the first one then.
	pids, err := scope.Procs(c.st.Cgroup)
	return len(pids) == 1, err
}

// stopSignals are those that systemd may send the main process of a unit with these properties before SIGKILL.
func stopSignals(p map[string]any) (all []unix.Signal) {
	for _, name := range []string{"KillSignal", "RestartKillSignal"} {
		if sig, _ := p[name].(int32); sig > 0 {
			all = append(all, unix.Signal(sig))
		}
	}
	if hangUp, _ := p["SendSIGHUP"].(bool); hangUp {
		all = append(all, unix.SIGHUP)
	}
	return all
}

// powerOff ends the container's PID namespace, and all in it, as a machine is
// switched off. With SIGKILL, which is the other signal that no init can ignore,
// systemd would count the service as failed; this it sees as SIGINT, which is a success.
func (c *Container) powerOff(ctx context.Context) error {
	init, err := c.st.Init.open()
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	defer init.Close()
	enter, off, err := compilePowerOff(c.st.Init.Pid)
	if err != nil {
		return c.dropIfEnded(err)
	}
	helper, err := nsexec.Start(nsexec.StartOptions{})
	if err != nil {
		return err
	}
	defer helper.Close()
	if err := helper.Send(enter, init); err != nil {
		return err
	}
	e, err := helper.Next(ctx)
	if err != nil {
		return c.dropIfEnded(err)
	}
	if e.Kind != nsexec.Forked {
		return fmt.Errorf("nsexec: %s, want forked", e.Kind)
	}
	// Order: before reboot(2): in a PID namespace that is not the container's it would
	// end what is not ours to end; in the machine's own, the machine.
	if err := c.inPIDNamespace(e.Pid); err != nil {
		return errors.Join(c.dropIfEnded(err), endChild(ctx, e.Pid, e.File))
	}
	err = helper.Send(off)
	if err == nil {
		_, err = helper.Next(ctx)
	}
	// Order: reaped before the init is waited for, which itself waits for everybody in its namespace.
	reaped := endChild(ctx, e.Pid, e.File)
	if step := (*nsexec.StepError)(nil); errors.As(err, &step) { // else it was ended with the rest
		return errors.Join(c.dropIfEnded(err), reaped)
	}
	return errors.Join(reaped, waitFor(ctx, c.st.Init))
}

// dropIfEnded drops an error that came of the container's end meanwhile.
func (c *Container) dropIfEnded(err error) error {
	if !c.st.Init.alive() {
		return nil
	}
	return err
}

// inPIDNamespace makes sure that a process is in the PID namespace of the container's
// init, and that this is not ours.
func (c *Container) inPIDNamespace(pid int) error {
	var links [3]string
	for i, p := range []string{strconv.Itoa(pid), strconv.Itoa(c.st.Init.Pid), "self"} {
		var err error
		if links[i], err = os.Readlink("/proc/" + p + "/ns/pid"); err != nil {
			return err
		}
	}
	if links[0] != links[1] || links[0] == links[2] {
		return fmt.Errorf("%w: PID namespace %s, want that of the container: %s, not ours: %s", ErrAttest, links[0], links[1], links[2])
	}
	return nil
}

// compilePowerOff compiles the program that makes a process in the namespaces of a container's
// init, and the one that ends its PID namespace. What the container sees of the process, in
// its /proc, shall not show it the host's mounts and network. In its user namespace it could
// send it signals.
func compilePowerOff(init int) (enter, off *nsexec.Program, err error) {
	flags, _, err := foreignNamespaces(init)
	if err != nil {
		return nil, nil, err
	}
	enter = nsexec.New("spawn")
	target := enter.Receive("container's init")
	flags &^= unix.CLONE_NEWUSER
	enter.At("join the container's namespaces", strings.Join(flagNames(flags), " "))
	enter.Setns(target, "container's namespaces", flags)
	enter.At("new process in them", "a process enters a PID namespace by its birth only")
	enter.Fork(nsexec.Control, nsexec.CloneArgs{Sibling: true, Cgroup: nsexec.NoReg})
	enter.End()
	off = nsexec.Next("power off", enter)
	off.At("power off", "the init ends as if by SIGINT")
	off.PowerOff()
	off.End()
	_, err1 := enter.Encode()
	_, err2 := off.Encode()
	return enter, off, errors.Join(err1, err2)
}
