package shard

import (
	"time"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// Charge counts one request of a user, on whatever session or over HTTP, and says no if it is one too many. Each shard counts for
// itself.
func (sh *Shard) Charge(user string) *chatv1.Error { return sh.charge(user, 1) }

func (sh *Shard) charge(user string, price int) *chatv1.Error {
	wait, ok := sh.users.Take(user, price, sh.cfg.Now())
	if ok {
		return nil
	}
	return tooMany(retryAfterMs(wait), "more than %v requests a second of one user; send fewer", sh.cfg.UserRequestsPerSecond)
}

// logsPrice is what a list of logs costs beside the request that it is in: each may have to be asked for.
func logsPrice(cursors []*chatv1.Cursor) int { return len(cursors) / 5 }

// chargeSignIn counts the logs of a sign-in as those of an attach. The sign-in itself is counted by the address.
func (sh *Shard) chargeSignIn(user string, req *chatv1.SignInRequest) *chatv1.Error {
	price := logsPrice(req.GetCursors())
	if price == 0 {
		return nil
	}
	return sh.charge(user, price)
}

func retryAfterMs(wait time.Duration) uint32 { return uint32(max(wait.Milliseconds(), 10)) }

// guest is a connection whose listener wants to know when it has signed in, or could not and is not to blame for it.
type guest = interface {
	SignedIn()
	Excuse()
}

// refuseSignIn ends a session that has not signed in. reason is why its token was refused.
func (s *session) refuseSignIn(flt *chatv1.Error, reason string) {
	s.sh.metrics.refused.WithLabelValues(codeName(flt.GetCode()), reason).Inc()
	switch flt.GetCode() {
	case chatv1.Error_CODE_UNAVAILABLE, chatv1.Error_CODE_INTERNAL, chatv1.Error_CODE_DRAINING:
		s.excuse()
	}
	refuse(s.conn, flt)
}

// excuse keeps a failure that is the server's own from being counted against the connection's address.
func (s *session) excuse() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.guest != nil {
		s.guest.Excuse()
	}
}

// admit counts a session among its user's, from its sign-in until depart.
func (s *session) admit() *chatv1.Error {
	sh := s.sh
	sh.sessionsMu.Lock()
	if sh.sessionsOf[s.user] >= sh.cfg.MaxUserSessions {
		sh.sessionsMu.Unlock()
		return tooMany(10*retryMs, "%d sessions of yours are on this shard, the most that may be; close one", sh.cfg.MaxUserSessions)
	}
	if _, here := sh.sessions[s]; here { // else it has ended meanwhile
		sh.sessionsOf[s.user]++
		s.admitted = true
	}
	sh.sessionsMu.Unlock()
	s.mu.Lock()
	g := s.guest
	s.guest = nil
	s.mu.Unlock()
	if g != nil {
		g.SignedIn()
	}
	return nil
}

// departLocked ends that. sessionsMu is held.
func (s *session) departLocked() {
	if !s.admitted {
		return
	}
	s.admitted = false
	if s.sh.sessionsOf[s.user]--; s.sh.sessionsOf[s.user] == 0 {
		delete(s.sh.sessionsOf, s.user)
	}
}
