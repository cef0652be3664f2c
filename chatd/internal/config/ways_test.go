package config

import (
	"fmt"
	"strings"
	"testing"
)

// another is text for a setting that gives it another value than its default, for it or for any like it.
func another(s setting) (text string, ok bool) {
	of := func(c rune) bool { return c == ',' || c == ' ' }
	tried := append(strings.FieldsFunc(s.value.bounds(), of), // choices, and the ends of ranges
		"7", "7KiB", "7MiB", "7s", "48h", "seven", "127.0.0.7:7", "https://seven.example.com", "keys=seven", "10.0.0.7/32")
	before := s.value.text()
	for _, text := range tried {
		if s.value.set(text) == nil && s.value.text() != before {
			return s.value.text(), true
		}
	}
	return "", false
}

// fileLine is a setting as it stands in a file.
func fileLine(s setting, text string) string {
	switch {
	case s.value.kind() == listKind && text == "":
		text = "[]"
	case s.value.kind() == listKind:
		text = `["` + strings.ReplaceAll(text, ",", `","`) + `"]`
	case s.value.kind() == textKind:
		text = `"` + text + `"`
	}
	section, name, in := strings.Cut(s.key, ".")
	if !in {
		return fmt.Sprintf("%s: %s\n", section, text)
	}
	return fmt.Sprintf("%s:\n  %s: %s\n", section, name, text)
}

// The ways by which a setting may come; those further down count more.
const (
	byFile = iota
	byVariable
	byFlag
)

// given is what is loaded when a setting is given text by the last of some ways, and what does not count by the others.
func given(s setting, text, usual string, ways []int) *Loaded {
	in := Inputs{Flags: NewFlags("host"), Hostname: "host"}
	files := map[string]string{}
	for i, way := range ways {
		text := text
		if i < len(ways)-1 {
			text = usual
		}
		switch way {
		case byFile:
			_ = in.Flags.byKey[configKey].Set("file")
			files["file"] = fileLine(s, text)
		case byVariable:
			in.Environ = append(in.Environ, envName(s.key)+"="+text)
		case byFlag:
			_ = in.Flags.byKey[s.key].Set(text)
		}
	}
	in.ReadFile = func(name string) ([]byte, error) { return []byte(files[name]), nil }
	loaded, _ := Load(in) // what is missing beside it is told, and does not matter
	return loaded
}

// Every setting of the table arrives from a file, from a variable and from a flag, says where it came from, and touches no other; and of
// all three the flag counts, without it the variable.
func TestEverySettingArrivesEveryWay(t *testing.T) {
	untouched, changed := Defaults("host"), Defaults("host")
	usual := settings(&untouched)
	for i, s := range settings(&changed) {
		text, ok := another(s)
		if !ok {
			t.Errorf("%s takes none of the texts that are tried: add one that it takes", s.key)
			continue
		}
		origins := map[int]string{byFile: "file:", byVariable: envName(s.key), byFlag: "--" + flagName(s.key)}
		for _, ways := range [][]int{{byFile}, {byVariable}, {byFlag}, {byFile, byVariable}, {byFile, byVariable, byFlag}} {
			got := given(s, text, usual[i].value.text(), ways)
			from := origins[ways[len(ways)-1]]
			for j, other := range settings(&got.Config) {
				want := usual[j].value.text()
				if i == j {
					want = text
				}
				if other.value.text() != want {
					t.Errorf("%s, given as %s: %s is %q, want %q", s.key, from, other.key, other.value.text(), want)
				}
			}
			if origin := got.origins[s.key]; !strings.HasPrefix(origin, from) {
				t.Errorf("%s, given as %s, is said to come from %s", s.key, from, origin)
			}
		}
	}
}
