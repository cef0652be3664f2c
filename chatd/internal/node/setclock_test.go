package node

import (
	"errors"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/chatfleet/chatfleet/chatd/internal/token"
	adminv1 "github.com/chatfleet/chatfleet/proto/admin/v1"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
	"github.com/chatfleet/chatfleet/proto/chat/v1/chatv1connect"
)

func (m *member) setClock(offset time.Duration) (*adminv1.SetClockResponse, error) {
	seconds := int64(offset / time.Second)
	r, err := m.adminClient().SetClock(m.t.Context(), connect.NewRequest(&adminv1.SetClockRequest{OffsetSeconds: &seconds}))
	if err != nil {
		return nil, err
	}
	return r.Msg, nil
}

// Nobody sets the clock of a member that was not started for it; where it may be set, nonsense is refused and changes nothing.
func TestWhoseClockMayBeSet(t *testing.T) {
	m := runMember(t, Store, nil)
	if _, err := m.setClock(time.Hour); connect.CodeOf(err) != connect.CodeFailedPrecondition {
		t.Errorf("a member that was not started for it: %v", err)
	}
	m = runMember(t, Store, func(c *Config) { c.FaultClock = true })
	if !m.lines.has("the admin port may set this member's clock (--fault-clock): for simulations, never in production") {
		t.Error("a member whose clock may be set does not say so")
	}
	if _, err := m.adminClient().SetClock(t.Context(), connect.NewRequest(&adminv1.SetClockRequest{})); connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("without an offset: %v", err)
	}
	for _, seconds := range []int64{maxOffsetSeconds + 1, -maxOffsetSeconds - 1, 1 << 62, -1 << 63} {
		_, err := m.adminClient().SetClock(t.Context(), connect.NewRequest(&adminv1.SetClockRequest{OffsetSeconds: &seconds}))
		if connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Errorf("%d seconds: %v", seconds, err)
		}
	}
	var before time.Duration
	for _, offset := range []time.Duration{time.Hour, time.Hour, -time.Hour, 0} {
		r, err := m.setClock(offset)
		if err != nil {
			t.Fatal(err)
		}
		if off := time.UnixMilli(r.GetShowsMs()).Sub(time.Now().Add(offset)).Abs(); off > 30*time.Second || r.GetOffsetBeforeSeconds() != int64(before.Seconds()) {
			t.Errorf("set from %v to %v, it is %v off that: %v", before, offset, off, r)
		}
		before = offset
	}
}

// A whole member whose clock is set, forward and back: who is signed in stays so and gets what is posted; times of events do not go back;
// tokens and resume tokens are judged by the clock, and are good again when it is right.
func TestAMemberWhoseClockIsSet(t *testing.T) {
	m := runMember(t, Combined, func(c *Config) { c.FaultClock = true })
	raw, err := m.signer.Sign("ann", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	chat := chatv1connect.NewChatServiceClient(http.DefaultClient, m.clients)
	create := connect.NewRequest(&chatv1.CreateRequest{Kind: chatv1.LogKind_LOG_KIND_GROUP, Title: "t", RandomId: 1})
	create.Header().Set("Authorization", "Bearer "+raw)
	made, err := chat.Create(t.Context(), create)
	if err != nil {
		t.Fatal(err)
	}
	log := made.Msg.GetLog()
	reader := signIn(t.Context(), t, m.clients, raw, log)
	defer reader.CloseNow()
	var posted, read uint64
	post := func(token string) error {
		req := connect.NewRequest(&chatv1.PostRequest{Log: log, RandomId: posted + 1, Message: &chatv1.Message{Text: "hi"}})
		req.Header().Set("Authorization", "Bearer "+token)
		_, err := chat.Post(t.Context(), req)
		if err == nil {
			posted++
		}
		return err
	}
	var lastMs int64
	// arrives waits until what was posted has come over the session that began before.
	arrives := func(when string) {
		t.Helper()
		for read < posted {
			f, err := readFrame(t.Context(), reader)
			if err != nil {
				t.Fatalf("%s: the session has ended: %v", when, err)
			}
			e := f.GetEvent()
			if e.GetMessage() == nil {
				continue
			}
			if read++; e.GetTimeMs() < lastMs {
				t.Errorf("%s: stamped %d after %d", when, e.GetTimeMs(), lastMs)
			}
			lastMs = e.GetTimeMs()
		}
	}
	for _, c := range []struct {
		name   string
		offset time.Duration
		says   chatv1.Error_Code // of a token of before the step
	}{
		{"right", 0, 0},
		{"two hours forward", 2 * time.Hour, chatv1.Error_CODE_TOKEN_EXPIRED},
		{"right again", 0, 0},
		{"an hour back", -time.Hour, chatv1.Error_CODE_UNAUTHENTICATED},
		{"right once more", 0, 0},
	} {
		if _, err := m.setClock(c.offset); err != nil {
			t.Fatal(err)
		}
		if got := codeOf(post(raw)); got != c.says {
			t.Errorf("%s: a token of before: %v, want %v", c.name, got, c.says)
		}
		good, err := m.signerAt(c.offset).Sign("ann", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if err := post(good); err != nil {
			t.Fatalf("%s: a token that is good by this clock: %v", c.name, err)
		}
		arrives(c.name)
	}
}

// signerAt makes tokens as the same issuer would by a clock that is so far off.
func (m *member) signerAt(offset time.Duration) *token.Signer {
	m.t.Helper()
	s, err := token.LoadSigner(filepath.Join(m.keys, token.SigningKeyFile), func() time.Time { return time.Now().Add(offset) })
	if err != nil {
		m.t.Fatal(err)
	}
	return s
}

// codeOf is the fleet's own code in an answer over HTTP.
func codeOf(err error) chatv1.Error_Code {
	var failed *connect.Error
	if !errors.As(err, &failed) {
		return 0
	}
	for _, d := range failed.Details() {
		if v, err := d.Value(); err == nil {
			if own, ok := v.(*chatv1.Error); ok {
				return own.GetCode()
			}
		}
	}
	return 0
}
