package client_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

func TestADeviceComesBackByItsResumeToken(t *testing.T) {
	f := newFleet(t)
	expires := time.Now().Add(time.Minute).UnixMilli()
	var mu sync.Mutex
	var shown []string
	f.resume = &chatv1.ResumeToken{Token: "first", ExpiresMs: expires}
	f.onRequest = func(_ *serverSession, frame *chatv1.ClientFrame) bool {
		if r := frame.GetSignIn(); r != nil {
			mu.Lock()
			shown = append(shown, r.GetResumeToken())
			mu.Unlock()
		}
		return false
	}
	c := open(t, options(f, "alice", "phone"))
	if err := c.Ready(testContext(t)); err != nil {
		t.Fatal(err)
	}
	signIns := func(want ...string) {
		t.Helper()
		eventually(t, fmt.Sprint("sign-ins by ", want), func() bool {
			mu.Lock()
			defer mu.Unlock()
			return fmt.Sprint(shown) == fmt.Sprint(want)
		})
		eventually(t, "signed in", func() bool { return c.Ready(testContext(t)) == nil })
	}
	signIns("")
	f.mu.Lock()
	f.resume = &chatv1.ResumeToken{Token: "over", ExpiresMs: 1}
	f.mu.Unlock()
	f.cut()
	signIns("", "first")
	f.cut()
	signIns("", "first", "") // what has expired is not shown
	f.mu.Lock()
	f.resume = &chatv1.ResumeToken{Token: "second", ExpiresMs: expires}
	f.mu.Unlock()
	f.cut()
	signIns("", "first", "", "")
	f.sendAll(refusal(0, chatv1.Error_CODE_UNAUTHENTICATED, "the token was revoked"))
	signIns("", "first", "", "", "") // nor what was refused
}
