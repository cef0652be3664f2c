package bus

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/chatfleet/chatfleet/chatd/internal/election"
)

const (
	// stepDownPoll is how often a store that steps down looks what it leads. It then hands over handOversAtOnce groups, or one in
	// handOverRounds of them where that is more: each partition waits for its own new owner, and not for those of all others.
	stepDownPoll    = 50 * time.Millisecond
	handOversAtOnce = 2
	handOverRounds  = 40
	// heirLag is how many entries an heir may lack. It stands for election only when it has them all.
	heirLag = 64
	// leaderlessFor is after how long a store that steps down stands in a group that nobody else leads: a fleet goes before a wish.
	leaderlessFor = 3 * time.Second
	// handOverWithin bounds how long a store that stops waits until others lead what it led.
	handOverWithin = 5 * time.Second
)

// StepDown is how far a store has come in giving what it leads to others.
type StepDown struct {
	// Began is when it was asked to; zero if it was not, or it was called off.
	Began time.Time
	// Metadata says that it gives the metadata group away, too.
	Metadata bool
	// Left is how many groups it leads still that it is to give away.
	Left int
}

// stepper is the store's wish not to lead.
type stepper struct {
	mu    sync.Mutex
	state StepDown
	// wanted is told when it begins.
	wanted chan struct{}
	// leaderless since when, by group.
	leaderless map[string]time.Time
}

// ErrAlone is for a store that has no other beside it.
var ErrAlone = errors.New("this is the only store: no other can lead in its place")

// BeginStepDown has the store hand over all that it leads, the metadata group last and only if that is asked for, and lead nothing until it
// is called off or the store starts anew. Asked again it changes nothing, or adds the metadata group.
func (s *Store) BeginStepDown(metadata bool) (StepDown, error) {
	if s.alone() {
		return StepDown{}, ErrAlone
	}
	s.stepper.mu.Lock()
	defer s.stepper.mu.Unlock()
	st := &s.stepper.state
	switch {
	case st.Began.IsZero():
		st.Began, st.Metadata = time.Now(), metadata
		s.cfg.Logger.Info("stepping down", "leads", len(s.Leads()), "metadata", metadata)
		select {
		case s.stepper.wanted <- struct{}{}:
		default:
		}
	case metadata && !st.Metadata:
		st.Metadata = true
		s.cfg.Logger.Info("stepping down from the metadata group, too")
	}
	s.stepDownLocked()
	return *st, nil
}

// ReverseStepDown lets the store lead again what it is elected for.
func (s *Store) ReverseStepDown() (was StepDown) {
	s.stepper.mu.Lock()
	defer s.stepper.mu.Unlock()
	if was, s.stepper.state = s.stepper.state, (StepDown{}); was.Began.IsZero() {
		return was
	}
	for group := range s.groups() {
		election.Abstain(s.srv, group, false)
	}
	s.cfg.Logger.Info("stepping down is called off")
	return was
}

// SteppingDown is how far it is.
func (s *Store) SteppingDown() StepDown {
	s.stepper.mu.Lock()
	defer s.stepper.mu.Unlock()
	return s.stepper.state
}

// keepSteppingDown hands over until ctx ends, for as long as it is wanted.
func (s *Store) keepSteppingDown(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.stepper.wanted:
		}
		for s.stepDownFurther() {
			select {
			case <-ctx.Done():
				return
			case <-time.After(stepDownPoll):
			}
		}
	}
}

// stepDownFurther hands over some more; false once that is not wanted any more.
func (s *Store) stepDownFurther() bool {
	s.stepper.mu.Lock()
	defer s.stepper.mu.Unlock()
	if s.stepper.state.Began.IsZero() {
		return false
	}
	s.stepDownLocked()
	return true
}

// stepDownLocked hands over some groups of those that the store leads, and keeps it from leading the others.
func (s *Store) stepDownLocked() {
	groups, before := s.groups(), s.stepper.state.Left
	leads := map[string]int{} // by a store's id, so that heirs get as many each
	var mine []string
	for name, g := range groups {
		leads[g.Leader]++
		if g.Leader == g.ID && name != election.MetadataGroup {
			mine = append(mine, name)
		}
		if g.Leader != g.ID && (name != election.MetadataGroup || s.stepper.state.Metadata) {
			s.stepper.abstain(s.srv, name, g.Leader == "")
		}
	}
	left := len(mine)
	if meta, ok := groups[election.MetadataGroup]; ok && s.stepper.state.Metadata && meta.Leader == meta.ID {
		left++
		if len(mine) == 0 {
			mine = append(mine, election.MetadataGroup)
		}
	}
	slices.Sort(mine)
	for _, name := range mine[:min(len(mine), max(handOversAtOnce, len(mine)/handOverRounds))] {
		heirs := election.Heirs(s.srv, name, heirLag)
		if len(heirs) == 0 {
			continue // none is current; looked for again
		}
		heir := slices.MinFunc(heirs, func(a, b string) int { return cmp.Or(cmp.Compare(leads[a], leads[b]), cmp.Compare(a, b)) })
		if election.HandOver(s.srv, name, heir) {
			leads[heir]++
			left--
			election.Abstain(s.srv, name, true)
		}
	}
	if s.stepper.state.Left = left; left == 0 && before > 0 {
		s.cfg.Logger.Info("stepped down", "took", time.Since(s.stepper.state.Began), "metadata", s.stepper.state.Metadata)
	}
}

// abstain keeps the store from leading a group, unless nobody has led it for long.
func (p *stepper) abstain(srv *server.Server, group string, leaderless bool) {
	if p.leaderless == nil {
		p.leaderless = make(map[string]time.Time)
	}
	since, known := p.leaderless[group]
	switch {
	case !leaderless:
		delete(p.leaderless, group)
	case !known:
		since = time.Now()
		p.leaderless[group] = since
	}
	election.Abstain(srv, group, !leaderless || time.Since(since) < leaderlessFor)
}

// groups are all that this store is a member of, by name.
func (s *Store) groups() map[string]server.RaftzGroup {
	all := map[string]server.RaftzGroup{}
	for _, account := range []string{account, s.srv.SystemAccount().GetName()} {
		for _, groups := range *s.srv.Raftz(&server.RaftzOptions{AccountFilter: account}) {
			for name, g := range groups {
				all[name] = g
			}
		}
	}
	return all
}

// handOver is how a store that stops gives what it leads to others: while its owners still answer, and at most for a while.
func (s *Store) handOver() {
	if s.alone() || s.broken.Load() {
		return
	}
	if _, err := s.BeginStepDown(true); err != nil {
		return
	}
	for end := time.Now().Add(handOverWithin); s.leadsAnything(); time.Sleep(stepDownPoll / 2) {
		if time.Now().After(end) {
			s.cfg.Logger.Warn("stopping while this store still leads; no other is current", "groups", s.SteppingDown().Left)
			return
		}
	}
}

func (s *Store) leadsAnything() bool {
	for _, g := range s.groups() {
		if g.Leader == g.ID {
			return true
		}
	}
	return false
}
