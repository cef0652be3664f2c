package shard

import (
	"strings"
	"sync"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/chatlog"
	"github.com/chatfleet/chatfleet/chatd/internal/logid"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// Whoever invents ids, or has a list of logs that are gone, would have an owner look for each of them, again and again. So what an owner
// has said of a log that is not there counts for absentFor. An id can be known before its log is there only to who invents it, or makes it:
// the log that this shard makes, or hears of, is found at once, and one that another shard makes at once by everybody who asks here for the
// first time.

const (
	absentFor = 3 * time.Second
	// maxAbsent ids are remembered, in about 4 MB. Of more the oldest are asked for anew.
	maxAbsent = 20_000
)

// absent are logs that were not there a moment ago.
type absent struct {
	mu    sync.Mutex
	until map[string]time.Time
	order []absence // as they were noted, so the first is over first
	// named counts how often a log was heard of, by a hash of its id: an answer that was under way meanwhile may be older than the log.
	named [1024]uint32
}

type absence struct {
	log   string
	until time.Time
}

// asked is when an owner was asked for a log, as absent counts time.
type asked struct {
	log   string
	named uint32
}

// knows reports whether a log is known not to be there. If it is not, the owner's answer goes to note, with when he was asked.
func (a *absent) knows(log string, now time.Time) (when asked, known bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return asked{log, *a.namedLocked(log)}, now.Before(a.until[log])
}

// note takes note that an owner knows nothing of a log.
func (a *absent) note(when asked, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if *a.namedLocked(when.log) != when.named {
		return
	}
	for len(a.order) > 0 && (len(a.order) >= maxAbsent || !now.Before(a.order[0].until)) {
		if first := a.order[0]; a.until[first.log].Equal(first.until) {
			delete(a.until, first.log)
		}
		a.order = a.order[1:]
	}
	if a.until == nil {
		a.until = make(map[string]time.Time)
	}
	next := absence{strings.Clone(when.log), now.Add(absentFor)} // not the frame that it came in
	a.until[next.log] = next.until
	a.order = append(a.order, next)
}

// isThere takes note that a log is there, or may be.
func (a *absent) isThere(log string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	*a.namedLocked(log)++
	delete(a.until, log)
}

func (a *absent) namedLocked(log string) *uint32 {
	return &a.named[logid.Partition(log, len(a.named))]
}

// isAbsent is the fault of a channel or group that is known not to be there; nil if it is to be asked for, and when that is. Users' own logs
// begin with their first event, and names' logs with who claims them, so that these are never absent.
func (sh *Shard) isAbsent(log string) (asked, *chatv1.Error) {
	if kind := logid.Kind(log); kind != chatv1.LogKind_LOG_KIND_CHANNEL && kind != chatv1.LogKind_LOG_KIND_GROUP {
		return asked{}, nil
	}
	when, known := sh.absent.knows(log, sh.cfg.Now())
	if known {
		return when, fault(chatv1.Error_CODE_NOT_FOUND, "there is no log %s", log)
	}
	return when, nil
}

// noteAbsent takes note of an owner's answer, if it says that there is no such log.
func (sh *Shard) noteAbsent(when asked, req *wire.OwnerRequest, reply *wire.OwnerReply) {
	if when.log != "" && saysAbsent(req, reply) {
		sh.absent.note(when, sh.cfg.Now())
	}
}

func saysAbsent(req *wire.OwnerRequest, reply *wire.OwnerReply) bool {
	switch body := req.GetBody().(type) {
	case *wire.OwnerRequest_LookUp:
		return reply.GetInfo() == nil
	case *wire.OwnerRequest_Join:
		if body.Join.GetInvitation() != "" {
			return false // it may be the invitation that there is not
		}
	case *wire.OwnerRequest_RevokeInvitation:
		return false // the same
	}
	return reply.GetError().GetCode() == chatv1.Error_CODE_NOT_FOUND
}

// answerAbsent answers in the place of a log's owner, who would say that there is no such log; nil if he is to be asked.
func (sh *Shard) answerAbsent(log string, req *wire.OwnerRequest) (*wire.OwnerReply, asked) {
	if req.GetCreate() != nil {
		return nil, asked{}
	}
	when, flt := sh.isAbsent(log)
	switch {
	case flt == nil:
		return nil, when
	case req.GetLookUp() != nil:
		return (&chatlog.State{ID: log}).LookUp(req.GetUser(), req.GetLookUp(), sh.cfg.Now().UnixMilli()), when
	}
	return &wire.OwnerReply{Error: flt}, when
}
