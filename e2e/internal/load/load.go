package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sync/errgroup"

	"github.com/chatfleet/chatfleet/client"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
	"github.com/chatfleet/chatfleet/proto/chat/v1/chatv1connect"
)

// Config says how busy the fleet is kept.
type Config struct {
	// Endpoints are the addresses of the fleet, as http://10.0.0.1:30080.
	Endpoints []string
	// Token gives a user's token.
	Token func(user string) (string, error)
	// Sessions are divided among users, PerUser each; each session is attached to PerSession of the Channels.
	Sessions, PerUser, Channels, PerSession int
	PostsPerSecond                          float64
	// DialPerSecond bounds how fast sessions begin.
	DialPerSecond int
	// PingEvery is how often a session asks whether its shard is there, which costs the cores that all share, PingTimeout how long it waits for
	// the answer.
	PingEvery, PingTimeout time.Duration
	// Patience is how long a post is repeated before it counts as hanging, and how long devices have to catch up in the end.
	Patience time.Duration
}

// author owns the channels.
const author = "author"

// Load is a running load.
type Load struct {
	cfg      Config
	devices  []*device
	channels []string
	api      chatv1connect.ChatServiceClient

	stopPosts context.CancelFunc
	posting   sync.WaitGroup
	heldUp    time.Duration

	mu          sync.Mutex
	posted      []Posted
	failed      []string
	slowestPost time.Duration
	slowestWho  string
}

// Report is what has become of a load.
type Report struct {
	Sessions, Posts, Deliveries int
	Faults
	// Hanging says what did not come to an end: posts without an acknowledgement, devices that did not catch up.
	Hanging []string
	// Hinted is when sessions ended with the word when to come back, Cut when without, SignIns when they came back.
	Hinted, Cut, SignIns []time.Time
	// CutReasons are some of the errors that devices saw.
	CutReasons []string
	// LongestWait is the longest time from when a post was due until a device had it, LongestPost until its author had the acknowledgement,
	// LongestAway from the end of a session to its next sign-in.
	LongestWait, LongestPost, LongestAway time.Duration
	// Longest says of each of these who it was and when.
	Longest []string
	// HeldUp is the longest time that the load itself did not run: what came meanwhile it has seen all at once, and so long after it came.
	HeldUp time.Duration
}

// Start connects all sessions, and begins to post. The context bounds that only.
func Start(ctx context.Context, cfg Config) (*Load, error) {
	token, err := cfg.Token(author)
	if err != nil {
		return nil, fmt.Errorf("a token for %s: %w", author, err)
	}
	l := &Load{cfg: cfg, api: api(cfg.Endpoints[0], token)}
	if err := l.createChannels(ctx); err != nil {
		return nil, err
	}
	if err := l.connect(ctx); err != nil {
		return nil, errors.Join(err, l.close())
	}
	posts, stop := context.WithCancel(context.Background())
	l.stopPosts = stop
	l.posting.Go(func() { l.post(posts) })
	l.posting.Go(func() { l.heldUp = watch(posts) })
	return l, nil
}

// watch looks at the clock again and again until the context ends, and says how late it was at most.
func watch(ctx context.Context) (late time.Duration) {
	const every = 20 * time.Millisecond
	tick := time.NewTicker(every)
	defer tick.Stop()
	for last := time.Now(); ; {
		select {
		case <-ctx.Done():
			return late
		case <-tick.C:
		}
		now := time.Now()
		late, last = max(late, now.Sub(last)-every), now
	}
}

// api speaks HTTP to the fleet. Connections are not kept for long: each new one goes to whatever shard the Service chooses.
func api(endpoint, token string) chatv1connect.ChatServiceClient {
	transport := &http.Transport{MaxIdleConnsPerHost: 4, IdleConnTimeout: 2 * time.Second}
	return chatv1connect.NewChatServiceClient(&http.Client{Transport: transport}, endpoint, connect.WithInterceptors(connect.UnaryInterceptorFunc(
		func(next connect.UnaryFunc) connect.UnaryFunc {
			return func(ctx context.Context, r connect.AnyRequest) (connect.AnyResponse, error) {
				r.Header().Set("Authorization", "Bearer "+token)
				return next(ctx, r)
			}
		})))
}

// tryWithin bounds one try of a request: a shard that is gone, or a packet that goes nowhere, is not waited for.
const tryWithin = 2 * time.Second

// again calls ask until it has an answer, or the context ends.
func again[T any](ctx context.Context, ask func(context.Context) (T, error)) (T, error) {
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, 500*time.Millisecond) {
		try, cancel := context.WithTimeout(ctx, tryWithin)
		answer, err := ask(try)
		cancel()
		if err == nil || final(err) {
			return answer, err
		}
		select {
		case <-ctx.Done():
			return answer, fmt.Errorf("%w; last: %w", context.Cause(ctx), err)
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
	}
}

// final says that asking again would not help.
func final(err error) bool {
	switch connect.CodeOf(err) {
	case connect.CodeInvalidArgument, connect.CodePermissionDenied, connect.CodeUnauthenticated, connect.CodeNotFound, connect.CodeAlreadyExists:
		return true
	}
	return false
}

func (l *Load) createChannels(ctx context.Context) error {
	for i := range l.cfg.Channels {
		request := &chatv1.CreateRequest{Kind: chatv1.LogKind_LOG_KIND_CHANNEL, Title: fmt.Sprintf("channel %d", i), RandomId: newID()}
		created, err := again(ctx, func(ctx context.Context) (*connect.Response[chatv1.CreateResponse], error) {
			return l.api.Create(ctx, connect.NewRequest(request))
		})
		if err != nil {
			return fmt.Errorf("create channel %d: %w", i, err)
		}
		l.channels = append(l.channels, created.Msg.GetLog())
	}
	return nil
}

// newID is an id for a post or a channel, never 0.
func newID() uint64 { return rand.Uint64()>>1 | 1 }

// connect has all devices sign in and attach their logs.
func (l *Load) connect(ctx context.Context) error {
	tick := time.NewTicker(time.Second / time.Duration(max(1, l.cfg.DialPerSecond)))
	defer tick.Stop()
	var ready errgroup.Group
	for i := range l.cfg.Sessions {
		d, attached, err := l.open(ctx, i)
		if err != nil {
			return err
		}
		l.devices = append(l.devices, d)
		ready.Go(func() error {
			for _, log := range attached {
				if err := log.Ready(ctx); err != nil {
					return fmt.Errorf("%s attaches log %s: %w", d.name, log.ID(), err)
				}
			}
			return nil
		})
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return ready.Wait()
}

func (l *Load) open(ctx context.Context, i int) (*device, []*client.Log, error) {
	user := fmt.Sprintf("user-%d", i/l.cfg.PerUser)
	token, err := l.cfg.Token(user)
	if err != nil {
		return nil, nil, fmt.Errorf("a token for %s: %w", user, err)
	}
	d := &device{name: fmt.Sprintf("%s/device-%d", user, i%l.cfg.PerUser)}
	d.client, err = client.Open(ctx, client.Options{
		Endpoints: l.cfg.Endpoints, Token: client.StaticToken(token), Device: fmt.Sprintf("device-%d", i%l.cfg.PerUser), Program: "e2e", OnStatus: d.status,
		// Each device has connections of its own, so that each is sent to a shard of its own choosing.
		HTTPClient: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
		PingEvery:  l.cfg.PingEvery, PingTimeout: l.cfg.PingTimeout, ConnectTimeout: 5 * time.Second,
		Backoff: client.Backoff{Base: 200 * time.Millisecond, Most: 2 * time.Second},
	})
	if err != nil {
		return nil, nil, err
	}
	var attached []*client.Log
	for n := range l.cfg.PerSession {
		h := &heard{log: l.channels[(i+n)%len(l.channels)]}
		d.logs = append(d.logs, h)
		log, err := d.client.Attach(h.log, client.AttachOptions{Handler: h.handle, FromBeginning: true})
		if err != nil {
			return nil, nil, errors.Join(err, d.client.Close())
		}
		attached = append(attached, log)
	}
	return d, attached, nil
}

// post posts at times that are set beforehand, whatever has become of the posts before.
func (l *Load) post(ctx context.Context) {
	every := time.Duration(float64(time.Second) / l.cfg.PostsPerSecond)
	var under sync.WaitGroup
	defer under.Wait()
	begun := time.Now()
	for i := 0; ; i++ {
		due := begun.Add(time.Duration(i) * every)
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(due)):
		}
		under.Go(func() { l.postOne(l.channels[i%len(l.channels)], due) })
	}
}

func (l *Load) postOne(log string, due time.Time) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), l.cfg.Patience, fmt.Errorf("no acknowledgement within %s", l.cfg.Patience))
	defer cancel()
	id := newID()
	request := &chatv1.PostRequest{Log: log, RandomId: id, Message: &chatv1.Message{Text: text(id, due)}}
	posted, err := again(ctx, func(ctx context.Context) (*connect.Response[chatv1.PostResponse], error) {
		r, err := l.api.Post(ctx, connect.NewRequest(request))
		if request.FirstSentMs == 0 {
			request.FirstSentMs = due.UnixMilli() // of the repeats
		}
		return r, err
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.failed = append(l.failed, fmt.Sprintf("post %x to log %s: %v", id, log, err))
		return
	}
	l.posted = append(l.posted, Posted{Log: log, PTS: posted.Msg.GetPts(), ID: id})
	if waited := time.Since(due); waited > l.slowestPost {
		l.slowestPost, l.slowestWho = waited, fmt.Sprintf("post %x to log %s, due at %s, acknowledged after %.2f s", id, log, clock(due), waited.Seconds())
	}
}

// clock is a moment as logs have it.
func clock(t time.Time) string { return t.UTC().Format("15:04:05.000") }

// Stop ends the posts, lets all devices catch up, reads the logs from the fleet, and says what has become of everything.
func (l *Load) Stop(ctx context.Context) (Report, error) {
	l.stopPosts()
	l.posting.Wait()
	r := Report{Sessions: len(l.devices), Posts: len(l.posted), LongestPost: l.slowestPost, Hanging: l.failed, HeldUp: l.heldUp}
	logs, err := l.readAll(ctx)
	if err != nil {
		return r, errors.Join(err, l.close())
	}
	r.Hanging = append(r.Hanging, l.catchUp(ctx, logs)...)
	r.Longest = append(r.Longest, l.slowestWho)
	err = l.close()
	var all []Heard
	var waited, away string
	for _, d := range l.devices {
		r.add(d, &waited, &away)
		for _, h := range d.logs {
			all = append(all, Heard{Device: d.name, Log: h.log, Events: h.events, Resets: h.resets})
		}
	}
	r.Longest = append(r.Longest, waited, away)
	r.Faults = Audit(l.posted, logs, all)
	return r, err
}

// Devices says how many have a session just now.
func (l *Load) Devices() (signedIn, all int) {
	for _, d := range l.devices {
		d.mu.Lock()
		if d.signedIn {
			signedIn++
		}
		d.mu.Unlock()
	}
	return signedIn, len(l.devices)
}

// Moves says when sessions have been sent away with a hint, and cut without, since a moment.
func (l *Load) Moves(since time.Time) (hinted, cut []time.Time) {
	after := func(all []time.Time) []time.Time {
		return slices.DeleteFunc(slices.Clone(all), func(t time.Time) bool { return t.Before(since) })
	}
	for _, d := range l.devices {
		d.mu.Lock()
		hinted, cut = append(hinted, after(d.moves.hinted)...), append(cut, after(d.moves.cut)...)
		d.mu.Unlock()
	}
	return hinted, cut
}

func (r *Report) add(d *device, waited, away *string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r.Hinted, r.Cut, r.SignIns = append(r.Hinted, d.moves.hinted...), append(r.Cut, d.moves.cut...), append(r.SignIns, d.moves.again...)
	for _, why := range d.moves.reasons {
		if len(r.CutReasons) < mostExamples {
			r.CutReasons = append(r.CutReasons, d.name+": "+why)
		}
	}
	if d.moves.longestAway > r.LongestAway {
		r.LongestAway, *away = d.moves.longestAway, fmt.Sprintf("%s, away for %.2f s until %s (%s)", d.name, d.moves.longestAway.Seconds(), clock(d.moves.longestUntil), d.moves.longestWhy)
	}
	for _, h := range d.logs {
		r.Deliveries += len(h.events)
		if h.longest > r.LongestWait {
			r.LongestWait, *waited = h.longest, fmt.Sprintf("%s, given post %x of log %s at %s, %.2f s after it was due", d.name, h.longestOf, h.log, clock(h.longestAt), h.longest.Seconds())
		}
	}
}

func (l *Load) readAll(ctx context.Context) (map[string][]Entry, error) {
	logs := map[string][]Entry{}
	for _, log := range l.channels {
		entries, err := l.read(ctx, log)
		if err != nil {
			return nil, err
		}
		logs[log] = entries
	}
	return logs, nil
}

// read reads a log whole, backwards.
func (l *Load) read(ctx context.Context, log string) ([]Entry, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, l.cfg.Patience, fmt.Errorf("log %s could not be read within %s", log, l.cfg.Patience))
	defer cancel()
	var all []Entry
	request := &chatv1.HistoryRequest{Log: log}
	for {
		page, err := again(ctx, func(ctx context.Context) (*connect.Response[chatv1.HistoryResponse], error) {
			return l.api.History(ctx, connect.NewRequest(request))
		})
		if err != nil {
			return nil, fmt.Errorf("read log %s: %w", log, err)
		}
		events := page.Msg.GetEvents()
		if len(events) == 0 {
			slices.Reverse(all)
			return all, nil
		}
		for _, e := range slices.Backward(events) {
			all = append(all, entry(e))
		}
		request.Epoch, request.BeforePts = page.Msg.GetEpoch(), events[0].GetPts()
	}
}

// ReadAgain reads the logs of a load that was stopped once more, and says whether all that was acknowledged is still there.
func (l *Load) ReadAgain(ctx context.Context) error {
	logs, err := l.readAll(ctx)
	if err != nil {
		return err
	}
	if f := Audit(l.posted, logs, nil); !f.None() {
		return fmt.Errorf("lost %d, doubled %d, disordered %d: %q", f.Lost, f.Doubled, f.Disordered, f.Examples)
	}
	return nil
}

// catchUp waits until every device has all that the logs have, and names those that have not in time.
func (l *Load) catchUp(ctx context.Context, logs map[string][]Entry) []string {
	deadline := time.Now().Add(l.cfg.Patience)
	var hanging []string
	for _, d := range l.devices {
		for _, h := range d.logs {
			last := logs[h.log][len(logs[h.log])-1].PTS
			for h.reached() < last && time.Now().Before(deadline) && ctx.Err() == nil {
				time.Sleep(10 * time.Millisecond)
			}
			if is := h.reached(); is < last {
				hanging = append(hanging, fmt.Sprintf("%s is at %d of log %s, which ends at %d", d.name, is, h.log, last))
			}
		}
	}
	return hanging[:min(len(hanging), mostExamples)]
}

// close ends all sessions.
func (l *Load) close() error {
	var closing errgroup.Group
	for _, d := range l.devices {
		closing.Go(d.client.Close)
	}
	return closing.Wait()
}
