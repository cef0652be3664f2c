package calibration

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"github.com/goccy/go-yaml"
)

// Render is a calibration as a file has it. It fails for one that Load would refuse.
func Render(c Calibration) ([]byte, error) {
	var text bytes.Buffer
	if err := yaml.NewEncoder(&text, yaml.IndentSequence(true)).Encode(c); err != nil {
		return nil, fmt.Errorf("write calibration: %w", err)
	}
	if _, err := Parse("the calibration", text.Bytes()); err != nil {
		return nil, fmt.Errorf("write calibration: %w", err)
	}
	return text.Bytes(), nil
}

// WriteFile writes a calibration into a file, whole or not at all.
func WriteFile(path string, c Calibration) error {
	text, err := Render(c)
	if err != nil {
		return err
	}
	beside := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new")
	if err := os.WriteFile(beside, text, 0o644); err != nil {
		return fmt.Errorf("write calibration: %w", err)
	}
	if err := os.Rename(beside, path); err != nil {
		return fmt.Errorf("write calibration: %w", err)
	}
	return nil
}
