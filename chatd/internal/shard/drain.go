package shard

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

const (
	// drainTick is how often a few more sessions are sent away.
	drainTick = 50 * time.Millisecond
	// settleWithin is how long a session that is sent away may wait for the answers to its requests.
	settleWithin = 3 * time.Second
	// comeBackMs is what a client is told to wait before it connects anew (and a random part of as much again): long enough
	// for the balancer to have noticed, short enough for nobody to miss much.
	comeBackMs = 500
)

// DrainResult is what has become of the sessions of a drain.
type DrainResult struct {
	// Told were sent away with come_back, Left remain.
	Told, Left int
	Took       time.Duration
}

// Drain sends all sessions away: no new ones from now on, and perSecond of those that there are, in random order, each after the
// answers to its requests. It returns when all have ended, or ctx does; what is left then, the engine's Shutdown ends.
func (sh *Shard) Drain(ctx context.Context, perSecond int) DrainResult {
	began := sh.cfg.Now()
	sh.sessionsMu.Lock()
	sh.draining = true
	rest := make([]*session, 0, len(sh.sessions))
	for s := range sh.sessions {
		rest = append(rest, s)
	}
	sh.sessionsMu.Unlock()
	rand.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })

	tick := time.NewTicker(drainTick)
	defer tick.Stop()
	result := DrainResult{}
	for due := 0.0; ctx.Err() == nil && (len(rest) > 0 || sh.Sessions() > 0); {
		due = min(due+float64(max(1, perSecond))*drainTick.Seconds(), float64(len(rest)))
		for ; due >= 1 && len(rest) > 0; due-- {
			s := rest[0]
			rest = rest[1:]
			result.Told++
			sh.tasks.spawn(func() { s.sendAway() })
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	result.Left, result.Took = sh.Sessions(), sh.cfg.Now().Sub(began)
	return result
}

// sendAway lets a session's requests come to their answers, and says come_back.
func (s *session) sendAway() {
	s.mu.Lock()
	if s.phase == ended || s.conn == nil {
		s.mu.Unlock()
		return
	}
	s.phase = leaving
	settled := make(chan struct{})
	if s.inFlight > 0 {
		s.idle = settled
	} else {
		close(settled)
	}
	s.mu.Unlock()
	patience := time.NewTimer(settleWithin)
	defer patience.Stop()
	select {
	case <-settled:
	case <-patience.C:
	case <-s.sh.ctx.Done():
	}
	s.sayComeBack()
}

func (s *session) sayComeBack() {
	s.conn.Close(&chatv1.ServerFrame{Body: &chatv1.ServerFrame_ComeBack{ComeBack: &chatv1.ComeBack{AfterMs: comeBackMs, Reason: "this shard is leaving"}}},
		engine.CloseComeBack, "come back")
}
