package owner_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/chatfleet/chatfleet/chatd/internal/logid"
	"github.com/chatfleet/chatfleet/chatd/internal/owner"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

const countedChannel = "cchannel"

// Whatever happens to the owners of two partitions and to what they tell each other: in the end the channel counts who has joined, and says the
// same after both have begun anew; who is banned has left, and who was let in again since has not.
func TestTheCountIsTheTruth(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newRelayWorld(t)
		w.fail = rt.Fatal
		defer w.end()
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			user := fmt.Sprint("user", rapid.IntRange(0, 3).Draw(rt, "user"))
			p := rapid.IntRange(0, 1).Draw(rt, "partition")
			switch rapid.SampledFrom([]string{"join", "join", "join", "later", "leave", "ban", "pardon", "let in again", "arrive", "crash", "end", "stale", "stop", "go on", "lose", "replay", "wait"}).Draw(rt, "step") {
			case "join":
				w.join(user, false)
			case "later":
				w.join(user, true)
			case "leave":
				w.leave(user)
			case "ban":
				w.setRole(user, chatv1.Role_ROLE_BANNED)
			case "pardon":
				w.setRole(user, chatv1.Role_ROLE_MEMBER)
			case "let in again": // perhaps before his own log has heard that he was banned
				w.setRole(user, chatv1.Role_ROLE_BANNED)
				w.setRole(user, chatv1.Role_ROLE_MEMBER)
				w.join(user, false)
			case "arrive":
				w.arrive(user)
			case "crash":
				w.crash(p)
			case "end":
				w.owners[p].end()
				w.begin(p, nil)
			case "stale":
				w.owners[p].end()
				w.begin(p, w.copies[p])
			case "stop":
				w.stop(p)
			case "go on":
				w.goOn()
			case "lose":
				w.lossy.Store(!w.lossy.Load())
			case "replay":
				w.replay()
			case "wait":
				time.Sleep(15 * time.Millisecond)
			}
			w.copy()
		}
		w.settle()
		for p := range w.owners {
			w.crash(p)
		}
		w.settle()
	})
}

// relayWorld is two partitions, and what has truly happened to a channel's members.
type relayWorld struct {
	t       *testing.T
	fail    func(...any) // says which steps led there
	streams [2]*partition
	owners  [2]*runningOwner
	stopped []*runningOwner
	copies  [2]map[string]owner.Revision
	shard   [2]*shard
	// ahead is how much the owners' clock is ahead; lossy is whether what they tell each other is lost, doubled and late.
	ahead atomic.Int64
	lossy atomic.Bool

	mu    sync.Mutex
	heard []func() // what has been told, to be told again

	joined map[string]bool
	// onTheWay are joins that the channel's owner has agreed to, and of which the user's own log does not know yet.
	onTheWay map[string]*wire.UserNote
	banned   map[string]bool
}

type runningOwner struct {
	j    *staleJournal
	s    *shard
	stop func()
	once sync.Once
}

func (o *runningOwner) end() { o.once.Do(o.stop) }

// staleJournal reads the state stream from a replica that is behind, at first.
type staleJournal struct {
	*journal
	old   map[string]owner.Revision
	reads atomic.Int32
}

func (j *staleJournal) State(ctx context.Context, log string) (snapshot, checkpoint owner.Revision, err error) {
	if j.old == nil || j.reads.Add(1) > 4 {
		return j.journal.State(ctx, log)
	}
	if log != "" {
		snapshot = j.old[log]
	}
	return snapshot, j.old[""], nil
}

func newRelayWorld(t *testing.T) *relayWorld {
	w := &relayWorld{t: t, joined: map[string]bool{}, onTheWay: map[string]*wire.UserNote{}, banned: map[string]bool{}}
	for p := range w.streams {
		w.streams[p] = newPartition()
		w.begin(p, nil)
	}
	w.copy()
	w.ask(countedChannel, &wire.OwnerRequest{User: "ann", Body: &wire.OwnerRequest_Create{Create: &wire.Create{
		Log: countedChannel, Request: &chatv1.CreateRequest{Kind: chatv1.LogKind_LOG_KIND_CHANNEL, Title: "t", RandomId: 1}}}})
	return w
}

func (w *relayWorld) end() {
	w.goOn()
	for _, o := range w.owners {
		o.end()
	}
}

// begin has a new owner take a partition over, whose first reads of the state may be old.
func (w *relayWorld) begin(p int, old map[string]owner.Revision) {
	o := &runningOwner{j: &staleJournal{journal: newJournal(w.streams[p]), old: old}, s: newShard()}
	o.s.others = w.carry
	cfg := config(w.t, o.j, o.s)
	cfg.Partition, cfg.Partitions, cfg.CheckpointEvents, cfg.TellAgain = p, len(w.streams), 1+rand.IntN(4), 10*time.Millisecond
	cfg.CheckpointEvery = 20 * time.Millisecond
	cfg.Now = func() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }
	o.stop = lead(cfg)
	w.mu.Lock()
	w.owners[p], w.shard[p] = o, o.s
	w.mu.Unlock()
}

// crash ends an owner of whose last writes nobody hears.
func (w *relayWorld) crash(p int) {
	o := w.owners[p]
	o.j.cut.Store(true)
	o.j.fails.Store(100)
	o.end()
	w.begin(p, nil)
}

// stop stops an owner with what it has on the way, and another one takes over.
func (w *relayWorld) stop(p int) {
	o := w.owners[p]
	o.j.hold.Lock()
	w.stopped = append(w.stopped, o)
	w.begin(p, nil)
}

// goOn lets those that were stopped go on, until they hear that they own nothing any more.
func (w *relayWorld) goOn() {
	for _, o := range w.stopped {
		o.j.hold.Unlock()
		time.Sleep(time.Duration(rand.IntN(10)) * time.Millisecond)
		o.end()
	}
	w.stopped = nil
}

func (w *relayWorld) copy() {
	for p, s := range w.streams {
		if rand.IntN(3) == 0 {
			s.mu.Lock()
			w.copies[p] = maps.Clone(s.state)
			s.mu.Unlock()
		}
	}
}

// carry brings what one partition tells another there; not, or twice, or late, if it is lossy.
func (w *relayWorld) carry(ctx context.Context, to int, req *wire.OwnerRequest) (*wire.OwnerReply, error) {
	answer := make(chan *wire.OwnerReply, 4)
	deliver := func() {
		w.mu.Lock()
		s := w.shard[to]
		w.mu.Unlock()
		s.mu.Lock()
		ask := s.ask
		s.mu.Unlock()
		if ask != nil {
			ask(req, func(r *wire.OwnerReply) {
				select {
				case answer <- r:
				default:
				}
			})
		}
	}
	w.mu.Lock()
	w.heard = append(w.heard, deliver)
	w.mu.Unlock()
	fate := 9
	if w.lossy.Load() {
		fate = rand.IntN(10)
	}
	if fate < 4 {
		return nil, errors.New("lost")
	}
	if fate < 6 {
		time.Sleep(time.Duration(rand.IntN(10)) * time.Millisecond)
	}
	deliver()
	if fate < 8 {
		deliver()
	}
	if fate == 8 {
		return nil, errors.New("the answer is lost")
	}
	ctx, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	select {
	case r := <-answer:
		return r, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// replay tells again what was told at any time, in any order.
func (w *relayWorld) replay() {
	w.mu.Lock()
	heard := w.heard
	w.mu.Unlock()
	for range min(len(heard), 5) {
		heard[rand.IntN(len(heard))]()
	}
}

func (w *relayWorld) ask(log string, req *wire.OwnerRequest) *wire.OwnerReply {
	w.t.Helper()
	return w.owners[logid.Partition(log, len(w.owners))].s.request(w.t, req)
}

func (w *relayWorld) note(user string, n *wire.UserNote) {
	w.t.Helper()
	n.UserLog, n.Log, n.Kind = logid.User(user), countedChannel, chatv1.LogKind_LOG_KIND_CHANNEL
	if r := w.ask(n.UserLog, &wire.OwnerRequest{User: user, Body: &wire.OwnerRequest_Note{Note: n}}); r.Error != nil {
		w.t.Fatal(r.Error)
	}
}

// join has a user join, as a shard does it: the channel's owner says whether he may, then his own log notes it, now or later.
func (w *relayWorld) join(user string, later bool) {
	w.arrive(user)
	r := w.ask(countedChannel, &wire.OwnerRequest{User: user, Body: &wire.OwnerRequest_Join{Join: &chatv1.JoinRequest{Log: countedChannel}}})
	if (r.Error != nil) != w.banned[user] {
		w.t.Fatalf("%s, banned: %v, joins: %v", user, w.banned[user], r.Error)
	}
	if r.Error != nil {
		return
	}
	w.joined[user] = true
	w.onTheWay[user] = &wire.UserNote{AsOf: r.Pts, LastBan: r.LastBan}
	if !later {
		w.arrive(user)
	}
}

func (w *relayWorld) arrive(user string) {
	if n := w.onTheWay[user]; n != nil {
		w.note(user, n)
		delete(w.onTheWay, user)
	}
}

func (w *relayWorld) leave(user string) {
	w.arrive(user)
	w.note(user, &wire.UserNote{Left: true})
	w.joined[user] = false
}

func (w *relayWorld) setRole(user string, role chatv1.Role) {
	if r := w.ask(countedChannel, &wire.OwnerRequest{User: "ann", Body: &wire.OwnerRequest_SetRole{SetRole: &chatv1.SetRoleRequest{
		Log: countedChannel, User: user, Role: role}}}); r.Error != nil {
		w.t.Fatal(r.Error)
	}
	if w.banned[user] = role == chatv1.Role_ROLE_BANNED; w.banned[user] {
		w.joined[user] = false
	}
}

// settle has everything arrive, and waits for the truth.
func (w *relayWorld) settle() {
	w.lossy.Store(false)
	w.goOn()
	for user := range w.joined {
		w.arrive(user)
	}
	w.ahead.Add(int64(2 * time.Minute)) // bans are told for the last time
	wrong := "nothing was asked"
	for begun := time.Now(); wrong != "" && !w.t.Failed(); time.Sleep(2 * time.Millisecond) {
		if time.Since(begun) > 20*time.Second {
			w.fail(wrong)
		}
		wrong = w.wrong()
	}
}

// wrong says what is not the truth.
func (w *relayWorld) wrong() string {
	want := uint32(0)
	for user, in := range w.joined {
		mine := logid.User(user)
		r := w.ask(mine, &wire.OwnerRequest{User: user, Body: &wire.OwnerRequest_LookUp{LookUp: &wire.LookUp{Log: mine, Joined: countedChannel}}})
		if r.Joined != in {
			return fmt.Sprintf("the log of %s says that he has joined: %v, which is not so", user, r.Joined)
		}
		if in {
			want++
		}
	}
	if got := w.ask(countedChannel, fetchRequest(countedChannel, 0, 1, false)).GetInfo().GetMembers(); got != want {
		return fmt.Sprintf("the channel counts %d members, and has %d", got, want)
	}
	return ""
}
