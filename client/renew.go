package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// renewAgain is the least pause before a token is asked for again that could not be had, or was the old one.
const renewAgain = time.Second

var errSameToken = errors.New("the token source returned the token that the session has already")

// keepToken gives the session a new token before the old one's end, so that it goes on as it is: no new connection, and no log is
// attached anew. token is the one that it was signed in with; the newest stands in it when keepToken returns, which is when the session
// has ended, or nothing more can be done.
func (s *session) keepToken(ctx context.Context, token *string) {
	select {
	case <-s.signedIn:
	case <-ctx.Done():
		return
	}
	s.client.mu.Lock()
	ends := s.endsIn(s.hello.GetExpiresMs())
	s.client.mu.Unlock()
	// Somewhere in the third quarter of what is left, so that the devices of one wave of sign-ins do not come in another.
	pause := ends/2 + rand.N(max(ends/4, 1))
	for ends > 0 {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		began := time.Now()
		longer, err := s.renew(ctx, token)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			ends = longer
			pause = ends/2 + rand.N(max(ends/4, 1))
			continue
		case hasCode(err, chatv1.Error_CODE_UNSUPPORTED):
			return
		}
		s.client.opt.Logger.Warn("the session was not renewed", "err", err, "ends_in", ends)
		ends -= pause + time.Since(began)
		pause = max(ends/4, renewAgain, retryAfter(err))
	}
}

// endsIn is how long it is until a moment of the server's clock; 0 if there is none. mu is held.
func (s *session) endsIn(ms int64) time.Duration {
	if ms == 0 {
		return 0
	}
	return max(time.Duration(ms-s.client.serverNow())*time.Millisecond, 0)
}

// renew shows the server a new token, and says how long the session is good for with it.
func (s *session) renew(ctx context.Context, token *string) (time.Duration, error) {
	fresh, err := s.freshToken(ctx)
	if err != nil {
		return 0, fmt.Errorf("chatfleet: no token: %w", err)
	}
	if fresh == *token {
		return 0, errSameToken
	}
	type outcome struct {
		longer time.Duration
		err    error
	}
	answered := make(chan outcome, 1)
	c := s.client
	c.mu.Lock()
	s.send(&chatv1.ClientFrame{Body: &chatv1.ClientFrame_Renew{Renew: &chatv1.RenewRequest{Token: fresh}}}, func(frame *chatv1.ServerFrame, err error) {
		r := frame.GetRenewed()
		if err == nil && r.GetResume() != nil {
			c.keepResume(r.GetResume())
		}
		answered <- outcome{s.endsIn(r.GetExpiresMs()), err}
	})
	c.mu.Unlock()
	select {
	case got := <-answered: // also when the session is lost
		if got.err == nil {
			*token = fresh
		}
		return got.longer, got.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (s *session) freshToken(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.client.opt.ConnectTimeout)
	defer cancel()
	return s.client.opt.Token(ctx)
}
