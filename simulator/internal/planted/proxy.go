package planted

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// maxFaults bounds the list of faults, not their number.
const maxFaults = 100_000

// Config is what a Proxy is started with.
type Config struct {
	// Listen is the address to listen at; "127.0.0.1:0" if empty.
	Listen string
	// Target is the address of the shard, host:port. It must not want TLS.
	Target string
	Plan   Plan
}

// Counts is what a Proxy has seen and planted.
type Counts struct {
	Connections uint64
	// Deliveries are the events that the shard pushed.
	Deliveries uint64
	// Dropped deliveries; and how often one dropped for good was kept back again, from a difference or a later push.
	Dropped, KeptBack                 uint64
	Doubled, Swapped, Delayed, CutOff uint64
	// Swallowed posts; and how often a repeat of one was answered.
	Swallowed, SwallowedAgain uint64
}

// Fault is one planted fault.
type Fault struct {
	What string // drop, cut, swap, double, delay or swallow
	Occasion
	// Answered is what a swallowed post was answered with.
	Answered *chatv1.PostResponse
}

// Proxy is a running proxy. It must be closed.
type Proxy struct {
	target   string
	listener net.Listener
	server   *http.Server
	forward  *httputil.ReverseProxy
	work     sync.WaitGroup

	// mu guards the rest.
	mu     sync.Mutex
	closed bool
	conns  map[*conn]bool
	picker *picker
	counts Counts
	faults []Fault
	// lost are the deliveries that were dropped for good.
	lost map[lostKey]bool
	// heads are the newest positions seen, swallowed the answers given in place of the shard.
	heads     map[string]position
	swallowed map[postKey]*chatv1.PostResponse
}

type position struct {
	epoch uint32
	pts   uint64
}

type lostKey struct {
	user, device, log string
	position
}

type postKey struct {
	log      string
	randomID uint64
}

// Start starts a proxy.
func Start(c Config) (*Proxy, error) {
	if c.Listen == "" {
		c.Listen = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("planted: %w", err)
	}
	p := &Proxy{
		target:    c.Target,
		listener:  listener,
		conns:     make(map[*conn]bool),
		picker:    newPicker(c.Plan),
		lost:      make(map[lostKey]bool),
		heads:     make(map[string]position),
		swallowed: make(map[postKey]*chatv1.PostResponse),
	}
	p.forward = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: c.Target})
			r.Out.Host = r.In.Host
		},
		// Passes on as it comes, also what is streamed.
		FlushInterval: -1,
		// DisableCompression: else the transport would ask for gzip on its own, and unpack it.
		Transport:      &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 256},
		ModifyResponse: p.overhear,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, err.Error(), http.StatusBadGateway)
		},
	}
	p.server = &http.Server{Handler: http.HandlerFunc(p.serve), ReadHeaderTimeout: 10 * time.Second}
	p.work.Go(func() { _ = p.server.Serve(listener) })
	return p, nil
}

// Addr is where the proxy listens, host:port.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Plant replaces the plan. Numbers count from here on; what was dropped for good stays so.
func (p *Proxy) Plant(plan Plan) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.picker = newPicker(plan)
}

// Counts returns what was seen and planted so far.
func (p *Proxy) Counts() Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts
}

// Faults lists what was planted so far, the first 100,000.
func (p *Proxy) Faults() []Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Fault(nil), p.faults...)
}

// CutAll cuts all connections as they are, between frames or in one.
func (p *Proxy) CutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.close()
	}
}

// Close ends all connections and waits for what served them.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.CutAll()
	err := p.server.Close()
	p.work.Wait()
	p.forward.Transport.(*http.Transport).CloseIdleConnections()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	closed := p.closed
	if !closed {
		p.work.Add(1) // under mu: Close sets closed before it waits
	}
	p.mu.Unlock()
	if closed {
		http.Error(w, "the proxy is closed", http.StatusServiceUnavailable)
		return
	}
	defer p.work.Done()
	switch {
	case r.Header.Get("Upgrade") != "":
		p.serveSession(w, r)
	case r.URL.Path == postPath:
		p.servePost(w, r)
	default:
		p.forward.ServeHTTP(w, r)
	}
}

// add registers a connection, or refuses it because the proxy is closed. Its number is its place in the order.
func (p *Proxy) add(c *conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.counts.Connections++
	c.number = p.counts.Connections
	p.conns[c] = true
	return true
}

func (p *Proxy) remove(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

// delivery decides what becomes of a pushed event. mu is not held.
func (p *Proxy) delivery(o Occasion) (kind, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := position{o.Event.GetEpoch(), o.Event.GetPts()}
	p.sawHead(o.Event.GetLog(), at)
	p.counts.Deliveries++
	key := lostKey{o.User, o.Device, o.Event.GetLog(), at}
	if p.lost[key] {
		p.counts.KeptBack++
		return drop, true
	}
	k, hit := p.picker.pick(o, drop, cut, swap, double, delay)
	if !hit {
		return 0, false
	}
	if k == drop && p.picker.plan.DropForGood {
		p.lost[key] = true
	}
	if k != swap { // which is planted once another event has overtaken it
		p.planted(k, Fault{Occasion: o})
	}
	return k, true
}

// planted counts and lists a fault. mu is held.
func (p *Proxy) planted(k kind, f Fault) {
	f.What = [kinds]string{"drop", "cut", "swap", "double", "delay", "swallow"}[k]
	*[kinds]*uint64{&p.counts.Dropped, &p.counts.CutOff, &p.counts.Swapped, &p.counts.Doubled, &p.counts.Delayed,
		&p.counts.Swallowed}[k]++
	if len(p.faults) < maxFaults {
		p.faults = append(p.faults, f)
	}
}

// keepBack takes the events that are lost for good to a device out of a difference, and says whether there were any.
func (p *Proxy) keepBack(user, device string, d *chatv1.DifferenceResponse) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	var rest []*chatv1.Event
	for _, e := range d.GetEvents() {
		if p.lost[lostKey{user, device, e.GetLog(), position{e.GetEpoch(), e.GetPts()}}] {
			p.counts.KeptBack++
		} else {
			rest = append(rest, e)
		}
	}
	altered := len(rest) < len(d.GetEvents())
	d.Events = rest
	return altered
}

// post decides what becomes of a post: nil lets it pass, else it is answered in the shard's place. The repeat of a swallowed
// post is swallowed too.
func (p *Proxy) post(o Occasion) *chatv1.PostResponse {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := postKey{o.Post.GetLog(), o.Post.GetRandomId()}
	if before := p.swallowed[key]; before != nil {
		p.counts.SwallowedAgain++
		return &chatv1.PostResponse{Log: before.Log, Epoch: before.Epoch, Pts: before.Pts, Repeated: true}
	}
	at, known := p.heads[key.log]
	if !known {
		return nil // no position would be plausible
	}
	if _, hit := p.picker.pick(o, swallow); !hit {
		return nil
	}
	answer := &chatv1.PostResponse{Log: key.log, Epoch: at.epoch, Pts: at.pts + 1}
	p.swallowed[key] = answer
	p.planted(swallow, Fault{Occasion: o, Answered: answer})
	return answer
}

// sawHead notes a position that exists. mu is held.
func (p *Proxy) sawHead(log string, at position) {
	before, known := p.heads[log]
	if log != "" && at.epoch != 0 && (!known || at.epoch != before.epoch || at.pts > before.pts) {
		p.heads[log] = at
	}
}

// positioned is any answer that names a position of a log.
type positioned interface {
	GetLog() string
	GetEpoch() uint32
	GetPts() uint64
}

// learn notes the positions in answers.
func (p *Proxy) learn(answers ...positioned) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range answers {
		p.sawHead(a.GetLog(), position{a.GetEpoch(), a.GetPts()})
	}
}

func (p *Proxy) dial(ctx context.Context) (net.Conn, error) {
	d := net.Dialer{Timeout: 10 * time.Second}
	return d.DialContext(ctx, "tcp", p.target)
}
