package token_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/token"
)

// write replaces a file of seals.
func write(t *testing.T, file string, lines ...string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
}

const (
	older = "the older seal, long enough"
	newer = "the newer seal, long enough"
)

// A seal is replaced in three steps, and no resume token is refused while it lives: two shards see each step at different times.
func TestASealIsReplaced(t *testing.T) {
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	type shard struct {
		file    string
		seals   *token.Seals
		resumer *token.Resumer
	}
	var shards []shard
	for _, name := range []string{"early", "late"} {
		s := shard{file: filepath.Join(t.TempDir(), name)}
		write(t, s.file, older)
		var err error
		if s.seals, err = token.OpenSeals(s.file, log); err != nil {
			t.Fatal(err)
		}
		if s.resumer, err = token.NewResumer(s.seals, "eu", func() time.Time { return now }); err != nil {
			t.Fatal(err)
		}
		shards = append(shards, s)
	}
	made := map[string]string{}
	for _, step := range [][]string{{older}, {older, newer, ""}, {newer, older}} {
		for _, s := range shards {
			write(t, s.file, step...)
			s.seals.Look()
			raw, _, err := s.resumer.Issue(grant)
			if err != nil {
				t.Fatal(err)
			}
			made[raw] = strings.Join(step, ", ")
			for raw, by := range made {
				for _, other := range shards {
					if _, err := other.resumer.Check(raw, "phone"); err != nil {
						t.Errorf("made with %s: %v", by, err)
					}
				}
			}
		}
	}
	before, _, err := newResumer(t, older, "eu", 0).Issue(grant)
	if err != nil {
		t.Fatal(err)
	}
	write(t, shards[0].file, newer)
	shards[0].seals.Look()
	if _, err := shards[0].resumer.Check(before, "phone"); !errors.Is(err, token.ErrResume) {
		t.Errorf("made with a seal that is gone: %v", err)
	}
}

func TestSealsThatAreNoGood(t *testing.T) {
	file := filepath.Join(t.TempDir(), "seals")
	write(t, file, older)
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	seals, err := token.OpenSeals(file, log)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := seals.Keys("a use")
	if err != nil {
		t.Fatal(err)
	}
	before := keys()
	for name, test := range map[string]struct {
		lines []string
		want  string
	}{
		"none":         {[]string{"", " "}, "holds 0 keys"},
		"a short one":  {[]string{newer, "short"}, "seals:2: a key of 5 bytes: want at least 16"},
		"too many":     {slices.Repeat([]string{newer}, 9), "holds 9 keys: want 1 to 8"},
		"another file": {slices.Repeat([]string{newer}, 500), "is it the right file?"},
	} {
		write(t, file, test.lines...)
		if _, err := token.OpenSeals(file, log); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
		if seals.Look(); !slices.EqualFunc(keys(), before, slices.Equal) {
			t.Errorf("%s: the seals are others", name)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := token.OpenSeals(file, log); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if seals.Look(); !slices.EqualFunc(keys(), before, slices.Equal) {
		t.Error("no file: the seals are others")
	}
}
