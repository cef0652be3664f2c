package shard

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
	"unsafe"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	"github.com/chatfleet/chatfleet/chatd/internal/engine/enginetest"
	"github.com/chatfleet/chatfleet/chatd/internal/engine/perconn"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// attaching is as much of a shard as sessions need to attach logs that are open.
type attaching struct {
	t      *testing.T
	sh     *Shard
	engine engine.Engine
}

func newAttaching(t *testing.T) *attaching {
	a := &attaching{t: t, sh: &Shard{metrics: NewMetrics(prometheus.NewRegistry())}, engine: perconn.New(engine.Config{})}
	t.Cleanup(func() { _ = a.engine.Shutdown(t.Context()) })
	return a
}

func (a *attaching) session() *session {
	server, client := net.Pipe()
	a.t.Cleanup(func() { _ = client.Close() })
	conn, err := a.engine.Adopt(server, nil, engine.Protobuf, &enginetest.Listener{})
	if err != nil {
		a.t.Fatal(err)
	}
	return &session{sh: a.sh, conn: conn, user: "eve"}
}

func (a *attaching) feed(id string) *feed {
	f := &feed{sh: a.sh, id: id, epoch: 1, refs: 1, fanout: a.engine.OpenLog(id, 1, 0), banned: map[string]struct{}{}}
	a.sh.table.add(f)
	return f
}

// Each log that a session has attached costs it four bytes: exactly, of what one request brings, and with little room where they came one by one.
func TestAnAttachedLogIsSmall(t *testing.T) {
	const logs = 60
	a := newAttaching(t)
	var wanted []want
	for i := range logs {
		id := fmt.Sprint("c", i)
		wanted = append(wanted, want{id: id, cursor: &chatv1.Cursor{}, feed: a.feed(id)})
	}
	rand.Shuffle(logs, func(i, j int) { wanted[i], wanted[j] = wanted[j], wanted[i] })
	check := func(what string, s *session, most float64) {
		t.Helper()
		each := float64(cap(s.feeds)*int(unsafe.Sizeof(s.feeds[0]))) / float64(len(s.feeds))
		if len(s.feeds) != logs || each > most {
			t.Errorf("%.1f bytes for each of %d logs that %s, want at most %v", each, len(s.feeds), what, most)
		}
	}
	none := func([]*chatv1.LogState) {}
	atOnce, oneByOne := a.session(), a.session()
	atOnce.attachAll(wanted, none)
	check("came at once", atOnce, 4)
	atOnce.attachAll(wanted, none)
	check("were attached anew", atOnce, 4)
	for i := range wanted {
		oneByOne.attachAll(wanted[i:i+1], none)
	}
	check("came one by one", oneByOne, 5)
	if n := wanted[0].feed.fanout.Sessions(); n != 2 {
		t.Errorf("%d sessions have the log attached, want 2", n)
	}
}

// Who is refused a log that he has attached is sent no more of it, and holds it no more.
func TestWhoIsRefusedIsDetached(t *testing.T) {
	a := newAttaching(t)
	s, f := a.session(), a.feed("c1")
	f.refs++ // as if held by who asks, and by another
	if state, noted := f.attach(s, &chatv1.Cursor{}); state.GetStatus() != chatv1.LogState_STATUS_LIVE || !noted || f.fanout.Sessions() != 1 {
		t.Fatalf("attached as %v, on the list: %v", state, noted)
	}
	f.banned["eve"] = struct{}{}
	if state, noted := f.attach(s, &chatv1.Cursor{}); state.GetStatus() != chatv1.LogState_STATUS_REFUSED || noted {
		t.Fatalf("attached as %v, on the list: %v", state, noted)
	}
	if f.fanout.Sessions() != 0 || len(s.feeds) != 0 || f.refs != 1 {
		t.Errorf("%d are attached, %d on the list, %d hold the log; want none but the one who asked", f.fanout.Sessions(), len(s.feeds), f.refs)
	}
}

// Who has ended is on no list and attached to nothing, also if he is attached at that very moment.
func TestWhoHasEndedIsNowhere(t *testing.T) {
	a := newAttaching(t)
	s := a.session()
	channel, group := a.feed("c1"), a.feed("g1")
	group.group = newMembership()
	group.group.allow("eve", 0)
	for _, f := range []*feed{channel, group} {
		f.attach(s, &chatv1.Cursor{})
	}
	if len(s.feeds) != 2 || channel.fanout.Sessions() != 1 || len(group.group.sessions) != 1 {
		t.Fatal("the session is not attached")
	}
	s.Closed(s.conn, engine.ErrPeerClosed)
	for again := range 2 {
		for _, f := range []*feed{channel, group} {
			if f.fanout.Sessions() != 0 || f.refs != 0 || len(s.feeds) != 0 || f.group != nil && len(f.group.sessions) != 0 {
				t.Errorf("%d are attached to %s, %d hold it, %d are on the list (round %d); want none", f.fanout.Sessions(), f.id, f.refs, len(s.feeds), again)
			}
			if state, noted := f.attach(s, &chatv1.Cursor{}); state.GetStatus() != chatv1.LogState_STATUS_REFUSED || noted {
				t.Errorf("attached as %v, on the list: %v", state, noted)
			}
		}
	}
}
