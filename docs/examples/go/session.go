package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/coder/websocket"
)

const (
	holdTime = 500 * time.Millisecond // section 7
	maxHeld  = 500
	patience = 10 * time.Second // for the handshake, for the sign-in, and for anything at all after a ping
)

// session is one connection. One goroutine reads its frames; all else is done by the one that runs serve.
type session struct {
	*client
	conn *websocket.Conn
	ref  uint32
	open map[uint32]func(*serverFrame) error // what to do with the answers

	held          map[uint64]event // events that came too early, by position
	asking, again bool             // a difference is under way; there is more to ask for
	misses        int              // differences in a row that brought nothing

	began        time.Time // when the sign-in was answered, and the server's clock then
	serverTimeMS int64

	pingEvery                  time.Duration
	silence, ping, wait, retry <-chan time.Time // nil while there is nothing to wait for
}

// session holds one until it ends; began is zero if the sign-in was not answered.
func (c *client) session(ctx context.Context, address string) (began time.Time, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	dialing, dialed := context.WithTimeout(ctx, patience)
	defer dialed()
	conn, response, err := websocket.Dial(dialing, address+"/v1/session", &websocket.DialOptions{Subprotocols: []string{"chatfleet.v1.json"}})
	if err != nil {
		return began, refusedHandshake(response, err)
	}
	defer func() { _ = conn.CloseNow() }() // it is of no use any more, whatever becomes of it
	conn.SetReadLimit(16 << 20)
	s := &session{client: c, conn: conn, open: make(map[uint32]func(*serverFrame) error), held: make(map[uint64]event)}
	err = s.serve(ctx)
	return s.began, err
}

// refusedHandshake is the error of a handshake, with what the server says about it (section 2).
func refusedHandshake(r *http.Response, err error) error {
	if r == nil || r.Body == nil {
		return err
	}
	defer r.Body.Close()
	refused := &serverError{Code: "CODE_INTERNAL", Message: err.Error()}
	if r.StatusCode == http.StatusSwitchingProtocols || json.NewDecoder(r.Body).Decode(refused) != nil {
		return err
	}
	if seconds, err := strconv.Atoi(r.Header.Get("Retry-After")); err == nil {
		refused.RetryAfterMS = uint32(seconds) * 1000
	}
	return refused
}

// serve does what frames, timers and lines ask for, until one of them ends the session.
func (s *session) serve(ctx context.Context) error {
	frames := make(chan *serverFrame)
	ended := make(chan error, 1)
	go func() { ended <- s.read(ctx, frames) }()
	s.silence = time.After(patience)
	if err := s.signIn(ctx); err != nil {
		return err
	}
	for {
		lines := s.lines
		if s.began.IsZero() || s.mine != nil {
			lines = nil // one post at a time
		}
		var err error
		select {
		case frame := <-frames:
			s.silence = nil
			err = s.take(ctx, frame)
		case line := <-lines:
			s.mine = &post{Log: s.cursor.Log, RandomID: randomID(), Message: message{Text: line}}
			err = s.post(ctx)
		case <-s.ping:
			s.ping = time.After(s.pingEvery)
			if s.silence == nil {
				s.silence = time.After(patience)
			}
			err = s.request(ctx, "ping", struct{}{}, func(*serverFrame) error { return nil })
		case <-s.wait:
			s.wait = nil
			if len(s.held) > 0 || s.again {
				err = s.ask(ctx)
			}
		case <-s.retry:
			s.retry = nil
			err = s.post(ctx)
		case <-s.silence:
			err = errors.New("the server says nothing")
		case err = <-ended:
		case <-ctx.Done():
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
	}
}

// read hands on the server's frames until the connection ends.
func (s *session) read(ctx context.Context, to chan<- *serverFrame) error {
	for {
		_, data, err := s.conn.Read(ctx)
		if err != nil {
			return err
		}
		frame := new(serverFrame)
		if err := json.Unmarshal(data, frame); err != nil {
			return fmt.Errorf("a frame that is not one: %w", err)
		}
		select {
		case to <- frame:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// request sends a frame; answered gets the answer to it, which may be an error.
func (s *session) request(ctx context.Context, method string, body any, answered func(*serverFrame) error) error {
	s.ref++
	s.open[s.ref] = answered
	data, err := json.Marshal(map[string]any{"ref": s.ref, method: body})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return s.conn.Write(ctx, websocket.MessageText, data)
}

// take takes a frame. A body that is not known here is ignored, as is an answer to nothing.
func (s *session) take(ctx context.Context, f *serverFrame) error {
	switch {
	case f.Ref != 0:
		answered := s.open[f.Ref]
		delete(s.open, f.Ref)
		if answered != nil {
			return answered(f)
		}
	case f.Event != nil:
		return s.event(ctx, *f.Event)
	case f.TooLong != nil && s.isNew(*f.TooLong):
		return s.ask(ctx)
	case f.ComeBack != nil: // its hint is dealt with like that of an error that passes
		return &serverError{Code: "COME_BACK", Message: f.ComeBack.Reason, RetryAfterMS: f.ComeBack.AfterMS}
	case f.Error != nil:
		return f.Error
	}
	return nil
}

// signIn is the first frame (section 5), with the one cursor there is.
func (s *session) signIn(ctx context.Context) error {
	return s.request(ctx, "signIn", signIn{Token: s.token, Device: "example-go", Client: "example-go/1", Cursors: []cursor{s.cursor}},
		func(f *serverFrame) error {
			if f.Error != nil {
				return f.Error
			}
			if f.SignedIn == nil || len(f.SignedIn.Logs) != 1 {
				return errors.New("the sign-in is answered by something else")
			}
			state := f.SignedIn.Logs[0]
			if state.Error != nil {
				return state.Error
			}
			s.began, s.serverTimeMS = time.Now(), f.SignedIn.ServerTimeMS
			s.pingEvery = time.Duration(f.SignedIn.Limits.PingWithinMS) * time.Millisecond / 2
			s.ping = time.After(s.pingEvery)
			if s.cursor.Epoch == 0 { // seen for the first time: it is read from its beginning
				s.cursor.Epoch = state.Epoch
			}
			if err := s.post(ctx); err != nil {
				return err
			}
			if state.Status != "STATUS_LIVE" || s.isNew(state.cursor) {
				return s.ask(ctx)
			}
			return nil
		})
}

func (s *session) isNew(at cursor) bool { return at.Epoch != s.cursor.Epoch || at.PTS > s.cursor.PTS }

// event is the client rule (section 7): apply, drop or hold.
func (s *session) event(ctx context.Context, e event) error {
	if e.Epoch != s.cursor.Epoch {
		return s.ask(ctx)
	}
	next := e.PTS == s.cursor.PTS+1
	if next || s.isNew(e.cursor) && len(s.held) < maxHeld {
		s.held[e.PTS] = e
	}
	for e, ok := s.held[s.cursor.PTS+1]; ok; e, ok = s.held[s.cursor.PTS+1] {
		delete(s.held, e.PTS)
		if err := s.handle(e); err != nil {
			return err
		}
		if err := s.keep(cursor{s.cursor.Log, s.cursor.Epoch, e.PTS}); err != nil {
			return err
		}
	}
	if len(s.held) > 0 && s.wait == nil && !s.asking {
		s.wait = time.After(holdTime)
	}
	return nil
}

// ask asks for the difference (section 8). One is under way at a time.
func (s *session) ask(ctx context.Context) error {
	if s.asking {
		s.again = true
		return nil
	}
	s.asking, s.again, s.wait = true, false, nil
	before := s.cursor
	return s.request(ctx, "difference", map[string]any{"cursor": s.cursor}, func(f *serverFrame) error {
		var hint time.Duration
		switch d := f.Difference; {
		case f.Error != nil && !f.Error.passes():
			return f.Error
		case f.Error != nil:
			hint, s.again = f.Error.hint(), true
		case d == nil:
			s.again = true
		case d.Kind == "KIND_TOO_LONG":
			if err := s.replace(d); err != nil {
				return err
			}
		default:
			for _, e := range d.Events {
				if err := s.event(ctx, e); err != nil {
					return err
				}
			}
			s.again = s.again || d.Kind != "KIND_EMPTY" && d.Kind != "KIND_FINAL"
		}
		s.asking = false
		return s.askOn(ctx, s.cursor != before, hint)
	})
}

// askOn goes on after an answer: at once if it brought something and there is more, with growing pauses if it did not.
func (s *session) askOn(ctx context.Context, progress bool, hint time.Duration) error {
	if progress {
		s.misses = 0
		if s.again {
			return s.ask(ctx)
		}
	}
	if s.again || len(s.held) > 0 {
		s.wait = time.After(max(hint, holdTime<<min(s.misses, 5)))
	}
	if !progress {
		s.misses++
	}
	return nil
}

// replace takes the answer that too much lies between: what is known of the log is replaced, unless it is newer already.
func (s *session) replace(d *difference) error {
	if !s.isNew(d.Cursor) {
		return nil
	}
	if _, err := fmt.Fprintf(s.out, "replaced %s\n", d.Info); err != nil {
		return fmt.Errorf("%w: %w", errHere, err)
	}
	for _, e := range d.Events {
		if err := s.handle(e); err != nil {
			return err
		}
	}
	s.again = s.again || len(s.held) > 0
	clear(s.held)
	return s.keep(cursor{s.cursor.Log, d.Cursor.Epoch, d.Cursor.PTS})
}

// post sends the message that has no answer yet, for the first time or again (section 10).
func (s *session) post(ctx context.Context) error {
	if s.mine == nil {
		return nil
	}
	err := s.request(ctx, "post", s.mine, func(f *serverFrame) error {
		if f.Error != nil && f.Error.passes() && (s.tries < 4 || f.Error.Code != "CODE_INTERNAL") {
			s.retry = time.After(max(f.Error.hint(), jitter(s.tries, 250*time.Millisecond)))
			s.tries++
			return nil
		}
		if f.Error != nil {
			log.Printf("not posted: %v", f.Error)
		}
		s.mine, s.tries = nil, 0
		return nil
	})
	if s.mine.FirstSentMS == 0 { // every further try says when the first one was, by the server's clock
		s.mine.FirstSentMS = s.serverTimeMS + time.Since(s.began).Milliseconds()
	}
	return err
}

// randomID is 64 random bits, not 0. math/rand/v2 is seeded from the system and good enough for an id; it is no secret.
func randomID() uint64 {
	return max(1, rand.Uint64())
}
