package client

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	saveRetry   = time.Second
	saveAtClose = 5 * time.Second
)

// keeper brings cursors into the store, one Save at a time: those that move while one is under way go with the next, so a
// slow disk makes larger batches, not a queue.
type keeper struct {
	store CursorStore
	log   *slog.Logger

	mu    sync.Mutex
	dirty map[string]Cursor
	gone  map[string]bool

	wake chan struct{}
	// ctx ends with close; done is closed when run has returned.
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{}
}

func newKeeper(store CursorStore, log *slog.Logger) *keeper {
	k := &keeper{
		store: store,
		log:   log,
		dirty: make(map[string]Cursor),
		gone:  make(map[string]bool),
		wake:  make(chan struct{}, 1),
		done:  make(chan struct{}),
	}
	k.ctx, k.cancel = context.WithCancel(context.Background())
	go k.run()
	return k
}

// keep has a cursor saved soon. Cursors of one call, and of calls before it, are saved before or with those of later calls.
func (k *keeper) keep(cursors ...Cursor) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range cursors {
		k.dirty[c.Log] = c
		delete(k.gone, c.Log)
	}
	signal(k.wake)
}

// forget has a log's cursor removed soon.
func (k *keeper) forget(log string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.dirty, log)
	k.gone[log] = true
	signal(k.wake)
}

// close ends the keeper and saves what is not saved yet.
func (k *keeper) close() error {
	k.cancel()
	<-k.done
	ctx, cancel := context.WithTimeout(context.Background(), saveAtClose)
	defer cancel()
	return k.save(ctx)
}

func (k *keeper) run() {
	defer close(k.done)
	for {
		select {
		case <-k.ctx.Done():
			return
		case <-k.wake:
		}
		err := k.save(k.ctx)
		if err == nil || k.ctx.Err() != nil {
			continue
		}
		k.log.Warn("cursors not kept; trying again", "err", err, "in", saveRetry)
		select {
		case <-k.ctx.Done():
			return
		case <-time.After(saveRetry):
			signal(k.wake)
		}
	}
}

func (k *keeper) save(ctx context.Context) error {
	k.mu.Lock()
	dirty, gone := k.dirty, k.gone
	k.dirty, k.gone = make(map[string]Cursor), make(map[string]bool)
	k.mu.Unlock()
	if len(dirty) == 0 && len(gone) == 0 {
		return nil
	}
	err := k.store.Save(ctx, sorted(dirty), slices.Sorted(maps.Keys(gone)))
	if err != nil {
		k.putBack(dirty, gone)
	}
	return err
}

// putBack makes what was not saved dirty again, where nothing newer is.
func (k *keeper) putBack(dirty map[string]Cursor, gone map[string]bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for log, c := range dirty {
		if _, newer := k.dirty[log]; !newer && !k.gone[log] {
			k.dirty[log] = c
		}
	}
	for log := range gone {
		if _, newer := k.dirty[log]; !newer {
			k.gone[log] = true
		}
	}
}

// signal wakes the reader of a channel with one place.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
