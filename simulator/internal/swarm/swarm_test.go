package swarm

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"google.golang.org/protobuf/proto"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
	"github.com/chatfleet/chatfleet/simulator/internal/stamp"
	"github.com/chatfleet/chatfleet/simulator/internal/swarm/chattest"
)

// hangs bounds every wait of these tests. Nothing is judged by it.
const hangs = 30 * time.Second

const testRun = 42

// rig is a swarm against a server, both in this process.
type rig struct {
	*testing.T
	server *chattest.Server
	cfg    Config
	swarm  *Swarm
	end    context.CancelFunc
	done   chan error
	posts  uint32
}

// newRig sets up n sessions that follow the log "c1". The test may change cfg and the server's hooks before start.
func newRig(t *testing.T, n int) *rig {
	server := chattest.New(t)
	b := DefaultBehaviour()
	b.BackoffBase, b.BackoffCap = 5*time.Millisecond, 50*time.Millisecond
	b.HoldGap = 50 * time.Millisecond
	return &rig{T: t, server: server, cfg: Config{
		Run:       testRun,
		StartNs:   stamp.Now(),
		Sessions:  n,
		Token:     func(user string) (string, error) { return user, nil },
		Logs:      []string{"c1"},
		Attach:    []Attachment{{Log: 0, First: 0, Count: n}},
		Groups:    []Group{{Name: "all", Measured: true}},
		Behaviour: b,
	}}
}

// start runs the swarm and waits until all sessions follow their logs.
func (r *rig) start() {
	r.Helper()
	if len(r.cfg.Endpoints) == 0 {
		r.cfg.Endpoints = []string{r.server.Listen(r)}
	}
	var err error
	if r.swarm, err = New(r.Context(), r.cfg); err != nil {
		r.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	r.end, r.done = end, make(chan error, 1)
	go func() { r.done <- r.swarm.Run(ctx) }()
	r.Cleanup(func() {
		end()
		<-r.done
	})
	r.swarm.Start()
	r.until("all sessions are subscribed", func(c Counters) bool { return c.Subscribed == c.Wanted })
}

// until waits for counts.
func (r *rig) until(what string, holds func(Counters) bool) {
	r.Helper()
	for deadline := time.Now().Add(hangs); ; time.Sleep(5 * time.Millisecond) {
		p := r.swarm.Progress()
		if holds(p.Counters) {
			return
		}
		if time.Now().After(deadline) {
			r.Fatalf("waited %v until %s; it stands at %+v, errors %v", hangs, what, p.Counters, p.Errors)
		}
	}
}

// post posts the next n stamped messages.
func (r *rig) post(n int) {
	for range n {
		data, err := stamp.Stamp{Run: testRun, Post: r.posts, IntendedNs: stamp.Now()}.Append(nil, 100)
		if err != nil {
			r.Fatal(err)
		}
		r.server.Post("c1", data)
		r.posts++
	}
}

// list is the log as a reader of its own sees it.
func (r *rig) list(log string) LogList {
	l := LogList{Log: log, Epoch: chattest.Epoch, First: 1}
	for _, ev := range r.server.Events(log) {
		l.Posts = append(l.Posts, stamp.PostOf(ev.GetMessage().GetData(), testRun))
	}
	return l
}

// finish lets the sessions catch up, for a while where that will never be, and judges them.
func (r *rig) finish(settles bool) Result {
	r.Helper()
	wait := hangs
	if !settles {
		wait = 300 * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	heads := map[string]uint64{}
	var lists []LogList
	for _, log := range r.cfg.Logs {
		lists = append(lists, r.list(log))
		heads[log] = lists[len(lists)-1].Head()
	}
	behind, err := r.swarm.Settle(ctx, heads)
	if err != nil || settles && behind > 0 {
		r.Fatalf("%d cursors are behind, %v; %+v", behind, err, r.swarm.Progress())
	}
	r.end()
	if err := <-r.done; err != nil {
		r.Fatal(err)
	}
	r.done <- nil
	res, err := r.swarm.Result(lists)
	if err != nil {
		r.Fatal(err)
	}
	return res
}

// once returns true for the first call with a user and position of its own.
func once(user string, pts uint64) func(c *chattest.Conn, ev *chatv1.Event) bool {
	var mu sync.Mutex
	done := false
	return func(c *chattest.Conn, ev *chatv1.Event) bool {
		mu.Lock()
		defer mu.Unlock()
		if done || c.User != user || ev.Pts != pts {
			return false
		}
		done = true
		return true
	}
}

// outcome is what a misbehaviour must be counted as. What is not named must be zero.
type outcome struct {
	lost, skipped, missing, corrupt, repeated      int64
	healed, duplicate, unordered, gaps, cuts, late int64
	tooLong, overlap                               int64
}

func outcomeOf(r Result) outcome {
	c, v := r.Counters, r.Verification
	return outcome{
		lost: v.Lost, skipped: v.Skipped, missing: v.Missing, corrupt: v.Corrupt, repeated: v.Repeated,
		healed: c.Healed, duplicate: c.Duplicate, unordered: c.Unordered, gaps: c.Gaps, cuts: c.Cuts, late: r.Groups[0].Late,
		tooLong: c.TooLong, overlap: c.Overlap,
	}
}

// Every misbehaviour of a server is seen, and counted as what it is: 10 sessions, 20 posts, one thing goes wrong for sim-3
// at position 7.
func TestEveryMisbehaviourIsCounted(t *testing.T) {
	const sessions, posts = 10, 20
	tests := []struct {
		name    string
		prepare func(r *rig)
		settles bool
		want    outcome
	}{
		{"none", func(r *rig) {}, true, outcome{}},
		{"dropped from the push alone: healed, not lost", func(r *rig) {
			hit := once("sim-3", 7)
			r.server.OnPush = func(c *chattest.Conn, ev *chatv1.Event) {
				if !hit(c, ev) {
					c.Push(ev)
				}
			}
		}, true, outcome{healed: 14, gaps: 1}},
		{"dropped from push and difference: lost", func(r *rig) {
			hit := once("sim-3", 7)
			r.server.OnPush = func(c *chattest.Conn, ev *chatv1.Event) {
				if !hit(c, ev) {
					c.Push(ev)
				}
			}
			r.server.OnDifference = func(c *chattest.Conn, _ string, d *chatv1.DifferenceResponse) {
				for i, ev := range d.Events {
					if ev.Pts == 7 {
						d.Events = append(append([]*chatv1.Event(nil), d.Events[:i]...), d.Events[i+1:]...)
						return
					}
				}
			}
		}, true, outcome{lost: 1, skipped: 1, gaps: 1}},
		{"the newest dropped: nobody knows, so lost", func(r *rig) {
			hit := once("sim-3", posts)
			r.server.OnPush = func(c *chattest.Conn, ev *chatv1.Event) {
				if !hit(c, ev) {
					c.Push(ev)
				}
			}
		}, false, outcome{lost: 1, missing: 1}},
		{"doubled", func(r *rig) {
			hit := once("sim-3", 7)
			r.server.OnPush = func(c *chattest.Conn, ev *chatv1.Event) {
				if hit(c, ev) {
					c.Push(ev)
				}
				c.Push(ev)
			}
		}, true, outcome{duplicate: 1}},
		{"swapped", func(r *rig) {
			hit := once("sim-3", 7)
			var kept *chatv1.Event
			r.server.OnPush = func(c *chattest.Conn, ev *chatv1.Event) {
				if hit(c, ev) {
					kept = ev
					return
				}
				c.Push(ev)
				if kept != nil && c.User == "sim-3" {
					c.Push(kept)
					kept = nil
				}
			}
		}, true, outcome{unordered: 1, gaps: 1}},
		{"delayed", func(r *rig) {
			r.cfg.Groups[0].DeliverWithin = 10 * time.Second
			hit := once("sim-3", 7)
			r.server.OnPush = func(c *chattest.Conn, ev *chatv1.Event) {
				if hit(c, ev) {
					// As if it had been posted a minute ago: what counts is the intended moment.
					ev = proto.Clone(ev).(*chatv1.Event)
					st, err := stamp.Parse(ev.GetMessage().Data)
					if err != nil {
						r.Error(err)
					}
					st.IntendedNs -= int64(time.Minute)
					ev.GetMessage().Data, _ = st.Append(nil, 100)
				}
				c.Push(ev)
			}
		}, true, outcome{late: 1}},
		{"another post's content", func(r *rig) {
			hit := once("sim-3", 7)
			r.server.OnPush = func(c *chattest.Conn, ev *chatv1.Event) {
				if hit(c, ev) {
					ev = proto.Clone(ev).(*chatv1.Event)
					ev.GetMessage().Data, _ = stamp.Stamp{Run: testRun, Post: 2, IntendedNs: stamp.Now()}.Append(nil, 100)
				}
				c.Push(ev)
			}
		}, true, outcome{lost: 1, corrupt: 1}},
		{"one byte changed", func(r *rig) {
			hit := once("sim-3", 7)
			r.server.OnPush = func(c *chattest.Conn, ev *chatv1.Event) {
				if hit(c, ev) {
					ev = proto.Clone(ev).(*chatv1.Event)
					ev.GetMessage().Data[90] ^= 1
				}
				c.Push(ev)
			}
		}, true, outcome{lost: 1, corrupt: 1}},
		{"wrong content for all but one", func(r *rig) {
			r.server.OnPush = func(c *chattest.Conn, ev *chatv1.Event) {
				if ev.Pts == 7 && c.User != "sim-3" {
					ev = proto.Clone(ev).(*chatv1.Event)
					ev.GetMessage().Data[90] ^= 1
				}
				c.Push(ev)
			}
		}, true, outcome{lost: 9, corrupt: 9}},
		{"a post stored at two positions", func(r *rig) {
			r.server.OnPush = func(c *chattest.Conn, ev *chatv1.Event) {
				if ev.Pts == 7 {
					r.posts = 5 // the next one has the number of this one
				}
				c.Push(ev)
			}
		}, true, outcome{repeated: sessions}},
		{"cut within a frame: reconnect, nothing lost", func(r *rig) {
			hit := once("sim-3", 7)
			r.server.OnPush = func(c *chattest.Conn, ev *chatv1.Event) {
				if hit(c, ev) {
					c.CutWithin(chattest.EventFrame(ev))
					return
				}
				c.Push(ev)
			}
		}, true, outcome{cuts: 1}},
		{"fragments with pings between", func(r *rig) {
			r.server.OnPush = func(c *chattest.Conn, ev *chatv1.Event) { c.SendFragmented(chattest.EventFrame(ev), 5) }
		}, true, outcome{}},
		{"too long: what is left out is lost", func(r *rig) {
			r.server.TooLongAfter = 3
			r.server.OnPush = func(c *chattest.Conn, ev *chatv1.Event) {
				switch {
				case c.User != "sim-3" || ev.Pts < 7:
					c.Push(ev)
				case ev.Pts == posts:
					c.Send(&chatv1.ServerFrame{Body: &chatv1.ServerFrame_TooLong{TooLong: &chatv1.TooLong{
						Log: ev.Log, Epoch: ev.Epoch, Pts: ev.Pts}}})
				}
			}
		}, true, outcome{lost: 12, skipped: 12, healed: 2, tooLong: 2}},
		{"too long, but the difference has it all", func(r *rig) {
			r.server.DifferenceLimit = 4
			r.server.OnPush = func(c *chattest.Conn, ev *chatv1.Event) {
				switch {
				case c.User != "sim-3" || ev.Pts < 7:
					c.Push(ev)
				case ev.Pts == posts:
					c.Send(&chatv1.ServerFrame{Body: &chatv1.ServerFrame_TooLong{TooLong: &chatv1.TooLong{
						Log: ev.Log, Epoch: ev.Epoch, Pts: ev.Pts}}})
				}
			}
		}, true, outcome{healed: 14, tooLong: 1}},
	}
	for _, tt := range tests {
		for _, json := range []float64{0, 1} {
			t.Run(tt.name+map[float64]string{0: "/proto", 1: "/json"}[json], func(t *testing.T) {
				t.Parallel()
				r := newRig(t, sessions)
				r.cfg.JSONShare = json
				tt.prepare(r)
				r.start()
				r.post(posts)
				res := r.finish(tt.settles)
				got := outcomeOf(res)
				// How many the difference brings depends on what was pushed while it was under way: what is held counts as pushed.
				if tt.want.healed > 0 && got.healed > 0 && got.healed <= tt.want.healed {
					got.healed = tt.want.healed
				}
				got.overlap = 0
				if got != tt.want {
					t.Errorf("counted %+v\nwant    %+v\ncounters %+v\nverification %+v", got, tt.want, res.Counters, res.Verification)
				}
				v := res.Verification
				if v.Expected != sessions*int64(len(r.server.Events("c1"))) || v.Delivered != v.Expected-v.Lost {
					t.Errorf("expected %d, delivered %d, lost %d", v.Expected, v.Delivered, v.Lost)
				}
				if g := v.Groups[0]; g.Lost != v.Lost || g.Delivered != v.Delivered || g.Expected != v.Expected {
					t.Errorf("the only group's account is %+v, in all it is %+v", g, v)
				}
				if v.Lost > 0 && len(v.Examples) == 0 {
					t.Error("something was lost and there is no example of it")
				}
				for _, e := range v.Examples {
					if v.Lost == 1 && (e.Session != 3 || e.Log != "c1" || e.Pts != 7 && e.Pts != posts) {
						t.Errorf("example names %v", e)
					}
				}
			})
		}
	}
}

// Sessions that lose their shard come back to another one with their cursors, and have everything in the end.
func TestCutsLoseNothing(t *testing.T) {
	for _, behind := range []bool{false, true} {
		t.Run(map[bool]string{false: "pushed from the ring", true: "by difference"}[behind], func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 200)
			r.server.Behind = behind
			r.server.DifferenceLimit = 7
			r.cfg.Endpoints = []string{r.server.Listen(t), r.server.Listen(t), r.server.Listen(t)}
			r.cfg.Loops = 2
			r.start()
			for k := range 5 {
				r.post(10)
				if k == 2 {
					r.server.Close(r.cfg.Endpoints[0])
				}
				r.server.CutAll(r.cfg.Endpoints[1+k%2])
				r.post(10)
			}
			res := r.finish(true)
			if got, want := outcomeOf(res), (outcome{cuts: res.Counters.Cuts, healed: res.Counters.Healed, overlap: res.Counters.Overlap,
				gaps: res.Counters.Gaps}); got != want {
				t.Errorf("counted %+v, want %+v", got, want)
			}
			if v := res.Verification; v.Expected != 200*100 || v.Delivered != v.Expected {
				t.Errorf("%+v", v)
			}
			c := res.Counters
			if c.Cuts == 0 || c.Reconnects < c.Cuts {
				t.Errorf("%d cuts and %d reconnects", c.Cuts, c.Reconnects)
			}
			if behind && c.Healed == 0 {
				t.Error("nothing came by a difference")
			}
		})
	}
}

func TestASessionDoesWhatTheServerSays(t *testing.T) {
	r := newRig(t, 3)
	r.server.Limits = &chatv1.Limits{PingWithinMs: 90}
	r.start()
	r.until("pings were sent", func(c Counters) bool { return c.Pings >= 9 })
	for _, c := range r.server.Conns() {
		c.Raw(chattest.Frame(true, ws.OpPing, []byte("there?")))
		c.Send(&chatv1.ServerFrame{Body: &chatv1.ServerFrame_ComeBack{ComeBack: &chatv1.ComeBack{AfterMs: 20, Reason: "drain"}}})
	}
	ponged := func() bool {
		for _, c := range r.server.Conns() {
			if _, pongs := c.Counts(); pongs != 1 {
				return false
			}
		}
		return true
	}
	for deadline := time.Now().Add(hangs); !ponged(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a WebSocket ping was not answered")
		}
	}
	for _, c := range r.server.Conns() {
		c.Close(1012)
	}
	r.until("all have come back", func(c Counters) bool { return c.Reconnects == 3 && c.SignedInNow == 3 })
	r.post(5)
	res := r.finish(true)
	if res.Counters.ComeBacks != 3 || res.Errors["closed: 1012"] != 3 || res.Verification.Lost != 0 {
		t.Errorf("%+v, errors %v", res.Counters, res.Errors)
	}
}

// What a server may get wrong on the wire ends the connection under a name of its own, and the session tries again.
func TestProtocolErrorsAreNamed(t *testing.T) {
	tests := map[string]func(c *chattest.Conn){
		errMasked.Error():      func(c *chattest.Conn) { c.Raw(ws.MustCompileFrame(ws.MaskFrame(ws.NewBinaryFrame([]byte("x"))))) },
		errReserved.Error():    func(c *chattest.Conn) { c.Raw([]byte{0xC2, 0}) },
		errControl.Error():     func(c *chattest.Conn) { c.Raw([]byte{0x09, 0}) },
		errLength.Error():      func(c *chattest.Conn) { c.Raw([]byte{0x82, 126, 0, 5}) },
		errContinues.Error():   func(c *chattest.Conn) { c.Raw([]byte{0x80, 0}) },
		errInterleaved.Error(): func(c *chattest.Conn) { c.Raw([]byte{0x02, 0, 0x82, 0}) },
		errTooBig.Error():      func(c *chattest.Conn) { c.Raw([]byte{0x82, 127, 0, 0, 0, 1, 0, 0, 0, 0}) },
		errOpcode.Error():      func(c *chattest.Conn) { c.Raw([]byte{0x81, 0}) },
		errNotProto.Error():    func(c *chattest.Conn) { c.Raw([]byte{0x82, 1, 0xFF}) },
		errSignInLogs.Error():  nil,
		"read: EOF":            func(c *chattest.Conn) { c.Cut() },
		"closed: 4003 CODE_TOKEN_EXPIRED": func(c *chattest.Conn) {
			c.Send(&chatv1.ServerFrame{Body: &chatv1.ServerFrame_Error{Error: &chatv1.Error{Code: chatv1.Error_CODE_TOKEN_EXPIRED}}})
			c.Close(4003)
		},
	}
	for class, wrong := range tests {
		t.Run(class, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 1)
			if wrong == nil {
				var mu sync.Mutex
				first := true
				r.server.OnState = func(_ *chattest.Conn, _ *chatv1.Cursor, s *chatv1.LogState) {
					mu.Lock()
					defer mu.Unlock()
					if first {
						s.Log = "other"
					}
					first = false
				}
			}
			r.start()
			if wrong != nil {
				wrong(r.server.Conns()[0])
			}
			r.until("the session is back", func(c Counters) bool { return c.Cuts == 1 && c.SignedInNow == 1 })
			if got := r.swarm.Progress().Errors; got[class] != 1 {
				t.Errorf("errors are %v, want one %q", got, class)
			}
		})
	}
}

func TestARefusedLogIsTriedAgainOrGivenUp(t *testing.T) {
	r := newRig(t, 4)
	r.cfg.Logs = []string{"c1", "c2"}
	r.cfg.Attach = append(r.cfg.Attach, Attachment{Log: 1, First: 0, Count: 4, Step: 2}) // sessions 0, 2 (4, 6 are not there)
	var mu sync.Mutex
	refusals := 0
	r.server.OnState = func(c *chattest.Conn, cur *chatv1.Cursor, s *chatv1.LogState) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case cur.Log == "c1" && c.User == "sim-1" && refusals < 2:
			refusals++
			s.Status, s.Error = chatv1.LogState_STATUS_REFUSED, &chatv1.Error{Code: chatv1.Error_CODE_UNAVAILABLE, RetryAfterMs: 1}
		case cur.Log == "c2" && c.User == "sim-2":
			s.Status, s.Error = chatv1.LogState_STATUS_REFUSED, &chatv1.Error{Code: chatv1.Error_CODE_DENIED}
		}
	}
	r.cfg.Endpoints = []string{r.server.Listen(t)}
	var err error
	if r.swarm, err = New(t.Context(), r.cfg); err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	r.end, r.done = end, make(chan error, 1)
	go func() { r.done <- r.swarm.Run(ctx) }()
	defer func() { end(); <-r.done }()
	r.swarm.Start()
	r.until("all but one are subscribed", func(c Counters) bool { return c.Subscribed == 3 })
	r.post(10)
	res := r.finish(true)
	if c := res.Counters; c.Refused != 1 || res.Errors["attach: CODE_UNAVAILABLE"] != 2 || res.Errors["attach: CODE_DENIED"] != 1 {
		t.Errorf("%d refused, errors %v", c.Refused, res.Errors)
	}
	if v := res.Verification; v.Cursors != 5 || v.Expected != 40 || v.Delivered != 40 {
		t.Errorf("%+v", v)
	}
}

func TestBadTokensAndClosedPortsAreNamed(t *testing.T) {
	r := newRig(t, 2)
	r.server.User = func(token string) (string, error) {
		if token == "sim-1" {
			return "", errors.New("forged")
		}
		return token, nil
	}
	dead := r.server.Listen(t)
	r.server.Close(dead)
	r.cfg.Endpoints = []string{dead, r.server.Listen(t)}
	var err error
	if r.swarm, err = New(t.Context(), r.cfg); err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.swarm.Run(ctx) }()
	defer func() { end(); <-done }()
	r.swarm.Start()
	r.until("one is signed in and the other was refused", func(c Counters) bool { return c.SignedIn == 1 && c.Established == 2 && c.Dials > 6 })
	p := r.swarm.Progress()
	if p.Errors["error: CODE_UNAUTHENTICATED"] == 0 {
		t.Errorf("errors are %v", p.Errors)
	}
	refused := false
	for class := range p.Errors {
		refused = refused || strings.HasPrefix(class, "connect: ")
	}
	if !refused || p.Counters.SignedInNow != 1 {
		t.Errorf("%+v, errors %v", p.Counters, p.Errors)
	}
}
