// SPDX-License-Identifier: Apache-2.0

package unitgen

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sdcontainer/sdcontainer/internal/sdtest"
)

// template makes the template installed, or not, for one test.
func template(t *testing.T, there bool) {
	old := templateDirs
	t.Cleanup(func() { templateDirs = old })
	templateDirs = []string{t.TempDir()}
	if there {
		put(t, filepath.Join(templateDirs[0], Template), "[Service]\n")
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// files are the paths below dir.
func files(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, path)
			all = append(all, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

const (
	wholeUnit = "sdcontainer@web.service"
	theDropIn = "sdcontainer@web.service.d/10-sdcontainer.conf"
	madeHere  = madeByUs + "from elsewhere\n"
	theirs    = "[Service]\n"
)

func TestInstall(t *testing.T) {
	for name, tt := range map[string]struct {
		template bool
		source   string
		before   map[string]string
		want     string // which of them, or the error
		err      error
		after    []string
	}{
		"in configs.Dir":         {true, "/etc/sdcontainer/web.toml", nil, theDropIn, nil, []string{theDropIn}},
		"no template":            {false, "/etc/sdcontainer/web.toml", nil, wholeUnit, nil, []string{wholeUnit}},
		"elsewhere":              {true, "/srv/web.toml", nil, wholeUnit, nil, []string{wholeUnit}},
		"under another name":     {true, "/etc/sdcontainer/other.toml", nil, wholeUnit, nil, []string{wholeUnit}},
		"again":                  {true, "/srv/web.toml", map[string]string{wholeUnit: madeHere}, wholeUnit, nil, []string{wholeUnit}},
		"moved to configs.Dir":   {true, "/etc/sdcontainer/web.toml", map[string]string{wholeUnit: madeHere}, theDropIn, nil, []string{theDropIn}},
		"moved from configs.Dir": {true, "/srv/web.toml", map[string]string{theDropIn: madeHere}, wholeUnit, nil, []string{wholeUnit}},
		"theirs in the way":      {true, "/srv/web.toml", map[string]string{wholeUnit: theirs}, "", ErrNotOurs, []string{wholeUnit}},
		"theirs beside a unit":   {true, "/srv/web.toml", map[string]string{theDropIn: theirs}, "", ErrNotOurs, []string{theDropIn}},
		"theirs, a whole one":    {true, "/etc/sdcontainer/web.toml", map[string]string{wholeUnit: theirs}, "", ErrNotOurs, []string{wholeUnit}},
		"masked":                 {true, "/etc/sdcontainer/web.toml", map[string]string{wholeUnit: ""}, "", ErrNotOurs, []string{wholeUnit}},
		"after a killed one":     {true, "/srv/web.toml", map[string]string{wholeUnit + ".d/.sdcontainer-7": "half a fi"}, wholeUnit, nil, []string{wholeUnit}},
		"their drop-in has room": {true, "/srv/web.toml", map[string]string{wholeUnit + ".d/x.conf": theirs}, wholeUnit, nil, []string{wholeUnit, wholeUnit + ".d/x.conf"}},
	} {
		t.Run(name, func(t *testing.T) {
			template(t, tt.template)
			dir := t.TempDir()
			for path, text := range tt.before {
				put(t, filepath.Join(dir, path), text)
			}
			spec, s := small()
			s.Source = tt.source
			path, err := Install(t.Context(), dir, spec, s, Options{})
			if !errors.Is(err, tt.err) || strings.TrimPrefix(path, dir+"/") != tt.want {
				t.Errorf("%q, %v; want %q, %v", path, err, tt.want, tt.err)
			}
			if got := files(t, dir); !slices.Equal(got, tt.after) {
				t.Errorf("there is %q, want %q", got, tt.after)
			}
			for p, text := range tt.before {
				if b, _ := os.ReadFile(filepath.Join(dir, p)); text == theirs && string(b) != theirs {
					t.Errorf("%s of somebody else is now %q", p, b)
				}
			}
			if err != nil {
				return
			}
			want, _ := Service(spec, s, Options{})
			if tt.want == theDropIn {
				want, _ = DropIn(spec, s, Options{})
			}
			b, err := os.ReadFile(path)
			info, serr := os.Stat(path)
			if err != nil || serr != nil || string(b) != want || info.Mode() != 0o644 {
				t.Errorf("mode %v, %v:\n%s\nwant\n%s", info.Mode(), err, b, want)
			}
		})
	}
}

func TestInstallRefusesNames(t *testing.T) {
	for _, name := range []string{"", "../web", "a/b", "-x"} {
		dir := t.TempDir()
		spec, s := small()
		s.Name = name
		if path, err := Install(t.Context(), dir, spec, s, Options{}); err == nil || path != "" || len(files(t, dir)) > 0 {
			t.Errorf("name %q: %q, %v", name, path, err)
		}
	}
}

func TestRemove(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, wholeUnit), madeHere)
	put(t, filepath.Join(dir, theDropIn), madeHere)
	put(t, filepath.Join(dir, "sdcontainer@other.service"), theirs)
	put(t, filepath.Join(dir, "sdcontainer@last.service"), madeHere)
	removed, err := Remove(t.Context(), dir, "none", "other", "../x", "web", "last")
	want := []string{wholeUnit, theDropIn, "sdcontainer@last.service"}
	for i, path := range removed {
		removed[i] = strings.TrimPrefix(path, dir+"/")
	}
	if !slices.Equal(removed, want) {
		t.Errorf("removed %q, want %q", removed, want)
	}
	var missing *NotInstalledError
	if !errors.As(err, &missing) || missing.Name != "none" || missing.Dir != dir || !errors.Is(err, ErrNotOurs) || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("error is %v; want one each for none, other and ../x", err)
	}
	if got := files(t, dir); !slices.Equal(got, []string{"sdcontainer@other.service"}) {
		t.Errorf("there is %q", got)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("the drop-in's directory stays: %v", entries)
	}
}

// Who has another's file beside ours keeps both, and a service that runs.
func TestRemoveNothingBesideTheirs(t *testing.T) {
	for whole, dropIn := range map[string]string{madeHere: theirs, theirs: madeHere} {
		dir := t.TempDir()
		put(t, filepath.Join(dir, wholeUnit), whole)
		put(t, filepath.Join(dir, theDropIn), dropIn)
		removed, err := Remove(t.Context(), dir, "web")
		if !errors.Is(err, ErrNotOurs) || len(removed) > 0 || len(files(t, dir)) != 2 {
			t.Errorf("removed %q, %v", removed, err)
		}
	}
}

// C10: root's services are not in the hands of who sets PATH.
func TestC10SystemctlIsNotThatOfPath(t *testing.T) {
	sdtest.Require(t, sdtest.Tool("systemctl"))
	ran := sdtest.PlantInPath(t, "systemctl")
	if err := systemctl(t.Context(), "--version"); err != nil {
		t.Error(err)
	}
	if ran := ran(); len(ran) != 0 {
		t.Errorf("%q ran", ran)
	}
}

func TestWanted(t *testing.T) {
	for name, tt := range map[string]struct {
		install map[string][]string
		want    bool
	}{
		"by default": {nil, true}, "by one": {map[string][]string{"WantedBy": {"a.target"}}, true},
		"by none": {map[string][]string{"WantedBy": {}}, false},
	} {
		_, s := small()
		if s.Install = tt.install; Wanted(s) != tt.want {
			t.Errorf("%s: %v", name, !tt.want)
		}
	}
}

// What is left of an install that was killed is gone with the next one, and many at a time each leave their own file.
func TestUnfinishedUnitFiles(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, strings.Replace(unfinished, "*", "7", 1)), []byte("half a fi"), 0o600); err != nil {
		t.Fatal(err)
	}
	var g sync.WaitGroup
	for i := range 20 {
		g.Go(func() {
			text := madeByUs + strings.Repeat(strconv.Itoa(i)+"\n", 1000)
			path := filepath.Join(dir, Instance(strconv.Itoa(i)))
			if err := writeUnit(path, text); err != nil {
				t.Error(err)
			}
			if b, err := os.ReadFile(path); string(b) != text {
				t.Errorf("%s: %d bytes, %v", path, len(b), err)
			}
		})
	}
	g.Wait()
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 20 {
		t.Errorf("%d files, %v", len(files), err)
	}
	if info, err := os.Stat(filepath.Join(dir, Instance("7"))); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("%v, %v", info, err)
	}
}

// What the first install of a container has left that was killed goes with its removal, which says that there is no unit. Nothing else goes.
func TestRemoveUnfinished(t *testing.T) {
	half := strings.Replace(unfinished, "*", "7", 1)
	for name, tt := range map[string]struct{ before, after []string }{
		"of a drop-in":       {[]string{wholeUnit + ".d/" + half}, nil},
		"of a unit":          {[]string{half}, nil},
		"only the directory": {[]string{wholeUnit + ".d/"}, nil},
		"beside others":      {[]string{wholeUnit + ".d/x.conf", wholeUnit + ".d/" + half}, []string{wholeUnit + ".d/x.conf"}},
		"of another":         {[]string{"sdcontainer@we.service.d/"}, []string{"sdcontainer@we.service.d/"}},
		"a link":             {[]string{"elsewhere/", wholeUnit + ".d -> elsewhere"}, []string{"elsewhere/", wholeUnit + ".d"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, path := range tt.before {
				var err error
				if link, target, ok := strings.Cut(path, " -> "); ok {
					err = os.Symlink(target, filepath.Join(dir, link))
				} else if strings.HasSuffix(path, "/") {
					err = os.Mkdir(filepath.Join(dir, path), 0o755)
				} else {
					put(t, filepath.Join(dir, path), "half a fi")
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			var missing *NotInstalledError
			if removed, err := Remove(t.Context(), dir, "web"); len(removed) != 0 || !errors.As(err, &missing) {
				t.Errorf("%q, %v, want that there is none", removed, err)
			}
			got := files(t, dir)
			empty, _ := filepath.Glob(filepath.Join(dir, "*"))
			for _, path := range empty {
				if os.Remove(path+"/") == nil { // of which files tells nothing
					got = append(got, filepath.Base(path)+"/")
				}
			}
			if slices.Sort(got); !slices.Equal(got, tt.after) {
				t.Errorf("there is %q, want %q", got, tt.after)
			}
		})
	}
}

// Nor does it take the directory from an install that is about to write there.
func TestRemoveWhileInstalling(t *testing.T) {
	dir := t.TempDir()
	var g sync.WaitGroup
	done := make(chan struct{})
	g.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				_, _ = Remove(t.Context(), dir, "web")
			}
		}
	})
	for range 1000 {
		if err := writeUnit(filepath.Join(dir, theDropIn), madeHere); err != nil {
			t.Error(err)
			break
		}
	}
	close(done)
	g.Wait()
}

// A file that cannot be looked at is not taken for none: who is to remove it says why it did not.
func TestRemoveTellsWhatItCannotSee(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink(Instance("web"), filepath.Join(dir, Instance("web"))); err != nil {
		t.Fatal(err)
	}
	if removed, err := Remove(t.Context(), dir, "web"); len(removed) != 0 || !errors.Is(err, unix.ELOOP) {
		t.Errorf("%v, %v", removed, err)
	}
}

// What systemctl did not do because its caller's time was over says that, and not how it was killed.
func TestSystemctlWithoutTime(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := systemctl(ctx, "list-units"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
