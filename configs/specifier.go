// SPDX-License-Identifier: Apache-2.0

package configs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A Specifier is one that configurations may have.
type Specifier struct {
	Letter byte
	Doc    string
	value  func(name string) (string, error)
}

// Specifiers are those of systemd.unit(5), as a unit of the system's manager has them, with the unit's prefix and
// instance both the container's name. Not here are what is a unit file's (%y %Y), and what systemd itself gave up.
func Specifiers() []Specifier {
	return []Specifier{
		{'n', "the container's name", itself}, {'N', "the same", itself}, {'p', "the same", itself}, {'i', "the same", itself},
		{'P', "the name with / for each -", unescaped}, {'I', "the same", unescaped}, {'f', "that as a path, from / on", pathOf},
		{'j', "the name from its last - on", lastPart}, {'J', "the same", lastPart},
		{'t', "/run; without root $XDG_RUNTIME_DIR", xdg("/run", "XDG_RUNTIME_DIR", ".run")}, {'S', "/var/lib; without root $XDG_STATE_HOME", xdg("/var/lib", "XDG_STATE_HOME", ".local/state")},
		{'C', "/var/cache; without root $XDG_CACHE_HOME", xdg("/var/cache", "XDG_CACHE_HOME", ".cache")}, {'L', "/var/log; without root $XDG_STATE_HOME/log", logs},
		{'E', "/etc; without root $XDG_CONFIG_HOME", xdg("/etc", "XDG_CONFIG_HOME", ".config")}, {'D', "/usr/share; without root $XDG_DATA_HOME", xdg("/usr/share", "XDG_DATA_HOME", ".local/share")},
		{'T', "/tmp", fixed("/tmp")}, {'V', "/var/tmp", fixed("/var/tmp")}, {'h', "/root; without root $HOME", xdg("/root", "HOME", "")},
		{'u', "the caller's user", ofUser(0)}, {'U', "its number", number(os.Geteuid)}, {'g', "the caller's group", ofGroup},
		{'G', "its number", number(os.Getegid)}, {'s', "the caller's shell", ofUser(6)},
		{'H', "host name", func(string) (string, error) { return os.Hostname() }}, {'l', "host name up to the first dot", shortHost},
		{'q', "PRETTY_HOSTNAME of /etc/machine-info, or else %l", prettyHost},
		{'m', "machine ID", func(string) (string, error) { return firstLine("/etc/machine-id") }}, {'b', "boot ID", bootID},
		{'v', "kernel release", func(string) (string, error) { return firstLine("/proc/sys/kernel/osrelease") }},
		{'a', "architecture, as ConditionArchitecture= has it", architecture},
		{'o', "ID of /etc/os-release; what is not set there is empty", osRelease("ID")}, {'w', "VERSION_ID of it", osRelease("VERSION_ID")}, {'W', "VARIANT_ID of it", osRelease("VARIANT_ID")},
		{'B', "BUILD_ID of it", osRelease("BUILD_ID")}, {'M', "IMAGE_ID of it", osRelease("IMAGE_ID")}, {'A', "IMAGE_VERSION of it", osRelease("IMAGE_VERSION")},
		{'%', "a percent sign", fixed("%")},
	}
}

// specifiers expands the %-specifiers of a text, once.
func specifiers(name string) func(string) (string, error) {
	return func(s string) (string, error) {
		if !strings.Contains(s, "%") {
			return s, nil
		}
		var b strings.Builder
		var wrong []error
		for i := 0; i < len(s); i++ {
			if s[i] != '%' {
				b.WriteByte(s[i])
				continue
			}
			i++
			if i == len(s) {
				wrong = append(wrong, errors.New("ends in %: write %% for a percent sign"))
				break
			}
			v, err := specifier(s[i], name)
			if err != nil && !slices.ContainsFunc(wrong, func(e error) bool { return e.Error() == err.Error() }) {
				wrong = append(wrong, err)
			}
			b.WriteString(v)
		}
		if len(wrong) > 0 {
			return "", fmt.Errorf("%q: %w", s, oneLine(wrong))
		}
		return b.String(), nil
	}
}

// oneLine is several errors as the text of one.
func oneLine(errs []error) error {
	if len(errs) == 1 {
		return errs[0]
	}
	texts := make([]string, len(errs))
	for i, err := range errs {
		texts[i] = err.Error()
	}
	return errors.New(strings.Join(texts, "; "))
}

func specifier(c byte, name string) (string, error) {
	known := ""
	for _, s := range Specifiers() {
		if s.Letter == c {
			return s.value(name)
		}
		if s.Letter != '%' {
			known += " %" + string(s.Letter)
		}
	}
	if c == 'd' {
		return "", errors.New("%d: credentials come in a later version")
	}
	return "", fmt.Errorf("unknown specifier %%%c: known are%s, and %%%% for a percent sign", c, known)
}

func itself(name string) (string, error) { return name, nil }

func fixed(value string) func(string) (string, error) {
	return func(string) (string, error) { return value, nil }
}

// unescaped undoes what systemd-escape does to a path's slashes: a name has nothing else that is escaped. Who may choose
// the name may not choose by it what is above the directory that it stands in.
func unescaped(name string) (string, error) {
	p := strings.ReplaceAll(name, "-", "/")
	if slices.Contains(strings.Split(p, "/"), "..") {
		return "", fmt.Errorf("the name %q stands for no path below where it is written (%s)", name, p)
	}
	return p, nil
}

func pathOf(name string) (string, error) {
	p := "/" + strings.ReplaceAll(name, "-", "/")
	if filepath.Clean(p) != p {
		return "", fmt.Errorf("%%f: the name %q stands for no path", name)
	}
	return p, nil
}

func lastPart(name string) (string, error) { return name[strings.LastIndexByte(name, '-')+1:], nil }

// xdg is the system's directory for root, and who calls without root has one of its own.
func xdg(system, variable, below string) func(string) (string, error) {
	return func(string) (string, error) {
		if os.Geteuid() == 0 {
			return system, nil
		}
		if v := os.Getenv(variable); v != "" {
			return v, nil
		}
		return filepath.Join(os.Getenv("HOME"), below), nil
	}
}

func logs(name string) (string, error) {
	state, err := xdg("/var", "XDG_STATE_HOME", ".local/state")(name)
	return filepath.Join(state, "log"), err
}

func number(id func() int) func(string) (string, error) {
	return func(string) (string, error) { return strconv.Itoa(id()), nil }
}

func shortHost(string) (string, error) {
	host, err := os.Hostname()
	host, _, _ = strings.Cut(host, ".")
	return host, err
}

func prettyHost(name string) (string, error) {
	v, err := assigned("/etc/machine-info", "PRETTY_HOSTNAME")
	if v == "" || err != nil { // whatever the error, as systemd
		return shortHost(name)
	}
	return v, nil
}

func bootID(string) (string, error) {
	id, err := firstLine("/proc/sys/kernel/random/boot_id")
	return strings.ReplaceAll(id, "-", ""), err
}

func architecture(string) (string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", os.NewSyscallError("uname", err)
	}
	return systemdArch(unix.ByteSliceToString(u.Machine[:])), nil
}

// systemdArch is systemd's word for what uname calls the machine; they differ where a dash is in one.
func systemdArch(machine string) string {
	switch machine {
	case "x86_64":
		return "x86-64"
	case "aarch64":
		return "arm64"
	case "aarch64_be":
		return "arm64-be"
	case "i386", "i486", "i586", "i686":
		return "x86"
	case "armv6l", "armv7l", "armv8l":
		return "arm"
	case "ppc64le":
		return "ppc64-le"
	}
	return machine // riscv64, s390x, loongarch64, ppc64
}

// osRelease is a field of the host's release, empty where it is not set.
func osRelease(field string) func(string) (string, error) {
	return func(string) (string, error) {
		v, err := assigned("/etc/os-release", field)
		if errors.Is(err, os.ErrNotExist) {
			return assigned("/usr/lib/os-release", field)
		}
		return v, err
	}
}

// assigned is the last value that a file of shell assignments gives a variable.
func assigned(file, variable string) (value string, err error) {
	b, err := readFile(file)
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), variable+"="); ok {
			value = unquoted(v)
		}
	}
	return value, err
}

// unquoted takes the quotes off a shell word, and within double ones the backslashes before what they protect.
func unquoted(s string) string {
	if len(s) < 2 || s[0] != '"' && s[0] != '\'' || s[len(s)-1] != s[0] {
		return s
	}
	if s[0] == '\'' {
		return s[1 : len(s)-1]
	}
	return strings.NewReplacer(`\"`, `"`, `\\`, `\`, `\$`, `$`, "\\`", "`").Replace(s[1 : len(s)-1])
}

// ofUser is a field of the caller's line in /etc/passwd. Root's is not looked up: systemd has it built in.
func ofUser(field int) func(string) (string, error) {
	return func(string) (string, error) {
		uid := os.Geteuid()
		switch {
		case uid == 0 && field == 0:
			return "root", nil
		case uid == 0:
			return rootShell(), nil
		}
		v, err := account("/etc/passwd", strconv.Itoa(uid), field)
		if v == "" && field == 0 {
			return strconv.Itoa(uid), err
		}
		if v == "" {
			return "/bin/sh", err
		}
		return v, err
	}
}

// rootShell is what systemd takes for root's, whatever /etc/passwd says.
func rootShell() string {
	const preferred = "/bin/bash"
	if unix.Access(preferred, unix.X_OK) == nil {
		return preferred
	}
	return "/bin/sh"
}

func ofGroup(string) (string, error) {
	gid := os.Getegid()
	if gid == 0 {
		return "root", nil
	}
	v, err := account("/etc/group", strconv.Itoa(gid), 0)
	if v == "" {
		v = strconv.Itoa(gid)
	}
	return v, err
}

// account is a field of the line that has id in its third.
func account(file, id string, field int) (string, error) {
	b, err := readFile(file)
	for line := range strings.Lines(string(b)) {
		if f := strings.Split(strings.TrimSpace(line), ":"); len(f) > max(field, 2) && f[2] == id {
			return f[field], nil
		}
	}
	return "", err
}

func firstLine(file string) (string, error) {
	b, err := os.ReadFile(file)
	line, _, _ := strings.Cut(string(b), "\n")
	return line, err
}
