package swarm

import (
	"errors"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

const (
	// maxWait bounds how long a server can send a session away.
	maxWait = 10 * time.Minute
	// maxAttempt bounds the doubling of the pause, so that an hour doubled so often still is a duration.
	maxAttempt = 16
)

// dialDue makes the first connects whose turn it is. The schedule is fixed by the rate alone: a server that is slow to
// accept does not slow it down, until MaxConnecting are under way.
func (l *loop) dialDue(now int64) {
	if l.connectNs == 0 {
		l.connectNs = now
	}
	for l.nextDial < len(l.sessions) {
		due := l.connectNs
		if l.rate > 0 {
			due += int64(float64(l.nextDial*l.of+l.index) / l.rate * float64(time.Second))
		}
		if now < due {
			return
		}
		if l.under >= l.maxUnder {
			l.counters.ConnectsHeld++
			return
		}
		l.counters.Dialled++
		l.levels.wanted.Add(time.Duration(due-l.runNs), 1)
		l.sessions[l.nextDial].since = l.sinceStart(now)
		l.nextDial++
		l.dial(int32(l.nextDial-1), now)
	}
}

// dial begins a connection to the session's next endpoint.
func (l *loop) dial(i int32, now int64) {
	s := &l.sessions[i]
	l.counters.Dials++
	if s.is(flagSignedIn) {
		l.counters.Reconnects++
	}
	fd, done, err := openSocket(l.addressOf(i), l.sources, l.number(i), s.is(flagSlow))
	s.conn++
	s.state = connecting
	l.under++
	if err != nil {
		l.cut(i, err.Error(), now)
		return
	}
	s.fd = int32(fd)
	if err := l.watch(i, unix.EPOLL_CTL_ADD, unix.EPOLLOUT); err != nil {
		l.cut(i, "epoll: "+err.Error(), now)
		return
	}
	l.timer(i, now, l.behaviour.ConnectWithin)
	if done {
		l.connected(i)
	}
}

// addressOf is where to connect to: the endpoint, or what stands before it.
func (l *loop) addressOf(i int32) netip.AddrPort {
	if l.sessions[i].is(flagFar) {
		return l.far[route(l.number(i), int(l.sessions[i].hop), len(l.far))].addr
	}
	return l.endpointOf(i).addr
}

func (l *loop) endpointOf(i int32) *endpoint {
	return &l.endpoints[route(l.number(i), int(l.sessions[i].hop), len(l.endpoints))]
}

// home is the endpoint at which a session begins.
func (l *loop) home(i int32) int { return route(l.number(i), 0, len(l.endpoints)) }

// connected asks for the upgrade, when the TCP connection stands.
func (l *loop) connected(i int32) {
	s := &l.sessions[i]
	now := l.clock()
	code, err := unix.GetsockoptInt(int(s.fd), unix.SOL_SOCKET, unix.SO_ERROR)
	switch {
	case err != nil:
		l.cut(i, "connect: "+err.Error(), now)
		return
	case code != 0:
		l.cut(i, "connect: "+unix.Errno(code).Error(), now)
		return
	}
	if err := l.watch(i, unix.EPOLL_CTL_MOD, l.interest(s)); err != nil {
		l.cut(i, "epoll: "+err.Error(), now)
		return
	}
	s.state = upgrading
	s.ref = 0
	s.wait = 0
	l.timer(i, now, l.behaviour.SignInWithin)
	var key [24]byte
	l.out = appendHandshake(l.out[:0], l.endpointOf(i).host, l.protocol(s), l.key(i, key[:0]))
	l.write(i, l.out)
}

func (l *loop) key(i int32, dst []byte) []byte {
	return handshakeKey(dst, l.seed, uint64(l.number(i)), uint64(l.sessions[i].conn))
}

func (l *loop) protocol(s *session) string {
	if s.is(flagJSON) {
		return protocolJSON
	}
	return protocolProto
}

// upgraded signs in, with the cursors that the session has.
func (l *loop) upgraded(i int32, now int64) error {
	s := &l.sessions[i]
	if !s.is(flagEstablished) {
		s.set(flagEstablished)
		l.counters.Established++
	}
	s.state = signingIn
	l.levels.established.Add(time.Duration(now-l.runNs), 1)
	from, to := l.cursorsOf(i)
	s.detached = uint16(to - from)
	cursors := make([]*chatv1.Cursor, 0, to-from)
	for ci := from; ci < to; ci++ {
		cursors = append(cursors, l.cursorAt(ci))
	}
	in := &chatv1.SignInRequest{Device: "swarm", Client: "chatfleet-simulator", Cursors: cursors}
	// One or the other, so that the answer tells which of them was good.
	if in.ResumeToken = l.resumes.token(i, l.sinceStart(now)); in.ResumeToken != "" {
		s.set(flagResuming)
	} else {
		in.Token = l.token(i)
	}
	_, err := l.request(i, &chatv1.ClientFrame{Body: &chatv1.ClientFrame_SignIn{SignIn: in}})
	return err
}

func (l *loop) cursorAt(ci int32) *chatv1.Cursor {
	c := &l.book.cursors[ci]
	if c.state == cursorNew {
		return &chatv1.Cursor{Log: l.logs[c.log]}
	}
	return &chatv1.Cursor{Log: l.logs[c.log], Epoch: c.epoch, Pts: c.pts}
}

// cut ends a session's connection, whatever it was, counts why, and plans the next one.
func (l *loop) cut(i int32, why string, now int64) {
	l.errors.add(why, 1)
	l.drop(i, now)
	s := &l.sessions[i]
	s.hop++
	l.timer(i, now, l.pause(s))
	s.attempt = min(s.attempt+1, maxAttempt)
	s.state = pausing
}

// pause is full jitter, so that those who lost a shard together do not come back together; what the server asked for
// goes before.
func (l *loop) pause(s *session) time.Duration {
	if s.wait > 0 {
		wait := min(time.Duration(s.wait)*time.Millisecond, maxWait)
		s.wait = 0
		return wait + time.Duration(l.random.Int64N(int64(wait)))
	}
	ceiling := min(l.behaviour.BackoffCap, l.behaviour.BackoffBase<<s.attempt)
	return time.Duration(l.random.Int64N(int64(ceiling)))
}

// drop closes the socket and forgets all that belonged to the connection.
func (l *loop) drop(i int32, now int64) {
	s := &l.sessions[i]
	at := time.Duration(now - l.runNs)
	switch s.state {
	case connecting, upgrading:
		l.under--
	case signingIn:
		l.under--
		l.levels.established.Add(at, -1)
	case signedIn:
		l.counters.Cuts++
		l.counters.SignedInNow--
		l.levels.established.Add(at, -1)
		l.levels.signedIn.Add(at, -1)
		l.away(s, now)
	}
	if s.fd >= 0 {
		unix.Close(int(s.fd)) // takes it out of the epoll set as well
		s.fd = -1
	}
	l.wheel.stop(i)
	l.partials.release(s)
	s.clear(flagPinged | flagWriting | flagResuming)
	from, to := l.cursorsOf(i)
	for ci := from; ci < to; ci++ {
		if gap := l.book.cursors[ci].gap; gap != 0 {
			l.wheel.stop(l.gapNode(gap))
		}
		l.book.disconnected(ci)
	}
}

// sinceStart is a moment as a session keeps it.
func (l *loop) sinceStart(now int64) uint32 { return uint32((now - l.startNs) / int64(signInUnit)) }

// away notes when a session lost its connection.
func (l *loop) away(s *session, now int64) {
	s.since = l.sinceStart(now)
	if s.is(flagSlow) {
		l.counters.SlowCuts++
		return
	}
	l.counters.AwayNow++
	l.losses.Add(time.Duration(now-l.runNs), 1)
}

// back notes that a session is signed in again. What a slow reader brings on itself is not in the figures.
func (l *loop) back(s *session, now int64) {
	if s.is(flagSlow) {
		return
	}
	l.counters.AwayNow--
	took := time.Duration(now-l.startNs) - time.Duration(s.since)*signInUnit
	l.returns.Record(took)
	if s.is(flagResuming) {
		l.counters.ReturnsResumed++
	}
	l.waits.Add(time.Duration(now-l.runNs)-took, took)
}

// pingDue sends a ping, or gives up a connection on which the last one was not answered.
func (l *loop) pingDue(i int32, now int64) {
	s := &l.sessions[i]
	switch {
	case s.is(flagPinged):
		l.cut(i, "timeout: pong", now)
		return
	case l.dozes(s):
		// It would not see the answer. Without the ping it would be closed for its silence, and not for what it does not read.
		l.timer(i, now, l.pingEvery)
	default:
		s.set(flagPinged)
		l.timer(i, now, l.behaviour.AnswerWithin)
	}
	l.counters.Pings++
	l.ping.GetPing().Nonce = uint64(s.conn)
	if _, err := l.request(i, &l.ping); err != nil {
		l.cut(i, err.Error(), now)
		return
	}
	l.renewDue(i, now)
}

// request sends a frame with the session's next ref, and returns that.
func (l *loop) request(i int32, f *chatv1.ClientFrame) (uint32, error) {
	s := &l.sessions[i]
	s.ref++
	f.Ref = s.ref
	op := byte(opBinary)
	if s.is(flagJSON) {
		op = opText
	}
	var err error
	if l.payload, err = appendRequest(l.payload[:0], f, s.is(flagJSON)); err != nil {
		return 0, err
	}
	l.send(i, op, l.payload)
	return s.ref, nil
}

// send writes a frame.
func (l *loop) send(i int32, op byte, payload []byte) {
	l.out = appendFrame(l.out[:0], op, payload, l.random.Uint32())
	l.write(i, l.out)
}

// write sends bytes, and keeps what the socket does not take. A connection that fails here is found out by its next read,
// so that nobody up the stack has to expect its session to be gone.
func (l *loop) write(i int32, b []byte) {
	s := &l.sessions[i]
	if s.fd < 0 {
		return
	}
	if s.partial == 0 || len(l.partials.of(s).out) == 0 {
		n, err := unix.Write(int(s.fd), b)
		l.counters.BytesSent += int64(max(n, 0))
		if n == len(b) || err != nil && !errors.Is(err, unix.EAGAIN) {
			return
		}
		b = b[max(n, 0):]
	}
	p := l.partials.of(s)
	if len(p.out)+len(b) > maxUnsentBytes {
		unix.Shutdown(int(s.fd), unix.SHUT_RDWR)
		return
	}
	p.out = append(p.out, b...)
	if !s.is(flagWriting) && l.watch(i, unix.EPOLL_CTL_MOD, l.interest(s)|unix.EPOLLOUT) == nil {
		s.set(flagWriting)
	}
}

// flush writes what was kept.
func (l *loop) flush(i int32) {
	s := &l.sessions[i]
	p := l.partials.of(s)
	n, err := unix.Write(int(s.fd), p.out)
	l.counters.BytesSent += int64(max(n, 0))
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		n = len(p.out) // the next read says why
	}
	p.out = p.out[:copy(p.out, p.out[max(n, 0):])]
	if len(p.out) > 0 {
		return
	}
	s.clear(flagWriting)
	if p.empty() {
		l.partials.release(s)
	}
	if err := l.watch(i, unix.EPOLL_CTL_MOD, l.interest(s)); err != nil {
		unix.Shutdown(int(s.fd), unix.SHUT_RDWR)
	}
}
