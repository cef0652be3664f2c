package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
)

// The files of a report in its directory.
const (
	JSONFile  = "report.json"
	HTMLFile  = "report.html"
	JUnitFile = "junit.xml"
	HLogFile  = "latency.hlog"
)

// maxReportBytes bounds a report.json that is read.
const maxReportBytes = 256 << 20

// Write writes report.json and the outputs that the scenario asks for into a directory, which it makes. A file of an output
// that is not asked for is removed, so that nothing of another run stays beside this one. A file is replaced whole or not at
// all.
func Write(dir string, r Report) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { // a report is no secret
		return fmt.Errorf("write report: %w", err)
	}
	outputs := []v1alpha1.Output{v1alpha1.HTML, v1alpha1.JUnit, v1alpha1.HLog}
	if r.Spec != nil && r.Spec.Outputs != nil {
		outputs = r.Spec.Outputs
	}
	for _, file := range []struct {
		name   string
		output v1alpha1.Output
		render func(io.Writer, Report) error
	}{
		{JSONFile, "", RenderJSON},
		{HTMLFile, v1alpha1.HTML, RenderHTML},
		{JUnitFile, v1alpha1.JUnit, RenderJUnit},
		{HLogFile, v1alpha1.HLog, RenderHLog},
	} {
		path := filepath.Join(dir, file.name)
		if file.output != "" && !slices.Contains(outputs, file.output) {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("write report: %w", err)
			}
			continue
		}
		var text bytes.Buffer
		if err := file.render(&text, r); err != nil {
			return fmt.Errorf("write report: %s: %w", file.name, err)
		}
		if err := replace(path, text.Bytes()); err != nil {
			return fmt.Errorf("write report: %w", err)
		}
	}
	return nil
}

func replace(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // there is nothing to remove once it is renamed
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// RenderJSON writes the report as report.json has it: indented, with lists of numbers in one line each.
func RenderJSON(w io.Writer, r Report) error { return renderJSON(w, r) }

func renderJSON(w io.Writer, document any) error {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(document); err != nil {
		return err
	}
	_, err := w.Write(numberLists.ReplaceAllFunc(text.Bytes(), func(list []byte) []byte {
		return bytes.Join(bytes.Fields(list), nil)
	}))
	return err
}

// numberLists finds indented lists of numbers. Strings have no line breaks in JSON, so it finds none in them.
var numberLists = regexp.MustCompile(`\[\n\s*-?[0-9][-+.eE0-9]*(,\n\s*-?[0-9][-+.eE0-9]*)*\n\s*\]`)

// Read reads the report in a report.json, or in the directory that has one.
func Read(path string) (Report, error) {
	return readDocument[Report]("report", path, JSONFile, Schema)
}

// readDocument reads a file of that schema, or the one of that name in a directory. what it is stands in errors.
func readDocument[T any](what, path, name, schema string) (T, error) {
	var none, document T
	wrong := func(format string, args ...any) (T, error) {
		return none, fmt.Errorf("read "+what+": "+format, args...)
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, name)
	}
	f, err := os.Open(path)
	if err != nil {
		return wrong("%w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxReportBytes+1))
	switch {
	case err != nil:
		return wrong("%w", err)
	case len(data) > maxReportBytes:
		return wrong("%s is larger than %d MiB", path, maxReportBytes>>20)
	}
	var head struct {
		Schema string `json:"schema"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return wrong("%s is not a %s: %w", path, name, err)
	}
	if head.Schema != schema {
		return wrong("%s has the schema %q; this program reads %q", path, head.Schema, schema)
	}
	if err := json.Unmarshal(data, &document); err != nil {
		return wrong("%s: %w", path, err)
	}
	return document, nil
}
