package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/coder/websocket"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

const (
	// maxAsks is how many differences a session asks for at once: after a reconnect all logs may want one.
	maxAsks = 8
	// maxCursors is how many cursors one frame carries, so that it keeps below any server's max_frame_bytes.
	maxCursors = 200
	// closeTimeout is how long a farewell may take.
	closeTimeout = time.Second
)

// errSessionLost is what unanswered requests get when their session ends.
var errSessionLost = errors.New("chatfleet: the connection was lost")

// answer takes the frame that answers a request, or the error in its place. It is called once, under Client.mu.
type answer func(*chatv1.ServerFrame, error)

// session is one connection. It owns the goroutines that read, write and keep time. Client.mu guards its fields from
// lastRef on.
type session struct {
	client *Client
	conn   *websocket.Conn
	codec  codec
	// onSignIn is called once, without Client.mu.
	onSignIn func(*chatv1.SignInResponse)

	// wake tells the writer that out has frames, retime the timekeeper that client.due has changed.
	wake, retime chan struct{}
	// signedIn is closed when the server has accepted the device, ended when the session is over.
	signedIn, ended chan struct{}

	lastRef uint32
	pending map[uint32]answer
	out     []*chatv1.ClientFrame
	// hello is the answer to the sign-in, which limits are part of.
	hello *chatv1.SignInResponse
	// claimed are the logs whose cursors went with the sign-in, in its order.
	claimed []*Log
	heard   time.Time
	// asks are the logs that wait for their turn to ask for a difference; asking is how many do ask.
	asks   []*Log
	asking int
	// err is why the session has ended.
	err error
}

func newSession(c *Client, conn *websocket.Conn, onSignIn func(*chatv1.SignInResponse)) *session {
	return &session{
		client:   c,
		conn:     conn,
		codec:    c.codec,
		onSignIn: onSignIn,
		wake:     make(chan struct{}, 1),
		retime:   make(chan struct{}, 1),
		signedIn: make(chan struct{}),
		ended:    make(chan struct{}),
		pending:  make(map[uint32]answer),
		heard:    time.Now(),
	}
}

// serve runs the session to its end and says why it ended. token is what it signs in with, and then its newest one.
func (s *session) serve(ctx context.Context, token *string) error {
	defer func() { _ = s.conn.CloseNow() }()
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var work sync.WaitGroup
	work.Go(func() { s.end(s.read(inner)) })
	work.Go(func() { s.end(s.write(inner)) })
	work.Go(func() { s.end(s.keepTime(inner)) })
	work.Go(func() { s.keepToken(inner, token) })
	select {
	case <-ctx.Done():
		s.end(ErrClosed)
	case <-s.ended:
	}
	s.farewell()
	cancel()
	work.Wait()
	return s.err
}

// farewell closes the WebSocket in form where the server is likely to be there, else at once.
func (s *session) farewell() {
	var protocol *ComeBackError
	if errors.Is(s.err, ErrClosed) || errors.As(s.err, &protocol) {
		defer time.AfterFunc(closeTimeout, func() { _ = s.conn.CloseNow() }).Stop()
		_ = s.conn.Close(websocket.StatusNormalClosure, "")
	}
}

// end ends the session for a reason; the first one counts.
func (s *session) end(err error) {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	s.endLocked(err)
}

func (s *session) endLocked(err error) {
	if s.err != nil {
		return
	}
	s.err = err
	close(s.ended)
	s.client.sessionEnded(s)
	for ref, answer := range s.pending {
		delete(s.pending, ref)
		answer(nil, errSessionLost)
	}
}

// send queues a request. Its answer, or the error that there will be none, goes to answer, which may be nil for requests that
// have none. mu is held.
//
// The queue needs no bound of its own: whatever is in it was put there by a log (one frame each), by time passing, or by a
// caller who waits for the answer.
func (s *session) send(frame *chatv1.ClientFrame, answer answer) (ref uint32) {
	if s.err != nil {
		if answer != nil {
			answer(nil, errSessionLost)
		}
		return 0
	}
	s.lastRef++
	if s.lastRef == 0 {
		s.lastRef = 1
	}
	frame.Ref = s.lastRef
	if answer != nil {
		s.pending[frame.Ref] = answer
	}
	s.out = append(s.out, frame)
	signal(s.wake)
	return frame.Ref
}

func (s *session) write(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.wake:
		}
		s.client.mu.Lock()
		out := s.out
		s.out = nil
		s.client.mu.Unlock()
		for _, frame := range out {
			if err := s.writeFrame(ctx, frame); err != nil {
				return err
			}
		}
	}
}

func (s *session) writeFrame(ctx context.Context, frame *chatv1.ClientFrame) error {
	data, err := s.codec.marshal(frame)
	if err != nil {
		// A string that is not UTF-8 is the caller's mistake, not the session's.
		s.fail(frame.Ref, &Error{Code: chatv1.Error_CODE_INVALID, Message: "the request cannot be encoded: " + err.Error()})
		return nil
	}
	s.client.mu.Lock()
	limit := s.hello.GetLimits().GetMaxFrameBytes()
	s.client.mu.Unlock()
	if limit > 0 && len(data) > int(limit) {
		// The server would close the session, and the request, repeated, the next one too.
		s.fail(frame.Ref, &Error{Code: chatv1.Error_CODE_TOO_LARGE,
			Message: fmt.Sprintf("the request has %d bytes, the server takes %d", len(data), limit)})
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.client.opt.PingTimeout)
	defer cancel()
	if err := s.conn.Write(ctx, s.codec.kind, data); err != nil {
		return fmt.Errorf("chatfleet: write: %w", err)
	}
	return nil
}

// fail answers a request that the server will not answer.
func (s *session) fail(ref uint32, err error) {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	if answer, ok := s.pending[ref]; ok {
		delete(s.pending, ref)
		answer(nil, err)
	}
}

func (s *session) read(ctx context.Context) error {
	for {
		kind, data, err := s.conn.Read(ctx)
		if err != nil {
			return readError(err)
		}
		frame, err := s.codec.decode(kind, data)
		if err != nil {
			return fmt.Errorf("chatfleet: %w", err)
		}
		s.client.mu.Lock()
		s.receive(frame)
		s.client.mu.Unlock()
	}
}

// readError makes an Error of a close code that stands for one.
func readError(err error) error {
	var closed websocket.CloseError
	if errors.As(err, &closed) {
		if e := errorCode(int(closed.Code)); e != nil {
			return e
		}
	}
	return fmt.Errorf("chatfleet: the connection was lost: %w", err)
}

// receive acts on a frame. What it does not know is of a newer server, and ignored. mu is held.
func (s *session) receive(frame *chatv1.ServerFrame) {
	if s.err != nil {
		return
	}
	s.heard = time.Now()
	if frame.Ref != 0 {
		if answer, ok := s.pending[frame.Ref]; ok {
			delete(s.pending, frame.Ref)
			if e := frame.GetError(); e != nil {
				answer(nil, newError(e))
			} else {
				answer(frame, nil)
			}
		}
		return
	}
	switch body := frame.Body.(type) {
	case *chatv1.ServerFrame_Event:
		s.client.pushed(s, body.Event)
	case *chatv1.ServerFrame_TooLong:
		s.client.pushedTooLong(s, body.TooLong)
	case *chatv1.ServerFrame_Typing:
		if told := s.client.opt.OnTyping; told != nil {
			told(body.Typing)
		}
	case *chatv1.ServerFrame_ComeBack:
		after := time.Duration(body.ComeBack.GetAfterMs()) * time.Millisecond
		s.endLocked(&ComeBackError{after, body.ComeBack.GetReason()})
	case *chatv1.ServerFrame_Error:
		s.endLocked(newError(body.Error))
	}
}

// keepTime bounds the sign-in, then pings, acknowledges and lets logs act when they are due.
func (s *session) keepTime(ctx context.Context) error {
	signIn := time.NewTimer(s.client.opt.ConnectTimeout)
	defer signIn.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-signIn.C:
		return errors.New("chatfleet: no answer to the sign-in")
	case <-s.signedIn:
	}
	s.onSignIn(s.hello)
	ping := time.NewTicker(s.pingEvery())
	defer ping.Stop()
	dead := time.NewTimer(time.Hour)
	dead.Stop()
	defer dead.Stop()
	var ack <-chan time.Time
	if every := s.client.opt.AckEvery; every > 0 {
		t := time.NewTicker(every)
		defer t.Stop()
		ack = t.C
	}
	tick := time.NewTimer(0)
	defer tick.Stop()
	var pinged time.Time // the oldest ping that may still prove the server dead
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ping.C:
			s.ping()
			s.renewResume()
			if pinged.IsZero() {
				pinged = time.Now()
				dead.Reset(s.client.opt.PingTimeout)
			}
		case <-dead.C:
			if s.silentSince(pinged) {
				return fmt.Errorf("chatfleet: the server has said nothing for %v after a ping", s.client.opt.PingTimeout)
			}
			pinged = time.Time{}
		case <-ack:
			s.ack()
		case <-s.retime:
			tick.Reset(s.client.tick())
		case <-tick.C:
			tick.Reset(s.client.tick())
		}
	}
}

// pingEvery is twice as often as the server wants, so that one late ping costs nothing.
func (s *session) pingEvery() time.Duration {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	every := s.client.opt.PingEvery
	if within := time.Duration(s.hello.GetLimits().GetPingWithinMs()) * time.Millisecond; within > 0 {
		every = min(every, within/2)
	}
	return max(every, time.Millisecond)
}

func (s *session) ping() {
	c := s.client
	c.mu.Lock()
	defer c.mu.Unlock()
	s.send(&chatv1.ClientFrame{Body: &chatv1.ClientFrame_Ping{Ping: &chatv1.PingRequest{}}}, func(frame *chatv1.ServerFrame, err error) {
		c.heardClock(frame.GetPong().GetServerTimeMs())
	})
}

func (s *session) silentSince(t time.Time) bool {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	return s.heard.Before(t)
}

// ack tells the server how far the device has come since the last time.
func (s *session) ack() {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	var cursors []*chatv1.Cursor
	for _, l := range s.client.logs {
		if l.on == s && l.handled != l.acked && l.handled.Epoch != 0 {
			l.acked = l.handled
			cursors = append(cursors, l.wireCursor(l.handled.Epoch, l.handled.PTS))
		}
	}
	for _, some := range batches(cursors) {
		s.send(&chatv1.ClientFrame{Body: &chatv1.ClientFrame_Ack{Ack: &chatv1.AckRequest{Cursors: some}}}, nil)
	}
}

// ask queues a log's question for the difference. mu is held.
func (s *session) ask(l *Log) {
	s.asks = append(s.asks, l)
	s.askNext()
}

// askNext sends as many questions as may be under way. mu is held.
func (s *session) askNext() {
	for s.asking < maxAsks && len(s.asks) > 0 {
		l := s.asks[0]
		s.asks = s.asks[1:]
		if l.on != s || l.question == nil {
			continue // detached meanwhile
		}
		q := &chatv1.DifferenceRequest{Cursor: l.wireCursor(l.question.Cursor.Epoch, l.question.Cursor.PTS), Limit: uint32(l.question.Limit)}
		l.question = nil
		s.asking++
		s.send(&chatv1.ClientFrame{Body: &chatv1.ClientFrame_Difference{Difference: q}}, func(frame *chatv1.ServerFrame, err error) {
			s.asking--
			if l.on == s {
				l.differenceAnswered(frame.GetDifference(), err)
			}
			s.askNext()
		})
	}
}

// batches cuts a list into pieces that one frame can carry.
func batches[T any](all []T) [][]T {
	var out [][]T
	for len(all) > maxCursors {
		out = append(out, all[:maxCursors])
		all = all[maxCursors:]
	}
	if len(all) > 0 {
		out = append(out, all)
	}
	return out
}
