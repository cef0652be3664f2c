package bus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/chatfleet/chatfleet/chatd/internal/owner"
)

// probeSubject is the last token of a probe's subject, which is never stored.
const probeSubject = "-probe"

// checkpointSubject is the last token of the checkpoint's subject; no log id has a hyphen.
const checkpointSubject = "-checkpoint"

// numPending is the header of a batch's end that says how many messages are left.
const numPending = "Nats-Num-Pending"

const (
	// tailBatch messages are read at once in a take-over.
	tailBatch = 2048
	// A store may die within an answer. The first silence is given little time, each further one twice as much, and after readTimeout the read has failed.
	firstPatience = 100 * time.Millisecond
	readTimeout   = 2 * time.Second
	// putTimeout bounds one write to the state stream.
	putTimeout = 5 * time.Second
	// beyond every sequence: an append that expects it to be the last is refused, and told which is.
	beyond = math.MaxInt64
	// wrongLastSequence is the JetStream API's error code of an append that expected another sequence.
	wrongLastSequence = 10071
)

// journal is a partition's two streams for its owner; the one of snapshots may be other partitions' too. Appends, what a take-over needs, and
// what shards ask for each have connections of their own: the server serves reads on the goroutine that reads the connection, and none must
// hold up the others.
type journal struct {
	subjects
	partition       int
	appends         *nats.Conn
	loads, fetches  *lane
	logAPI, stAPI   string // subjects of direct reads
	leaderStateRead string
}

func newJournal(s subjects, partition int, stateStream string, appends *nats.Conn, loads, fetches *lane) *journal {
	return &journal{
		subjects: s, partition: partition, appends: appends, loads: loads, fetches: fetches,
		logAPI:          "$JS.API.DIRECT.GET." + s.logStream(partition),
		stAPI:           "$JS.API.DIRECT.GET." + stateStream,
		leaderStateRead: "$JS.API.STREAM.MSG.GET." + stateStream,
	}
}

// getRequest is the body of a direct read. Batches have no filter on purpose: for one, the server first counts what is left of the
// stream that matches, which reads its blocks one after the other and keeps writes waiting.
type getRequest struct {
	Seq       uint64   `json:"seq,omitempty"`
	Batch     int      `json:"batch,omitempty"`
	MaxBytes  int      `json:"max_bytes,omitempty"`
	MultiLast []string `json:"multi_last,omitempty"`
	LastFor   string   `json:"last_by_subj,omitempty"`
	// Since begins at a time, in place of Seq.
	Since *time.Time `json:"start_time,omitempty"`
}

// Appender implements owner.Journal.
func (j *journal) Appender() (owner.Appender, error) {
	a := &appender{j: j, inbox: nats.NewInbox(), outcomes: make(chan owner.Outcome, 1024), closed: make(chan struct{})}
	var err error
	a.sub, err = j.appends.Subscribe(a.inbox, a.received)
	return a, err
}

type appender struct {
	j        *journal
	inbox    string
	sub      *nats.Subscription
	outcomes chan owner.Outcome
	closed   chan struct{}
}

func (a *appender) Append(log string, event []byte, after uint64) error {
	return a.j.appends.PublishMsg(&nats.Msg{
		Subject: a.j.log(a.j.partition, log), Reply: a.inbox, Data: event,
		Header: nats.Header{nats.ExpectedLastSeqHdr: []string{strconv.FormatUint(after, 10)}},
	})
}

func (a *appender) Outcomes() <-chan owner.Outcome { return a.outcomes }

func (a *appender) received(m *nats.Msg) {
	select {
	case a.outcomes <- outcome(m):
	case <-a.closed:
	}
}

func (a *appender) Close() {
	close(a.closed)
	_ = a.sub.Unsubscribe() // fails only with the connection, and then there is nothing to end
}

// outcome reads the stream's answer to an append.
func outcome(m *nats.Msg) owner.Outcome {
	if m.Header.Get("Status") == "503" {
		return owner.Outcome{Err: errors.New("the stream has no leader")}
	}
	var answer struct {
		Seq   uint64         `json:"seq"`
		Error *nats.APIError `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return owner.Outcome{Err: fmt.Errorf("the stream's answer %q: %w", m.Data, err)}
	}
	if answer.Error != nil {
		if answer.Error.ErrorCode == wrongLastSequence {
			return owner.Outcome{Err: fmt.Errorf("%w: %s", owner.ErrRevision, answer.Error.Description)}
		}
		return owner.Outcome{Err: answer.Error}
	}
	return owner.Outcome{Seq: answer.Seq}
}

// Tail implements owner.Journal.
//
// Messages of a batch are lost when the server's side of the connection is cut: a hole in it. What is missing is asked for again, and is
// not there only if two answers say so.
func (j *journal) Tail(ctx context.Context, after uint64, visit func(uint64, []byte) error) (uint64, error) {
	patience := firstPatience
	var missing hole
	for last := after; ; {
		first := true
		req := getRequest{Seq: last + 1, Batch: tailBatch, MaxBytes: 4 << 20}
		pending, err := j.batch(ctx, j.loads, j.logAPI, req, patience, func(m *nats.Msg) error {
			seq, err := strconv.ParseUint(m.Header.Get(nats.JSSequence), 10, 64)
			if err != nil {
				return fmt.Errorf("a stored message without a sequence: %w", err)
			}
			if found := (hole{last + 1, seq}); seq > last+1 && (!first || found != missing) {
				missing = found
				return errHole
			}
			first, last = false, seq
			return visit(seq, m.Data)
		})
		if errors.Is(err, errHole) {
			continue
		}
		if errors.Is(err, errSilent) && patience < readTimeout {
			patience *= 2 // and go on behind what was visited
			continue
		}
		if err != nil || pending == 0 {
			return last, err
		}
	}
}

// hole is from a sequence that was not in an answer up to one that was.
type hole struct{ from, to uint64 }

var errHole = errors.New("messages of a batch are missing")

// Last implements owner.Journal. The stream's leader tells it to an append that it refuses.
func (j *journal) Last(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	probe := &nats.Msg{
		Subject: j.log(j.partition, probeSubject),
		Header:  nats.Header{nats.ExpectedLastSeqHdr: []string{strconv.FormatUint(beyond, 10)}},
	}
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		m, err := j.appends.RequestMsgWithContext(ctx, probe)
		if errors.Is(err, nats.ErrNoResponders) { // the new leader does not listen yet
			select {
			case <-time.After(pause):
				continue
			case <-ctx.Done():
			}
		}
		if err != nil {
			return 0, err
		}
		var last uint64
		out := outcome(m)
		if !errors.Is(out.Err, owner.ErrRevision) {
			return 0, fmt.Errorf("a probe of the stream that must be refused: %w, sequence %d", out.Err, out.Seq)
		}
		if _, err := fmt.Sscanf(out.Err.Error(), owner.ErrRevision.Error()+": wrong last sequence: %d", &last); err != nil {
			return 0, fmt.Errorf("the stream's refusal %q names no sequence: %w", out.Err.Error(), err)
		}
		return last, nil
	}
}

// Range implements owner.Journal.
func (j *journal) Range(ctx context.Context, from uint64, n int, visit func(uint64, []byte)) error {
	req := getRequest{Seq: from, Batch: n, MaxBytes: 16 << 20}
	return patiently(func(patience time.Duration) error {
		_, err := j.batch(ctx, j.fetches, j.logAPI, req, patience, func(m *nats.Msg) error {
			seq, err := strconv.ParseUint(m.Header.Get(nats.JSSequence), 10, 64)
			if err == nil {
				visit(seq, m.Data)
			}
			return err
		})
		return err
	})
}

// patiently tries to read, with more patience each time, until there is a whole answer.
func patiently(try func(patience time.Duration) error) error {
	for patience := firstPatience; ; patience *= 2 {
		if err := try(patience); !errors.Is(err, errSilent) || patience >= readTimeout {
			return err
		}
	}
}

// batch reads several messages and returns how many more there are; errSilent if there came no more of them for so long.
func (j *journal) batch(ctx context.Context, l *lane, api string, req getRequest, patience time.Duration, visit func(*nats.Msg) error) (pending uint64, err error) {
	body, err := json.Marshal(req)
	if err != nil {
		return 0, err
	}
	nc, leave, err := l.enter(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	r, err := begin(nc, &l.prompt, api, body, max(req.Batch, len(req.MultiLast)), patience)
	if err != nil {
		return 0, err
	}
	defer r.close()
	for {
		m, err := r.next(ctx)
		if err != nil {
			return 0, err
		}
		switch status := m.Header.Get("Status"); status {
		case "":
			if err := visit(m); err != nil {
				return 0, err
			}
		case "204": // the end of the batch
			return strconv.ParseUint(m.Header.Get(numPending), 10, 64)
		case "404":
			return 0, nil
		default:
			return 0, fmt.Errorf("the stream answered %s %s", status, m.Header.Get("Description"))
		}
	}
}

// At implements owner.Journal.
func (j *journal) At(ctx context.Context, seq uint64) ([]byte, error) {
	body, err := json.Marshal(getRequest{Seq: seq})
	if err != nil {
		return nil, err
	}
	m, err := j.fetches.request(ctx, j.logAPI, body)
	if err != nil {
		return nil, err
	}
	switch status := m.Header.Get("Status"); status {
	case "":
		return m.Data, nil
	case "404":
		return nil, owner.ErrNotFound
	default:
		return nil, fmt.Errorf("the stream answered %s %s", status, m.Header.Get("Description"))
	}
}

// State implements owner.Journal.
func (j *journal) State(ctx context.Context, log string) (snapshot, checkpoint owner.Revision, err error) {
	cp := j.state(j.partition, checkpointSubject)
	req := getRequest{MultiLast: []string{cp}}
	if log != "" {
		req.MultiLast = append(req.MultiLast, j.state(j.partition, log))
	}
	read := func(m *nats.Msg) error {
		seq, err := strconv.ParseUint(m.Header.Get(nats.JSSequence), 10, 64)
		if err != nil {
			return fmt.Errorf("a stored state without a sequence: %w", err)
		}
		if m.Header.Get(nats.JSSubject) == cp {
			checkpoint = owner.Revision{Data: m.Data, Number: seq}
		} else {
			snapshot = owner.Revision{Data: m.Data, Number: seq}
		}
		return nil
	}
	err = patiently(func(patience time.Duration) error {
		snapshot, checkpoint = owner.Revision{}, owner.Revision{}
		_, err := j.batch(ctx, j.loads, j.stAPI, req, patience, read)
		return err
	})
	if err == nil && log == "" && checkpoint.Data == nil {
		// There is none, or this replica has just begun to catch up; without one the take-over would read the whole stream.
		checkpoint, err = j.leadersCheckpoint(ctx, cp)
	}
	return snapshot, checkpoint, err
}

// leadersCheckpoint asks the state stream's leader.
func (j *journal) leadersCheckpoint(ctx context.Context, subject string) (owner.Revision, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	body, err := json.Marshal(getRequest{LastFor: subject})
	if err != nil {
		return owner.Revision{}, err
	}
	m, err := j.loads.conns[0].RequestWithContext(ctx, j.leaderStateRead, body)
	if err != nil {
		return owner.Revision{}, err
	}
	var answer struct {
		Error   *nats.APIError `json:"error"`
		Message struct {
			Seq  uint64 `json:"seq"`
			Data []byte `json:"data"`
		} `json:"message"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return owner.Revision{}, err
	}
	switch {
	case answer.Error == nil:
		return owner.Revision{Data: answer.Message.Data, Number: answer.Message.Seq}, nil
	case answer.Error.Code == 404:
		return owner.Revision{}, nil
	default:
		return owner.Revision{}, answer.Error
	}
}

// PutState implements owner.Journal.
func (j *journal) PutState(ctx context.Context, log string, replaces uint64, data []byte) (uint64, error) {
	if log == "" {
		log = checkpointSubject
	}
	ctx, cancel := context.WithTimeout(ctx, putTimeout)
	defer cancel()
	m, err := j.appends.RequestMsgWithContext(ctx, &nats.Msg{
		Subject: j.state(j.partition, log), Data: bytes.Clone(data),
		Header: nats.Header{nats.ExpectedLastSubjSeqHdr: []string{strconv.FormatUint(replaces, 10)}},
	})
	if err != nil {
		return 0, err
	}
	out := outcome(m)
	return out.Seq, out.Err
}
