package bus_test

import (
	"io"
	"sync"
	"testing"
)

// keptLines are how many lines of a log a failing test shows.
const keptLines = 60

// lastLines takes what stores and shards log while a test disturbs them, which is a lot, and shows the last of it if the test fails: what the test
// itself found would drown in the whole.
func lastLines(t testing.TB) io.Writer {
	l := new(lines)
	t.Cleanup(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if !t.Failed() {
			return
		}
		if l.dropped > 0 {
			t.Logf("%d more lines, and then:", l.dropped)
		}
		for _, line := range l.kept {
			_, _ = t.Output().Write(line)
		}
	})
	return l
}

type lines struct {
	mu      sync.Mutex
	kept    [][]byte
	dropped int
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kept = append(l.kept, append([]byte(nil), p...)); len(l.kept) > keptLines {
		l.kept = l.kept[1:]
		l.dropped++
	}
	return len(p), nil
}
