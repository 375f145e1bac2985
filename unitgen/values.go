// SPDX-License-Identifier: Apache-2.0

package unitgen

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/scope"
)

// A form is what the value of a directive looks like. systemd ignores a line whose value is none, with no more than a
// line in the journal: the unit would run without the limit.
type form struct {
	want  string
	ok    func(string) bool
	words bool              // want is a list of words, to which a newer systemd may add
	list  bool              // the value has several, with spaces between
	newer func(string) bool // what only some systemd take, or nil
	full  bool              // no value is not one either, but for those in resets
}

func oneOf(list ...string) form {
	return form{want: "one of " + strings.Join(list, ", "), ok: func(v string) bool { return slices.Contains(list, v) }, words: true, full: true}
}

// notEmpty is a form whose directives cannot be empty.
func (f form) notEmpty() form {
	f.full = true
	return f
}

// orNumber is a form of words that have numbers.
func (f form) orNumber(high int64) form {
	return f.or("its number", inRange(0, high).ok)
}

func inRange(low, high int64) form {
	return form{want: fmt.Sprintf("a whole number from %d to %d", low, high), ok: func(v string) bool {
		n, ok := integer(v)
		return ok && n >= low && n <= high
	}}
}

// integer reads what systemd's safe_atoi and those like it read: decimal, 0x1f, 017, 0o17 and 0b1.
func integer(v string) (int64, bool) {
	n, err := strconv.ParseInt(v, 0, 64)
	return n, err == nil && !strings.Contains(v, "_")
}

// share reads a share in ten-thousandths: 1‱, 1‰ or 1%, with as many decimals as there is place for.
func share(v string) (int64, bool) {
	for i, unit := range []string{"‱", "‰", "%"} {
		text, ok := strings.CutSuffix(v, unit)
		if !ok {
			continue
		}
		whole, decimals, dot := strings.Cut(text, ".")
		n, ok := integer(whole)
		if !ok || n < 0 || n > math.MaxInt32 || len(decimals) > i || dot && decimals == "" || strings.Trim(decimals, "0123456789") != "" {
			return 0, false
		}
		part, _ := strconv.Atoi("0" + (decimals + "00")[:i])
		return n*[]int64{1, 10, 100}[i] + int64(part), true
	}
	return 0, false
}

// isShare says whether a value is a share of a machine's whole.
func isShare(v string) bool {
	n, ok := share(v)
	return ok && n <= 10000
}

// truths are what systemd takes for yes and for no, in any case.
func truths() (yes, no []string) {
	return []string{"1", "yes", "y", "true", "t", "on"}, []string{"0", "no", "n", "false", "f", "off"}
}

func isTrue(v string) bool {
	yes, _ := truths()
	return slices.Contains(yes, strings.ToLower(v))
}

func boolean() form {
	return form{want: "yes or no", ok: func(v string) bool {
		_, no := truths()
		return isTrue(v) || slices.Contains(no, strings.ToLower(v))
	}, full: true}
}

func signal() form {
	return form{want: `a signal in capital letters like "SIGTERM", or a number from 1 to 64`, ok: isSignal, full: true}
}

func isSignal(v string) bool {
	_, ok := signalOf(v)
	return ok
}

// signalOf reads a signal as systemd does: names in capital letters, and numbers as [integer] has them.
func signalOf(v string) (unix.Signal, bool) {
	if n, ok := integer(v); ok {
		return unix.Signal(n), n >= 1 && n <= 64
	}
	name := strings.TrimPrefix(v, "SIG")
	if len(name) > 6 && (strings.HasPrefix(name, "RTMIN+") || strings.HasPrefix(name, "RTMAX-")) {
		offset, ok := integer(name[6:])
		if !ok || strings.HasPrefix(name[6:], "+") {
			return 0, false
		}
		s, err := configs.ParseSignal(name[:6] + strconv.FormatInt(offset, 10))
		return s, err == nil
	}
	s, err := configs.ParseSignal("SIG" + name)
	return s, err == nil && name == strings.ToUpper(name) && !strings.ContainsAny(name[:1], "+-0123456789")
}

// wrong says what a directive takes instead of one of the values, nil if that is not known or not wrong.
func wrong(name string, values []string) error {
	f, known := formOf(name)
	for _, v := range values {
		if v = strings.TrimSpace(v); v == "" {
			if f.full && !f.list && !slices.Contains(resets, name) {
				return fmt.Errorf("cannot be empty: want %s", f.want)
			}
			continue
		}
		if !known {
			if err := unruly(name, v); err != nil {
				return err
			}
			continue
		}
		for _, w := range f.entries(v) {
			if err := f.refuse(w); err != nil {
				return err
			}
		}
		if err := unruly(name, v); err != nil {
			return err
		}
	}
	return nil
}

// resets are directives that no value gives back their default, others than those of their kind.
var resets = []string{
	"CPUQuotaPeriodSec", "CPUSchedulingPolicy", "IOSchedulingClass", "ManagedOOMMemoryPressure", "ManagedOOMMemoryPressureDurationSec", "ManagedOOMSwap",
	"MemoryKSM", "NUMAPolicy", "Personality", "SetLoginEnvironment", "TimeoutAbortSec",
}

// entries are those of a list, else the value.
func (f form) entries(v string) []string {
	if f.list {
		return strings.Fields(v)
	}
	return []string{v}
}

// quoted says whether a value has what only systemd is to read.
func quoted(v string) bool { return strings.ContainsAny(v, `"'\`) }

func (f form) refuse(v string) error {
	switch {
	case f.ok(v):
		return nil
	case f.newer != nil && f.newer(v), f.words && !strings.ContainsFunc(v, func(r rune) bool { return r <= ' ' || r > '~' }):
		return &StrangeValueError{v, f.want}
	}
	return fmt.Errorf("value %q: want %s", v, f.want)
}

// unruly says which rule a directive's value breaks that has the form of one: those of the unit's property. Entries with
// specifiers, and lists with quotes, are systemd's to read.
func unruly(name, value string) error {
	info, ok := scope.Lookup(configs.CurrentDirective(name))
	if !ok {
		return nil
	}
	var text string
	switch info.Kind {
	case scope.KindBool:
		text = strconv.FormatBool(isTrue(value))
	case scope.KindSignal:
		n, _ := signalOf(value)
		text = strconv.Itoa(int(n))
	case scope.KindString:
		text = strconv.Quote(value)
	case scope.KindStrings: // a template is of the unit's own instance
		if quoted(value) {
			return nil
		}
		list := slices.DeleteFunc(strings.Fields(strings.ReplaceAll(value, "@.", "@x.")), specifier().MatchString)
		if len(list) == 0 {
			return nil
		}
		for _, w := range list {
			if all := scope.Words(name); all != nil && !slices.Contains(all, w) {
				return &StrangeValueError{w, oneOf(all...).want}
			}
		}
		text = "['" + strings.Join(list, "', '") + "']"
	default:
		return nil
	}
	_, err := scope.Parse(info.Name, text)
	return errors.Unwrap(err)
}

var specifier = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`%[A-Za-z%]`) })

// formOf is what a directive takes, as far as it is known here.
func formOf(name string) (form, bool) {
	switch name = configs.CurrentDirective(name); name {
	case "Restart":
		return oneOf("no", "always", "on-success", "on-failure", "on-abnormal", "on-abort", "on-watchdog"), true
	case "RestartMode":
		return oneOf("normal", "direct", "debug"), true
	case "ExitType":
		return oneOf("main", "cgroup"), true
	case "IOSchedulingClass":
		return oneOf("none", "realtime", "best-effort", "idle").orNumber(8), true
	case "CPUSchedulingPolicy":
		return oneOf("other", "batch", "idle", "fifo", "rr", "ext").orNumber(math.MaxInt32), true
	case "TimeoutStartFailureMode", "TimeoutStopFailureMode":
		return oneOf("terminate", "abort", "kill"), true
	case "StartLimitAction", "JobTimeoutAction":
		return oneOf(scope.Words("FailureAction")...), true
	case "Nice":
		return inRange(-20, 19), true
	case "CPUSchedulingPriority":
		return inRange(0, 99).notEmpty(), true
	case "IOSchedulingPriority":
		return inRange(0, 7), true
	case "StartLimitBurst", "LogRateLimitBurst", "RestartSteps":
		return inRange(0, math.MaxUint32).notEmpty(), true
	case "RestartSec", "RestartMaxDelaySec", "TimeoutStartSec", "TimeoutSec", "TimeoutAbortSec", "WatchdogSec", "StartLimitIntervalSec",
		"JobTimeoutSec", "JobRunningTimeoutSec", "LogRateLimitIntervalSec":
		return span(), true
	case "CPUSchedulingResetOnFork", "SyslogLevelPrefix", "StopWhenUnneeded", "RefuseManualStart", "RefuseManualStop", "AllowIsolate",
		"RootDirectoryStartOnly":
		return boolean(), true
	}
	for _, of := range []func(string) (form, bool){formOfLimit, formOfWord, formOfPath, formOfName} {
		if f, ok := of(name); ok {
			return f, true
		}
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
		return boolean(), true
	case scope.KindSignal:
		return signal(), true
	case scope.KindUSec:
		return span(), true
	case scope.KindString:
		if all := scope.Words(p.Name); all != nil {
			return oneOf(all...), true
		}
	case scope.KindPercent:
		return form{want: `a share of CPU time like "150%"`, ok: func(v string) bool {
			n, ok := share(v)
			return ok && n > 0 && n <= math.MaxInt32
		}}, true
	case scope.KindBytes:
		return ofMemory(strings.HasSuffix(p.Name, "Max") && !strings.Contains(p.Name, "Swap") || strings.HasSuffix(p.Name, "High")), true
	case scope.KindCount:
		return formOfCount(p.Name), true
	}
	return form{}, false
}

func formOfCount(name string) form {
	weight := inRange(1, 10000)
	switch name {
	case "TasksMax":
		return form{want: `a number like 512, "10%" or "infinity"`,
			ok: func(v string) bool { return v == "infinity" || isShare(v) || inRange(1, math.MaxInt64).ok(v) }}
	case "CPUWeight", "StartupCPUWeight":
		return form{want: `a number from 1 to 10000, or "idle"`, ok: func(v string) bool { return v == "idle" || weight.ok(v) }}
	}
	return weight
}
