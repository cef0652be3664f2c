package shard

import (
	"context"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/token"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

const (
	// notHeardMs is what a device waits while this shard does not know yet what was revoked.
	notHeardMs = 500
	// revokeAgain is the pause before a token is revoked again that could not be.
	revokeAgain = time.Second
)

// Revoked implements bus.Revocations. It returns at once; sessions that may be no more are ended soon after.
func (sh *Shard) Revoked(all []token.Revocation) {
	for _, r := range all {
		sh.cfg.Revoked.Add(r)
	}
	if len(all) == 0 {
		return
	}
	select {
	case sh.revoking <- struct{}{}:
	default: // the round to come is for these, too
	}
}

// AllRevoked implements bus.Revocations.
func (sh *Shard) AllRevoked() { sh.cfg.Revoked.Heard() }

// knowsRevoked is nil if this shard can say what was revoked.
func (sh *Shard) knowsRevoked() *chatv1.Error {
	if sh.cfg.Revoked == nil || sh.cfg.Revoked.Complete() {
		return nil
	}
	flt := fault(chatv1.Error_CODE_UNAVAILABLE, "this shard does not know yet which tokens were revoked; try again, here or elsewhere")
	flt.RetryAfterMs = notHeardMs
	return flt
}

func (sh *Shard) checkRevoked(g token.Grant) error {
	if sh.cfg.Revoked == nil {
		return nil
	}
	return sh.cfg.Revoked.Check(g)
}

// endRevoked ends sessions that were revoked, all that have come together in one round over the sessions.
func (sh *Shard) endRevoked() {
	for {
		select {
		case <-sh.revoking:
		case <-sh.ctx.Done():
			return
		}
		for _, s := range sh.allSessions() {
			s.mu.Lock()
			g, over := s.grantLocked(), s.phase == ended
			s.mu.Unlock()
			if over || g.User == "" { // has not signed in, and checks for itself when it does
				continue
			}
			if err := sh.cfg.Revoked.Check(g); err != nil {
				s.revoked(g, err)
			}
		}
	}
}

func (sh *Shard) allSessions() []*session {
	sh.sessionsMu.Lock()
	defer sh.sessionsMu.Unlock()
	all := make([]*session, 0, len(sh.sessions))
	for s := range sh.sessions {
		all = append(all, s)
	}
	return all
}

// revoked ends a session. Of one that was revoked by its name nobody but this shard knows by which token it was signed in: so it is
// here that this token is revoked as well, else the device would be back at once.
func (s *session) revoked(g token.Grant, why error) {
	s.mu.Lock()
	known := s.void
	s.void = true
	s.mu.Unlock()
	if known {
		return
	}
	if s.sh.cfg.Revoke != nil && s.sh.cfg.Revoked.RevokesSession(g.Session) {
		s.sh.tasks.spawn(func() { s.sh.revokeToken(g) })
	}
	refuse(s.conn, tokenFault(why))
}

func (sh *Shard) revokeToken(g token.Grant) {
	r := token.Revocation{Token: g.Token, Until: g.Ends}
	sh.Revoked([]token.Revocation{r})
	for sh.ctx.Err() == nil && sh.cfg.Now().Before(g.Ends) {
		ctx, cancel := context.WithTimeout(sh.ctx, sh.cfg.RequestTimeout)
		err := sh.cfg.Revoke(ctx, r)
		cancel()
		if err == nil {
			return
		}
		sh.cfg.Logger.Warn("a token of a revoked session is not revoked everywhere yet; trying again", "session", g.Session, "err", err)
		select {
		case <-time.After(revokeAgain):
		case <-sh.ctx.Done():
		}
	}
}
