// SPDX-License-Identifier: Apache-2.0

package unitgen

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/scope"
)

// A form is what the value of a directive looks like. systemd ignores a line whose value is none, with no more than a
// line in the journal: the unit would run without the limit.
type form struct {
	want string
	ok   func(string) bool
}

func matching(want, pattern string) form {
	return form{want, sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(` + pattern + `)$`) })().MatchString}
}

func oneOf(list ...string) form {
	return form{"one of " + strings.Join(list, ", "), func(v string) bool { return slices.Contains(list, v) }}
}

func inRange(low, high int64) form {
	return form{fmt.Sprintf("a whole number from %d to %d", low, high), func(v string) bool {
		n, err := strconv.ParseInt(v, 0, 64)
		return err == nil && n >= low && n <= high
	}}
}

const (
	patternNumber = `[0-9]+(\.[0-9]+)?`
	patternUnit   = `(usec|us|µs|μs|msec|ms|seconds?|sec|s|minutes?|min|months?|M|m|hours?|hr|h|days?|d|weeks?|w|years?|y)`
)

var (
	boolean = form{"yes or no", func(v string) bool {
		return slices.Contains([]string{"1", "yes", "y", "true", "t", "on", "0", "no", "n", "false", "f", "off"}, strings.ToLower(v))
	}}
	signal = form{`a signal like "SIGTERM"`, func(v string) bool {
		_, err := configs.ParseSignal(v)
		return err == nil
	}}
	count  = inRange(0, 1<<32-1)
	action = oneOf(strings.Fields("none reboot reboot-force reboot-immediate poweroff poweroff-force poweroff-immediate exit exit-force " +
		"soft-reboot soft-reboot-force kexec kexec-force halt halt-force halt-immediate")...)
	giveUp = oneOf("terminate", "abort", "kill")
)

func span() form {
	return matching(`a time like "10s" or "1min 30s", a number of seconds, or "infinity"`, `infinity|(`+patternNumber+`\s*`+patternUnit+`?\s*)+`)
}

// wrong says what a directive takes instead of one of the values, nil if that is not known or not wrong.
func wrong(name string, values []string) error {
	for _, v := range values {
		if v = strings.TrimSpace(v); v == "" {
			continue
		}
		if f, ok := formOf(name); ok && !f.ok(v) {
			return fmt.Errorf("value %q: want %s", v, f.want)
		}
		if err := wrongWords(name, v); err != nil {
			return err
		}
	}
	return nil
}

// wrongWords is of a directive that is a property of words, or of names of units and the like. Specifiers and quotes are
// systemd's to read.
func wrongWords(name, value string) error {
	info, ok := scope.Lookup(name)
	if !ok || strings.ContainsAny(value, `%"'\`) {
		return nil
	}
	var text string
	switch info.Kind {
	case scope.KindString:
		text = "'" + value + "'"
	case scope.KindStrings: // a template is of the unit's own instance
		text = "['" + strings.Join(strings.Fields(strings.ReplaceAll(value, "@.", "@x.")), "', '") + "']"
	default:
		return nil
	}
	_, err := scope.Parse(name, text)
	return errors.Unwrap(err)
}

// formOf is what a directive takes, as far as it is known here.
func formOf(name string) (form, bool) {
	switch name {
	case "Restart":
		return oneOf("no", "always", "on-success", "on-failure", "on-abnormal", "on-abort", "on-watchdog"), true
	case "RestartMode":
		return oneOf("normal", "direct", "debug"), true
	case "ExitType":
		return oneOf("main", "cgroup"), true
	case "IOSchedulingClass":
		return oneOf("none", "realtime", "best-effort", "idle", "0", "1", "2", "3"), true
	case "CPUSchedulingPolicy":
		return oneOf("other", "batch", "idle", "fifo", "rr", "ext"), true
	case "TimeoutStartFailureMode", "TimeoutStopFailureMode":
		return giveUp, true
	case "StartLimitAction", "JobTimeoutAction":
		return action, true
	case "Nice":
		return inRange(-20, 19), true
	case "StartLimitBurst", "LogRateLimitBurst", "FileDescriptorStoreMax", "RestartSteps":
		return count, true
	case "ReloadSignal":
		return signal, true
	case "RestartSec", "RestartMaxDelaySec", "TimeoutStartSec", "TimeoutSec", "TimeoutAbortSec", "WatchdogSec", "StartLimitIntervalSec",
		"StartLimitInterval", "JobTimeoutSec", "JobRunningTimeoutSec", "LogRateLimitIntervalSec":
		return span(), true
	case "IgnoreSIGPIPE", "CPUSchedulingResetOnFork", "SyslogLevelPrefix", "StopWhenUnneeded", "RefuseManualStart", "RefuseManualStop", "AllowIsolate",
		"NonBlocking", "RootDirectoryStartOnly":
		return boolean, true
	}
	for _, p := range scope.Properties() {
		if fileName(p.Name) == name && p.Kind != scope.KindScale {
			return formOfProperty(p)
		}
	}
	return form{}, false
}

// formOfProperty is how unit files write a property of the bus.
func formOfProperty(p scope.Info) (form, bool) {
	switch p.Kind {
	case scope.KindBool:
		return boolean, true
	case scope.KindSignal:
		return signal, true
	case scope.KindUSec:
		return span(), true
	case scope.KindPercent:
		return matching(`a share of CPU time like "150%"`, `0*[1-9][0-9]*(\.[0-9]{1,2})?%|0*\.[0-9]{1,2}%|0+\.[0-9]{1,2}%`), true
	case scope.KindBytes:
		return matching(`a size like "512M" (K, M, G, T are powers of 1024), a number of bytes, "50%" or "infinity"`,
			`infinity|0*(100(\.0{1,2})?|[0-9]{1,2}(\.[0-9]{1,2})?)%|(`+patternNumber+`\s*[EPTGMKB]?\s*)+`), true
	case scope.KindCount:
		return formOfCount(p.Name), true
	}
	return form{}, false
}

func formOfCount(name string) form {
	const weight = `0*([1-9][0-9]{0,3}|10000)`
	switch name {
	case "TasksMax":
		return matching(`a number like 512, "10%" or "infinity"`, `infinity|0*[1-9][0-9]*|0*(100(\.0{1,2})?|[0-9]{1,2}(\.[0-9]{1,2})?)%`)
	case "CPUWeight", "StartupCPUWeight":
		return matching(`a number from 1 to 10000, or "idle"`, `idle|`+weight)
	}
	return matching("a number from 1 to 10000", weight)
}
