package shard

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/wire"
)

// headsBatch is how many logs one request for heads names.
const headsBatch = 1000

// partition is what a shard knows of one partition: the digests of its owner, and the feeds of its logs.
type partition struct {
	sh     *Shard
	number int
	// feeding bounds fetches for feeds, asking those for differences.
	feeding, asking gate

	mu    sync.Mutex
	feeds map[string]*feed
	epoch uint32
	// The newest digest: its term and number, and when it came.
	heard  bool
	term   uint64
	digest uint64
	at     time.Time
	// checking: heads are being asked for; again, if not empty, says why to do so once more.
	checking bool
	again    string
}

func newPartition(sh *Shard, number int) *partition {
	return &partition{
		sh: sh, number: number, feeds: make(map[string]*feed), at: sh.cfg.Now(),
		feeding: make(gate, sh.cfg.FetchesPerPartition), asking: make(gate, sh.cfg.FetchesPerPartition),
	}
}

func (p *partition) join(f *feed) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.feeds[f.id] = f
}

func (p *partition) leave(f *feed) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.feeds[f.id] == f {
		delete(p.feeds, f.id)
	}
}

// Live takes a stored event that was pushed. Live, Digest and Relinked are called by one goroutine, in the order of what came.
func (sh *Shard) Live(log string, stored []byte) {
	sh.absent.isThere(log)
	f := sh.find(log)
	if f == nil {
		return
	}
	event, err := decode(stored)
	if err != nil || event.GetLog() != log {
		sh.cfg.Logger.Error("a live event cannot be read", "log", log, "err", err)
		return
	}
	sh.traceLive(f, event.GetPts(), stored)
	f.live(event)
}

// Digest takes an owner's word on which logs have moved.
func (sh *Shard) Digest(number int, d *wire.Digest) {
	if number < 0 || number >= len(sh.partitions) {
		sh.cfg.Logger.Error("a digest of a partition that there is not: the shard's number of partitions is not the stores'", "partition", number, "partitions", len(sh.partitions))
		return
	}
	p := sh.partitions[number]
	missed := p.heardFrom(d)
	for _, moved := range d.GetMoved() {
		sh.absent.isThere(moved.GetLog())
		if f := sh.find(moved.GetLog()); f != nil {
			f.noteHead(d.GetEpoch(), moved.GetPts(), reasonDigest)
		}
	}
	if missed {
		p.check(reasonDigest)
	}
}

// heardFrom notes a digest, and reports whether others may have been missed before it.
func (p *partition) heardFrom(d *wire.Digest) (missed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at = p.sh.cfg.Now()
	switch {
	case !p.heard, d.GetTerm() != p.term, d.GetEpoch() > p.epoch:
		missed = true
	case d.GetNumber() <= p.digest:
		return false
	default:
		missed = d.GetNumber() > p.digest+1
	}
	p.heard, p.term, p.digest = true, d.GetTerm(), d.GetNumber()
	p.epoch = max(p.epoch, d.GetEpoch())
	return missed
}

// Relinked says that the link to the stores was lost and is back: anything may have been missed.
func (sh *Shard) Relinked() {
	for _, p := range sh.partitions {
		p.check(reasonReconnect)
	}
}

// listen notices owners that have fallen silent: their digests may be lost.
func (sh *Shard) listen(now time.Time) {
	for _, p := range sh.partitions {
		p.mu.Lock()
		silent := len(p.feeds) > 0 && now.Sub(p.at) > sh.cfg.SilenceAfter
		if silent {
			p.at = now // once more only after as long a silence again
		}
		p.mu.Unlock()
		if silent {
			p.check(reasonDigest)
		}
	}
}

// check asks where the heads of all followed logs of the partition are, and has fetched what has moved. One at a time; a check that
// is wanted meanwhile is made afterwards.
func (p *partition) check(reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case len(p.feeds) == 0:
	case p.checking:
		p.again = reason
	default:
		p.checking = p.sh.tasks.spawn(func() { p.checkOn(reason) })
	}
}

func (p *partition) checkOn(reason string) {
	pause, level := firstPause, slog.LevelWarn
	for {
		err := p.checkOnce(reason)
		if err != nil && p.sh.ctx.Err() == nil {
			p.sh.cfg.Logger.Log(p.sh.ctx, level, "cannot learn where the logs are", "partition", p.number, "err", err)
			level = slog.LevelDebug // until it can again
			select {
			case <-time.After(pause):
			case <-p.sh.ctx.Done():
			}
			pause = min(2*pause, maxPause)
			continue
		}
		pause, level = firstPause, slog.LevelWarn
		p.mu.Lock()
		if p.again == "" || p.sh.ctx.Err() != nil {
			p.checking, p.again = false, ""
			p.mu.Unlock()
			return
		}
		reason, p.again = p.again, ""
		p.mu.Unlock()
	}
}

func (p *partition) checkOnce(reason string) error {
	p.mu.Lock()
	ids := make([]string, 0, len(p.feeds))
	for id := range p.feeds {
		ids = append(ids, id)
	}
	p.mu.Unlock()
	for len(ids) > 0 {
		batch := ids[:min(headsBatch, len(ids))]
		ids = ids[len(batch):]
		ctx, cancel := context.WithTimeout(p.sh.ctx, p.sh.cfg.RequestTimeout)
		reply, err := p.sh.stores.Ask(ctx, p.number, &wire.OwnerRequest{Body: &wire.OwnerRequest_Heads{Heads: &wire.Heads{Logs: batch}}})
		cancel()
		if err != nil {
			return err
		}
		if flt := reply.GetError(); flt != nil {
			return &ownerError{flt}
		}
		p.mu.Lock()
		p.epoch = max(p.epoch, reply.GetEpoch())
		p.mu.Unlock()
		for _, head := range reply.GetHeads() {
			if f := p.sh.find(head.GetLog()); f != nil {
				f.noteHead(reply.GetEpoch(), head.GetPts(), reason)
			}
		}
	}
	return nil
}
