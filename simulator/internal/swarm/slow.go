package swarm

import (
	"context"
	"math"
	"time"

	"golang.org/x/sys/unix"
)

// Slow readers are sessions that take little of what they are sent, or nothing, once they are signed in: a phone in a tunnel, a
// program that hangs. A server may tell them that they are too far behind, or close them; then they come back, and read as slowly.
// They go on with their pings, so that it is their reading that the server has to judge them by.
//
// While they are awake, and from Settle on, they read like everybody, and must come to the head of their logs by the same rule.

const (
	// slowBufferBytes keeps the kernel from reading for them: with buffers of the usual size a server notices after megabytes.
	slowBufferBytes = 4 << 10
	// The slow readers take turns, so that thousands of them do not hold up a loop.
	slowTurns     = 10
	slowTurnEvery = 10 * time.Millisecond
)

// readsSlowly says who does: as many as wanted, who begin at no particular shard.
func readsSlowly(session int, share float64) bool {
	return picked(session, share, 0)
}

// picked picks one session at random of each 1/share; others with another salt.
func picked(session int, share float64, salt uint64) bool {
	if share <= 0 {
		return false
	}
	block := math.Floor(float64(session) * share)
	first, next := int(math.Ceil(block/share)), int(math.Ceil((block+1)/share))
	return session == first+int(mix(uint64(block)^salt)%uint64(max(next-first, 1)))
}

// dozes tells the sessions that do not read as fast as they can, at this time.
func (l *loop) dozes(s *session) bool {
	return s.is(flagSlow) && s.state == signedIn && !l.awake
}

// interest is what epoll has to watch for on a connected session.
func (l *loop) interest(s *session) uint32 {
	if l.dozes(s) {
		return 0 // It tells of errors all the same.
	}
	return unix.EPOLLIN | unix.EPOLLRDHUP
}

// readSlowly lets the slow readers whose turn it is read, or all of them without bounds once the swarm settles.
func (l *loop) readSlowly(now int64) {
	if len(l.slow) == 0 {
		return
	}
	if awake := l.control.awake.Load() || l.control.heads.Load() != nil; awake != l.awake {
		l.turn(awake, now)
	}
	if l.awake || l.slowRate == 0 || now < l.slowNext {
		return
	}
	// After a delay the turns go on from here: a slow reader has nothing to catch up on.
	l.slowNext = now + int64(slowTurnEvery)
	most := max(l.slowRate*slowTurns*int(slowTurnEvery/time.Millisecond)/1000, 1)
	for k := l.slowTurn; k < len(l.slow); k += slowTurns {
		if s := &l.sessions[l.slow[k]]; s.fd >= 0 && l.dozes(s) {
			l.readable(l.slow[k], most)
		}
	}
	l.slowTurn = (l.slowTurn + 1) % slowTurns
}

// Wake lets the slow readers read like everybody, or slowly again. It is so within some milliseconds.
func (s *Swarm) Wake(awake bool) {
	for _, l := range s.loops {
		l.control.awake.Store(awake)
	}
}

// turn lets the slow readers read like everybody, or slowly again.
func (l *loop) turn(awake bool, now int64) {
	l.awake = awake
	for _, i := range l.slow {
		s := &l.sessions[i]
		if s.fd < 0 || s.state != signedIn {
			continue
		}
		events := l.interest(s)
		if s.is(flagWriting) {
			events |= unix.EPOLLOUT
		}
		if err := l.watch(i, unix.EPOLL_CTL_MOD, events); err != nil {
			l.cut(i, "epoll: "+err.Error(), now)
		}
	}
}

// cutOrder asks for the end of some connections.
type cutOrder struct {
	salt  uint64
	share float64
}

// Cut breaks the connections of a share (0 to 1) of all sessions at once, in the way of a network that is gone: with a reset, and
// without a word. Which ones follows from the seed and order, whatever process holds them. They come back by the rule for clients.
// It returns how many were signed in.
func (s *Swarm) Cut(ctx context.Context, order int, share float64) (sessions int64, err error) {
	cut := &cutOrder{salt: mix(s.cfg.Seed + uint64(order)), share: share}
	for _, l := range s.loops {
		l.control.cut.Store(cut)
	}
	tick := time.NewTicker(HiccupEvery)
	defer tick.Stop()
	for {
		sessions, done := int64(0), true
		for _, l := range s.loops {
			l.shared.Lock()
			sessions += l.shared.cut
			done = done && l.shared.cutOrder == cut
			l.shared.Unlock()
		}
		if done {
			return sessions, nil
		}
		select {
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// cutDue carries out an order that is new.
func (l *loop) cutDue(now int64) {
	order := l.control.cut.Load()
	if order == l.cutOrder {
		return
	}
	l.cutOrder = order
	before := l.counters.Aborted
	for i := range l.sessions {
		s := &l.sessions[i]
		if s.fd < 0 || unit(mix(order.salt^mix(uint64(l.number(int32(i)))))) >= order.share {
			continue
		}
		if s.state == signedIn {
			l.counters.Aborted++
		}
		// Closed with this, the kernel sends a reset and forgets the connection.
		_ = unix.SetsockoptLinger(int(s.fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		l.cut(int32(i), "cut on purpose", now)
	}
	l.publish()
	l.shared.Lock()
	l.shared.cutOrder, l.shared.cut = order, l.counters.Aborted-before
	l.shared.Unlock()
}

// unit maps a random number to [0, 1).
func unit(x uint64) float64 { return float64(x>>11) / (1 << 53) }
