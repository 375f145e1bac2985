// SPDX-License-Identifier: Apache-2.0

package unitgen

import (
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/sdcontainer/sdcontainer/configs"
)

// aboutPaths are the conditions of systemd.unit(5) that systemd reads with the file; what another says it finds out at the
// start, and tells.
var aboutPaths = []string{"PathExists", "PathExistsGlob", "PathIsDirectory", "PathIsSymbolicLink", "PathIsMountPoint", "PathIsReadWrite", "PathIsEncrypted",
	"DirectoryNotEmpty", "FileNotEmpty", "FileIsExecutable", "NeedsUpdate"}

const wantPath = "an absolute path without .. in it"

// formOfPath is what directives take that name files and directories.
func formOfPath(name string) (form, bool) {
	if about := strings.TrimPrefix(strings.TrimPrefix(name, "Condition"), "Assert"); about != name && slices.Contains(aboutPaths, about) {
		return form{want: wantPath + ", after | or ! if need be", ok: func(v string) bool {
			return isPath(strings.TrimPrefix(strings.TrimPrefix(v, "|"), "!"))
		}}, true
	}
	switch name {
	case "USBFunctionDescriptors", "USBFunctionStrings":
		return form{want: wantPath, ok: isPath}, true
	case "EnvironmentFile":
		return form{want: wantPath + ", after - if it may be missing", ok: func(v string) bool { return isPath(strings.TrimPrefix(v, "-")) }}, true
	case "ExecSearchPath":
		return form{want: "absolute paths with : between", ok: func(v string) bool {
			return !slices.ContainsFunc(strings.Split(v, ":"), func(p string) bool { return !isPath(p) })
		}}, true
	case "RuntimeDirectory", "StateDirectory", "CacheDirectory", "LogsDirectory":
		return several(`relative paths without .. in them, other than "private"`, func(w string) bool {
			dir, link, _ := strings.Cut(w, ":")
			return isDirectory(dir) && !strings.HasPrefix(link, "/") && normal(link)
		}), true
	case "ConfigurationDirectory":
		return several(`relative paths without .. or : in them, other than "private"`, func(w string) bool { return isDirectory(w) && !strings.Contains(w, ":") }), true
	case "RuntimeDirectoryMode", "StateDirectoryMode", "CacheDirectoryMode", "LogsDirectoryMode", "ConfigurationDirectoryMode":
		return form{full: true, want: `an octal mode like "0750"`, ok: func(v string) bool {
			n, err := strconv.ParseUint(v, 8, 32)
			return err == nil && n <= 0o7777
		}}, true
	}
	return form{}, false
}

// formOfName is what directives take that have names of variables, fields and credentials.
func formOfName(name string) (form, bool) {
	switch name {
	case "Environment":
		return several("assignments like NAME=value", func(w string) bool {
			name, _, ok := strings.Cut(w, "=")
			return ok && isServiceVariable(name)
		}), true
	case "PassEnvironment":
		return several("names of variables", isServiceVariable), true
	case "UnsetEnvironment":
		return several("names of variables or assignments like NAME=value", func(w string) bool {
			name, _, _ := strings.Cut(w, "=")
			return isServiceVariable(name)
		}), true
	case "LogExtraFields":
		return several("fields of the journal like NAME=value", func(w string) bool {
			name, _, ok := strings.Cut(w, "=")
			return ok && (strings.Contains(name, "%") || name == configs.NameField || configs.CheckJournalField(name) == nil)
		}), true
	case "SetCredentialEncrypted":
		return form{want: "a name and base64, like NAME:aGVsbG8=", ok: func(v string) bool {
			name, text, _ := strings.Cut(v, ":")
			return isCredential(name) && text != "" && isBase64(text)
		}}, true
	case "SetCredential":
		return form{want: "a name and what it has, like NAME:text", ok: func(v string) bool {
			name, text, _ := strings.Cut(v, ":")
			return isCredential(name) && text != ""
		}}, true
	case "LoadCredential", "LoadCredentialEncrypted":
		return form{want: "a name, and an absolute path or another name, like NAME:/PATH", ok: func(v string) bool {
			name, source, _ := strings.Cut(v, ":")
			return isCredential(name) && (source == "" || isPath(source) || isCredential(source) && !strings.Contains(source, ":"))
		}}, true
	}
	return form{}, false
}

// several is a list whose entries may have quotes around them: then it is systemd's to read.
func several(want string, ok func(string) bool) form {
	return form{want: want, ok: func(v string) bool {
		return quoted(v) || !slices.ContainsFunc(strings.Fields(v), func(w string) bool { return !ok(w) })
	}}
}

// isDirectory says whether p may be below a directory for all services. Specifiers may become anything.
func isDirectory(p string) bool {
	return !strings.HasPrefix(p, "/") && normal(p) && p != "private" && !strings.HasPrefix(p, "private/")
}

// ofRecords says whether a value of RuntimeDirectory= has a directory or a link where the records of containers are. %p, %P, %j and
// %J are sdcontainer in all our units.
func ofRecords(v string) bool {
	parts := strings.FieldsFunc(v, func(r rune) bool { return strings.ContainsRune(" \t\r\n:", r) })
	return slices.ContainsFunc(parts, func(p string) bool {
		p = strings.NewReplacer("%p", "sdcontainer", "%P", "sdcontainer", "%j", "sdcontainer", "%J", "sdcontainer", `"`, "", "'", "").Replace(p)
		first, _, _ := strings.Cut(path.Clean(p), "/")
		return first == "sdcontainer"
	})
}

var serviceVariable = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z_]\w*$`) })

// isServiceVariable holds to what systemd takes: it ignores names that [configs.IsVariable] lets a payload have. Specifiers may become anything.
func isServiceVariable(name string) bool {
	return strings.Contains(name, "%") || serviceVariable().MatchString(name)
}

// isCredential says whether a file may have the name; quotes are letters there.
func isCredential(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r > '~' || r == '/' })
}
