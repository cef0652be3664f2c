package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// requestBackoffBase is Backoff.Base for requests that are repeated on a session that lives.
const requestBackoffBase = 250 * time.Millisecond

// typingEvery is how often it is said that the user types in a log: less often than the server passes over, more often than the 5 s that
// it holds.
const typingEvery = 4 * time.Second

// maxCalls is how many requests of the application are under way at once, and keeps below what any server takes from a session.
// Others wait their turn.
const maxCalls = 16

// Client is one device of one user, over as many connections as it takes. Its methods may be called from any goroutine.
type Client struct {
	opt   Options
	codec codec

	// ctx ends with Close. Handlers and the connection live under it.
	ctx    context.Context
	cancel context.CancelFunc
	// work are all goroutines but the keeper, which outlives them to keep their last cursors.
	work   sync.WaitGroup
	keeper *keeper
	// calls has a place for each request of the application that may be under way.
	calls chan struct{}

	// mu guards everything below, in sessions and in logs too. Nothing that waits is done under it.
	mu      sync.Mutex
	closing bool
	// session is the one that is signed in, or nil; changed is closed and replaced whenever session or lastErr changes.
	session *session
	changed chan struct{}
	// lastErr is why there is no session; refused, that trying again will not mend it.
	lastErr error
	refused bool
	user    string

	// logs are the attached logs by the name they were attached with, byID the same by the id that events carry.
	logs map[string]*Log
	byID map[string]*Log
	// due are the logs that want a tick, and when.
	due map[*Log]time.Time
	// cursors are the cursors of logs that are not attached, as loaded or as their handlers left them.
	cursors map[string]Cursor

	// serverMs is the server's clock as last heard, at the local moment serverAt. See serverNow.
	serverMs int64
	serverAt time.Time
	resume   resumption
}

// Open returns a device that signs in, and stays signed in, on its own. It does not wait for the first session: see Ready.
// The context bounds the loading of cursors only. The caller must Close the Client.
func Open(ctx context.Context, o Options) (*Client, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	cursors, err := o.Cursors.Load(ctx)
	if err != nil {
		return nil, fmt.Errorf("chatfleet: load cursors: %w", err)
	}
	c := &Client{
		opt:     o,
		codec:   codecOf(o.Encoding),
		calls:   make(chan struct{}, maxCalls),
		changed: make(chan struct{}),
		logs:    make(map[string]*Log),
		byID:    make(map[string]*Log),
		due:     make(map[*Log]time.Time),
		cursors: make(map[string]Cursor, len(cursors)),
		lastErr: errors.New("not connected yet"),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	for _, cursor := range cursors {
		c.cursors[cursor.Log] = cursor
	}
	c.keeper = newKeeper(o.Cursors, o.Logger)
	if o.Follow != nil {
		if err := c.follow(cursors); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	c.work.Go(c.stayConnected)
	return c, nil
}

// Dial is Open and Ready: it returns a device that is signed in.
func Dial(ctx context.Context, o Options) (*Client, error) {
	c, err := Open(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := c.Ready(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// Ready waits until the device is signed in. It returns an error when the context ends, when the Client is closed, and at
// once when the fleet refuses the device for a reason that waiting does not mend, as a bad token. The Client goes on trying
// in any case.
func (c *Client) Ready(ctx context.Context) error {
	for {
		c.mu.Lock()
		signedIn, refused, err, changed := c.session != nil, c.refused, c.lastErr, c.changed
		c.mu.Unlock()
		if signedIn {
			return nil
		}
		if refused {
			return err
		}
		if err := c.wait(ctx, changed, err); err != nil {
			return err
		}
	}
}

// Close ends the session, waits for the handlers that are running (their context ends), and keeps the last cursors. It must
// not be called from a handler. Its error is that of the cursor store.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closing = true
	for _, l := range c.logs {
		l.end(ErrClosed)
	}
	c.mu.Unlock()
	c.cancel()
	c.work.Wait()
	return c.keeper.close()
}

// wait waits for a channel, the context or the end of the Client. The last thing that went wrong is part of the error.
func (c *Client) wait(ctx context.Context, signal <-chan struct{}, last error) error {
	select {
	case <-signal:
		return nil
	case <-c.ctx.Done():
		return ErrClosed
	case <-ctx.Done():
		if last == nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("%w; last: %w", context.Cause(ctx), last)
	}
}

// sleep waits for a time to pass, like wait.
func (c *Client) sleep(ctx context.Context, d time.Duration, last error) error {
	passed := make(chan struct{})
	defer time.AfterFunc(d, func() { close(passed) }).Stop()
	return c.wait(ctx, passed, last)
}

// announce tells those who wait that the connection's state has changed. mu is held.
func (c *Client) announce() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// heardClock notes the server's clock. mu is held.
func (c *Client) heardClock(ms int64) {
	if ms > 0 {
		c.serverMs, c.serverAt = ms, time.Now()
	}
}

// serverNow is the server's clock, in milliseconds since 1970, or a little earlier (by the time an answer was on its way,
// and by the time that the machine slept). Earlier is the safe side: it makes a repeat look older, and one that is too old
// is refused where one that looks too young might be carried out twice. 0 before the first sign-in. mu is held.
func (c *Client) serverNow() int64 {
	if c.serverAt.IsZero() {
		return 0
	}
	return c.serverMs + time.Since(c.serverAt).Milliseconds()
}

// fullJitter is the pause after n failures in a row.
func (b Backoff) fullJitter(n int) time.Duration {
	d := b.Most
	if n < 32 && b.Base < b.Most>>n {
		d = b.Base << n
	}
	return rand.N(max(d, 1))
}

// atLeast makes a pause out of a server's hint: as long, and a random part of as much again, so that those who were sent
// away together do not come back together.
func atLeast(pause, hint time.Duration) time.Duration {
	if hint <= 0 {
		return pause
	}
	return max(pause, hint+rand.N(hint))
}

// errorCode is the error that a close code of the WebSocket stands for (4000 + code), or nil.
func errorCode(closeCode int) *Error {
	code := Code(closeCode - 4000)
	if _, ok := chatv1.Error_Code_name[int32(code)]; !ok || code == chatv1.Error_CODE_UNSPECIFIED {
		return nil
	}
	return &Error{Code: code, Message: "the server closed the session"}
}
