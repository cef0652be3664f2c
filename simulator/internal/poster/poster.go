package poster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"github.com/chatfleet/chatfleet/simulator/internal/schedule"
	"github.com/chatfleet/chatfleet/simulator/internal/stamp"
)

// Log is a channel to post to.
type Log struct {
	ID string
	// Of a user who may post there.
	Token string
}

// Config says what to post, where, and how patiently.
type Config struct {
	// Names the run in stamps and random ids.
	Run  uint64
	Seed uint64
	// The share of posts, 0 to 1, that are sent as JSON; the others are protobuf.
	JSONShare float64
	Posts     []schedule.Post
	// By Post.Log.
	Logs []Log
	// Base URLs of shards, such as http://127.0.0.1:8080.
	Endpoints []string
	// When the schedule begins, by Clock.
	StartNs int64
	// How long the first try may take before the next begins; after each that took too long it is twice as much. 0 is 2 s.
	TryWithin time.Duration
	// How long a post is tried, from its first try. 0 is 20 s.
	GiveUpAfter time.Duration
	// Most posts under way at the same time; each has a connection. 0 is 4,096.
	MaxInFlight int
	// nil is stamp.Now.
	Clock stamp.Clock
	// Told of each acknowledged post, from many goroutines. May be nil.
	Acknowledged func(schedule.Post)
}

// Outcome is what became of one post. Moments are by the clock, in nanoseconds; 0 where something did not happen.
type Outcome struct {
	IntendedNs int64
	// Handed to the network for the first time.
	SentNs int64
	// First byte of the answer that acknowledged it.
	AnswerNs       int64
	AcknowledgedNs int64
	Tries          int
	Epoch          uint32
	Pts            uint64
	// The answer said that the post had been there before: an earlier try had arrived.
	Repeated bool
	// Why it failed: the fleet's code, as "NOT_FOUND", or one of the kinds below. Empty for a post that was acknowledged or
	// never sent.
	Failure string
	// The last error, in words.
	Detail string
}

// Kinds of failure that the fleet has no code for.
const (
	FailureDeadline    = "DEADLINE"     // no acknowledgement until the deadline
	FailureInterrupted = "INTERRUPTED"  // the run was ended
	FailureNonsense    = "BAD_RESPONSE" // the answer was not one of the protocol
)

// Poster posts one schedule once.
type Poster struct {
	config   Config
	outcomes []Outcome
	client   *client

	next         atomic.Int64
	sent         atomic.Int64
	acknowledged atomic.Int64
	failed       atomic.Int64
	inFlight     atomic.Int64
	mostInFlight atomic.Int64
}

// New makes a poster. It sends nothing yet.
func New(c Config) (*Poster, error) {
	if c.TryWithin == 0 {
		c.TryWithin = 2 * time.Second
	}
	if c.GiveUpAfter == 0 {
		c.GiveUpAfter = 20 * time.Second
	}
	if c.MaxInFlight == 0 {
		c.MaxInFlight = 4096
	}
	if c.Clock == nil {
		c.Clock = stamp.Now
	}
	if len(c.Endpoints) == 0 {
		return nil, errors.New("post: there is no endpoint to post to")
	}
	if len(c.Posts) >= stamp.NoPost {
		return nil, fmt.Errorf("post: %d posts are more than a stamp can number", len(c.Posts))
	}
	for i, p := range c.Posts {
		if p.Log < 0 || p.Log >= len(c.Logs) {
			return nil, fmt.Errorf("post: post %d is for channel %d of %d", i, p.Log, len(c.Logs))
		}
	}
	p := &Poster{config: c, outcomes: make([]Outcome, len(c.Posts))}
	for i := range p.outcomes {
		p.outcomes[i].IntendedNs = c.StartNs + int64(c.Posts[i].Due)
	}
	p.client = newClient(c)
	return p, nil
}

// Run posts the schedule and returns when the last post is acknowledged or given up. It ends early when ctx does.
func (p *Poster) Run(ctx context.Context) error {
	defer p.client.close()
	attacker := vegeta.NewAttacker(
		vegeta.Client(&http.Client{Transport: &courier{p, ctx}}),
		vegeta.Workers(uint64(min(16, p.config.MaxInFlight))),
		vegeta.MaxWorkers(uint64(p.config.MaxInFlight)),
	)
	pace := &pacer{posts: p.config.Posts, start: p.config.StartNs, clock: p.config.Clock, sleep: func(d time.Duration) bool { return sleep(ctx, d) }}
	var broken error
	// To the close: the attacker's workers hang on a channel that nobody reads. Its latencies count from the pick-up, not
	// from when a post was due, and a retry is no result to it, so the outcomes are kept elsewhere.
	for result := range attacker.Attack(p.target, pace, 0, "") {
		if result.Error != "" && broken == nil && result.URL == "" {
			broken = fmt.Errorf("post: %s", result.Error)
		}
	}
	return broken
}

// header carries the post's number from target to courier; it is not sent.
const header = "X-Chatfleet-Post"

// target makes the next post into a request (it is vegeta's Targeter).
//
// Its numbers are its own and not vegeta's Seq, which it is not told. Workers that are let go at the same moment may take two
// posts in the other order, but never one before it is due: a number is taken only after as many ticks.
func (p *Poster) target(t *vegeta.Target) error {
	n := int(p.next.Add(1) - 1)
	if n >= len(p.config.Posts) {
		return vegeta.ErrNoTargets
	}
	body, contentType, err := p.encode(n, 0)
	if err != nil {
		return err
	}
	t.Method, t.URL, t.Body = http.MethodPost, p.client.url(n), body
	t.Header = http.Header{
		"Content-Type":             {contentType},
		"Connect-Protocol-Version": {"1"},
		"Authorization":            {"Bearer " + p.config.Logs[p.config.Posts[n].Log].Token},
		header:                     {fmt.Sprint(n)},
	}
	return nil
}

// Outcomes is what became of each post, by its number. It may be read once Run has returned.
func (p *Poster) Outcomes() []Outcome { return p.outcomes }

// Counts is how far a poster is. It may be asked at any time.
type Counts struct {
	Intended, Sent, Acknowledged, Failed int64
	// Most posts that were under way at one time.
	MostInFlight int64
}

// Counts returns how far the poster is.
func (p *Poster) Counts() Counts {
	return Counts{int64(len(p.config.Posts)), p.sent.Load(), p.acknowledged.Load(), p.failed.Load(), p.mostInFlight.Load()}
}

// Caps names the bounds of the poster that were reached; posts may then have been sent late for reasons of its own.
func (p *Poster) Caps() []string {
	if p.mostInFlight.Load() < int64(p.config.MaxInFlight) {
		return nil
	}
	return []string{fmt.Sprintf("poster: all %d connections for posts were in use", p.config.MaxInFlight)}
}

// sleep waits and says whether the time has passed; false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
