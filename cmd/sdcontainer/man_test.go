// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sdcontainer/sdcontainer/configs"
	"github.com/sdcontainer/sdcontainer/unitgen"
)

// update writes the manual pages. They are written by a test because only one links
// everything at hand and costs the shipped command nothing.
var update = flag.Bool("update", false, "write generated files")

const manDir = "../../docs/man"

func TestManPages(t *testing.T) {
	want := manPages(newRoot())
	for file, text := range want {
		path := filepath.Join(manDir, file)
		if *update {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if diff := cmp.Diff(text, string(got)); diff != "" {
			t.Errorf("%s (run make docs):\n%s", path, diff)
		}
	}
	have, err := filepath.Glob(filepath.Join(manDir, "*.1")) // that of the configuration is made by configs/gen
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range have {
		if _, ok := want[filepath.Base(path)]; ok {
			continue
		}
		if !*update || os.Remove(path) != nil {
			t.Errorf("%s: no verb has this page", path)
		}
	}
}

// manPages are all pages by file name.
func manPages(root *cobra.Command) map[string]string {
	pages := map[string]string{"sdcontainer.1": rootPage(root), "sdcontainer-completion.1": completionPage()}
	for name, cmd := range commands(root) {
		pages[pageName(name)+".1"] = verbPage(name, cmd)
	}
	return pages
}

func pageName(verb string) string { return "sdcontainer-" + strings.ReplaceAll(verb, " ", "-") }

// A roff is a manual page in the making.
type roff struct{ strings.Builder }

func (r *roff) line(format string, args ...any) { fmt.Fprintf(r, format+"\n", args...) }

// roffText escapes text for the body of a page.
func roffText(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	var b strings.Builder
	for _, r := range s {
		if r > unicode.MaxASCII {
			fmt.Fprintf(&b, `\[u%04X]`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// troff(1) reads bytes: what is not ASCII is an invalid character to it, or several others.
func TestManPagesAreASCII(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(manDir, "*"))
	if err != nil || len(pages) == 0 {
		t.Fatal(pages, err)
	}
	for _, path := range pages {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(b), "\n") {
			if strings.ContainsFunc(line, func(r rune) bool { return r > unicode.MaxASCII }) {
				t.Errorf("%s:%d: %s", path, i+1, line)
			}
		}
	}
}

func (r *roff) head(page, short string) {
	r.line(`.\" Generated from the command's help: change that, not this.`)
	r.line(`.TH %s 1 "" "sdcontainer" "User Commands"`, strings.ToUpper(page))
	r.line(".SH NAME\n%s \\- %s", roffText(page), roffText(strings.ToLower(short[:1])+short[1:]))
}

// text writes paragraphs; what is indented stays as it is.
func (r *roff) text(s string) {
	literal := false
	for line := range strings.SplitSeq(strings.TrimSpace(s), "\n") {
		indented := strings.HasPrefix(line, "  ")
		switch {
		case indented && !literal:
			r.line(".PP\n.nf\n.RS 4")
		case !indented && literal:
			r.line(".RE\n.fi")
		}
		literal = indented
		if line == "" {
			r.line(".PP")
			continue
		}
		r.line("%s", roffText(strings.TrimSpace(line)))
	}
	if literal {
		r.line(".RE\n.fi")
	}
}

func (r *roff) flags(flags *pflag.FlagSet) {
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		arg, usage := pflag.UnquoteUsage(f)
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		if arg != "" {
			arg = ` \fI` + roffText(arg) + `\fR`
		}
		r.line(".TP\n\\fB%s\\fR%s\n%s", roffText(name), arg, roffText(usage))
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "[]" && f.DefValue != "-1" && f.DefValue != "0" {
			r.line("(default: %s)", roffText(f.DefValue))
		}
	})
}

func (r *roff) examples(cmd *cobra.Command) {
	if cmd.Example == "" {
		return
	}
	r.line(".SH EXAMPLES\n.nf\n.RS 4")
	for line := range strings.SplitSeq(cmd.Example, "\n") {
		r.line("%s", roffText(strings.TrimPrefix(line, "  ")))
	}
	r.line(".RE\n.fi")
}

// synopsis is how a verb is called, or each of those below it.
func (r *roff) synopsis(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		r.synopsis(sub)
	}
	if cmd.HasSubCommands() {
		return
	}
	for i, line := range strings.Split(cmd.Use, "\n") {
		if i == 0 {
			line = cmd.Parent().CommandPath() + " " + line
		}
		r.line("\\fB%s\\fR", roffText(strings.TrimSpace(line)))
	}
}

// seeAlso are the pages that belong to a verb's.
func (r *roff) seeAlso(name string, cmd *cobra.Command) {
	pages := []string{`\fBsdcontainer\fR(1)`}
	link := func(verb string) { pages = append(pages, `\fB`+roffText(pageName(verb))+`\fR(1)`) }
	top, _, below := strings.Cut(name, " ")
	if below {
		link(top)
	}
	for _, sub := range cmd.Commands() {
		link(verbName(sub))
	}
	if slices.Contains([]string{"run", "check", "explain", "unit"}, top) {
		pages = append(pages, `\fBsdcontainer.toml\fR(5)`)
	}
	r.line(".SH SEE ALSO\n%s", strings.Join(pages, ", "))
}

func verbPage(name string, cmd *cobra.Command) string {
	var r roff
	r.head(pageName(name), cmd.Short)
	r.line(".SH SYNOPSIS\n.nf")
	r.synopsis(cmd)
	r.line(".fi\n.SH DESCRIPTION")
	long := cmd.Long
	if long == "" {
		long = cmd.Short + "."
	}
	r.text(long)
	if len(cmd.Aliases) > 0 {
		r.line(".PP\nAlso called %s.", roffText(strings.Join(cmd.Aliases, ", ")))
	}
	if cmd.HasAvailableLocalFlags() {
		r.line(".SH OPTIONS")
		r.flags(cmd.LocalFlags())
	}
	r.examples(cmd)
	r.line(".SH NOTES\nThe option \\fB\\-\\-run\\-dir\\fR, exit statuses, files and environment variables are described in \\fBsdcontainer\\fR(1).")
	r.seeAlso(name, cmd)
	return r.String()
}

// completionPage is that of cobra's own verb, which no other is built with: one page for all shells.
func completionPage() string {
	root := newRoot()
	strict(root)
	var r roff
	for _, cmd := range root.Commands() {
		if cmd.Name() != "completion" {
			continue
		}
		r.head(pageName(cmd.Name()), cmd.Short)
		r.line(".SH SYNOPSIS\n.nf")
		r.synopsis(cmd)
		r.line(".fi\n.SH DESCRIPTION")
		r.text(cmd.Long + " make install puts those of bash, fish and zsh in place.")
		for _, shell := range cmd.Commands() {
			r.line(".SS %s", roffText(shell.Name()))
			r.text(shell.Long)
		}
		r.line(".SH OPTIONS")
		r.flags(cmd.Commands()[0].LocalFlags())
	}
	r.line(".SH SEE ALSO\n\\fBsdcontainer\\fR(1)")
	return r.String()
}

func rootPage(root *cobra.Command) string {
	var r roff
	r.head("sdcontainer", root.Short)
	r.line(".SH SYNOPSIS\n\\fBsdcontainer\\fR [\\-\\-run\\-dir \\fIdirectory\\fR] \\fIverb\\fR [...]")
	r.line(".SH DESCRIPTION")
	r.text(rootLong) // the exit statuses have a section of their own
	all := commands(root)
	for _, g := range root.Groups() {
		r.line(".SH %s", strings.ToUpper(strings.TrimSuffix(g.Title, ":")))
		for _, name := range slices.Sorted(maps.Keys(all)) {
			cmd := all[name]
			top, _, _ := strings.Cut(name, " ")
			if all[top].GroupID != g.ID {
				continue
			}
			r.line(".TP\n\\fB%s\\fR(1)\n%s", roffText(pageName(name)), roffText(cmd.Short))
		}
		if g.ID == groupOther {
			r.line(".TP\n\\fBsdcontainer\\-completion\\fR(1)\nPrint the completion script of bash, zsh, fish or powershell")
		}
	}
	r.line(".SH OPTIONS")
	r.flags(root.LocalFlags())
	r.line(".SH EXIT STATUS")
	r.text(exitStatuses)
	r.line(".SH FILES")
	for _, f := range [][2]string{
		{configs.Dir + "/NAME.toml", "configurations that run and unit install find by name"},
		{configs.Dir + "/NAME.toml.d/*.toml", "drop-ins that are laid over it"},
		{"/run/sdcontainer/NAME/", "the record of a container"},
		{unitgen.Dir + "/sdcontainer@NAME.service", "what unit install writes"},
		{unitgen.Dir + "/sdcontainer@NAME.service.d/" + unitgen.TemplateDropIn, "what it writes instead for a configuration in " + configs.Dir + ", where " + unitgen.Template + " is installed"},
		{unitgen.ControlDir + "/sdcontainer@NAME.service.d/", "what update, and systemctl set-property --runtime, have set, until a reboot"},
	} {
		r.line(".TP\n\\fI%s\\fR\n%s", roffText(f[0]), roffText(f[1]))
	}
	r.line(".SH ENVIRONMENT")
	for _, e := range [][2]string{
		{"NO_COLOR", "anything: no colours"},
		{timingEnv, "1: run prints the times of its phases as JSON lines on standard error"},
	} {
		r.line(".TP\n\\fB%s\\fR\n%s", e[0], roffText(e[1]))
	}
	r.line(".SH SEE ALSO\n\\fBsdcontainer.toml\\fR(5), \\fBsystemctl\\fR(1), \\fBjournalctl\\fR(1), \\fBsystemd.scope\\fR(5), \\fBsystemd.resource\\-control\\fR(5)")
	return r.String()
}
