package poster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// courier carries one post through whatever happens to shards and owners: it tries again, with the same random id and at the
// next endpoint, until the post is acknowledged, refused or out of time. To vegeta it is the transport of its HTTP client.
type courier struct {
	p   *Poster
	run context.Context
}

// Pauses between the tries of a post.
const (
	firstPause = 5 * time.Millisecond
	lastPause  = 200 * time.Millisecond
)

// RoundTrip carries the post that a target of ours describes.
func (c *courier) RoundTrip(request *http.Request) (*http.Response, error) {
	n, err := strconv.Atoi(request.Header.Get(header))
	if err != nil || n < 0 || n >= len(c.p.outcomes) {
		return nil, fmt.Errorf("post: a request that is none of the schedule's: %q", request.Header.Get(header))
	}
	c.enter()
	defer c.p.inFlight.Add(-1)
	out := &c.p.outcomes[n]
	out.SentNs = c.p.config.Clock()
	c.p.sent.Add(1)
	if err := c.carry(request, n, out); err != nil {
		c.p.failed.Add(1)
		return nil, err
	}
	c.p.acknowledged.Add(1)
	if c.p.config.Acknowledged != nil {
		c.p.config.Acknowledged(c.p.config.Posts[n])
	}
	return &http.Response{StatusCode: http.StatusOK, Status: "200 OK", Body: http.NoBody, Request: request, Header: http.Header{}}, nil
}

func (c *courier) enter() {
	now := c.p.inFlight.Add(1)
	for most := c.p.mostInFlight.Load(); now > most && !c.p.mostInFlight.CompareAndSwap(most, now); {
		most = c.p.mostInFlight.Load()
	}
}

func (c *courier) carry(request *http.Request, n int, out *Outcome) error {
	ctx, cancel := context.WithTimeout(c.run, c.p.config.GiveUpAfter)
	defer cancel()
	firstSentMs := time.Now().UnixMilli()
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return err
	}
	pause, within := firstPause, c.p.config.TryWithin
	for {
		out.Tries++
		answer, err := c.p.client.try(ctx, n, request.Header, body, within)
		if err == nil {
			out.AnswerNs, out.AcknowledgedNs = answer.firstByteNs, c.p.config.Clock()
			out.Epoch, out.Pts, out.Repeated = answer.GetEpoch(), answer.GetPts(), answer.GetRepeated()
			return nil
		}
		var refused *refusal
		if errors.As(err, &refused) && !refused.passes {
			out.Failure, out.Detail = refused.kind, err.Error()
			return err
		}
		if out.Tries == 1 {
			// From the second try on, the fleet is told when the first one was, so that it can say when it no longer knows.
			var unencodable error
			if body, _, unencodable = c.p.encode(n, firstSentMs); unencodable != nil {
				return unencodable
			}
		}
		out.Detail = err.Error()
		if errors.Is(err, context.DeadlineExceeded) {
			// Twice the patience each time: many that wait for a fleet which is behind must not push it further behind.
			within *= 2
		}
		wait := pause/2 + time.Duration(mix(uint64(n)<<16+uint64(out.Tries))%uint64(pause/2))
		if refused != nil {
			wait = max(wait, min(refused.retryAfter, time.Second))
		}
		if !sleep(ctx, wait) {
			return c.giveUp(out)
		}
		pause = min(2*pause, lastPause)
	}
}

// giveUp says why a post without an answer is tried no more.
func (c *courier) giveUp(out *Outcome) error {
	out.Failure = FailureDeadline
	if c.run.Err() != nil {
		out.Failure = FailureInterrupted
	}
	return fmt.Errorf("no acknowledgement after %d tries: %s", out.Tries, out.Detail)
}
