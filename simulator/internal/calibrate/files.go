package calibrate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/chatfleet/chatfleet/simulator/internal/calibration"
)

// The files of a calibration in its directory, besides the observations.
const (
	CalibrationFile = "calibration.yaml"
	JSONFile        = "report.json"
	HTMLFile        = "report.html"
	TextFile        = "report.txt"
)

// Write writes the calibration and its reports into a directory.
func Write(dir string, r Result) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write calibration: %w", err)
	}
	for name, render := range map[string]func(io.Writer, Result) error{JSONFile: RenderJSON, HTMLFile: RenderHTML, TextFile: RenderText} {
		var text bytes.Buffer
		if err := render(&text, r); err != nil {
			return fmt.Errorf("write calibration: %s: %w", name, err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text.Bytes(), 0o644); err != nil {
			return fmt.Errorf("write calibration: %w", err)
		}
	}
	return calibration.WriteFile(filepath.Join(dir, CalibrationFile), r.Calibration())
}

// RenderJSON writes all of the result.
func RenderJSON(w io.Writer, r Result) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	return e.Encode(r)
}
