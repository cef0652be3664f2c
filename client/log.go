package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"time"

	"github.com/chatfleet/chatfleet/client/internal/logsync"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// Update is one step of a log. Either Event or Reset is set.
type Update struct {
	Event *chatv1.Event
	Reset *Reset
	// Cursor is where the device is once the update is handled.
	Cursor Cursor
}

// Reset replaces all that the device has of the log: it was away for too long to be told event by event, or the log was
// restored from an older state. Info is the log's state, Events are its newest events in order, the last one at the cursor.
type Reset struct {
	Info   *chatv1.LogInfo
	Events []*chatv1.Event
}

// Handler gets the updates of a log, one after the other: each event once, in order, without holes. It may take its time; the
// log's other updates wait. The context ends when the Client is closed or the log detached, and a handler should return then.
//
// An error stops the log: the update does not count as handled, and Log.Err returns the error. Once the log is attached
// again, it goes on with the same update.
type Handler func(ctx context.Context, u Update) error

// AttachOptions say how a log is attached.
type AttachOptions struct {
	// Handler is required.
	Handler Handler
	// FromBeginning lets a device that has no cursor read the log from its first event. It may find it too long, and then
	// begins with a Reset. Without it such a device begins at the head, with what comes next.
	FromBeginning bool
}

// Log is an attached log. It stays attached over reconnects until it is detached, refused by the fleet, or stopped by its
// handler.
type Log struct {
	client  *Client
	name    string
	options AttachOptions
	ctx     context.Context
	cancel  context.CancelFunc
	// ready is closed with the first attachment, done when the last call of the handler has returned.
	ready, done chan struct{}

	// Client.mu guards the rest.
	sync *logsync.Log
	// on is the session that was asked to attach the log, or nil.
	on       *session
	question *logsync.Ask
	// retry is a pending new try to attach after a refusal that passes, refusals how many there were in a row.
	retry    time.Time
	refusals int
	refusal  error
	// queue are the updates that wait for the handler; draining says whether a goroutine is giving them to it.
	queue    []logsync.Update
	draining bool
	// typed is when the server was told last that the user types here.
	typed time.Time
	// handled is the cursor to keep, acked the one that the server was told last.
	handled, acked Cursor
	ended          bool
	// left: the user has left the log, its cursor is not to be kept.
	left bool
	err  error
}

var logID = regexp.MustCompile(`^[a-z0-9]{1,32}$`)

// Attach has the events of a log given to a handler, beginning after the device's cursor. It does not wait for the fleet,
// nor for a connection: see Log.Ready.
func (c *Client) Attach(log string, o AttachOptions) (*Log, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.attach(log, 0, o)
}

// attach makes a log. joined is the log's kind if it is one that the user has joined. mu is held.
func (c *Client) attach(log string, joined chatv1.LogKind, o AttachOptions) (*Log, error) {
	switch {
	case c.closing:
		return nil, ErrClosed
	case !logID.MatchString(log):
		return nil, fmt.Errorf("chatfleet: %q is not the id of a log, which is 1 to 32 of a-z 0-9", log)
	case o.Handler == nil:
		return nil, errors.New("chatfleet: AttachOptions.Handler is nil")
	case c.logs[log] != nil || c.byID[log] != nil:
		return nil, ErrAttached
	}
	cursor := c.cursors[log]
	cursor.Log = log
	if joined != 0 {
		cursor = c.noteJoined(log, joined)
	}
	l := &Log{
		client:  c,
		name:    log,
		options: o,
		ready:   make(chan struct{}),
		done:    make(chan struct{}),
		handled: cursor,
		acked:   cursor,
		sync: logsync.New(logsync.Config{
			Cursor:        logsync.Cursor{Epoch: cursor.Epoch, PTS: cursor.PTS},
			FromBeginning: o.FromBeginning,
			Capacity:      c.opt.QueueEvents,
			Jitter:        func(d time.Duration) time.Duration { return d/2 + rand.N(d/2) },
		}),
	}
	l.ctx, l.cancel = context.WithCancel(c.ctx)
	c.logs[log] = l
	if log != UserLog {
		c.byID[log] = l
	}
	if c.session != nil {
		c.session.attach([]*Log{l})
	}
	return l, nil
}

// ID is the name that the log was attached with.
func (l *Log) ID() string { return l.name }

// Cursor is how far the handler has come.
func (l *Log) Cursor() Cursor {
	l.client.mu.Lock()
	defer l.client.mu.Unlock()
	return l.handled
}

// Ready waits until the fleet has attached the log for the first time. It returns an error when the context ends (with the
// last passing refusal in it) and when the log ends.
func (l *Log) Ready(ctx context.Context) error {
	select {
	case <-l.ready:
		return nil
	case <-l.done:
		return l.Err()
	case <-ctx.Done():
		l.client.mu.Lock()
		defer l.client.mu.Unlock()
		return errors.Join(context.Cause(ctx), l.refusal, l.client.lastErr)
	}
}

// Detach ends the log. A call of the handler that is running may still be running afterwards: see Done. The cursor is kept.
func (l *Log) Detach() {
	l.client.mu.Lock()
	defer l.client.mu.Unlock()
	l.end(ErrDetached)
}

// Done is closed when the log has ended and its handler will not be called any more.
func (l *Log) Done() <-chan struct{} { return l.done }

// Err says why the log has ended: an *Error when the fleet has refused it, what the handler returned, ErrDetached or
// ErrClosed. It is nil as long as the log has not ended.
func (l *Log) Err() error {
	l.client.mu.Lock()
	defer l.client.mu.Unlock()
	return l.err
}

func (l *Log) wireCursor(epoch uint32, pts uint64) *chatv1.Cursor {
	return &chatv1.Cursor{Log: l.name, Epoch: epoch, Pts: pts}
}

// pushed takes an event that a session has brought. mu is held.
func (c *Client) pushed(s *session, e *chatv1.Event) {
	if l := c.byID[e.GetLog()]; l != nil && l.on == s {
		l.carryOut(l.sync.Push(time.Now(), e))
	}
}

// pushedTooLong takes the word that a session was too slow. mu is held.
func (c *Client) pushedTooLong(s *session, t *chatv1.TooLong) {
	if l := c.byID[t.GetLog()]; l != nil && l.on == s {
		l.carryOut(l.sync.TooLong(time.Now(), t))
	}
}

// differenceAnswered takes the answer to the log's question. mu is held.
func (l *Log) differenceAnswered(d *chatv1.DifferenceResponse, err error) {
	switch {
	case err == nil && d != nil:
		at := l.sync.Cursor()
		if c := d.GetCursor(); c.GetEpoch() == at.Epoch && c.GetPts() < at.PTS && d.GetKind() == chatv1.DifferenceResponse_KIND_TOO_LONG {
			l.client.opt.Logger.Warn("the server is behind this device; events that it has already are dropped", "log", l.name,
				"device", at.PTS, "server", c.GetPts())
		}
		l.carryOut(l.sync.Answer(time.Now(), d))
	case hasCode(err, chatv1.Error_CODE_NOT_MEMBER, chatv1.Error_CODE_DENIED, chatv1.Error_CODE_NOT_FOUND):
		l.end(err) // the right to read has gone
	default:
		if !errors.Is(err, errSessionLost) {
			l.client.opt.Logger.Warn("no difference; asking again", "log", l.name, "err", err)
		}
		l.carryOut(l.sync.Failed(time.Now(), retryAfter(err)))
	}
}

// carryOut does what the log's sync has decided. mu is held.
func (l *Log) carryOut(e logsync.Effects) {
	if l.ended {
		return
	}
	if e.Started.Epoch != 0 {
		l.keep(e.Started)
	}
	l.queue = append(l.queue, e.Updates...)
	if len(l.queue) > 0 && !l.draining {
		l.draining = true
		l.client.work.Go(l.drain)
	}
	if e.Ask != nil {
		l.question = e.Ask
		l.on.ask(l)
	}
	l.reckon()
}

// reckon notes when the log wants a tick. mu is held.
func (l *Log) reckon() {
	due, ok := l.sync.Due()
	if !l.retry.IsZero() {
		due, ok = l.retry, true
	}
	if !ok || l.ended {
		delete(l.client.due, l)
		return
	}
	if before, known := l.client.due[l]; !known || !before.Equal(due) {
		l.client.due[l] = due
		if l.client.session != nil {
			signal(l.client.session.retime)
		}
	}
}

// tick lets the logs act whose time has come, and returns how long it is until the next one.
func (c *Client) tick() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for l, due := range c.due {
		if due.After(now) {
			continue
		}
		delete(c.due, l)
		if l.on != nil {
			l.carryOut(l.sync.Tick(now))
		} else if c.session != nil {
			c.session.attach([]*Log{l})
		}
	}
	next := time.Hour
	for _, due := range c.due {
		next = min(next, due.Sub(now))
	}
	return next
}

// drain gives the queued updates to the handler. It ends when there are no more, so an idle log costs no goroutine.
func (l *Log) drain() {
	for {
		u, ok := l.next()
		if !ok {
			return
		}
		update := Update{Event: u.Event, Cursor: Cursor{Log: l.name, Epoch: u.Cursor.Epoch, PTS: u.Cursor.PTS}}
		if u.Reset != nil {
			update.Reset = &Reset{Info: u.Reset.Info, Events: u.Reset.Events}
		}
		l.wasHandled(u, l.options.Handler(l.ctx, update))
	}
}

func (l *Log) next() (logsync.Update, bool) {
	l.client.mu.Lock()
	defer l.client.mu.Unlock()
	if l.ended || len(l.queue) == 0 {
		l.draining = false
		if l.ended {
			l.finish()
		}
		return logsync.Update{}, false
	}
	u := l.queue[0]
	l.queue[0] = logsync.Update{}
	l.queue = l.queue[1:]
	return u, true
}

func (l *Log) wasHandled(u logsync.Update, err error) {
	l.client.mu.Lock()
	defer l.client.mu.Unlock()
	if err != nil {
		l.end(fmt.Errorf("chatfleet: the handler of log %s at position %d: %w", l.name, u.Cursor.PTS, err))
		return
	}
	l.keep(u.Cursor)
	if !l.ended {
		l.carryOut(l.sync.Handled(time.Now(), u.Weight()))
	}
}

// keep notes how far the application has come. mu is held.
func (l *Log) keep(at logsync.Cursor) {
	if l.left {
		return
	}
	l.handled.Epoch, l.handled.PTS = at.Epoch, at.PTS
	l.client.cursors[l.name] = l.handled
	l.client.keeper.keep(l.handled)
}

// end ends the log for a reason; the first one counts. mu is held.
func (l *Log) end(err error) {
	if l.ended {
		return
	}
	l.ended, l.err, l.queue = true, err, nil
	l.cancel()
	if !errors.Is(err, ErrClosed) && !errors.Is(err, ErrDetached) {
		l.client.opt.Logger.Warn("a log was ended", "log", l.name, "err", err)
	}
	delete(l.client.due, l)
	if s := l.on; s != nil {
		l.on, l.question = nil, nil
		s.send(&chatv1.ClientFrame{Body: &chatv1.ClientFrame_Detach{Detach: &chatv1.DetachRequest{Logs: []string{l.name}}}}, nil)
	}
	if !l.draining {
		l.finish()
	}
}

// finish is the very end of a log: its name is free again. mu is held.
func (l *Log) finish() {
	delete(l.client.logs, l.name)
	for id, other := range l.client.byID {
		if other == l {
			delete(l.client.byID, id)
		}
	}
	close(l.done)
}
