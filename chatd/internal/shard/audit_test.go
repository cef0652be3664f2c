package shard_test

import (
	"net"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// audit is an engine of which it is known who is attached to what. An engine need not know, so a shard must have detached each session that has ended: that is looked
// at whenever one has.
type audit struct {
	engine.Engine
	t *testing.T

	mu       sync.Mutex
	over     map[engine.Session]bool
	attached map[engine.Session]map[string]bool
	// attaching, if not nil, is called before a session is attached.
	attaching func()
	// expecting, if not nil, is called when the events that are expected have become more or fewer.
	expecting func(log string, n int)
}

func newAudit(t *testing.T, e engine.Engine) *audit {
	return &audit{Engine: e, t: t, over: map[engine.Session]bool{}, attached: map[engine.Session]map[string]bool{}}
}

func (a *audit) Adopt(conn net.Conn, early []byte, enc engine.Encoding, h engine.Handler) (engine.Session, error) {
	return a.Engine.Adopt(conn, early, enc, &audited{h, a})
}

func (a *audit) OpenLog(log string, epoch uint32, head uint64) engine.Fanout {
	return &auditedLog{a.Engine.OpenLog(log, epoch, head), a, log}
}

// note takes note that a session is attached, or is no more. One that is over is not attached.
func (a *audit) note(s engine.Session, log string, attached bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case !attached:
		delete(a.attached[s], log)
	case a.over[s]:
	case a.attached[s] == nil:
		a.attached[s] = map[string]bool{log: true}
	default:
		a.attached[s][log] = true
	}
}

// logs is how many logs all sessions have attached.
func (a *audit) logs() (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, logs := range a.attached {
		n += len(logs)
	}
	return n
}

type audited struct {
	engine.Handler
	a *audit
}

func (h *audited) Closed(s engine.Session, cause error) {
	h.a.mu.Lock()
	h.a.over[s] = true
	h.a.mu.Unlock()
	h.Handler.Closed(s, cause)
	h.a.mu.Lock()
	defer h.a.mu.Unlock()
	if logs := h.a.attached[s]; len(logs) > 0 {
		h.a.t.Errorf("a session has ended and is attached: %v", logs)
	}
}

type auditedLog struct {
	engine.Fanout
	a   *audit
	log string
}

func (f *auditedLog) Attach(s engine.Session, cursor uint64) (uint64, bool) {
	f.a.mu.Lock()
	attaching := f.a.attaching
	f.a.mu.Unlock()
	if attaching != nil {
		attaching()
	}
	f.a.note(s, f.log, true)
	return f.Fanout.Attach(s, cursor)
}

func (f *auditedLog) Expect(n int) {
	f.a.mu.Lock()
	expecting := f.a.expecting
	f.a.mu.Unlock()
	if expecting != nil {
		expecting(f.log, n)
	}
	f.Fanout.Expect(n)
}

func (f *auditedLog) Detach(s engine.Session) {
	f.a.note(s, f.log, false)
	f.Fanout.Detach(s)
}

// What detaches a log beside a request that attaches it comes before that or after it: what is not on the session's list is not attached.
func TestADetachBesideAnAttach(t *testing.T) {
	inBubble(t, nil, func(r *rig) {
		log := r.stores.create("ann", channel)
		d, _ := r.signIn("ann")
		var detached <-chan *chatv1.ServerFrame
		r.engine.mu.Lock()
		r.engine.attaching = func() {
			detached = d.begin(&chatv1.ClientFrame{Body: &chatv1.ClientFrame_Detach{Detach: &chatv1.DetachRequest{Logs: []string{log}}}})
			for range 10_000 { // the shard may do it now
				runtime.Gosched()
			}
		}
		r.engine.mu.Unlock()
		wantState(t, "attached", d.attach(none(log))[0], live, 0)
		<-detached
		if n := r.engine.logs(); n != 0 {
			t.Errorf("%d logs are attached", n)
		}
		r.stores.post("ann", log, 3)
		synctest.Wait()
		if got := d.positions(log); len(got) > 0 {
			t.Errorf("pushed %v of a log that is detached", got)
		}
	})
}
