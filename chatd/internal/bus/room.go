package bus

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/chatfleet/chatfleet/chatd/internal/wire"
)

const (
	// roomPoll is how often a store looks at its volume, and tells the others if it is full, or was until now. What can be written meanwhile must
	// fit what is left above Config.FullAt.
	roomPoll = 250 * time.Millisecond
	// roomWord is how often one with room says so.
	roomWord = 2 * time.Second
	// wordFor is how long a store's word holds: one that is gone takes no part in a quorum, whatever its volume.
	wordFor = 10 * time.Second
	// roomMargin is how far below FullAt the use must come before posts are taken again, so that the bound is not crossed to and fro.
	roomMargin = 0.05
)

// errBroken ends a store that could not write, once there is room. errGivenUp is why it is not ready before.
var (
	errBroken  = errors.New("a write to this store's volume failed and the embedded server gave up; there is room now: start this member anew, which loses nothing")
	errGivenUp = errors.New("the embedded server could not write and has given up: make room on the volume, and this member ends, to be started anew")
)

// room knows whether the stores' volumes have room. Once one of them is as full as Config.FullAt says, all owners of the region refuse
// what would make a log grow: a stream's quorum may need any of the stores, and a volume that is really full ends the embedded server. All
// stores count, also where a stream has fewer copies than there are stores.
type room struct {
	cfg Config
	nc  *nats.Conn
	// volume is the package's, but for tests.
	volume func(dir string) (size, free uint64, err error)

	own gaugeOfRoom

	mu    sync.Mutex
	words map[string]word // of the other stores that are full
	// full is whose volume is full, as owners want it: empty if none is.
	full atomic.Pointer[string]
}

// gaugeOfRoom is how full the own volume is.
type gaugeOfRoom struct {
	full atomic.Bool
	used atomic.Uint64 // of a float64
}

func (g *gaugeOfRoom) share() float64 { return math.Float64frombits(g.used.Load()) }

// word is what another store has said.
type word struct {
	full bool
	at   time.Time
}

func newRoom(cfg Config, nc *nats.Conn) *room {
	r := &room{cfg: cfg, nc: nc, volume: volume, words: map[string]word{}}
	none := ""
	r.full.Store(&none)
	return r
}

// Full names a store that has no room for more, empty if there is none. It may be called by many goroutines.
func (r *room) Full() string { return *r.full.Load() }

// watch looks after the volumes until ctx ends.
func (r *room) watch(ctx context.Context, subject string) error {
	sub, err := r.nc.Subscribe(subject, func(m *nats.Msg) { r.heard(m.Data, time.Now()) })
	if err != nil {
		return err
	}
	defer sub.Unsubscribe() //nolint:errcheck // fails only with the connection
	tick := time.NewTicker(roomPoll)
	defer tick.Stop()
	var told time.Time
	for {
		changed := r.look()
		now := time.Now()
		r.judge(now)
		if changed || r.own.full.Load() || now.Sub(told) >= roomWord {
			r.tell(subject)
			told = now
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// look measures the own volume, and says whether that is full now and was not, or the other way round.
func (r *room) look() (changed bool) {
	size, free, err := r.volume(r.cfg.Dir)
	if err != nil || size == 0 {
		return false // a system that does not tell: nothing is refused
	}
	used := 1 - float64(free)/float64(size)
	r.own.used.Store(math.Float64bits(used))
	before := r.own.full.Load()
	full := used >= r.cfg.FullAt || before && used > r.cfg.FullAt-roomMargin
	if full == before {
		return false
	}
	r.own.full.Store(full)
	if full {
		r.cfg.Logger.Error("this store's volume is nearly full: posts are refused (FULL) in the whole region until there is room; grow the volume, or have old events go (retainAge, retainBytesPerPartition)",
			"dir", r.cfg.Dir, "used", used, "fullAt", r.cfg.FullAt, "goesOnBelow", r.cfg.FullAt-roomMargin)
	} else {
		r.cfg.Logger.Info("this store's volume has room again", "dir", r.cfg.Dir, "used", used)
	}
	return true
}

// tell tells the others.
func (r *room) tell(subject string) {
	used := r.own.share()
	data, err := proto.Marshal(&wire.Room{Store: r.cfg.Name, Full: r.own.full.Load(), UsedPermille: uint32(used * 1000)})
	if err == nil {
		_ = r.nc.Publish(subject, data) // said again soon
	}
}

func (r *room) heard(data []byte, now time.Time) {
	said := new(wire.Room)
	if proto.Unmarshal(data, said) != nil || said.GetStore() == r.cfg.Name {
		return
	}
	r.mu.Lock()
	before := r.words[said.GetStore()]
	r.words[said.GetStore()] = word{said.GetFull(), now}
	r.mu.Unlock()
	if before.full != said.GetFull() {
		r.cfg.Logger.Info("another store's volume", "store", said.GetStore(), "full", said.GetFull(), "usedPermille", said.GetUsedPermille())
		r.judge(now)
	}
}

// judge says whether anything that grows is to be refused.
func (r *room) judge(now time.Time) {
	full := ""
	if r.own.full.Load() {
		full = r.cfg.Name
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for store, w := range r.words {
		switch {
		case now.Sub(w.at) > wordFor:
			delete(r.words, store)
		case w.full && full == "":
			full = store
		}
	}
	r.full.Store(&full)
}

// watchRoom looks after the volumes, and after the embedded server: when a write fails, for want of room most likely, it takes no further one,
// and often gives up all its streams. Then nothing is acknowledged any more by this store, nothing that was is lost, and it does not come back
// by itself.
func (s *Store) watchRoom(ctx context.Context) {
	s.done.Go(func() {
		if err := s.room.watch(ctx, "room."+s.cfg.Region); err != nil {
			s.cfg.Logger.Error("the other stores are not heard on whether they have room", "err", err)
		}
	})
	s.done.Go(func() { s.watchBroken(ctx) })
}

// watchBroken tells failed of such a store once its volume has room: to end before would only be to fail to start.
func (s *Store) watchBroken(ctx context.Context) {
	tick := time.NewTicker(2 * roomPoll) // so that the volume has been looked at since
	defer tick.Stop()
	said := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		switch broken := s.broken.Load(); {
		case broken && !said:
			said = true
			s.cfg.Logger.Error("the embedded server could not write and has given up: this store takes no part until it is started anew, once its volume has room; nothing that was acknowledged is lost",
				"dir", s.cfg.Dir, "used", s.room.own.share())
		case broken && !s.room.own.full.Load():
			s.fail(errBroken)
			return
		}
	}
}

// fail says that the store must be started anew; the first reason counts.
func (s *Store) fail(err error) {
	select {
	case s.failed <- err:
	default:
	}
}

// Failed brings the error of a store that must be started anew.
func (s *Store) Failed() <-chan error { return s.failed }
