package logsync

import (
	"fmt"
	"slices"
	"testing"
	"time"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
	"pgregory.net/rapid"
)

// shownEvents is how many of its newest events an application shows; a "too long" answer has as many.
const shownEvents = 4

// TestAnyNetworkConverges lets several devices follow one log over a network that loses, doubles, reorders and cuts, with a
// server that answers late, in slices, "too long", or not, and that is restored from an older state now and then. At every
// step no device may see an event twice, out of order or with a hole. Once the network is honest again, all devices show
// what the log holds.
func TestAnyNetworkConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{t: t, epoch: 1, now: start}
		for i := range rapid.IntRange(1, 3).Draw(t, "devices") {
			d := &device{world: w, name: fmt.Sprintf("device %d", i), capacity: rapid.IntRange(1, 6).Draw(t, "capacity")}
			d.restart()
			w.devices = append(w.devices, d)
		}
		for range rapid.IntRange(0, 120).Draw(t, "steps") {
			w.step(rapid.SampledFrom(w.devices).Draw(t, "device"))
		}
		for _, d := range w.devices {
			d.heal()
		}
	})
}

// world is the log as the server has it.
type world struct {
	t       *rapid.T
	epoch   uint32
	history []string // the content at position i+1
	posts   int
	now     time.Time
	devices []*device
}

func (w *world) event(pts uint64) *chatv1.Event {
	return &chatv1.Event{Epoch: w.epoch, Pts: pts,
		Content: &chatv1.Event_Message{Message: &chatv1.Message{Text: w.history[pts-1]}}}
}

func (w *world) head() uint64 { return uint64(len(w.history)) }

func (w *world) step(d *device) {
	switch rapid.SampledFrom([]string{
		"post", "post", "post", "deliver", "deliver", "deliver", "handle", "handle", "answer", "answer", "answer arrives", "answer arrives",
		"lose", "double", "swap", "time", "cut", "connect", "connect", "too long", "no answer", "restore", "crash",
	}).Draw(w.t, "step") {
	case "post":
		w.post()
	case "deliver":
		d.deliver(0)
	case "lose":
		if len(d.wire) > 0 {
			d.wire = d.wire[1:]
		}
	case "double":
		if len(d.wire) > 0 {
			d.wire = append(d.wire, d.wire[rapid.IntRange(0, len(d.wire)-1).Draw(w.t, "which")])
		}
	case "swap":
		if len(d.wire) > 0 {
			d.deliver(rapid.IntRange(0, len(d.wire)-1).Draw(w.t, "which"))
		}
	case "handle":
		d.handle()
	case "answer":
		d.answer(rapid.IntRange(1, 4).Draw(w.t, "events"), rapid.IntRange(0, 9).Draw(w.t, "hole") == 0)
	case "answer arrives":
		d.deliverAnswer()
	case "no answer":
		if d.question != nil {
			d.question, d.answered = nil, nil
			d.carryOut(d.log.Failed(w.now, time.Duration(rapid.IntRange(0, 2000).Draw(w.t, "hint"))*time.Millisecond))
		}
	case "time":
		w.now = w.now.Add(time.Duration(rapid.IntRange(1, 700).Draw(w.t, "ms")) * time.Millisecond)
		d.carryOut(d.log.Tick(w.now))
	case "cut":
		d.cut()
	case "connect":
		d.connect()
	case "too long":
		if d.connected {
			d.wire = []func(*Log) Effects{d.frameTooLong()}
		}
	case "restore":
		w.restore()
	case "crash":
		d.restart()
	}
	if len(d.log.held) > d.capacity+1 {
		w.t.Fatalf("%s holds %d events with a capacity of %d", d.name, len(d.log.held), d.capacity)
	}
	if limit := d.capacity*3/2 + shownEvents + 1; d.log.queued > limit {
		w.t.Fatalf("%s has %d events queued with a capacity of %d", d.name, d.log.queued, d.capacity)
	}
}

func (w *world) post() {
	w.posts++
	w.history = append(w.history, fmt.Sprintf("post %d", w.posts))
	for _, d := range w.devices {
		if d.connected {
			d.wire = append(d.wire, d.frameEvent(w.head()))
		}
	}
}

// restore takes the log back to an earlier state. Which events sessions still get is left to what is on the wire.
func (w *world) restore() {
	w.history = w.history[:rapid.IntRange(0, len(w.history)).Draw(w.t, "keep")]
	w.epoch++
}

// device is a device with its connection and its application.
type device struct {
	*world
	name     string
	capacity int
	log      *Log

	connected bool
	// wire are the frames on their way to the device.
	wire     []func(*Log) Effects
	question *Ask
	// answered is the answer to question, on its way.
	answered *chatv1.DifferenceResponse
	queue    []Update

	// What the application has stored: its cursor, and what it shows.
	cursor Cursor
	shown  []string
}

// restart is a start of the program: what the application has handled is what it has.
func (d *device) restart() {
	d.connected, d.wire, d.question, d.answered, d.queue = false, nil, nil, nil, nil
	d.log = New(Config{Cursor: d.cursor, FromBeginning: true, Capacity: d.capacity})
}

func (d *device) frameEvent(pts uint64) func(*Log) Effects {
	e := d.event(pts)
	return func(l *Log) Effects { return l.Push(d.now, e) }
}

func (d *device) frameTooLong() func(*Log) Effects {
	f := &chatv1.TooLong{Epoch: d.epoch, Pts: d.head()}
	return func(l *Log) Effects { return l.TooLong(d.now, f) }
}

func (d *device) cut() {
	d.connected, d.wire, d.question, d.answered = false, nil, nil, nil
	d.log.Lost()
}

// connect attaches with the device's cursor. A server may push what is missing, or say that the device is behind.
func (d *device) connect() {
	d.cut()
	d.connected = true
	at := d.log.Cursor()
	state := &chatv1.LogState{Status: live, Epoch: d.epoch, Pts: at.PTS}
	switch {
	case at.Epoch == 0:
		state.Pts = d.head()
	case at.Epoch != d.epoch || rapid.Bool().Draw(d.t, "behind"):
		state.Status, state.Pts = behind, d.head()
	default:
		for pts := at.PTS + 1; pts <= d.head(); pts++ {
			d.wire = append(d.wire, d.frameEvent(pts))
		}
	}
	d.carryOut(d.log.Attached(d.now, state))
}

func (d *device) deliver(i int) {
	if i < len(d.wire) {
		frame := d.wire[i]
		d.wire = slices.Delete(slices.Clone(d.wire), i, i+1)
		d.carryOut(frame(d.log))
	}
}

// answer lets the server answer the question, by what the log holds now. A hole is a defect that a server must not have.
func (d *device) answer(most int, hole bool) {
	if d.question == nil || d.answered != nil {
		return
	}
	ask := *d.question
	r := &chatv1.DifferenceResponse{Kind: final}
	from, to := ask.Cursor.PTS+1, d.head()
	switch {
	case ask.Cursor.Epoch != d.epoch || to-ask.Cursor.PTS > 8:
		r.Kind, r.Info = tooLong, &chatv1.LogInfo{Pts: to}
		from = to - min(to, shownEvents) + 1
	case from > to:
		r.Kind = empty
	case to-ask.Cursor.PTS > uint64(min(most, ask.Limit)):
		r.Kind = slice
		to = ask.Cursor.PTS + uint64(min(most, ask.Limit))
	}
	for pts := from; pts <= to; pts++ {
		r.Events = append(r.Events, d.event(pts))
	}
	r.Cursor = &chatv1.Cursor{Epoch: d.epoch, Pts: to}
	if hole && r.Kind != tooLong && len(r.Events) > 0 {
		i := rapid.IntRange(0, len(r.Events)-1).Draw(d.t, "hole at")
		r.Events = slices.Delete(r.Events, i, i+1)
	}
	d.answered = r
}

func (d *device) deliverAnswer() {
	if r := d.answered; r != nil {
		d.question, d.answered = nil, nil
		d.carryOut(d.log.Answer(d.now, r))
	}
}

func (d *device) carryOut(e Effects) {
	if e.Started.Epoch != 0 {
		d.cursor = e.Started
	}
	d.queue = append(d.queue, e.Updates...)
	if e.Ask != nil {
		if !d.connected {
			d.t.Fatalf("%s asks without a connection", d.name)
		}
		if d.question != nil {
			d.t.Fatalf("%s asks a second question while one is under way", d.name)
		}
		if e.Ask.Limit < 1 {
			d.t.Fatalf("%s asks for %d events", d.name, e.Ask.Limit)
		}
		d.question = e.Ask
	}
}

// handle is the application's handler for the oldest update.
func (d *device) handle() {
	if len(d.queue) == 0 {
		return
	}
	u := d.queue[0]
	d.queue = d.queue[1:]
	if u.Reset != nil {
		d.shown = nil
		for _, e := range u.Reset.Events {
			d.shown = append(d.shown, e.GetMessage().GetText())
		}
	} else {
		if u.Cursor.Epoch != d.cursor.Epoch || u.Cursor.PTS != d.cursor.PTS+1 {
			d.t.Fatalf("%s is at %v and gets the event %v", d.name, d.cursor, u.Cursor)
		}
		d.shown = append(d.shown, u.Event.GetMessage().GetText())
	}
	d.shown = d.shown[max(0, len(d.shown)-shownEvents):]
	d.cursor = u.Cursor
	d.carryOut(d.log.Handled(d.now, u.Weight()))
}

// heal gives the device an honest network until nothing happens any more, and compares it with a full replay.
func (d *device) heal() {
	d.connect()
	for range 10_000 {
		due, ticking := d.log.Due()
		switch {
		case len(d.queue) > 0:
			d.handle()
		case len(d.wire) > 0:
			d.deliver(0)
		case d.question != nil:
			d.answer(100, false)
			d.deliverAnswer()
		case ticking:
			if due.After(d.now) {
				d.now = due
			}
			d.carryOut(d.log.Tick(d.now))
		default:
			d.compare()
			return
		}
	}
	d.t.Fatalf("%s never comes to rest", d.name)
}

func (d *device) compare() {
	if want := (Cursor{d.epoch, d.head()}); d.cursor != want {
		d.t.Fatalf("%s rests at %v, the log is at %v", d.name, d.cursor, want)
	}
	replay := d.history[max(0, len(d.history)-shownEvents):]
	if !slices.Equal(d.shown, replay) {
		d.t.Fatalf("%s shows %v, a full replay shows %v", d.name, d.shown, replay)
	}
}
