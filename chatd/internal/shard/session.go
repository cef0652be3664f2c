package shard

import (
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	"github.com/chatfleet/chatfleet/chatd/internal/rates"
	"github.com/chatfleet/chatfleet/chatd/internal/token"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// phase is how far a session has come.
type phase uint8

const (
	fresh phase = iota
	signingIn
	ready
	leaving // told to come back
	ended
)

// session is one connection: the engine's Handler of it.
type session struct {
	sh *Shard
	// conn is set once, by whoever knows it first. user, and the id of a session that is resumed, are set before the phase is ready.
	conn engine.Session
	id   string
	user string

	// admitted, under the shard's sessionsMu: counted among its user's.
	admitted bool

	// due is when the session's token is not good any more, since the shard began; place, if it is not 0, the one among those that end, from 1.
	// Both are under the shard's expiry.mu.
	place int32
	due   time.Duration

	// attaching is held by a request that attaches logs: one at a time.
	attaching sync.Mutex

	mu       sync.Mutex
	phase    phase
	void     bool // the grant was revoked
	granted  bool // there is one
	inFlight int32
	bucket   rates.Bucket // of requests
	grant    grant
	feeds    feedList
	// guest is the connection, until it has been told of the sign-in; nil if it does not want to be.
	guest guest
	rare  *rare // nil of nearly all
}

// rare is what only few sessions have at a time.
type rare struct {
	// away are the logs that it was sent away from and has not heard why.
	away map[string]struct{}
	// posts that wait for the one before them, by log: so they keep their order. A log is in it while one is under way.
	posts map[string][]func()
	// typed is when the session last said that it types, by log, while that matters.
	typed map[string]time.Time
	// idle, if not nil, is closed when no request is in flight any more.
	idle chan struct{}
}

// moreLocked is what is rare, made if there is none.
func (s *session) moreLocked() *rare {
	if s.rare == nil {
		s.rare = new(rare)
	}
	return s.rare
}

// lessLocked drops it once there is nothing in it.
func (s *session) lessLocked() {
	if r := s.rare; r != nil && len(r.away) == 0 && len(r.posts) == 0 && len(r.typed) == 0 && r.idle == nil {
		s.rare = nil
	}
}

// grant is what a session may, and until when: a token.Grant without what the session has itself.
type grant struct {
	device, token string
	issued, ends  int64 // Unix nanoseconds; 0 where nothing is said
}

func (s *session) setGrantLocked(g token.Grant) {
	s.grant, s.granted = grant{g.Device, g.Token, unixNano(g.Issued), unixNano(g.Ends)}, true
}

// grantLocked is the whole of it; the zero Grant, if the session has not signed in.
func (s *session) grantLocked() token.Grant {
	g := &s.grant
	if !s.granted {
		return token.Grant{}
	}
	return token.Grant{User: s.user, Device: g.device, Session: s.id, Token: g.token, Issued: fromUnixNano(g.issued), Ends: fromUnixNano(g.ends)}
}

func unixNano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func fromUnixNano(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns)
}

var _ engine.Handler = (*session)(nil)

func newSession(sh *Shard) *session {
	return &session{sh: sh, id: sh.cfg.Name + "/" + strconv.FormatUint(rand.Uint64(), 36)}
}

func (s *session) setConn(conn engine.Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn == nil {
		s.conn = conn
	}
}

// Message implements engine.Handler.
func (s *session) Message(conn engine.Session, payload []byte) {
	var frame chatv1.ClientFrame
	if err := conn.Encoding().Unmarshal(payload, &frame); err != nil {
		refuse(conn, fault(chatv1.Error_CODE_INVALID, "the message is no ClientFrame in %v: %v", conn.Encoding(), err))
		return
	}
	if frame.GetRef() == 0 {
		refuse(conn, faultIn("ref", chatv1.Error_CODE_INVALID, "ref must be above 0, so that the answer can name it"))
		return
	}
	s.setConn(conn)
	s.mu.Lock()
	at := s.phase
	if at == fresh && frame.GetSignIn() != nil {
		s.phase = signingIn
		s.beginLocked()
	}
	s.mu.Unlock()
	switch {
	case at == fresh && frame.GetSignIn() != nil:
		s.sh.metrics.requests.WithLabelValues("sign_in").Inc()
		s.run(func() { s.signIn(frame.GetRef(), frame.GetSignIn()) })
	case at == fresh:
		refuse(conn, fault(chatv1.Error_CODE_UNSUPPORTED, "the first message of a session must be sign_in"))
	case at == signingIn:
		s.answerFault(frame.GetRef(), fault(chatv1.Error_CODE_UNSUPPORTED, "wait for the answer to sign_in"))
	case at == leaving:
		s.answerFault(frame.GetRef(), draining())
	case at == ready:
		s.request(&frame)
	}
}

// Closed implements engine.Handler.
func (s *session) Closed(conn engine.Session, cause error) {
	s.mu.Lock()
	s.phase = ended
	feeds := s.feeds
	s.feeds = nil
	if s.rare != nil {
		s.rare.away = nil
	}
	s.mu.Unlock()
	s.sh.endsNoMore(s)
	for _, number := range feeds {
		f := s.sh.table.at(number)
		f.fanout.Detach(conn)
		f.detached(s)
		s.sh.release(f)
	}
	s.sh.sessionsMu.Lock()
	delete(s.sh.sessions, s)
	s.departLocked()
	s.sh.sessionsMu.Unlock()
	s.sh.metrics.ends.WithLabelValues(causeName(cause)).Inc()
}

// refuse ends a session with an error.
func refuse(conn engine.Session, flt *chatv1.Error) {
	conn.Close(&chatv1.ServerFrame{Body: &chatv1.ServerFrame_Error{Error: flt}}, engine.CloseFor(flt.GetCode()), codeName(flt.GetCode()))
}

// causeName is why a session has ended, as a label.
func causeName(cause error) string {
	var violation *engine.ViolationError
	switch {
	case errors.Is(cause, engine.ErrPeerClosed):
		return "client"
	case errors.Is(cause, engine.ErrClosed):
		return "server"
	case errors.Is(cause, engine.ErrSilent), errors.Is(cause, engine.ErrNoFirstMessage):
		return "silent"
	case errors.Is(cause, engine.ErrStuck):
		return "stuck"
	case errors.As(cause, &violation):
		return "violation"
	}
	return "lost"
}

func (s *session) answer(ref uint32, f *chatv1.ServerFrame) {
	f.Ref = ref
	s.conn.Send(f)
}

func (s *session) answerFault(ref uint32, flt *chatv1.Error) {
	s.answer(ref, &chatv1.ServerFrame{Body: &chatv1.ServerFrame_Error{Error: flt}})
}

// begin takes a place among the requests in flight; false if there is none.
func (s *session) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if int(s.inFlight) >= s.sh.cfg.MaxInFlight {
		return false
	}
	s.beginLocked()
	return true
}

func (s *session) beginLocked() { s.inFlight++ }

func (s *session) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight--
	if s.inFlight == 0 && s.rare != nil && s.rare.idle != nil {
		close(s.rare.idle)
		s.rare.idle = nil
	}
}

// run does a request that has begun, off the reading goroutine.
func (s *session) run(f func()) {
	if !s.sh.tasks.spawn(func() {
		defer s.finish()
		f()
	}) {
		s.finish()
	}
}

// runInOrder does posts to one log one after the other.
func (s *session) runInOrder(log string, f func()) {
	s.mu.Lock()
	r := s.moreLocked()
	queue, underWay := r.posts[log]
	if underWay {
		r.posts[log] = append(queue, f)
		s.mu.Unlock()
		return
	}
	if r.posts == nil {
		r.posts = make(map[string][]func())
	}
	r.posts[log] = nil
	s.mu.Unlock()
	s.run(func() { s.runQueue(log, f) })
}

// runQueue does f and what has been queued after it. Each of those has begun, too, and is finished here; f is by run.
func (s *session) runQueue(log string, f func()) {
	for first := true; ; first = false {
		f()
		if !first {
			s.finish()
		}
		s.mu.Lock()
		posts := s.rare.posts // there is one while a post is under way
		queue := posts[log]
		if len(queue) == 0 {
			delete(posts, log)
			s.lessLocked()
			s.mu.Unlock()
			return
		}
		f, posts[log] = queue[0], queue[1:]
		s.mu.Unlock()
	}
}

// note puts a feed on the session's list; false if it is on it already. Who is over has none.
func (s *session) note(f *feed) (noted, over bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == ended {
		return false, true
	}
	return s.feeds.put(&s.sh.table, f), false
}

// forget takes a feed off the session's list; false if it is not on it.
func (s *session) forget(f *feed) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.feeds.drop(&s.sh.table, f)
}
