// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/unitgen"
)

// A keyFlag is a flag of run that is a key of the TOML: what it may be, and what it means, is that
// key's. Each use is one more setting over the configuration.
type keyFlag struct {
	name, short, usage, key string

	aliases []string // other names for it, as update has them

	value  func(string) (any, error) // what TOML would have; nil: the text
	want   string                    // what it takes, where that is more than the key does
	isBool bool                      // a flag that takes no value
	files  bool                      // the shell completes paths
	words  []string                  // or these
	to     *[]configs.Setting
}

func keyFlags() []keyFlag {
	return []keyFlag{
		{name: "memory", short: "m", usage: "most memory: `size`, share like 50%, infinity", key: "resources.memory.max", aliases: []string{"memory-max"}},
		{name: "cpus", usage: "CPU time: `number` of CPUs, share like 150%, infinity", key: "resources.cpu.quota", value: cpuQuota, want: wantCPUs, aliases: []string{"cpu-quota"}},
		{name: "pids-limit", usage: "most processes and threads: `number`, share, infinity", key: "resources.tasks", aliases: []string{"tasks", "tasks-max"}},
		{name: "user", short: "u", usage: "`user[:group]`, by name or number, of the container", key: "process.user"},
		{name: "workdir", short: "w", usage: "working `directory` in the container", key: "process.cwd", files: true},
		{name: "env", short: "e", usage: "`NAME=VALUE` set in the environment; NAME alone takes ours", key: "process.env", value: variable},
		{name: "hostname", usage: "host `name` in the container", key: "network.hostname"},
		{name: "network", usage: "`mode`: none, host or path:/FILE", key: "network.mode", words: []string{"none", "host"}},
		{name: "volume", short: "v", usage: "show a file or directory: `SOURCE:TARGET[:ro]`", key: "mount", value: volume, files: true},
		{name: "tmpfs", usage: "an empty directory in memory: `TARGET[:size=SIZE,mode=MODE,ro]`", key: "mount", value: tmpfs},
		{name: "read-only", usage: "mount the root read-only", key: "rootfs.read_only", isBool: true},
		{name: "cap-add", usage: "one more `capability`", key: "capabilities.add", value: element, words: configs.CapabilityNames[:]},
		{name: "cap-drop", usage: "one `capability` fewer", key: "capabilities.drop", value: element, words: configs.CapabilityNames[:]},
	}
}

// addKeyFlags defines them; what is typed goes to settings.
func addKeyFlags(cmd *cobra.Command, settings *[]configs.Setting) {
	for _, k := range keyFlags() {
		k.to = settings
		f := cmd.Flags().VarPF(&k, k.name, k.short, k.usage)
		if k.isBool {
			f.NoOptDefVal = "true"
		}
		directive := noFiles
		if k.files {
			directive = cobra.ShellCompDirectiveDefault
		}
		must(cmd.RegisterFlagCompletionFunc(k.name, cobra.FixedCompletions(k.words, directive)))
		for _, alias := range k.aliases { // a flag of its own: errors name what was typed
			same := k
			same.name = alias
			cmd.Flags().Var(&same, alias, "the same as --"+k.name)
			must(cmd.Flags().MarkHidden(alias))
		}
		cmd.MarkFlagsMutuallyExclusive(append(k.aliases, k.name)...)
	}
}

func (k *keyFlag) String() string { return "" }

func (k *keyFlag) Type() string {
	if k.isBool {
		return "bool"
	}
	return "string"
}

func (k *keyFlag) Set(text string) error {
	var value any = text
	var err error
	switch {
	case k.isBool:
		value, err = strconv.ParseBool(text)
	case k.value != nil:
		value, err = k.value(text)
	}
	if err != nil || value == nil {
		return err
	}
	s := configs.Setting{Flag: "--" + k.name, Key: k.key, Value: value}
	if k.want != "" {
		s.Wrong = fmt.Sprintf("%q: want %s", text, k.want)
	}
	*k.to = append(*k.to, s)
	return nil
}

const wantCPUs = `a number of CPUs like 1.5 (at least 0.01), a share like "150%" or "infinity"`

func cpuQuota(text string) (any, error) { return cpuShare(text), nil }

// cpuShare turns a number of CPUs, as podman takes it, into a share; all else is one already.
func cpuShare(text string) string {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || strings.Trim(text, "0123456789.") != "" {
		return text
	}
	return strconv.FormatFloat(n*100, 'f', -1, 64) + "%"
}

func element(text string) (any, error) { return []any{text}, nil }

// variable is what --env says; nil for a name that is not set here.
func variable(text string) (any, error) {
	if err := checkVariable(text); err != nil {
		return nil, err
	}
	for _, kv := range environment([]string{text}) {
		name, value, _ := strings.Cut(kv, "=")
		return map[string]any{name: value}, nil
	}
	return nil, nil
}

// mountOptions are those of mount(8) that --volume and --tmpfs pass on.
const mountOptions = "exec noexec suid nosuid dev nodev"

// volume is a [[mount]] of type bind.
func volume(text string) (any, error) {
	source, rest, ok := strings.Cut(text, ":")
	target, options, _ := strings.Cut(rest, ":")
	if !ok || source == "" || target == "" {
		return nil, errors.New("want SOURCE:TARGET or SOURCE:TARGET:ro")
	}
	if !strings.ContainsAny(source[:1], "/.") {
		return nil, fmt.Errorf("there are no named volumes: want a path, such as ./%s", source)
	}
	source, err := filepath.Abs(source)
	if err != nil {
		return nil, err
	}
	m := map[string]any{"source": source, "target": target}
	return m, mountFlags(m, options, func(string, string) bool { return false })
}

// tmpfs is a [[mount]] of type tmpfs.
func tmpfs(text string) (any, error) {
	target, options, _ := strings.Cut(text, ":")
	m := map[string]any{"type": "tmpfs", "target": target}
	return m, mountFlags(m, options, func(name, value string) bool {
		if name == "size" || name == "mode" {
			m[name] = value
			return true
		}
		return false
	})
}

// mountFlags reads the options of a mount; own takes those of its type.
func mountFlags(m map[string]any, text string, own func(name, value string) bool) error {
	var more []any
	for o := range strings.SplitSeq(text, ",") {
		name, value, hasValue := strings.Cut(o, "=")
		switch {
		case o == "" || o == "rw":
		case o == "ro":
			m["read_only"] = true
		case hasValue && own(name, value):
		case strings.Contains(" "+mountOptions+" ", " "+o+" "):
			more = append(more, o)
		default:
			return fmt.Errorf("option %q: want ro, rw, %s; for others write a [[mount]]", o, strings.ReplaceAll(mountOptions, " ", ", "))
		}
	}
	if more != nil {
		m["options"] = more
	}
	return nil
}

// flagsOnly says whether all that is wrong with a configuration came from flags.
func flagsOnly(err error) bool {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return false
	}
	for _, e := range joined.Unwrap() {
		var p configs.Problem
		if !errors.As(e, &p) || !p.OfFlag() {
			return false
		}
	}
	return true
}

// callers looks up a variable of the caller for process.env_pass. What units of ours set for this process is none for the payload.
func (o *runOptions) callers(name string) (string, bool) {
	v, ok := os.LookupEnv(name)
	return v, ok && !(o.unit && name+"="+v == unitgen.OwnEnvironment)
}
