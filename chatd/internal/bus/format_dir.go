package bus

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
)

const (
	// streamsDir is the embedded server's own.
	streamsDir = "jetstream"
	// lockFile is held while a store uses the directory.
	lockFile = "chatfleet.lock"
	// probeFile shows whether there is room; probeBytes is about what a store writes before it is of use.
	probeFile  = "chatfleet.probe"
	probeBytes = 1 << 20
	tempSuffix = ".new"
)

// dataDir is a data directory in use.
type dataDir struct{ lock *os.File }

// openDir takes a data directory for a store: nobody else uses it, it can be written, it has room, and it is this store's own.
func openDir(dir string, want label, log *slog.Logger) (*dataDir, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("making the data directory: %w", err)
	}
	// Before anything is written: it may be somebody else's.
	if _, err := readLabel(dir); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, unwritable(dir, err)
	}
	d := &dataDir{lock}
	if err := tryLock(lock); err != nil {
		d.close()
		return nil, fmt.Errorf("the data directory %s is in use by another chatd: end that one first, or give this store its own directory (%w)", dir, err)
	}
	if err := probe(dir); err != nil {
		d.close()
		return nil, err
	}
	if err := checkLabel(dir, want, log); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

// close lets others use the directory. The kernel does the same for a process that dies.
func (d *dataDir) close() { d.lock.Close() }

// probe writes as much as a store soon needs, and removes it again.
func probe(dir string) error {
	file := filepath.Join(dir, probeFile)
	err := writeSynced(file, make([]byte, probeBytes))
	if removed := os.Remove(file); err == nil {
		err = removed
	}
	if err != nil {
		return unwritable(dir, err)
	}
	return nil
}

// unwritable says what to do about a directory that cannot be written.
func unwritable(dir string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("the data directory %s is full: grow its volume or make room; nothing that was acknowledged is lost (%w)", dir, err)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("the data directory %s is on a volume that can only be read: mount it for writing (%w)", dir, err)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("the data directory %s cannot be written: give it to the user that runs chatd (%w)", dir, err)
	}
	return fmt.Errorf("writing to the data directory: %w", err)
}

// writeSynced writes a file and has it on disk.
func writeSynced(name string, data []byte) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncDir has a rename on disk.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("syncing the data directory: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("syncing the data directory: %w", err)
	}
	return nil
}
