package load

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/chatfleet/chatfleet/client"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// text is what a post of the load says: its id, and when it was due, so that whoever gets it knows how long it took.
func text(id uint64, due time.Time) string {
	return strconv.FormatUint(id, 16) + " " + strconv.FormatInt(due.UnixNano(), 16)
}

// parse reads it; 0 if it is not one.
func parse(text string) (id uint64, due time.Time) {
	first, second, ok := strings.Cut(text, " ")
	id, err := strconv.ParseUint(first, 16, 64)
	nanos, err2 := strconv.ParseInt(second, 16, 64)
	if !ok || err != nil || err2 != nil {
		return 0, time.Time{}
	}
	return id, time.Unix(0, nanos)
}

// device is one session of one user, over as many connections as it takes, and what it has been given.
type device struct {
	name   string
	client *client.Client
	logs   []*heard

	mu sync.Mutex
	// signedIn says that a session lives, lostAt when the one before ended.
	signedIn bool
	lostAt   time.Time
	first    time.Time
	moves    moves
	tries    []string // since lostAt
}

// moves are the ends and beginnings of a device's sessions.
type moves struct {
	// hinted ends came with the word when to come back, cut ones without.
	hinted, cut []time.Time
	reasons     []string
	// again are the sign-ins after the first.
	again       []time.Time
	longestAway time.Duration
	// longestUntil is when that ended, longestWhy what the tries before came to.
	longestUntil time.Time
	longestWhy   string
}

// status notes how the connection is. The client calls it in order.
func (d *device) status(s client.Status) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	var hint *client.ComeBackError
	switch {
	case s.SignedIn && d.first.IsZero():
		d.first, d.signedIn = now, true
	case s.SignedIn:
		d.signedIn = true
		d.moves.again = append(d.moves.again, now)
		if away := now.Sub(d.lostAt); away > d.moves.longestAway {
			d.moves.longestAway, d.moves.longestUntil, d.moves.longestWhy = away, now, strings.Join(d.tries, "; ")
		}
	case !d.signedIn || errors.Is(s.Err, client.ErrClosed): // a try that came to nothing
		d.tries = append(d.tries, fmt.Sprintf("%s %v", clock(now), s.Err))
	case errors.As(s.Err, &hint):
		d.lost(now, s.Err)
		d.moves.hinted = append(d.moves.hinted, now)
	default:
		d.lost(now, s.Err)
		d.moves.cut = append(d.moves.cut, now)
		d.moves.reasons = append(d.moves.reasons, fmt.Sprint(s.Err))
	}
}

// lost notes the end of a session. mu is held.
func (d *device) lost(now time.Time, why error) {
	d.signedIn, d.lostAt, d.tries = false, now, []string{fmt.Sprintf("%s %v", clock(now), why)}
}

// heard is what a device was given of one log. Its handler is called by one goroutine at a time.
type heard struct {
	log string

	mu      sync.Mutex
	at      uint64
	events  []Entry
	resets  int
	longest time.Duration
	// longestOf is the post that took so long.
	longestOf uint64
	longestAt time.Time
}

// handle takes an update.
func (h *heard) handle(_ context.Context, u client.Update) error {
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at = u.Cursor.PTS
	if u.Reset != nil {
		h.resets++
		return nil
	}
	e := entry(u.Event)
	h.events = append(h.events, e)
	if _, due := parse(u.Event.GetMessage().GetText()); e.ID != 0 && now.Sub(due) > h.longest {
		h.longest, h.longestOf, h.longestAt = now.Sub(due), e.ID, now
	}
	return nil
}

// reached is how far the device has come.
func (h *heard) reached() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.at
}

// entry is an event in the audit's words.
func entry(e *chatv1.Event) Entry {
	id, _ := parse(e.GetMessage().GetText())
	return Entry{PTS: e.GetPts(), ID: id}
}
