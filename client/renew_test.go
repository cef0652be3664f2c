package client_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

func endOf(life time.Duration) int64 {
	if life == 0 {
		return 0
	}
	return time.Now().Add(life).UnixMilli()
}

// wallet hands out a new token each time; what it is told to fail with first, it fails with.
type wallet struct {
	mu     sync.Mutex
	given  int
	fail   []error
	always string
}

func (w *wallet) token(context.Context) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.given > 0 && len(w.fail) > 0 {
		err := w.fail[0]
		w.fail = w.fail[1:]
		return "", err
	}
	w.given++
	if w.always != "" {
		return w.always, nil
	}
	return "good:alice", nil
}

// renewals answers renewals, and lists the tokens that they brought.
type renewals struct {
	mu     sync.Mutex
	shown  []string
	answer func(n int, ref uint32) *chatv1.ServerFrame
}

func (r *renewals) onRequest(s *serverSession, frame *chatv1.ClientFrame) bool {
	renew := frame.GetRenew()
	if renew.GetToken() == "" {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shown = append(r.shown, renew.GetToken())
	s.send(r.answer(len(r.shown), frame.GetRef()))
	return true
}

func (r *renewals) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.shown)
}

func renewed(ref uint32, life time.Duration) *chatv1.ServerFrame {
	return &chatv1.ServerFrame{Ref: ref, Body: &chatv1.ServerFrame_Renewed{Renewed: &chatv1.RenewResponse{ExpiresMs: endOf(life)}}}
}

// A session is renewed again and again before its end, whatever fails now and then, and stays the same.
func TestASessionIsRenewedWithAFreshToken(t *testing.T) {
	f := newFleet(t)
	const life = 200 * time.Millisecond
	r := &renewals{answer: func(n int, ref uint32) *chatv1.ServerFrame {
		if n == 2 {
			return refusal(ref, chatv1.Error_CODE_UNAVAILABLE, "the keys cannot be had")
		}
		return renewed(ref, time.Duration(n)*life)
	}}
	f.lock(func() { f.life, f.onRequest = life, r.onRequest })
	o := options(f, "alice", "phone")
	w := &wallet{fail: []error{errors.New("the application is away")}}
	n := 0
	o.Token = func(ctx context.Context) (string, error) {
		raw, err := w.token(ctx)
		if n++; n > 1 && err == nil {
			raw = fmt.Sprint("fresh ", n)
		}
		return raw, err
	}
	c := open(t, o)
	if err := c.Ready(testContext(t)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "five renewals", func() bool { return r.count() >= 5 })
	f.lock(func() {
		if f.joined != 1 {
			t.Errorf("%d sign-ins, want one", f.joined)
		}
	})
}

// Whose source has no other token, or whose server knows no renewals, is not asked in a loop.
func TestNothingToRenewWith(t *testing.T) {
	f := newFleet(t)
	r := &renewals{answer: func(_ int, ref uint32) *chatv1.ServerFrame {
		return refusal(ref, chatv1.Error_CODE_UNSUPPORTED, "renew is not known")
	}}
	f.lock(func() { f.life, f.onRequest = 20*time.Millisecond, r.onRequest })
	w := &wallet{always: "good:alice"}
	same := options(f, "alice", "phone")
	same.Token = w.token
	_ = open(t, same)
	eventually(t, "the source is asked for another token", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.given >= 2
	})
	old := options(f, "bob", "phone")
	n := 0
	old.Token = func(context.Context) (string, error) {
		if n++; n > 1 {
			return fmt.Sprint("fresh ", n), nil
		}
		return "good:bob", nil
	}
	_ = open(t, old)
	eventually(t, "the server is asked", func() bool { return r.count() == 1 })
	time.Sleep(100 * time.Millisecond)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.given > 3 || r.count() != 1 {
		t.Errorf("the source was asked %d times, the server %d times", w.given, r.count())
	}
}
