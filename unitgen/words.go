// SPDX-License-Identifier: Apache-2.0

package unitgen

import (
	"encoding/base64"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
)

var facilities = []string{"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
	"local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"}

// architectures are those that Personality= may have; a machine has one or two of them.
var architectures = []string{"x86", "x86-64", "ppc", "ppc-le", "ppc64", "ppc64-le", "ia64", "parisc", "parisc64", "s390", "s390x", "sparc", "sparc64",
	"mips", "mips-le", "mips64", "mips64-le", "alpha", "arm", "arm-be", "arm64", "arm64-be", "sh", "sh64", "m68k", "tilegx", "cris", "nios2",
	"riscv32", "riscv64", "arc", "arc-be", "loongarch64"}

// exitStatuses are those of systemd.exec(5).
func exitStatuses() []string {
	return strings.Fields(`SUCCESS FAILURE INVALIDARGUMENT NOTIMPLEMENTED NOPERMISSION NOTINSTALLED NOTCONFIGURED NOTRUNNING USAGE DATAERR NOINPUT NOUSER
	NOHOST UNAVAILABLE SOFTWARE OSERR OSFILE CANTCREAT IOERR TEMPFAIL PROTOCOL NOPERM CONFIG CHDIR NICE FDS EXEC MEMORY LIMITS OOM_ADJUST SIGNAL_MASK STDIN
	STDOUT CHROOT IOPRIO TIMERSLACK SECUREBITS SETSCHEDULER CPUAFFINITY GROUP USER CAPABILITIES CGROUP SETSID CONFIRM STDERR PAM NETWORK NAMESPACE
	NO_NEW_PRIVILEGES SECCOMP SELINUX_CONTEXT PERSONALITY APPARMOR ADDRESS_FAMILIES RUNTIME_DIRECTORY CHOWN SMACK_PROCESS_LABEL KEYRING STATE_DIRECTORY
	CACHE_DIRECTORY LOGS_DIRECTORY CONFIGURATION_DIRECTORY NUMA_POLICY CREDENTIALS BPF KSM EXCEPTION`)
}

// or is a form that takes what ok does too.
func (f form) or(what string, ok func(string) bool) form {
	first := f.ok
	f.want, f.ok = f.want+", or "+what, func(v string) bool { return first(v) || ok(v) }
	return f
}

// formOfWord is what directives take that are no limits and name no files.
func formOfWord(name string) (form, bool) {
	switch name {
	case "OnFailureJobMode", "OnSuccessJobMode":
		return oneOf("fail", "replace", "replace-irreversibly", "isolate", "flush", "ignore-dependencies", "ignore-requirements", "triggering", "restart-dependencies"), true
	case "UtmpMode":
		return oneOf("init", "login", "user"), true
	case "Personality":
		return oneOf(architectures...), true
	case "RuntimeDirectoryPreserve":
		return oneOf("yes", "no", "restart").or("another word for yes or no", boolean().ok), true
	case "LogLevelMax", "SyslogLevel":
		return oneOf(configs.Levels()...).orNumber(7), true
	case "SyslogFacility":
		return oneOf(facilities...).orNumber(127), true
	case "StandardOutput", "StandardError":
		f := oneOf("inherit", "null", "tty", "journal", "journal+console", "kmsg", "kmsg+console", "socket", "fd", "syslog", "syslog+console")
		return f.or("file:/PATH, append:/PATH, truncate:/PATH", func(v string) bool {
			how, path, _ := strings.Cut(v, ":")
			return slices.Contains([]string{"file", "append", "truncate"}, how) && isPath(path) || how == "fd" && !strings.Contains(path, ":")
		}), true
	case "CoredumpFilter":
		f := oneOf("private-anonymous", "shared-anonymous", "private-file-backed", "shared-file-backed", "elf-headers", "private-huge", "shared-huge",
			"private-dax", "shared-dax", "default", "all").or("a mask like 0x33", isMask)
		f.list = true
		return f, true
	case "SystemCallErrorNumber":
		return form{want: `an error like "EPERM", a number from 1 to 4095, or "kill"`, ok: isErrno}, true
	case "SuccessExitStatus", "RestartPreventExitStatus", "RestartForceExitStatus":
		f := oneOf(exitStatuses()...).or("a number from 0 to 255", inRange(0, 255).ok).or("a signal", func(v string) bool {
			_, number := integer(v)
			return isSignal(v) && !number
		})
		f.want, f.list = `exit statuses from 0 to 255 or of systemd.exec(5), and signals in capital letters like "SIGTERM"`, true
		return f, true
	case "FailureActionExitStatus", "SuccessActionExitStatus":
		return inRange(0, 255), true
	case "BusName":
		return form{want: `a name like "org.example.Web"`, full: true, ok: func(v string) bool { return strings.Contains(v, "%") || busName().MatchString(v) }}, true
	case "LogNamespace":
		return form{want: `a name of letters, digits and _ - . : or @, with up to 222 of them`, ok: isInstance}, true
	case "OnFailureIsolate", "PermissionsStartOnly", "RemoveIPC", "MemoryKSM", "SurviveFinalKillSignal",
		"SetLoginEnvironment":
		return boolean(), true
	case "TimeoutCleanSec":
		return span(), true
	case "TimerSlackNSec":
		return nanoseconds(), true
	case "DefaultStartupMemoryLow":
		return ofMemory(false), true
	}
	return form{}, false
}

var busName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z_-][\w-]*(\.[A-Za-z_-][\w-]*)+$`) })

var instance = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^([\w.:@-]|%[A-Za-z])+$`) })

// isInstance says whether v may be the instance of journald's units, which are files. Specifiers may become anything.
func isInstance(v string) bool {
	return instance().MatchString(v) && v != "." && v != ".." && len(v) <= 222
}

func isMask(v string) bool {
	_, err := strconv.ParseUint(strings.TrimPrefix(strings.TrimPrefix(v, "+"), "0x"), 16, 64)
	return err == nil
}

// maxErrno is more than the highest error that has a name.
const maxErrno = 200

func isErrno(v string) bool {
	if v == "kill" {
		return true
	}
	v = strings.ToUpper(v)
	if inRange(1, 4095).ok(v) || slices.Contains([]string{"EWOULDBLOCK", "EDEADLOCK", "ENOTSUP"}, v) {
		return true
	}
	for n := range maxErrno {
		if n > 0 && unix.ErrnoName(syscall.Errno(n)) == v {
			return true
		}
	}
	return false
}

func isBase64(v string) bool {
	_, err := base64.StdEncoding.Strict().DecodeString(strings.Join(strings.Fields(v), ""))
	return err == nil
}
