package client

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// UserLog names the user's own log, wherever a log is named.
const UserLog = "me"

// Cursor says how far a device has come in a log: it has handled every event up to PTS.
type Cursor struct {
	// Log is the log's id; UserLog for the user's own.
	Log string `json:"log"`
	// Epoch names the incarnation of the log's history; 0 if the device has not been attached to the log yet.
	Epoch uint32 `json:"epoch"`
	PTS   uint64 `json:"pts"`
	// Joined is the kind of the log if the user's own log says that he has joined it, and 0 otherwise. It lets a device that
	// starts again follow what was joined before, without reading the user's log from its beginning.
	Joined chatv1.LogKind `json:"joined,omitempty"`
}

// CursorStore keeps the cursors of one device of one user. A Client calls it from one goroutine at a time, and saves
// many cursors at once where they have moved in the meantime.
//
// What Save has not finished when the program dies is handed to the application again at its next start: an older cursor is
// always safe, a newer one than the data never is. An application whose data are in a database can have both in one
// transaction: its handlers write the update's cursor beside the data, Load reads it from there, and Save keeps only the
// cursors that are new (those with a Joined, or that no handler has written).
type CursorStore interface {
	// Load returns all that is kept. It is called once, by Open.
	Load(ctx context.Context) ([]Cursor, error)
	// Save keeps the given cursors in place of earlier ones of the same logs, and forgets the logs in gone: all of it or
	// nothing. After an error the same is saved again, with what has moved since.
	Save(ctx context.Context, cursors []Cursor, gone []string) error
}

// MemoryCursors keeps cursors as long as the program lives. It may be shared by Clients that follow each other.
type MemoryCursors struct {
	mu      sync.Mutex
	cursors map[string]Cursor
}

// NewMemoryCursors returns an empty store.
func NewMemoryCursors() *MemoryCursors { return &MemoryCursors{cursors: make(map[string]Cursor)} }

// Load returns the cursors, sorted by log.
func (m *MemoryCursors) Load(context.Context) ([]Cursor, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return sorted(m.cursors), nil
}

// Save keeps cursors.
func (m *MemoryCursors) Save(_ context.Context, cursors []Cursor, gone []string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	merge(m.cursors, cursors, gone)
	return nil
}

func merge(into map[string]Cursor, cursors []Cursor, gone []string) {
	for _, log := range gone {
		delete(into, log)
	}
	for _, c := range cursors {
		into[c.Log] = c
	}
}

func sorted(m map[string]Cursor) []Cursor {
	return slices.SortedFunc(maps.Values(m), func(a, b Cursor) int { return strings.Compare(a.Log, b.Log) })
}
