package client

import (
	"time"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// resumption is the fleet's own token for coming back: it is checked by any shard without anybody being asked. It goes beside the
// application's token, which counts when this one does not.
type resumption struct {
	token string
	// renew is when a new one is asked for, until when this one is of no use any more.
	renew, until time.Time
}

// keepResume notes the newest resume token. mu is held.
func (c *Client) keepResume(r *chatv1.ResumeToken) {
	life := time.Duration(r.GetExpiresMs()-c.serverNow()) * time.Millisecond
	if r.GetToken() == "" || life <= 0 {
		c.resume = resumption{}
		return
	}
	now := time.Now()
	c.resume = resumption{token: r.GetToken(), renew: now.Add(life / 2), until: now.Add(life)}
}

// resumeToken is what to sign in with beside the token; empty if there is none that is of use. mu is held.
func (c *Client) resumeToken() string {
	if !time.Now().Before(c.resume.until) {
		return ""
	}
	return c.resume.token
}

// renewResume asks for a new resume token when half of the last one's life has passed.
func (s *session) renewResume() {
	c := s.client
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.resume.token == "" || time.Now().Before(c.resume.renew) {
		return
	}
	c.resume.renew = c.resume.until // one question at a time
	s.send(&chatv1.ClientFrame{Body: &chatv1.ClientFrame_Renew{Renew: &chatv1.RenewRequest{}}}, func(frame *chatv1.ServerFrame, err error) {
		if r := frame.GetRenewed().GetResume(); err == nil && r != nil {
			c.keepResume(r)
		}
	})
}
