package bus

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// quickTries are asked one after the other in the time that answers take lately, times hedgeFactor, and further ones in twice as much each.
	quickTries  = 6
	hedgeFactor = 8
	minHedge    = 20 * time.Millisecond
	maxHedge    = 200 * time.Millisecond
	// firstMean is what a store that has read nothing yet goes by: it may have a cold disk.
	firstMean = 10 * time.Millisecond
	// answerWithin is how long a read waits in all for an answer to begin.
	answerWithin = 6 * time.Second
)

var (
	errNobody = errors.New("no replica answered in time")
	errSilent = errors.New("a replica fell silent within its answer")
)

// promptness is how soon answers begin lately.
type promptness struct{ mean atomic.Int64 } // nanoseconds; 0 before the first

func (p *promptness) lately() time.Duration {
	if mean := p.mean.Load(); mean > 0 {
		return time.Duration(mean)
	}
	return firstMean
}

// note adds one. Two at once may lose one of them.
func (p *promptness) note(took time.Duration) {
	mean := p.lately()
	p.mean.Store(max(1, int64(mean+(took-mean)/8)))
}

// after is how long a read waits before it is asked again that has been asked so often.
func (p *promptness) after(tries int) time.Duration {
	wait := min(max(hedgeFactor*p.lately(), minHedge), maxHedge)
	return wait << max(0, tries-quickTries)
}

// reading is one direct read of a stream, of as many messages as it brings. It goes to any replica, and so perhaps to that of a store that hangs, whose
// interest stays until its links are given up: one read in three, and a take-over has a hundred. So it is asked again, of whatever replica that
// goes to, until one begins to answer; what other tries bring is not looked at. A store that is slow, and does not hang, has its answer taken all the
// same, and is asked again less soon.
type reading struct {
	nc     *nats.Conn
	sub    *nats.Subscription
	prompt *promptness
	api    string
	inbox  string
	body   []byte

	mu    sync.Mutex
	asked []time.Time // by try
	// answered by this try, from 1; 0 before one has begun.
	answered int

	messages chan *nats.Msg
	closed   chan struct{}
	// silence may last so long within an answer; begun says that it counts.
	silence time.Duration
	begun   bool
	timer   *time.Timer
}

// begin asks for an answer of at most so many messages, and its end. The caller closes it.
func begin(nc *nats.Conn, prompt *promptness, api string, body []byte, most int, silence time.Duration) (*reading, error) {
	r := &reading{
		nc: nc, prompt: prompt, api: api, inbox: nats.NewInbox(), body: body, silence: silence,
		messages: make(chan *nats.Msg, most+1), closed: make(chan struct{}), timer: time.NewTimer(answerWithin),
	}
	var err error
	if r.sub, err = nc.Subscribe(r.inbox+".*", r.received); err != nil {
		return nil, err
	}
	// What is dropped for want of room would be a hole. There is room: for one answer here, and those of other tries are dropped as they come.
	err = r.sub.SetPendingLimits(-1, -1)
	if err == nil {
		err = r.ask()
	}
	if err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *reading) close() {
	r.timer.Stop()
	close(r.closed)
	_ = r.sub.Unsubscribe() // fails only with the connection
}

// ask asks once more, if there is time.
func (r *reading) ask() error {
	r.mu.Lock()
	r.asked = append(r.asked, time.Now())
	try, since := len(r.asked), time.Since(r.asked[0])
	r.mu.Unlock()
	if since >= answerWithin {
		return errNobody
	}
	r.timer.Reset(min(r.prompt.after(try), answerWithin-since))
	return r.nc.PublishRequest(r.api, r.inbox+"."+strconv.Itoa(try), r.body)
}

func (r *reading) received(m *nats.Msg) {
	try, err := strconv.Atoi(strings.TrimPrefix(m.Subject, r.inbox+"."))
	if err != nil || !r.takes(try) {
		return
	}
	select {
	case r.messages <- m:
	case <-r.closed:
	}
}

// takes reports whether a try's answer is the one that is read; the first to begin is.
func (r *reading) takes(try int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.answered == 0 && try >= 1 && try <= len(r.asked) {
		r.answered = try
		r.prompt.note(time.Since(r.asked[try-1]))
	}
	return r.answered == try
}

func (r *reading) isAnswered() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.answered > 0
}

// next waits for the next message of the answer.
func (r *reading) next(ctx context.Context) (*nats.Msg, error) {
	for {
		select {
		case m := <-r.messages:
			r.begun = true
			r.timer.Reset(r.silence)
			return m, nil
		case <-r.timer.C:
			switch {
			case r.begun:
				return nil, errSilent
			case r.isAnswered(): // just now
				r.begun = true
				r.timer.Reset(r.silence)
			default:
				if err := r.ask(); err != nil {
					return nil, err
				}
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
