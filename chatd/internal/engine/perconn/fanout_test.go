package perconn

import (
	"testing"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// Members leave while a large log is being woken chunk by chunk: the last member then moves to a place that the pass has left
// behind, and must be woken nevertheless.
func TestAPassMissesNobodyWhoMoves(t *testing.T) {
	const members = 2*passChunk + passChunk/2
	e := &Engine{cfg: engine.Config{}.WithDefaults(), held: engine.NewHeld(engine.Config{})} // without workers: the test does their part
	e.ready.init()
	log := e.OpenLog("c1", 1, 0).(*fanout)
	var sessions []*session
	for range members {
		s := &session{e: e}
		sessions = append(sessions, s)
		log.Attach(s, 0)
	}
	frame, err := engine.NewFrame(&chatv1.Event{Log: "c1", Epoch: 1, Pts: 1})
	if err != nil {
		t.Fatal(err)
	}
	log.Append(frame)
	woken := map[*session]bool{}
	for round := 0; ; round++ {
		if round == 1 {
			// One of those who have been woken leaves, and the last one, who has not, takes his place.
			log.Detach(sessions[passChunk/2])
		}
		if e.ready.passes == nil && e.ready.sessions.head == nil {
			break
		}
		f, s := e.ready.pop()
		if f != nil {
			f.pass()
		} else {
			woken[s] = true
		}
	}
	for i, s := range sessions {
		if i != passChunk/2 && !woken[s] {
			t.Fatalf("member %d of %d was not woken", i, members)
		}
	}
}
