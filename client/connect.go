package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/coder/websocket"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// steadyAfter is how long a session must have lasted for the ones that failed before it to be forgotten. A fleet that accepts
// and drops its clients at once must not be connected to in a loop.
const steadyAfter = 10 * time.Second

// errOtherUser stops a device from going on with the cursors of somebody else.
var errOtherUser = errors.New("chatfleet: the token is of another user than the one before; a Client is for one user")

// mostSentOn is how often in a row a shard that is leaving may send a client on to others without its pauses getting longer: where half of the
// shards leave, one in a thousand meets ten of them. After that, it may be that all are leaving.
const mostSentOn = 10

// stayConnected holds one session after the other until Close. It begins at a random endpoint and goes on to the next each
// time, so that the clients of a lost shard spread over the others.
func (c *Client) stayConnected() {
	var token string
	failures, sentOn := 0, 0
	for i := rand.N(len(c.opt.Endpoints)); ; i++ {
		endpoint := c.opt.Endpoints[i%len(c.opt.Endpoints)]
		fresh := token == ""
		lasted, err := c.oneSession(endpoint, &token)
		if c.ctx.Err() != nil {
			return
		}
		if hasCode(err, chatv1.Error_CODE_UNAUTHENTICATED, chatv1.Error_CODE_TOKEN_EXPIRED) {
			token = ""
			c.mu.Lock()
			c.resume = resumption{}
			c.mu.Unlock()
		}
		if lasted >= steadyAfter {
			failures, sentOn = 0, 0
		}
		pause := c.opt.Backoff.fullJitter(failures / len(c.opt.Endpoints))
		if hasCode(err, chatv1.Error_CODE_DRAINING) && sentOn < mostSentOn {
			sentOn++ // others take sessions, and it says how soon
		} else {
			failures++
		}
		hint := retryAfter(err)
		var leaving *ComeBackError
		if errors.As(err, &leaving) {
			hint = leaving.After
		}
		pause = atLeast(pause, hint)
		c.noSession(err, lasted == 0 && refuses(err, fresh))
		c.opt.Logger.Info("no session", "endpoint", endpoint, "err", err, "again_in", pause)
		c.status(Status{Endpoint: endpoint, Err: err, RetryIn: pause})
		if c.sleep(c.ctx, pause, nil) != nil {
			return
		}
	}
}

// refuses says whether a sign-in failed for something that the same program would run into again.
func refuses(err error, freshToken bool) bool {
	if errors.Is(err, errOtherUser) || hasCode(err, chatv1.Error_CODE_INVALID, chatv1.Error_CODE_DENIED, chatv1.Error_CODE_UNSUPPORTED) {
		return true
	}
	return freshToken && hasCode(err, chatv1.Error_CODE_UNAUTHENTICATED, chatv1.Error_CODE_TOKEN_EXPIRED)
}

// oneSession connects, signs in and serves the session. It says how long the session lasted, from the sign-in on, and why it
// ended.
func (c *Client) oneSession(endpoint string, token *string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(c.ctx, c.opt.ConnectTimeout)
	defer cancel()
	if *token == "" {
		t, err := c.opt.Token(ctx)
		if err != nil {
			return 0, fmt.Errorf("chatfleet: no token: %w", err)
		}
		*token = t
	}
	//nolint:bodyclose // of a refusal the body is a buffer, of a session it is the connection
	conn, response, err := websocket.Dial(ctx, endpoint, &websocket.DialOptions{
		HTTPClient:   c.opt.HTTPClient,
		Subprotocols: []string{c.codec.subprotocol},
	})
	if err != nil {
		return 0, handshakeError(response, err)
	}
	if conn.Subprotocol() != c.codec.subprotocol {
		_ = conn.CloseNow() // it is of no use, whatever becomes of it
		return 0, fmt.Errorf("chatfleet: %s does not speak %s", endpoint, c.codec.subprotocol)
	}
	conn.SetReadLimit(c.opt.MaxFrameBytes)
	var began time.Time
	s := newSession(c, conn, func(r *chatv1.SignInResponse) {
		began = time.Now()
		c.status(Status{SignedIn: true, Endpoint: endpoint, Session: r.GetSession(), User: r.GetUser(), Region: r.GetRegion()})
	})
	c.mu.Lock()
	s.signIn(*token)
	c.mu.Unlock()
	err = s.serve(c.ctx, token)
	if began.IsZero() {
		if s.blame(err) {
			// Not wrapped: it says nothing against the device.
			err = errors.New("chatfleet: signing in again, without a log that was refused: " + err.Error())
		}
		return 0, err
	}
	return max(time.Since(began), 1), err
}

// handshakeError makes an Error of a refused handshake whose answer says why.
func handshakeError(r *http.Response, err error) error {
	if r == nil || r.StatusCode == http.StatusSwitchingProtocols {
		return fmt.Errorf("chatfleet: connect: %w", err)
	}
	var body struct {
		Code, Message string
		RetryAfterMs  uint32
	}
	if json.NewDecoder(r.Body).Decode(&body) != nil { // something in between has answered, in HTML
		body.Message = "connect: " + err.Error()
	}
	e := &Error{Code: Code(chatv1.Error_Code_value[body.Code]), Message: body.Message}
	if seconds, err := strconv.Atoi(r.Header.Get("Retry-After")); body.RetryAfterMs > 0 {
		e.RetryAfter = time.Duration(body.RetryAfterMs) * time.Millisecond
	} else if err == nil && seconds > 0 {
		e.RetryAfter = time.Duration(seconds) * time.Second
	}
	return e
}

// signIn sends the first frame, with the cursors of the logs that are attached, and what did not fit in it. mu is held.
func (s *session) signIn(token string) {
	c := s.client
	parts := batches(c.unattached())
	var first []*Log
	if len(parts) > 0 {
		first, parts = parts[0], parts[1:]
	}
	s.claimed = first
	request := &chatv1.SignInRequest{Token: token, ResumeToken: c.resumeToken(), Device: c.opt.Device, Client: c.opt.Program, Cursors: s.take(first)}
	s.send(&chatv1.ClientFrame{Body: &chatv1.ClientFrame_SignIn{SignIn: request}}, func(frame *chatv1.ServerFrame, err error) {
		if err != nil {
			s.endLocked(err)
			return
		}
		if err := s.accepted(frame.GetSignedIn()); err != nil {
			s.endLocked(err)
			return
		}
		s.attached(first, s.hello.GetLogs(), nil)
		for _, part := range parts {
			s.attach(part)
		}
		// What the application has attached while the sign-in was under way.
		for _, part := range batches(c.unattached()) {
			s.attach(part)
		}
	})
}

// accepted makes the session the device's one. mu is held.
func (s *session) accepted(hello *chatv1.SignInResponse) error {
	c := s.client
	if hello == nil {
		return errors.New("chatfleet: the answer to the sign-in is something else")
	}
	if c.user != "" && c.user != hello.GetUser() {
		return errOtherUser
	}
	c.user, s.hello = hello.GetUser(), hello
	c.heardClock(hello.GetServerTimeMs())
	c.keepResume(hello.GetResume())
	c.session, c.lastErr, c.refused = s, nil, false
	c.announce()
	close(s.signedIn)
	return nil
}

// unattached are the logs that no session has been asked to attach. mu is held.
func (c *Client) unattached() []*Log {
	var logs []*Log
	for _, l := range c.logs {
		if l.on == nil && !l.ended {
			logs = append(logs, l)
		}
	}
	return logs
}

// cursorField is how an error names one cursor of a sign-in or an attach request.
var cursorField = regexp.MustCompile(`^(?:sign_in|attach)\.cursors\[(\d+)\]`)

// blame ends the log whose cursor made the server refuse a sign-in, so that it does not keep the others from the device.
func (s *session) blame(err error) bool {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	l := blamed(s.claimed, err)
	if l != nil {
		l.end(err)
	}
	return l != nil
}

// blamed is the log whose cursor a request with several was refused for; nil if it was something else.
func blamed(logs []*Log, err error) *Log {
	var e *Error
	if !errors.As(err, &e) || e.passes() {
		return nil
	}
	m := cursorField.FindStringSubmatch(e.Field)
	if m == nil {
		return nil
	}
	i, err := strconv.Atoi(m[1])
	if err != nil || i >= len(logs) {
		return nil
	}
	return logs[i]
}

// sessionEnded forgets a session. mu is held.
func (c *Client) sessionEnded(s *session) {
	for _, l := range c.logs {
		if l.on == s {
			l.on, l.question = nil, nil
			l.sync.Lost()
		}
	}
	clear(c.due)
	if c.session == s {
		c.session, c.lastErr, c.refused = nil, s.err, false
		c.announce()
	}
}

// noSession notes why there is none.
func (c *Client) noSession(err error, refused bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastErr, c.refused = err, refused
	c.announce()
}

func (c *Client) status(s Status) {
	if c.opt.OnStatus != nil {
		c.opt.OnStatus(s)
	}
}
