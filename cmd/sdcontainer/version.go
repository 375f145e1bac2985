// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/spf13/cobra"
)

// buildVersion is set by the linker for releases: -X main.buildVersion=1.0.
var buildVersion = "devel"

type versionInfo struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	OCI      string `json:"ociRuntimeSpec"`
}

func (a *app) version() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "version [flags]",
		Short: "Print the version",
		Long: `Prints version, commit, Go and platform; with --json also the version of the OCI
runtime specification.

A Go template has them as Version, Commit, Modified (since the commit), Go, Platform
and OCI.`,
		Example: `  sdcontainer version --json
  sdcontainer version --format '{{.Version}}'`,
		ValidArgsFunction: cobra.NoFileCompletions,
		Args:              arguments(0, 0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			if err := checkFormat(format, "text", "json"); err != nil {
				return err
			}
			switch v := versionOf(); format {
			case "json":
				return a.writeJSON(v)
			case "text":
				return a.println(v.String())
			default:
				return writeTemplate(a, format, []versionInfo{v})
			}
		},
	}
	formatFlag(cmd, &format, "text", "json")
	return cmd
}

func (v versionInfo) String() string {
	commit := ""
	if v.Commit != "" {
		commit = " (" + v.Commit[:min(len(v.Commit), 12)] + ")"
	}
	return fmt.Sprintf("sdcontainer %s%s, %s, %s", v.Version, commit, v.Go, v.Platform)
}

func versionOf() versionInfo {
	v := versionInfo{Version: buildVersion, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, OCI: specs.Version}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Commit = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}
