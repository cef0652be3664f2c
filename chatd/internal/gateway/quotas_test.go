package gateway_test

import (
	"context"
	"testing"

	"github.com/chatfleet/chatfleet/chatd/internal/bus"
	"github.com/chatfleet/chatfleet/chatd/internal/chatlog"
	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	"github.com/chatfleet/chatfleet/chatd/internal/shard"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// Doors to stores of their own, with limits that the bystander's store must not have.
var (
	strict = &doorKind{name: "strict", store: func(c *bus.Config) { c.Limits = chatlog.Limits{OwnedLogs: 2, PostsPerSecond: 5, PostBurst: 10} },
		shard: func(c *shard.Config) { c.MaxInFlight, c.RequestBurst = 1000, 1000 }}
	noRoom = &doorKind{name: "no room", store: func(*bus.Config) {}, full: true}
)

func quotas() section {
	tooMany := func(words string, retry bool) want {
		return want{code: chatv1.Error_CODE_TOO_MANY, says: words, retry: retry}
	}
	full := func(status int) want {
		return want{status: status, code: chatv1.Error_CODE_FULL, says: "no room for more", retry: true}
	}
	create := func(ref, id string) string {
		return `{"ref":` + ref + `,"create":{"kind":"LOG_KIND_GROUP","title":"t","randomId":"` + id + `"}}`
	}
	post := func(i int, log string) []byte {
		return message(engine.Protobuf, &chatv1.ClientFrame{Ref: uint32(i + 2), Body: &chatv1.ClientFrame_Post{Post: &chatv1.PostRequest{
			Log: log, RandomId: uint64(i + 1), Message: &chatv1.Message{Text: "again"}}}})
	}
	rows := []refusal{
		{name: "A group more than a user may make", door: strict, at: inJSON, send: says(create("2", "9001")), then: says(create("3", "9002")),
			want: tooMany("the most that a user may", false)},
		{name: "More posts than a log takes", door: strict, at: inBinary, want: tooMany("of all who post there", true),
			send: func(d *door) []byte { return repeat(300, func(i int) []byte { return post(i, d.his) }) }},
		{name: "A post, where a store's volume is full", door: noRoom, at: inBinary, want: full(0),
			send: func(d *door) []byte { return post(0, d.his) }},
		{name: "The same over HTTP", door: noRoom, want: full(429),
			send: func(d *door) []byte {
				return call(d, "Post", d.fill(`{"log":"@his","randomId":"7","message":{"text":"hi"}}`))
			}},
		{name: "A new group there", door: noRoom, at: inJSON, want: full(0), send: says(create("2", "9003"))},
		{name: "A difference there", door: noRoom, at: inJSON, want: want{fine: true}, send: says(`{"ref":2,"difference":{"cursor":{"log":"@his","epoch":@epoch}}}`)},
		{name: "A user who leaves there", door: noRoom, at: inJSON, want: want{fine: true}, send: says(`{"ref":2,"leave":{"log":"@channel"}}`)},
	}
	return section{"More than is kept", "With small limits, and with a volume that is as good as full.", rows}
}

// openElsewhere makes a door to a store of its own. The well-behaved session beside it is at the world's: who has no room there has it here.
func (w *world) openElsewhere(t testing.TB, kind *doorKind) *door {
	t.Helper()
	beside := w.open(&doorKind{name: "beside " + kind.name})
	dir := ""
	if kind.full {
		if dir = w.t.TempDir(); !smallVolume(w.t, dir) {
			t.Skip("only who may mount a small volume can fill it")
		}
	}
	other := newWorldOf(w.t, func(c *bus.Config) {
		if dir != "" {
			c.Dir = dir
		}
		kind.store(c)
	})
	here := *kind
	here.store = nil
	d := other.open(&here)
	d.beside, d.bystander = beside, beside.bystander
	if kind.full {
		fill(w.t, dir)
		await(w.t, "the store is full", func() bool {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			_, failed := d.shard.Post(ctx, "ann", &chatv1.PostRequest{Log: d.channel, RandomId: d.id.Add(1), Message: &chatv1.Message{Text: "x"}})
			return failed.GetCode() == chatv1.Error_CODE_FULL
		})
	}
	return d
}

// doorFor is the door of a row.
func (w *world) doorFor(t testing.TB, kind *doorKind) *door {
	if kind.store == nil {
		return w.open(kind)
	}
	w.elsewhereMu.Lock()
	defer w.elsewhereMu.Unlock()
	if d := w.elsewhere[kind]; d != nil {
		return d
	}
	d := w.openElsewhere(t, kind)
	if w.elsewhere == nil {
		w.elsewhere = map[*doorKind]*door{}
	}
	w.elsewhere[kind] = d
	return d
}
