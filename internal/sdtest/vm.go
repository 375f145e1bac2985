// SPDX-License-Identifier: Apache-2.0

package sdtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest/wire"
)

// VM is a running guest: Debian with systemd as PID 1 and a unified cgroup
// hierarchy, on a throw-away copy of its image. Everything in it goes through
// Exec; there is no network and no shared directory.
type VM struct {
	Release string
	Accel   string        // "kvm" or "tcg"
	Booted  time.Duration // from the start of QEMU to the agent's greeting

	dir        string // console log and initramfs
	complaints complaints
	port       *os.File
	out        *wire.Writer
	frames     chan wire.Frame // closed when the port is lost
	qemu       *exec.Cmd
	gone       chan struct{} // closed when QEMU has ended
}

// Command is what to run in a guest. Stdin, Stdout and Stderr may be nil.
type Command struct {
	wire.Request
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Resized        <-chan wire.Size // new sizes of the terminal, or nil
}

// Boot deadlines: a guest that is slower than this is hung.
const (
	kvmBoot = 90 * time.Second
	tcgBoot = 8 * time.Minute
)

// BootVM starts the guest of a release and waits for its agent.
//
//   - the image is built when the cache has none; progress goes to log
//   - SDCONTAINER_ACCEL=kvm or tcg forces how; otherwise KVM is tried first
//   - the caller calls Close
func BootVM(ctx context.Context, release string, log io.Writer) (*VM, error) {
	image, err := EnsureImage(ctx, release, log)
	if err != nil {
		return nil, err
	}
	if !Emulated() {
		v, err := boot(ctx, image, "kvm", kvmBoot)
		if err == nil || os.Getenv(accelEnv) == "kvm" || ctx.Err() != nil {
			return v, err
		}
		fmt.Fprintf(log, "Debian %s did not boot with KVM, emulating instead\n", release)
	}
	return boot(ctx, image, "tcg", tcgBoot)
}

// accelEnv forces how guests run: kvm or tcg.
const accelEnv = "SDCONTAINER_ACCEL"

// Emulated says that guests will have processors made by QEMU, twenty times slower.
func Emulated() bool {
	force := os.Getenv(accelEnv)
	return force == "tcg" || force != "kvm" && !haveKVM()
}

// haveKVM tells whether the processor virtualizes and the kernel will make a
// machine for us. (Some clouds have a /dev/kvm without vmx or svm, for
// paravirtual guests only: QEMU's stop there at the first odd instruction.)
// That it also runs one is only known once it has booted.
func haveKVM() bool {
	const kvmCreateVM = 0xae01 // KVM_CREATE_VM of linux/kvm.h
	cpus, err := os.ReadFile("/proc/cpuinfo")
	if err != nil || !regexp.MustCompile(`(?m)^flags\s*:.* (vmx|svm)( |$)`).Match(cpus) {
		return false
	}
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	fd, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), kvmCreateVM, 0)
	if errno != 0 {
		return false
	}
	_ = unix.Close(int(fd)) // only the answer mattered
	return true
}

func boot(ctx context.Context, image Image, accel string, limit time.Duration) (*VM, error) {
	dir, err := os.MkdirTemp("", "sdvm-")
	if err != nil {
		return nil, err
	}
	v := &VM{Release: image.Release, Accel: accel, dir: dir, gone: make(chan struct{}), frames: make(chan wire.Frame)}
	start := time.Now()
	if err := v.start(ctx, image); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	f, err := v.next(ctx)
	if err == nil && f.Kind != wire.Hello {
		err = fmt.Errorf("frame of kind %d instead of a greeting", f.Kind)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("boot Debian %s with %s: %w%s", v.Release, accel, err, v.Console()), v.Close())
	}
	if err := v.settle(ctx); err != nil {
		return nil, errors.Join(err, v.Close())
	}
	v.Booted = time.Since(start)
	return v, nil
}

// settle waits until the guest's systemd has nothing left to start. A guest
// in which something failed is no place for tests.
func (v *VM) settle(ctx context.Context) error {
	var said bytes.Buffer
	code, err := v.Exec(ctx, Command{
		Request: wire.Request{Args: []string{"sh", "-c", "systemctl is-system-running --wait || { systemctl --failed; exit 1; }"}},
		Stdout:  &said, Stderr: &said,
	})
	if err == nil && code != 0 {
		err = fmt.Errorf("boot Debian %s: %s", v.Release, said.String())
	}
	return err
}

// start runs QEMU with one end of a socket pair as its virtio-serial port.
func (v *VM) start(ctx context.Context, image Image) error {
	agent, err := buildAgent(ctx, v.dir)
	if err != nil {
		return err
	}
	ram, err := initramfs(image, agent)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(v.dir, "initrd"), ram, 0o600); err != nil {
		return err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socketpair", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "guest")
	defer theirs.Close()
	_ = unix.SetNonblock(pair[0], true) // otherwise Close would not end a Read
	v.port = os.NewFile(uintptr(pair[0]), "guest port")
	v.out = wire.NewWriter(v.port)

	v.qemu = exec.Command("qemu-system-x86_64", v.arguments(image)...)
	v.qemu.ExtraFiles = []*os.File{theirs}
	v.qemu.Stderr = &v.complaints
	v.qemu.WaitDelay = 10 * time.Second // somebody else may hold its standard error
	// A new process group: the terminal's ^C is for the caller to handle.
	v.qemu.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		// Order: the parent-death signal follows the thread that forks, so
		// that thread waits for the child too. prctl(2), PR_SET_PDEATHSIG.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := v.qemu.Start()
		if err == nil {
			v.complaints.onEnd(func() { _ = v.qemu.Process.Kill() }) // it may be gone by then
		}
		started <- err
		if err == nil {
			_ = v.qemu.Wait() // how it ended is told by the console
			close(v.gone)
		}
	}()
	if err := <-started; err != nil {
		return errors.Join(err, v.port.Close())
	}
	go v.receive()
	return nil
}

// arguments is the machine. The disk is opened read-only: with snapshot=on all
// writes go to an unlinked temporary file that is never flushed.
func (v *VM) arguments(image Image) []string {
	cpu, accel, processors, hurry := "host,arch-capabilities=off", "kvm", "2", ""
	if v.Accel == "tcg" {
		// la57: five-level page tables make every emulated page walk longer. One
		// processor: with a thread each, QEMU 7.2 now and then executes an int3 that the
		// kernel put into its own code and has taken back since ("Oops: int3"), and two on one
		// thread wait for each other, a fifth of the time. smap: each copy from or to a process would
		// go through another table of translated addresses. erms: what clears and copies pages would do so byte by byte, where
		// it otherwise takes eight at once: emulated, that is a tenth of all time.
		cpu, accel, processors = "max,la57=off,smap=off,erms=off", "tcg,thread=single,tb-size=512", "1"
		// norandmaps: QEMU 7.2 translates code anew for every address it is found at. With the
		// same addresses each time a dynamic program starts in a seventh of the time.
		// init_on_alloc=0: nor has it time to clear memory twice. tsc: where this machine is busy, the kernel
		// takes its time stamps for unreliable, and asks an emulated device for the time, each time.
		hurry = " norandmaps init_on_alloc=0 tsc=reliable"
	}
	kernel := "console=ttyS0 loglevel=5 mitigations=off oops=panic panic=-1 audit=0 " +
		"systemd.show_status=0 systemd.unified_cgroup_hierarchy=1 random.trust_cpu=1 no_timer_check" + hurry
	return []string{
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-machine", "q35,hpet=off,usb=off,sata=off,smbus=off,i8042=off,vmport=off", "-accel", accel, "-cpu", cpu, "-smp", processors, "-m", "2048",
		"-kernel", filepath.Join(image.Dir, "vmlinuz"), "-initrd", filepath.Join(v.dir, "initrd"), "-append", kernel,
		"-drive", "if=none,id=root,format=raw,snapshot=on,cache=unsafe,file=" + filepath.Join(image.Dir, "disk.ext4"),
		"-device", "virtio-blk-pci,drive=root",
		"-serial", "file:" + v.consolePath(),
		"-device", "virtio-serial-pci",
		"-chardev", "socket,id=agent,fd=3",
		"-device", "virtserialport,chardev=agent,name=sdvm",
	}
}

func (v *VM) consolePath() string { return filepath.Join(v.dir, "console") }

// buildAgent compiles the guest's agent into dir; the go command's cache makes
// all but the first quick.
func buildAgent(ctx context.Context, dir string) (string, error) {
	root, err := ModuleRoot()
	if err != nil {
		return "", err
	}
	out := filepath.Join(dir, "agent")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, "./test/vm/agent")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the agent: %w\n%s", err, text)
	}
	return out, nil
}

// receive hands over frames until the port is lost, which QEMU's end causes too.
func (v *VM) receive() {
	defer close(v.frames)
	for {
		f, err := wire.Read(v.port)
		if err != nil {
			return
		}
		select {
		case v.frames <- f:
		case <-v.gone:
			return
		}
	}
}

// next waits for a frame from the agent.
func (v *VM) next(ctx context.Context) (wire.Frame, error) {
	select {
	case f, ok := <-v.frames:
		if !ok {
			select { // its last words are there when it has been waited for
			case <-v.gone:
			case <-ctx.Done():
			}
			return f, errors.New("the guest is gone")
		}
		return f, nil
	case <-v.gone:
		return wire.Frame{}, errors.New("the guest is gone")
	case <-ctx.Done():
		return wire.Frame{}, fmt.Errorf("no answer: %w", ctx.Err())
	}
}

// Exec runs one command in the guest and returns its exit code as a shell
// would: 128+n after signal n.
//
//   - one at a time
//   - when ctx ends first the guest is killed: it is hung, or what it runs is;
//     the error has the end of its console
func (v *VM) Exec(ctx context.Context, c Command) (int, error) {
	code, err := v.exec(ctx, c)
	if err == nil {
		return code, nil
	}
	v.kill()
	return code, fmt.Errorf("in Debian %s: %s: %w%s", v.Release, strings.Join(c.Args, " "), err, v.Console())
}

func (v *VM) exec(ctx context.Context, c Command) (int, error) {
	deadline, _ := ctx.Deadline() // the zero time is none
	if err := v.port.SetWriteDeadline(deadline); err != nil {
		return 0, err
	}
	if err := v.out.SendJSON(wire.Exec, c.Request); err != nil {
		return 0, err
	}
	stop := make(chan struct{})
	defer close(stop)
	go v.feed(c, stop)
	for {
		f, err := v.next(ctx)
		if err != nil {
			return 0, err
		}
		switch f.Kind {
		case wire.Stdout:
			write(c.Stdout, f.Payload)
		case wire.Stderr:
			write(c.Stderr, f.Payload)
		case wire.Exit:
			var res wire.Result
			if err := f.Decode(&res); err != nil {
				return 0, err
			}
			if res.Error != "" {
				write(c.Stderr, []byte(res.Error+"\n"))
			}
			return res.Code, nil
		case wire.Hello:
			return 0, errors.New("the agent or the guest was restarted")
		default:
			return 0, fmt.Errorf("frame of kind %d in the middle of a command", f.Kind)
		}
	}
}

// Signal sends a signal to the running command's process group.
func (v *VM) Signal(sig syscall.Signal) error { return v.out.SendJSON(wire.Signal, int(sig)) }

func write(w io.Writer, p []byte) {
	if w != nil {
		_, _ = w.Write(p) // the reader of our output may leave early
	}
}

// feed sends the command's input until it ends. A read that outlives the
// command (a terminal's) loses one line; there is no second command then.
func (v *VM) feed(c Command, stop <-chan struct{}) {
	if c.Resized != nil {
		go func() {
			for {
				select {
				case size := <-c.Resized:
					_ = v.out.SendJSON(wire.Resize, size) // a lost port is noticed by the reader
				case <-stop:
					return
				}
			}
		}()
	}
	if c.Stdin != nil {
		_, _ = io.Copy(v.out.Stream(wire.Stdin), c.Stdin) // likewise
	}
	_ = v.out.Send(wire.StdinEOF, nil) // likewise
}

// Close ends the guest.
//
// It returns an error when the guest's kernel reported an oops, a bug or a
// lock-up at any time.
func (v *VM) Close() error {
	v.kill()
	err := v.kernelTrouble()
	return errors.Join(err, v.port.Close(), os.RemoveAll(v.dir))
}

func (v *VM) kill() {
	_ = v.qemu.Process.Kill() // it may have ended by itself
	<-v.gone
}
