package history

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sync/errgroup"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
	"github.com/chatfleet/chatfleet/proto/chat/v1/chatv1connect"
)

// Log is a log to read.
type Log struct {
	ID string
	// Where to begin: what comes after this position is read.
	Epoch uint32
	Pts   uint64
}

// Config says what to read and as whom.
type Config struct {
	// Posts of this run are told from everything else by it.
	Run  uint64
	Logs []Log
	// Base URLs of shards.
	Endpoints []string
	// Of a user who may read the logs.
	Token string
	// How long an answer may be waited for, over all endpoints. 0 is 20 s.
	AnswerWithin time.Duration
	// A log is read on once so many of its posts have been noted. It has to be well below what a fleet gives before it says
	// "too long". 0 is 250.
	ReadAlongEvery int
}

// maxAnswerBytes bounds one answer; it holds readAtOnce events of the largest size that a scenario may ask for.
const (
	maxAnswerBytes = 64 << 20
	readAtOnce     = 500
	// Logs that are read at the same time.
	parallel = 8
)

// Reader reads logs while they grow, so that none gets too long to be read when the run is over.
type Reader struct {
	config  Config
	clients []chatv1connect.ChatServiceClient
	http    *http.Client

	mu    sync.Mutex
	noted []int
	// Logs of which enough was noted, each once.
	due  []int
	wake chan struct{}

	logs []*reading
}

// New makes a reader. It reads nothing yet.
func New(c Config) (*Reader, error) {
	if len(c.Endpoints) == 0 {
		return nil, errors.New("read logs: there is no endpoint")
	}
	if c.AnswerWithin == 0 {
		c.AnswerWithin = 20 * time.Second
	}
	if c.ReadAlongEvery == 0 {
		c.ReadAlongEvery = 250
	}
	r := &Reader{config: c, noted: make([]int, len(c.Logs)), wake: make(chan struct{}, 1)}
	r.http = &http.Client{Transport: &http.Transport{
		DialContext: (&net.Dialer{Timeout: time.Second}).DialContext, MaxIdleConnsPerHost: parallel, IdleConnTimeout: time.Minute,
	}}
	for _, url := range c.Endpoints {
		r.clients = append(r.clients, chatv1connect.NewChatServiceClient(r.http, url, connect.WithReadMaxBytes(maxAnswerBytes)))
	}
	for i, log := range c.Logs {
		r.logs = append(r.logs, &reading{List: List{Log: log.ID, Epoch: log.Epoch, First: log.Pts + 1}, run: c.Run, turn: i})
	}
	return r, nil
}

// Note says that the log has a post more. It may be called from any goroutine.
func (r *Reader) Note(log int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.noted[log]++; r.noted[log] != r.config.ReadAlongEvery {
		return
	}
	r.due = append(r.due, log)
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Along reads on, whenever enough was noted, until ctx ends. What could not be read is tried again by Finish.
func (r *Reader) Along(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		}
		for {
			log, ok := r.next()
			if !ok {
				break
			}
			_ = r.read(ctx, r.logs[log])
		}
	}
}

func (r *Reader) next() (int, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.due) == 0 {
		return 0, false
	}
	log := r.due[0]
	r.due = r.due[1:]
	r.noted[log] = 0
	return log, true
}

// poll is the pause before a log that is shorter than it must be is read again.
const poll = 100 * time.Millisecond

// Finish reads all logs to their heads and returns what they hold. Along must have ended. atLeast has, for each log, the highest
// position that was acknowledged: a shard may be some moments behind, so a shorter log is read again until ctx ends, and only
// then taken as it is. The error names the logs that could not be read; the others' lists are good.
func (r *Reader) Finish(ctx context.Context, atLeast []uint64) ([]List, error) {
	errs := make([]error, len(r.logs))
	var group errgroup.Group
	group.SetLimit(parallel)
	for i, log := range r.logs {
		group.Go(func() error {
			errs[i] = r.finish(ctx, log, atLeast[i])
			return nil
		})
	}
	_ = group.Wait() // None returns one: an unreadable log does not stop the others.
	r.http.CloseIdleConnections()
	lists := make([]List, len(r.logs))
	for i, log := range r.logs {
		lists[i] = log.List
		lists[i].Complete = errs[i] == nil
	}
	if err := errors.Join(slices.DeleteFunc(errs, func(err error) bool { return err == nil })...); err != nil {
		return lists, fmt.Errorf("read the logs: %w", err)
	}
	return lists, nil
}

func (r *Reader) finish(ctx context.Context, log *reading, atLeast uint64) error {
	for {
		// The last reading has time of its own: ctx bounds the waiting for more, not the reading of what there is.
		if err := r.read(context.WithoutCancel(ctx), log); err != nil {
			return err
		}
		if log.Head() >= atLeast {
			return nil
		}
		select {
		case <-time.After(poll):
		case <-ctx.Done():
			return nil
		}
	}
}

// read reads a log to its head.
func (r *Reader) read(ctx context.Context, log *reading) error {
	if log.broken != nil {
		return log.broken
	}
	for {
		answer, err := r.ask(ctx, log)
		if err != nil {
			return fmt.Errorf("log %s after position %d: %w", log.Log, log.Head(), err)
		}
		more, err := log.take(answer)
		if err != nil {
			log.broken = fmt.Errorf("log %s after position %d: %w", log.Log, log.Head(), err)
			return log.broken
		}
		if !more {
			return nil
		}
	}
}

// ask asks one endpoint after the other for what comes next, until one answers or the time is over.
func (r *Reader) ask(ctx context.Context, log *reading) (*chatv1.DifferenceResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, r.config.AnswerWithin)
	defer cancel()
	for {
		request := connect.NewRequest(&chatv1.DifferenceRequest{
			Cursor: &chatv1.Cursor{Log: log.Log, Epoch: log.Epoch, Pts: log.Head()}, Limit: readAtOnce,
		})
		request.Header().Set("Authorization", "Bearer "+r.config.Token)
		answer, err := r.try(ctx, log.turn, request)
		if err == nil {
			return answer, nil
		}
		if !passes(err) {
			return nil, err
		}
		log.turn++
		select {
		case <-time.After(poll):
		case <-ctx.Done():
			return nil, fmt.Errorf("no answer within %s: %w", r.config.AnswerWithin, err)
		}
	}
}

// tryWithin bounds one try, so that a process that hangs costs no more.
const tryWithin = 5 * time.Second

func (r *Reader) try(ctx context.Context, turn int, request *connect.Request[chatv1.DifferenceRequest]) (*chatv1.DifferenceResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, tryWithin)
	defer cancel()
	response, err := r.clients[turn%len(r.clients)].Difference(ctx, request)
	if err != nil {
		return nil, err
	}
	return response.Msg, nil
}

// passes says whether the same question may be answered a moment later, or elsewhere.
func passes(err error) bool {
	switch connect.CodeOf(err) {
	case connect.CodeUnavailable, connect.CodeDeadlineExceeded, connect.CodeCanceled, connect.CodeResourceExhausted, connect.CodeUnknown:
		return true
	}
	return false
}
