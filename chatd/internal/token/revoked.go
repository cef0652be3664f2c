package token

import (
	"errors"
	"sync"
	"time"
)

// KeepRevoked is how long a revocation is kept: as long as there may be tokens that it voids.
const KeepRevoked = MaxLife + MaxLeeway

// ErrRevoked: the token was good, and was taken back.
var ErrRevoked = errors.New("the token was revoked")

// Revocation voids tokens: all those of a user that were made up to a time, all those of a session, or one.
type Revocation struct {
	User   string
	Before time.Time // of User's: made then or earlier, by the issuer's clock and to the second
	// Session voids the session's resume tokens, and ends it.
	Session string
	// Token is the name of one token, Identity.ID.
	Token string
	// Until is when no such token is good any more in any case.
	Until time.Time
}

// Validate says what is wrong with a revocation.
func (r Revocation) Validate() error {
	named := 0
	for _, name := range []string{r.User, r.Session, r.Token} {
		if name != "" {
			named++
		}
	}
	switch {
	case named != 1:
		return errors.New("want a user, a session or a token to revoke, and one of them")
	case r.User != "" && !ValidUser(r.User):
		return errors.New("no name of a user")
	case len(r.Session) > 128 || len(r.Token) > 64:
		return errors.New("no name of a session or a token: too long")
	}
	return nil
}

// Revoked is what was revoked, as far as this process has heard. It may be used by many goroutines at once.
type Revoked struct {
	mu     sync.RWMutex
	users  map[string]Revocation
	others map[string]time.Time // sessions and tokens, until when; no name of one is that of another
	heard  time.Time            // when the list was last known to be as the stores have it
	// began is when the list was made.
	began time.Time
}

// NewRevoked makes an empty list that has heard nothing yet.
func NewRevoked() *Revoked {
	return &Revoked{users: make(map[string]Revocation), others: make(map[string]time.Time), began: time.Now()}
}

const sessionKey, tokenKey = "session ", "token "

// Add puts a revocation on the list. Nothing that was revoked is taken back by it.
func (l *Revoked) Add(r Revocation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case r.User != "":
		if have, ok := l.users[r.User]; !ok || have.Before.Before(r.Before) {
			l.users[r.User] = r
		}
	case r.Session != "":
		l.others[sessionKey+r.Session] = r.Until
	case r.Token != "":
		l.others[tokenKey+r.Token] = r.Until
	}
}

// Heard says that the list is as the stores have it now, and from now on follows theirs.
func (l *Revoked) Heard() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard = time.Now()
}

// Complete reports whether Heard was called: before, nobody can say what was not revoked.
func (l *Revoked) Complete() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return !l.heard.IsZero()
}

// Check refuses a grant that was revoked; its error is an *Error.
func (l *Revoked) Check(g Grant) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if r, ok := l.users[g.User]; ok && !g.Issued.After(r.Before) {
		return refuse(ErrRevoked, "all tokens of the user that were made up to %s were; get a new one", r.Before.UTC().Format(time.RFC3339))
	}
	if _, ok := l.others[sessionKey+g.Session]; ok && g.Session != "" {
		return refuse(ErrRevoked, "the session's were; sign in with another token")
	}
	if _, ok := l.others[tokenKey+g.Token]; ok {
		return refuse(ErrRevoked, "get a new one")
	}
	return nil
}

// RevokesSession reports whether a session was revoked by its name.
func (l *Revoked) RevokesSession(session string) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	_, ok := l.others[sessionKey+session]
	return ok
}

// Forget drops what can be about no living token any more. A clock that is set forward has it drop nothing sooner: that clock may be set
// back, and then the tokens are good again.
func (l *Revoked) Forget(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if passed := l.began.Round(0).Add(now.Sub(l.began)); passed.Before(now.Round(0)) {
		now = passed
	}
	for user, r := range l.users {
		if r.Until.Before(now) {
			delete(l.users, user)
		}
	}
	for name, until := range l.others {
		if until.Before(now) {
			delete(l.others, name)
		}
	}
}

// HeardAt is when Heard was called last; zero if never.
func (l *Revoked) HeardAt() time.Time {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.heard
}

// Len is the number of revocations in force.
func (l *Revoked) Len() int {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return len(l.users) + len(l.others)
}
