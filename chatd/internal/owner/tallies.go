package owner

import (
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/chatfleet/chatfleet/chatd/internal/chatlog"
	"github.com/chatfleet/chatfleet/chatd/internal/logid"
	"github.com/chatfleet/chatfleet/chatd/internal/wire"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// effect is what an event means to logs that may stand in other partitions.
type effect struct {
	// channel that so many of the partition's users have joined (or left, below 0).
	channel string
	joined  int64
	// ban of which the banned user's own log is to be told.
	ban *wire.BanNote
}

func (e effect) none() bool { return e.joined == 0 && e.ban == nil }

// effectOf reads it off an event.
func effectOf(e *wire.StoredEvent, content *chatv1.Event) effect {
	switch c := content.GetContent().(type) {
	case *chatv1.Event_LogJoined:
		if logid.Kind(c.LogJoined.Log) == chatv1.LogKind_LOG_KIND_CHANNEL && !e.JoinedAgain {
			return effect{channel: c.LogJoined.Log, joined: 1}
		}
	case *chatv1.Event_LogLeft:
		if logid.Kind(c.LogLeft.Log) == chatv1.LogKind_LOG_KIND_CHANNEL {
			return effect{channel: c.LogLeft.Log, joined: -1}
		}
	case *chatv1.Event_RoleChanged:
		if c.RoleChanged.Role == chatv1.Role_ROLE_BANNED {
			return effect{ban: &wire.BanNote{Log: e.Log, User: c.RoleChanged.User, Pts: e.Pts, TimeMs: e.TimeMs}}
		}
	}
	return effect{}
}

// inheritedEffect is that of an event of the tail; posts, which have none, are not opened for it.
func inheritedEffect(e *wire.StoredEvent) (effect, error) {
	if e.ContentSum != 0 {
		return effect{}, nil
	}
	content, err := chatlog.Content(e)
	return effectOf(e, content), err
}

// tally is how many of the partition's users have joined a channel: a fold of the partition's acknowledged events, kept like the state of a
// log.
type tally struct {
	channel string
	// value is never changed in place; nil until loaded. changes are what has happened before that.
	value    *wire.Tally
	changes  []change
	revision uint64
	// dirty: its snapshot lacks something. saving: one is on its way.
	dirty, saving, loading, used bool
}

type change struct {
	seq    uint64
	joined int64
}

// tallyKey names a tally in the state stream, beside the partition's logs: no log id has a hyphen.
func tallyKey(channel string) string { return "-tally-" + channel }

func (t *term) tally(channel string) *tally {
	c := t.tallies[channel]
	if c == nil {
		c = &tally{channel: channel}
		t.tallies[channel] = c
	}
	c.used = true
	return c
}

// effect takes that of an acknowledged event.
func (t *term) effect(e effect, seq uint64) {
	if e.ban != nil {
		n := t.tell(banKey(e.ban), logid.User(e.ban.User))
		n.ban, n.noted = e.ban, false
		t.enqueue(n)
	}
	if e.joined == 0 {
		return
	}
	c := t.tally(e.channel)
	c.dirty = true
	c.changes = append(c.changes, change{seq, e.joined})
	t.tell(c.channel, c.channel).tally = c
	t.fold(c)
}

// fold brings a tally's changes into its value, once that is loaded, and has it told.
func (t *term) fold(c *tally) {
	if c.value == nil {
		t.toLoad(c)
		return
	}
	for _, ch := range c.changes {
		if ch.seq > c.value.Seq {
			c.value = &wire.Tally{Channel: c.channel, Partition: uint32(t.cfg.Partition), Epoch: t.cfg.Epoch, Seq: ch.seq, Joined: c.value.Joined + ch.joined}
		}
	}
	c.changes = nil
	if n := t.news[c.channel]; n != nil {
		t.enqueue(n)
	}
}

// toLoad has a tally loaded, in its turn.
func (t *term) toLoad(c *tally) {
	if !c.loading {
		c.loading = true
		t.unloaded = append(t.unloaded, c)
		t.loadTallies()
	}
}

// loadTallies loads some at a time, so that what is asked for does not wait behind them. Before run it loads none.
func (t *term) loadTallies() {
	for t.ctx != nil && len(t.unloaded) > 0 && t.loadingTallies < max(t.cfg.Readers/4, 1) {
		c := t.unloaded[0]
		t.unloaded = t.unloaded[1:]
		t.loadingTallies++
		base, revision := t.cp.base, t.cp.revision
		t.read(func() func() {
			snapshot, err := t.readState(tallyKey(c.channel), base, revision)
			return func() { t.tallyLoaded(c, snapshot, err) }
		})
	}
}

func (t *term) tallyLoaded(c *tally, snapshot Revision, err error) {
	t.loadingTallies--
	t.loadTallies()
	value := new(wire.Tally)
	if err == nil {
		err = proto.Unmarshal(snapshot.Data, value)
	}
	if err != nil {
		t.err = wrap(err, "loading the tally of channel %s", c.channel)
		return
	}
	value.Channel, value.Partition, value.Epoch = c.channel, uint32(t.cfg.Partition), t.cfg.Epoch
	c.value, c.loading, c.revision = value, false, snapshot.Number
	t.fold(c)
}

// evictTallies drops those that have not been used for a while, if there are too many.
func (t *term) evictTallies() {
	over := len(t.tallies) - t.cfg.MaxStates
	for channel, c := range t.tallies {
		switch {
		case over <= 0:
			return
		case c.dirty || c.saving || c.value == nil || t.news[channel] != nil:
		case c.used:
			c.used = false
		default:
			delete(t.tallies, channel)
			over--
		}
	}
}

// takeTallies adds the snapshots of the tallies that have changed to a checkpoint that is about to be stored, and what is untold: with all
// that is acknowledged by now, which is at least what the checkpoint speaks of. False if some are not loaded yet.
func (t *term) takeTallies() bool {
	for _, c := range t.tallies {
		if c.dirty && c.value == nil {
			return false
		}
	}
	cp := &t.cp
	for _, c := range t.tallies {
		if !c.dirty {
			continue
		}
		data, err := proto.Marshal(c.value)
		if err != nil {
			t.err = wrap(err, "making a snapshot of the tally of channel %s", c.channel)
			return false
		}
		c.dirty, c.saving = false, true
		cp.taken = append(cp.taken, &snapshot{key: tallyKey(c.channel), tally: c, value: c.value, revision: c.revision, data: data})
	}
	for _, n := range t.news {
		if n.ban != nil {
			cp.target.UntoldBans = append(cp.target.UntoldBans, n.ban)
		} else {
			cp.target.UntoldChannels = append(cp.target.UntoldChannels, n.tally.channel)
		}
	}
	return true
}

// inheritUntold takes over what the checkpoint says is untold.
func (t *term) inheritUntold(base *wire.Checkpoint) {
	for _, channel := range base.UntoldChannels {
		c := t.tally(channel)
		t.tell(channel, channel).tally = c
		t.fold(c)
	}
	for _, ban := range base.UntoldBans {
		n := t.tell(banKey(ban), logid.User(ban.User))
		n.ban = ban
		t.enqueue(n)
	}
}

// tell notes that the partition of a log has to be told something.
func (t *term) tell(key, log string) *news {
	n := t.news[key]
	if n == nil {
		n = &news{key: key, to: logid.Partition(log, t.cfg.Partitions), since: time.Now()}
		t.news[key] = n
	}
	return n
}

func banKey(b *wire.BanNote) string { return b.Log + " " + b.User }
