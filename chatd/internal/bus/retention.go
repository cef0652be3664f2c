package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/chatfleet/chatfleet/chatd/internal/owner"
)

// purgeTimeout bounds one purge, and a question to the stream's leader.
const purgeTimeout = 5 * time.Second

// The stream's own limits would not do for retention: they take what stands behind the checkpoint too. So the owner purges.
var _ owner.Pruner = (*journal)(nil)

// askLeader asks the leader of the partition's log stream.
func (j *journal) askLeader(ctx context.Context, what string, body, answer any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, purgeTimeout)
	defer cancel()
	m, err := j.loads.conns[0].RequestWithContext(ctx, "$JS.API.STREAM."+what+"."+j.logStream(j.partition), data)
	if err != nil {
		return err
	}
	var failed struct {
		Error *nats.APIError `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &failed); err != nil {
		return err
	}
	if failed.Error != nil {
		return failed.Error
	}
	return json.Unmarshal(m.Data, answer)
}

// Holds implements owner.Pruner.
func (j *journal) Holds(ctx context.Context) (owner.Holding, error) {
	var info struct {
		State struct {
			First uint64 `json:"first_seq"`
			Last  uint64 `json:"last_seq"`
			Bytes uint64 `json:"bytes"`
		} `json:"state"`
	}
	err := j.askLeader(ctx, "INFO", struct{}{}, &info)
	return owner.Holding{First: info.State.First, Last: info.State.Last, Bytes: info.State.Bytes}, err
}

// Purge implements owner.Pruner.
func (j *journal) Purge(ctx context.Context, before uint64) error {
	var done struct {
		Success bool `json:"success"`
	}
	err := j.askLeader(ctx, "PURGE", map[string]uint64{"seq": before}, &done)
	if err == nil && !done.Success {
		err = fmt.Errorf("the stream %s does not say that it was purged", j.logStream(j.partition))
	}
	return err
}

// Since implements owner.Pruner.
func (j *journal) Since(ctx context.Context, at time.Time) (seq uint64, err error) {
	err = patiently(func(patience time.Duration) error {
		_, err := j.batch(ctx, j.loads, j.logAPI, getRequest{Since: &at, Batch: 1}, patience, func(m *nats.Msg) (err error) {
			seq, err = strconv.ParseUint(m.Header.Get(nats.JSSequence), 10, 64)
			return err
		})
		return err
	})
	return seq, err
}

// Sizes implements owner.Pruner.
func (j *journal) Sizes(ctx context.Context, from uint64, n int) (events int, bytes uint64, err error) {
	err = patiently(func(patience time.Duration) error {
		events, bytes = 0, 0
		_, err := j.batch(ctx, j.loads, j.logAPI, getRequest{Seq: from, Batch: n}, patience, func(m *nats.Msg) error {
			events, bytes = events+1, bytes+uint64(storedSize(m))
			return nil
		})
		return err
	})
	return events, bytes, err
}

// storedSize is what a message that was read takes in the stream's files: a record's frame, the subject, the one header that an append has,
// and the event.
func storedSize(m *nats.Msg) int {
	const frame, headerFrame = 30, 4
	size := frame + len(m.Header.Get(nats.JSSubject)) + len(m.Data)
	if after := m.Header.Get(nats.ExpectedLastSeqHdr); after != "" {
		size += headerFrame + len("NATS/1.0\r\n"+nats.ExpectedLastSeqHdr+": "+after+"\r\n\r\n")
	}
	return size
}

// checkRetention says so if retention cannot be. A stream that was made to deny purges denies them for ever.
func (s *Store) checkRetention(partition int, c jetstream.StreamConfig) {
	if c.DenyPurge && !s.cfg.Retain.Off() {
		s.cfg.Logger.Error("retention is set, and this partition's stream was made by a release that knew none: nothing of it is purged, and its volume fills up; "+
			"switch retention off, or move to a new fleet",
			"partition", partition, "stream", c.Name)
	}
}
