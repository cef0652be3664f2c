// Package document reads YAML files that are data with a version of their own: calibrations and price lists. It is strict and bounded, and says what is wrong with
// its place, all at once. Scenarios, which people write, have a reader of their own with more help in it.
package document

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/goccy/go-yaml"
)

// maxBytes bounds a file that is read.
const maxBytes = 1 << 20

// Load reads a file, in which problems finds what is wrong beyond its form. what it is stands in errors, such as "calibration".
func Load[T any](what, path string, problems func(T) []string) (T, error) {
	var none T
	f, err := os.Open(path)
	if err != nil {
		return none, fmt.Errorf("load %s: %w", what, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	switch {
	case err != nil:
		return none, fmt.Errorf("load %s: %w", what, err)
	case len(data) > maxBytes:
		return none, fmt.Errorf("load %s: %s is larger than %d KiB", what, path, maxBytes>>10)
	}
	return Parse(path, data, problems)
}

// Parse reads what is in a file of that name.
func Parse[T any](name string, data []byte, problems func(T) []string) (T, error) {
	var out, none T
	if err := yaml.NewDecoder(bytes.NewReader(data), yaml.Strict()).Decode(&out); err != nil {
		return none, located(name, err)
	}
	if all := problems(out); len(all) > 0 {
		return none, fmt.Errorf("%s: %s", name, strings.Join(all, "\n"+name+": "))
	}
	return out, nil
}

// located keeps the place and the words of an error of the YAML library, without its picture of the source.
func located(name string, err error) error {
	var e yaml.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("%s: %w", name, err)
	}
	if t := e.GetToken(); t != nil && t.Position != nil {
		return fmt.Errorf("%s:%d:%d: %s", name, t.Position.Line, t.Position.Column, e.GetMessage())
	}
	return fmt.Errorf("%s: %s", name, e.GetMessage())
}
