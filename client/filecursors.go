package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// FileCursors keeps cursors in one JSON file, which is replaced whole: after a crash it is the old one or the new one, never
// a part of either. It suits a device with thousands of logs; one with millions wants a database behind CursorStore.
type FileCursors struct {
	path    string
	mu      sync.Mutex
	loaded  bool
	cursors map[string]Cursor
}

// cursorFile is what the file holds.
type cursorFile struct {
	// Version is raised when an older program must not read, and then overwrite, the file.
	Version int      `json:"version"`
	Cursors []Cursor `json:"cursors"`
}

const cursorFileVersion = 1

// NewFileCursors returns a store in the file at path, which need not exist yet; its directory must. One program at a time
// may use the file.
func NewFileCursors(path string) *FileCursors { return &FileCursors{path: path} }

// Load reads the file.
func (f *FileCursors) Load(context.Context) ([]Cursor, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.load(); err != nil {
		return nil, err
	}
	return sorted(f.cursors), nil
}

// Save replaces the file. When it has returned, the cursors outlive a loss of power.
func (f *FileCursors) Save(_ context.Context, cursors []Cursor, gone []string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.load(); err != nil {
		return err
	}
	// Not undone if the write fails: the caller gives the same again, and newer.
	merge(f.cursors, cursors, gone)
	data, err := json.MarshalIndent(cursorFile{cursorFileVersion, sorted(f.cursors)}, "", "\t")
	if err != nil {
		return fmt.Errorf("encode cursors: %w", err)
	}
	if err := replaceFile(f.path, append(data, '\n')); err != nil {
		return fmt.Errorf("keep cursors: %w", err)
	}
	return nil
}

func (f *FileCursors) load() error {
	if f.loaded {
		return nil
	}
	data, err := os.ReadFile(f.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read cursors: %w", err)
	}
	file := cursorFile{Version: cursorFileVersion}
	if err == nil {
		if err := json.Unmarshal(data, &file); err != nil {
			return fmt.Errorf("%s is not a file of cursors (remove it to begin at the head of each log): %w", f.path, err)
		}
	}
	if file.Version != cursorFileVersion {
		return fmt.Errorf("%s is of version %d, this program knows version %d", f.path, file.Version, cursorFileVersion)
	}
	f.cursors = make(map[string]Cursor, len(file.Cursors))
	merge(f.cursors, file.Cursors, nil)
	f.loaded = true
	return nil
}

// replaceFile writes a new file beside the old one, brings it to the disk, puts it in the old one's place and brings that to
// the disk too. What a crash leaves of the new file is overwritten the next time.
func replaceFile(path string, data []byte) error {
	next := path + ".new"
	if err := writeFile(next, data); err != nil {
		_ = os.Remove(next) // there may be none; it would be overwritten
		return err
	}
	if err := os.Rename(next, path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

func writeFile(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		f.Close()
		return err
	}
	if err := f.Sync(); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
