package shard

import (
	"context"
	"errors"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/token"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// keysAwayMs is what a device waits whose token cannot be checked at the moment.
const keysAwayMs = 5000

// tokenFault is what a client is told whose token was refused.
func tokenFault(err error) *chatv1.Error {
	switch {
	case errors.Is(err, token.ErrExpired):
		return fault(chatv1.Error_CODE_TOKEN_EXPIRED, "%v", err)
	case errors.Is(err, token.ErrKeysAway):
		flt := fault(chatv1.Error_CODE_UNAVAILABLE, "%v", err)
		flt.RetryAfterMs = keysAwayMs
		return flt
	}
	return fault(chatv1.Error_CODE_UNAUTHENTICATED, "%v", err)
}

// Authenticate says which user a token belongs to, for requests without a session.
func (sh *Shard) Authenticate(raw string) (user string, flt *chatv1.Error) {
	if flt := sh.knowsRevoked(); flt != nil {
		return "", flt
	}
	who, err := sh.shown.Verify(sh.ctx, raw)
	if err == nil {
		err = sh.checkRevoked(grantOf(who, "", ""))
	}
	if err != nil {
		return "", tokenFault(err)
	}
	return who.User, nil
}

// authenticate says what a sign-in may, by its resume token if that is good, else by its token; or why not, for the client and for metrics.
func (s *session) authenticate(req *chatv1.SignInRequest) (g token.Grant, flt *chatv1.Error, reason string) {
	if flt := s.sh.knowsRevoked(); flt != nil {
		return token.Grant{}, flt, notOfToken
	}
	if raw := req.GetResumeToken(); raw != "" {
		g, err := s.resume(raw, req.GetDevice())
		if err == nil {
			return g, nil, ""
		}
		if req.GetToken() == "" {
			flt := tokenFault(err)
			flt.Field = "sign_in.resume_token"
			return token.Grant{}, flt, token.ReasonOf(err)
		}
	}
	who, err := s.sh.tokens.Verify(s.sh.ctx, req.GetToken())
	g = grantOf(who, req.GetDevice(), s.id)
	if err == nil {
		err = s.sh.checkRevoked(g)
	}
	if err != nil {
		return token.Grant{}, tokenFault(err), token.ReasonOf(err)
	}
	return g, nil, ""
}

var errNoResume = errors.New("this server takes no resume tokens; sign in with a token")

func (s *session) resume(raw, device string) (token.Grant, error) {
	if s.sh.cfg.Resume == nil {
		return token.Grant{}, errNoResume
	}
	g, err := s.sh.cfg.Resume.Check(raw, device)
	if err == nil {
		err = s.sh.checkRevoked(g)
	}
	return g, err
}

func grantOf(who token.Identity, device, session string) token.Grant {
	return token.Grant{User: who.User, Device: device, Session: session, Token: who.ID, Issued: who.Issued, Ends: who.End()}
}

// hold makes a grant the session's own, and has the session end with it. What was revoked since it was checked ends it at once: from here
// on endRevoked finds it.
func (s *session) hold(g token.Grant) {
	s.mu.Lock()
	over := s.phase == ended
	if !over {
		s.setGrantLocked(g)
		s.sh.endsIn(s, g.Ends.Sub(s.sh.cfg.Now()))
	}
	s.mu.Unlock()
	if err := s.sh.checkRevoked(g); err != nil && !over {
		s.revoked(g, err)
	}
}

// expire ends a session whose token is not good any more.
func (s *session) expire() {
	s.mu.Lock()
	ends, over := s.grantLocked().Ends, s.phase == ended
	s.mu.Unlock()
	if over || s.sh.isToEnd(s) { // renewed just now
		return
	}
	refuse(s.conn, fault(chatv1.Error_CODE_TOKEN_EXPIRED, "the session's token was good until %s; sign in with a new one, and renew the session before its end the next time",
		ends.UTC().Format(time.RFC3339)))
}

// resumption is the resume token of a session as it is now; nil if there are none.
func (s *session) resumption() *chatv1.ResumeToken {
	if s.sh.cfg.Resume == nil {
		return nil
	}
	s.mu.Lock()
	g := s.grantLocked()
	s.mu.Unlock()
	raw, expires, err := s.sh.cfg.Resume.Issue(g)
	if err != nil {
		s.sh.cfg.Logger.Error("no resume token", "session", s.id, "err", err)
		return nil
	}
	return &chatv1.ResumeToken{Token: raw, ExpiresMs: expires.UnixMilli()}
}

func (s *session) endsMs() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.grantLocked().Ends.UnixMilli()
}

// renew gives a session a new resume token, and a new end if it comes with a new token.
func (s *session) renew(ctx context.Context, ref uint32, req *chatv1.RenewRequest) {
	if raw := req.GetToken(); raw != "" {
		who, err := s.sh.tokens.Verify(ctx, raw)
		if err == nil {
			err = s.sh.checkRevoked(grantOf(who, "", s.id))
		}
		if err != nil {
			flt := tokenFault(err)
			flt.Field = "renew.token"
			s.answerFault(ref, flt)
			return
		}
		if who.User != s.user {
			s.answerFault(ref, faultIn("renew.token", chatv1.Error_CODE_DENIED, "the token is another user's; another user needs another session"))
			return
		}
		s.mu.Lock()
		device := s.grant.device
		s.mu.Unlock()
		s.hold(grantOf(who, device, s.id))
	}
	s.answer(ref, &chatv1.ServerFrame{Body: &chatv1.ServerFrame_Renewed{Renewed: &chatv1.RenewResponse{ExpiresMs: s.endsMs(), Resume: s.resumption()}}})
}
