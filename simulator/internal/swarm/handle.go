package swarm

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

const signInRef = 1 // the first request on a connection

var (
	errEarly      = errors.New("protocol: an answer before the sign-in's")
	errSignInLogs = errors.New("protocol: the sign-in's answer has not one entry for each cursor")
)

// handle takes what the fast path left: answers, and events that are unusual.
func (l *loop) handle(i int32, f *chatv1.ServerFrame, now int64) error {
	s := &l.sessions[i]
	switch body := f.GetBody().(type) {
	case *chatv1.ServerFrame_Event:
		ev := eventOf(body.Event, l.logID)
		l.logID = ev.log
		l.push(i, &ev, now)
	case *chatv1.ServerFrame_Pong:
		if s.is(flagPinged) {
			s.clear(flagPinged)
			l.timer(i, now, l.pingEvery)
		}
	case *chatv1.ServerFrame_SignedIn:
		if s.state != signingIn || f.GetRef() != signInRef {
			return errEarly
		}
		return l.signedIn(i, body.SignedIn, now)
	case *chatv1.ServerFrame_Renewed:
		l.keepResume(i, body.Renewed.GetResume(), now)
	case *chatv1.ServerFrame_Attached:
		l.attached(i, f.GetRef(), body.Attached, now)
	case *chatv1.ServerFrame_Difference:
		l.difference(i, f.GetRef(), body.Difference, now)
	case *chatv1.ServerFrame_TooLong:
		if s.is(flagSlow) {
			l.counters.SlowTooLong++
		}
		if ci := l.find(i, []byte(body.TooLong.GetLog())); ci >= 0 {
			l.do(i, ci, l.book.tooLong(ci, i, body.TooLong.GetEpoch(), body.TooLong.GetPts()), now)
		}
	case *chatv1.ServerFrame_ComeBack:
		l.counters.ComeBacks++
		s.wait = body.ComeBack.GetAfterMs()
	case *chatv1.ServerFrame_Error:
		return l.refused(i, f.GetRef(), body.Error, now)
	}
	return nil
}

// signedIn begins the session proper.
func (l *loop) signedIn(i int32, answer *chatv1.SignInResponse, now int64) error {
	s := &l.sessions[i]
	from, to := l.cursorsOf(i)
	if len(answer.GetLogs()) != int(to-from) {
		return errSignInLogs
	}
	s.state = signedIn
	s.attempt = 0
	l.under--
	l.counters.SignedInNow++
	l.levels.signedIn.Add(time.Duration(now-l.runNs), 1)
	if !s.is(flagSignedIn) {
		s.set(flagSignedIn)
		l.counters.SignedIn++
		l.signIn.Record(time.Duration(now-l.startNs) - time.Duration(s.since)*signInUnit)
	} else {
		l.back(s, now)
	}
	l.signIns.Add(time.Duration(now-l.runNs), 1)
	if s.is(flagResuming) {
		l.counters.Resumed++
		l.resumed.Add(time.Duration(now-l.runNs), 1)
	}
	l.serverAhead = answer.GetServerTimeMs()*int64(time.Millisecond) - now
	l.keepResume(i, answer.GetResume(), now)
	if l.dozes(s) {
		if err := l.watch(i, unix.EPOLL_CTL_MOD, l.interest(s)); err != nil {
			return err
		}
	}
	if within := answer.GetLimits().GetPingWithinMs(); within > 0 {
		// A third leaves room for a ping that is late and one that is lost with its connection's delay.
		l.pingEvery = min(l.behaviour.PingEvery, time.Duration(within)*time.Millisecond/3)
	}
	l.timer(i, now, l.pingEvery/2+time.Duration(l.random.Int64N(int64(l.pingEvery/2+1))))
	for k, state := range answer.GetLogs() {
		ci := from + int32(k)
		if state.GetLog() != l.logs[l.book.cursors[ci].log] {
			return errSignInLogs
		}
		l.logState(i, ci, state, now)
	}
	l.maybeSubscribed(i)
	return nil
}

// logState takes the server's answer to one cursor.
func (l *loop) logState(i, ci int32, state *chatv1.LogState, now int64) {
	if state.GetStatus() == chatv1.LogState_STATUS_REFUSED {
		l.attachRefused(i, ci, state.GetError(), now)
		return
	}
	l.sessions[i].detached--
	behind := state.GetStatus() == chatv1.LogState_STATUS_BEHIND
	l.do(i, ci, l.book.attached(ci, i, state.GetEpoch(), state.GetPts(), behind), now)
}

func (l *loop) maybeSubscribed(i int32) {
	if s := &l.sessions[i]; s.detached == 0 && !s.is(flagSubscribed) {
		s.set(flagSubscribed)
		l.counters.Subscribed++
	}
}

// attachRefused tries again later where the error may pass.
func (l *loop) attachRefused(i, ci int32, e *chatv1.Error, now int64) {
	l.errors.add("attach: "+e.GetCode().String(), 1)
	if !passes(e.GetCode()) {
		l.counters.Refused++
		l.do(i, ci, l.book.refused(ci), now)
		return
	}
	g := l.book.gapOf(ci, i)
	g.attach, g.ref = true, 0
	l.wheel.set(l.gapNode(l.book.cursors[ci].gap), now-l.startNs+int64(l.retryAfter(e)))
}

// retryAfter is what an error asks for, and at least the pause of a gap, with as much again at random.
func (l *loop) retryAfter(e *chatv1.Error) time.Duration {
	after := max(time.Duration(e.GetRetryAfterMs())*time.Millisecond, l.behaviour.HoldGap)
	return after + time.Duration(l.random.Int64N(int64(after)))
}

// passes tells the errors after which the same request may succeed.
func passes(code chatv1.Error_Code) bool {
	switch code {
	case chatv1.Error_CODE_UNSPECIFIED, chatv1.Error_CODE_TOO_MANY, chatv1.Error_CODE_UNAVAILABLE,
		chatv1.Error_CODE_DRAINING, chatv1.Error_CODE_INTERNAL:
		return true
	}
	return false
}

// attached takes the answer to an attach that was tried again.
func (l *loop) attached(i int32, ref uint32, answer *chatv1.AttachResponse, now int64) {
	ci := l.waiting(i, ref)
	if ci < 0 || len(answer.GetLogs()) != 1 {
		return
	}
	l.book.gaps.at(l.book.cursors[ci].gap).ref = 0
	l.logState(i, ci, answer.GetLogs()[0], now)
	l.maybeSubscribed(i)
}

// difference takes the answer to a difference.
func (l *loop) difference(i int32, ref uint32, d *chatv1.DifferenceResponse, now int64) {
	ci := l.waiting(i, ref)
	if ci < 0 {
		return
	}
	s, c := &l.sessions[i], &l.book.cursors[ci]
	a := &l.answer
	*a = answer{kind: kindOf(d.GetKind()), epoch: d.GetCursor().GetEpoch(), pts: d.GetCursor().GetPts(), events: a.events[:0]}
	for _, e := range d.GetEvents() {
		if e.GetLog() != l.logs[c.log] || e.GetEpoch() != a.epoch {
			l.counters.Stray++
			continue
		}
		ev := eventOf(e, l.logID)
		l.logID = ev.log
		a.events = append(a.events, answerEvent{ev.pts, contentOf(ev.data, l.book.run)})
	}
	l.book.meter.from(l.home(i), s)
	l.do(i, ci, l.book.answered(ci, a, now), now)
}

func kindOf(k chatv1.DifferenceResponse_Kind) answerKind {
	switch k {
	case chatv1.DifferenceResponse_KIND_SLICE:
		return answerSlice
	case chatv1.DifferenceResponse_KIND_FINAL:
		return answerFinal
	case chatv1.DifferenceResponse_KIND_TOO_LONG:
		return answerTooLong
	}
	return answerEmpty
}

// waiting returns the cursor whose request had this ref, below 0 if none had.
func (l *loop) waiting(i int32, ref uint32) int32 {
	from, to := l.cursorsOf(i)
	for ci := from; ci < to && ref != 0; ci++ {
		if gap := l.book.cursors[ci].gap; gap != 0 && l.book.gaps.at(gap).ref == ref {
			return ci
		}
	}
	return -1
}

// refused takes an error frame: one that closes the session, that refuses the sign-in, or that answers a request.
func (l *loop) refused(i int32, ref uint32, e *chatv1.Error, now int64) error {
	s := &l.sessions[i]
	class := errors.New("error: " + e.GetCode().String())
	if ref == 0 || ref == signInRef {
		s.wait = max(s.wait, e.GetRetryAfterMs())
	}
	if s.state == signingIn && (ref == 0 || ref == signInRef) {
		l.refusedResume(i, e.GetCode())
	}
	if ref == signInRef && s.state == signingIn {
		return class
	}
	l.errors.add(class.Error(), 1)
	ci := l.waiting(i, ref)
	if ci < 0 {
		return nil
	}
	gap := l.book.cursors[ci].gap
	g := l.book.gaps.at(gap)
	g.ref = 0
	l.wheel.set(l.gapNode(gap), now-l.startNs+int64(l.retryAfter(e)))
	return nil
}

// do carries out what the book wants for a cursor.
func (l *loop) do(i, ci int32, what todo, now int64) {
	gap := l.book.cursors[ci].gap
	switch what {
	case holdOn:
		if id := l.gapNode(gap); l.book.gaps.at(gap).ref == 0 && !l.wheel.armed(id) {
			l.wheel.set(id, now-l.startNs+int64(l.behaviour.HoldGap))
		}
	case ask:
		l.ask(i, ci, now)
	case settled:
		if gap != 0 {
			l.wheel.stop(l.gapNode(gap))
			l.book.closeGap(ci)
		}
	}
}

// ask requests a difference, or the attach that the cursor waits for.
func (l *loop) ask(i, ci int32, now int64) {
	gap := l.book.cursors[ci].gap
	g := l.book.gaps.at(gap)
	f := &chatv1.ClientFrame{Body: &chatv1.ClientFrame_Attach{Attach: &chatv1.AttachRequest{Cursors: []*chatv1.Cursor{l.cursorAt(ci)}}}}
	if !g.attach {
		l.counters.Differences++
		f.Body = &chatv1.ClientFrame_Difference{Difference: &chatv1.DifferenceRequest{
			Cursor: l.cursorAt(ci), Limit: l.behaviour.DifferenceLimit}}
	}
	ref, err := l.request(i, f)
	if err != nil {
		l.errors.add(err.Error(), 1)
		return
	}
	g.ref = ref
	l.wheel.set(l.gapNode(gap), now-l.startNs+int64(l.behaviour.AnswerWithin))
}

// gapExpired asks for what was waited for, or takes a connection on which nothing was answered for dead.
func (l *loop) gapExpired(gap int32, now int64) {
	g := l.book.gaps.at(gap)
	switch s := &l.sessions[g.session]; {
	case g.ref != 0 && l.dozes(s):
		// The answer may have been there for long: the wait is the reader's own.
		l.wheel.set(l.gapNode(gap), now-l.startNs+int64(l.behaviour.AnswerWithin))
		return
	case g.ref != 0:
		l.cut(g.session, "timeout: difference", now)
		return
	}
	l.ask(g.session, g.cursor, now)
}
