package client

import (
	"context"
	"errors"
	"fmt"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// follow attaches the user's own log and what earlier runs of the program have seen him join.
func (c *Client) follow(cursors []Cursor) error {
	if _, err := c.Attach(UserLog, AttachOptions{Handler: c.followUpdate, FromBeginning: true}); err != nil {
		return err
	}
	for _, cursor := range cursors {
		if cursor.Joined != 0 {
			if err := c.followJoined(cursor.Log, cursor.Joined); err != nil {
				return err
			}
		}
	}
	return nil
}

// followUpdate is the handler of the user's own log. The cursor of a log that was joined is kept before that of the event
// that says so, so no crash between the two forgets the log.
func (c *Client) followUpdate(ctx context.Context, u Update) error {
	var err error
	if u.Reset != nil {
		err = c.followReset(ctx, u)
	} else {
		err = c.followEvent(ctx, u.Event)
	}
	if err == nil && c.opt.Follow.Handler != nil {
		err = c.opt.Follow.Handler(ctx, u)
	}
	return err
}

func (c *Client) followEvent(ctx context.Context, e *chatv1.Event) error {
	switch content := e.GetContent().(type) {
	case *chatv1.Event_LogJoined:
		return c.followJoined(content.LogJoined.GetLog(), content.LogJoined.GetKind())
	case *chatv1.Event_LogLeft:
		return c.followLeft(ctx, content.LogLeft.GetLog())
	}
	return nil
}

// followReset follows what the user has joined by the server's list, and leaves the rest. Events of his log that the list knows already change
// nothing when they come.
func (c *Client) followReset(ctx context.Context, u Update) error {
	logs, asOf, err := c.Joined(ctx)
	if err != nil {
		return fmt.Errorf("list what the user has joined: %w", err)
	}
	if asOf.Epoch < u.Cursor.Epoch || asOf.Epoch == u.Cursor.Epoch && asOf.PTS < u.Cursor.PTS {
		return fmt.Errorf("the list of what the user has joined is of an earlier time: epoch %d, position %d; his log is at %d, %d",
			asOf.Epoch, asOf.PTS, u.Cursor.Epoch, u.Cursor.PTS)
	}
	joined := make(map[string]bool, len(logs))
	for _, l := range logs {
		joined[l.GetLog()] = true
	}
	for _, log := range c.allJoined() {
		if joined[log] {
			continue
		}
		if err := c.followLeft(ctx, log); err != nil {
			return err
		}
	}
	for _, l := range logs {
		if err := c.followJoined(l.GetLog(), l.GetKind()); err != nil {
			return err
		}
	}
	return nil
}

// allJoined are the logs that the user is known to have joined.
func (c *Client) allJoined() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var logs []string
	for log, cursor := range c.cursors {
		if cursor.Joined != 0 {
			logs = append(logs, log)
		}
	}
	return logs
}

// followJoined attaches a log that the user has joined, unless it is attached.
func (c *Client) followJoined(log string, kind chatv1.LogKind) error {
	c.mu.Lock()
	attached := c.logs[log] != nil
	c.mu.Unlock()
	if attached {
		return nil
	}
	options, ok := c.opt.Follow.Attach(log, kind)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !ok {
		c.noteJoined(log, kind) // and ask about it again at the next start
		return nil
	}
	_, err := c.attach(log, kind, options)
	if err != nil && !errors.Is(err, ErrAttached) {
		return fmt.Errorf("follow log %s: %w", log, err)
	}
	return nil
}

// noteJoined keeps that the user has joined a log, beside its cursor. mu is held.
func (c *Client) noteJoined(log string, kind chatv1.LogKind) Cursor {
	cursor := c.cursors[log]
	if cursor.Log = log; cursor.Joined != kind {
		cursor.Joined = kind
		c.cursors[log] = cursor
		c.keeper.keep(cursor)
	}
	return cursor
}

// followLeft detaches a log that the user has left, and forgets how far the device has come in it. It waits for the log's
// handler, so that a join that follows begins anew.
func (c *Client) followLeft(ctx context.Context, log string) error {
	c.mu.Lock()
	l := c.logs[log]
	if l != nil {
		l.left = true
		l.end(ErrDetached)
	}
	delete(c.cursors, log)
	c.keeper.forget(log)
	c.mu.Unlock()
	if l == nil {
		return nil
	}
	select {
	case <-l.Done():
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
