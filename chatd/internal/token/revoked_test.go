package token_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	setclock "github.com/chatfleet/chatfleet/chatd/internal/clock"
	"github.com/chatfleet/chatfleet/chatd/internal/token"
)

func TestWhatARevocationVoids(t *testing.T) {
	of := func(change func(*token.Grant)) token.Grant {
		g := grant
		change(&g)
		return g
	}
	l := token.NewRevoked()
	until := now.Add(token.KeepRevoked)
	l.Add(token.Revocation{User: "alice", Before: now, Until: until})
	l.Add(token.Revocation{User: "alice", Before: now.Add(-time.Hour), Until: until}) // takes nothing back
	l.Add(token.Revocation{Session: "shard-0/x2", Until: until})
	l.Add(token.Revocation{Token: "t2", Until: until})
	for name, c := range map[string]struct {
		of   token.Grant
		void bool
	}{
		"made before":            {grant, true},
		"made in that second":    {of(func(g *token.Grant) { g.Issued = now }), true},
		"made after":             {of(func(g *token.Grant) { g.Issued = now.Add(time.Second) }), false},
		"another user's":         {of(func(g *token.Grant) { g.User = "bob" }), false},
		"of the session":         {of(func(g *token.Grant) { g.User, g.Session = "bob", "shard-0/x2" }), true},
		"the token":              {of(func(g *token.Grant) { g.User, g.Token = "bob", "t2" }), true},
		"a session like it":      {of(func(g *token.Grant) { g.User, g.Session = "bob", "t2" }), false},
		"a token over HTTP":      {token.Grant{User: "bob", Token: "t3", Issued: now}, false},
		"a revoked one, by HTTP": {token.Grant{User: "bob", Token: "t2", Issued: now}, true},
	} {
		err := l.Check(c.of)
		if (err != nil) != c.void || err != nil && !errors.Is(err, token.ErrRevoked) {
			t.Errorf("%s: %v, want void = %v", name, err, c.void)
		}
	}
	l.Forget(until)
	if l.Len() != 3 {
		t.Errorf("%d are left while there may be such tokens", l.Len())
	}
	l.Forget(until.Add(1))
	if l.Len() != 0 || l.Check(grant) != nil {
		t.Errorf("%d are left", l.Len())
	}
}

func TestRevocationsThatMakeNoSense(t *testing.T) {
	for name, r := range map[string]token.Revocation{
		"nothing":        {},
		"two things":     {User: "alice", Session: "s"},
		"no user":        {User: "a b"},
		"a long session": {Session: strings.Repeat("x", 129)},
		"a long token":   {Token: strings.Repeat("x", 65)},
	} {
		if r.Validate() == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if err := (token.Revocation{User: "alice"}).Validate(); err != nil {
		t.Error(err)
	}
}

// A clock that is set forward, and back later, has nothing forgotten meanwhile.
func TestNothingIsForgottenByAStepOfTheClock(t *testing.T) {
	wall := setclock.New()
	l := token.NewRevoked()
	l.Add(token.Revocation{Token: "t", Until: wall.Now().Add(30 * time.Minute).Round(0)})
	wall.Step(time.Hour)
	l.Forget(wall.Now())
	if l.Len() != 1 {
		t.Error("a revocation is forgotten before its time")
	}
}
