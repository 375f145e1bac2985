// SPDX-License-Identifier: Apache-2.0

package unitgen

import "strings"

// longName is the longest that systemd has place for in a namespace of the journal.
var longName = strings.Repeat("a", 222)

// wordCases are values of directives that are no limits, as [valueCases].
var wordCases = []valueCase{
	{"Unit.ConditionPathExists", []string{"!|/x", "| ! /x", "! /x y", "x", "/x/../y", `"/x"`, "!", "10%"}, []string{"/x", "!/x", "|/x", "|!/x", "%h/x", "/x/./y//", "/10%", "/%%"}},
	{"Unit.ConditionPathExistsGlob", []string{"/x/../*", "*"}, []string{"/x/*"}},
	{"Unit.ConditionNeedsUpdate", []string{"etc"}, []string{"/etc", "/foo"}},
	{"Unit.ConditionDirectoryNotEmpty", nil, []string{"/x"}},
	{"Unit.AssertPathIsEncrypted", []string{"x"}, nil},
	{"Unit.OnFailureJobMode", []string{"1"}, []string{"fail", "replace", "replace-irreversibly", "isolate", "flush", "ignore-dependencies", "ignore-requirements", "triggering"}},
	{"Unit.OnFailureIsolate", []string{"x"}, []string{"yes"}},
	{"Unit.FailureActionExitStatus", []string{"256", "x"}, []string{"0", "255", "0x10"}},
	{"Unit.JobTimeoutSec", []string{"99999999999999999999"}, nil},
	{"Unit.RequiresMountsFor", nil, []string{"/10%", "%h/x"}},
	{"Unit.Documentation", nil, []string{"man:%n(1)"}},
	{"CoredumpFilter", []string{"0xg", "x", "1,2", "fffffffffffffffff", `"all"`, "-1"}, []string{"all", "default", "private-anonymous elf-headers", "0x33", "33", "shared-dax private-dax private-huge shared-huge private-file-backed shared-file-backed shared-anonymous", "0x1 elf-headers", "ffffffffffffffff", "ffffffff", "0b1", "+1", "010"}},
	{"LogLevelMax", []string{"warn", "8", "ERR"}, []string{"debug", "emerg", "warning", "7", "0", "0x3"}},
	{"SyslogLevel", []string{"8"}, []string{"notice", "7"}},
	{"SyslogFacility", []string{"128", "x", "security"}, []string{"kern", "local7", "authpriv", "ftp", "12", "127"}},
	{"LogNamespace", []string{"a/b", "a b", "a*b", ".", "..", "FOO=bar", "~x", `a\b`, `"a"`, "é", "a+b", "a%%b", longName + "a"}, []string{"foo", "a@b", "a:b", "-a", "x%i", longName}},
	{"Personality", []string{"x"}, []string{"x86", "x86-64"}},
	{"RemoveIPC", []string{"x"}, []string{"yes"}},
	{"RuntimeDirectory", []string{"/foo", "../foo", "foo:/bar", "private", "private/x", ".", "a ../b"}, []string{"foo bar/baz", "foo:bar", "foo:bar:ro", "foo:", `"a b"`, "./x", "x//y", "x/", "x%n", "a:b c"}},
	{"ConfigurationDirectory", []string{"foo:bar"}, []string{"foo"}},
	{"RuntimeDirectoryMode", []string{"8", "10000", "0x1", "+7", "0o755", "7 5"}, []string{"0755", "755", "07777"}},
	{"RuntimeDirectoryPreserve", []string{"x"}, []string{"no", "yes", "restart", "1", "ON"}},
	{"SetCredential", []string{"a", "a/b:c", ":c", "a:", `"a/b":c`, "é:x"}, []string{"a:b", "%n:c", `"a":b`, "a:%h"}},
	{"SetCredentialEncrypted", []string{"a", "a:", "a:$$$", "a:aGVsbG8", "a:%n", `a:"aGVsbG8="`, ":aGVsbG8="}, []string{"a:aGVsbG8=", "a:aGVs bG8="}},
	{"LoadCredential", []string{"a/b", "a:x/y", "a:../x", "a:/x/../y", "a:b:c", "a:..", "a:é", `a:"x/y"`, `"a/b":c`}, []string{"a", "a:", "a:b c", `a:"b"`, "a:%h:b", "a:/é", "a:/x", "a:x", "a b", "%n:/x", "a:%h", "a:%h/x", "a:/x:y"}},
	{"Environment", []string{"A=b C", "1A=b", "A", "A-B=c"}, []string{"A=b", `"A=b c"`, "A=%n"}},
	{"EnvironmentFile", []string{"x", "-x", "--/x", "/x/../y", `"/x"`, "-"}, []string{"/x", "-/x", "%h/x", "/x y", "-%h"}},
	{"PassEnvironment", []string{"1A", "A-B", "A=b"}, []string{"A B"}},
	{"UnsetEnvironment", []string{"1A"}, []string{"A", "A=b"}},
	{"LogExtraFields", []string{"a=b", "_A=b", "A", "A=%n c", "1A=b"}, []string{"A=b", `"A=b c"`}},
	{"ExecSearchPath", []string{"a", "/a:b", "/a::/b", "/a/../b", `"/a b"`}, []string{"/a:/b", "%h/x"}},
	{"RestartForceExitStatus", []string{"256", "-1", "EX_TEMPFAIL", "SIGFOO", "1,2", `"1"`, "SIG15", "%i"}, []string{"1 SIGTERM", "255", "TEMPFAIL", "TERM", "15", "RTMIN+3", "SUCCESS", "0x10", "OOM_ADJUST"}},
	{"StandardOutput", []string{"append:x", "x", "console"}, []string{"inherit", "null", "tty", "journal", "kmsg", "journal+console", "kmsg+console", "syslog", "syslog+console", "socket", "fd", "fd:x", "file:/x", "append:/x", "truncate:/x"}},
	{"SystemCallErrorNumber", []string{"4096", "0", "x", "-1", "KILL", "Kill", "08"}, []string{"EPERM", "EACCES", "kill", "1", "4095", "EWOULDBLOCK", "EDEADLOCK", "ENOTSUP", "EHWPOISON", "0x10", "eperm"}},
	{"USBFunctionDescriptors", []string{"x", "-/x"}, nil},
	{"UtmpMode", []string{"x"}, []string{"init", "login", "user"}},
	{"BusName", []string{"x"}, []string{"org.foo", "%p.x"}},
	{"TimeoutCleanSec", []string{"x"}, []string{"5", "infinity"}},
	{"SendSIGHUP", []string{"x"}, nil},
	{"SetLoginEnvironment", []string{"x"}, nil},
	{"PermissionsStartOnly", nil, []string{"yes"}},
	{"TimerSlackNSec", []string{"x", "585y"}, []string{"1.5", "9223372036854775807", "300y", "5", "5ms", "5ns", "infinity", "1.5us", "5nsec 1s", "1M", "1month", "1µs"}},
	{"Unit.After", []string{"10%", "%", "a.service x%"}, []string{"%n", "a%i.service b.target", "web%%.service"}},
	{"Unit.BindTo", []string{"foo"}, []string{"foo.service"}},
	{"Unit.PropagateReloadTo", []string{"foo"}, []string{"foo.service"}},
	{"Install.WantedBy", []string{"multi-user.traget", "a.target b", "10%"}, []string{"multi-user.target a.target", "%i.target"}},
	{"Install.Also", []string{"x"}, []string{"x.socket"}},
	{"Unit.SurviveFinalKillSignal", []string{"x"}, []string{"yes"}},
}
