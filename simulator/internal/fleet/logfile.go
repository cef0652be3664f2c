package fleet

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"sync"
)

// maxLogBytes bounds each of the two files that a process's log may take; maxTailBytes what an error shows of it.
const (
	maxLogBytes  = 16 << 20
	maxTailBytes = 4 << 10
)

// logFile takes what a process prints. At maxLogBytes the file becomes name.1 and a new one begins, so that the newest lines
// are always there.
type logFile struct {
	path string

	mu   sync.Mutex
	file *os.File
	size int64
	tail []byte
}

// openLog begins a new log; that of an earlier fleet goes.
func openLog(path string) (*logFile, error) {
	if err := os.Remove(path + ".1"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("open the log of a process: %w", err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log of a process: %w", err)
	}
	return &logFile{path: path, file: file}, nil
}

// Write never fails the process that prints: a full disk costs its log, not the run.
func (l *logFile) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tail = append(l.tail, b...)
	if cut := len(l.tail) - maxTailBytes; cut > 0 {
		l.tail = append(l.tail[:0], l.tail[cut:]...)
	}
	if l.size+int64(len(b)) > maxLogBytes {
		l.turn()
	}
	n, _ := l.file.Write(b)
	l.size += int64(n)
	return len(b), nil
}

func (l *logFile) turn() {
	if os.Rename(l.path, l.path+".1") != nil {
		return
	}
	file, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	_ = l.file.Close()
	l.file, l.size = file, 0
}

// lastLines returns the newest n lines, or fewer.
func (l *logFile) lastLines(n int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := bytes.Split(bytes.TrimRight(l.tail, "\n"), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-n):], []byte("\n")))
}

func (l *logFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Close()
}
