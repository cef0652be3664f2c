package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	"github.com/chatfleet/chatfleet/chatd/internal/rates"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// admission counts connections: all that are open, those of whom nobody knows who they are, and what each address does. A connection is
// unknown until its session has signed in, or a request over HTTP has brought a good token.
type admission struct {
	cfg Config
	// handshakes of sessions, and failures: connections that ended unknown, and tokens that were refused.
	handshakes, failures *rates.Table[netip.Addr]

	began time.Time

	mu      sync.Mutex
	open    int
	unknown int
	rush    rush
	said    time.Duration // when the log was told of a rush
	// unknownOf counts by address; an address without any is not in it.
	unknownOf map[netip.Addr]int
}

func newAdmission(cfg Config) *admission {
	return &admission{
		cfg:        cfg,
		began:      cfg.Now(),
		rush:       newRush(cfg.MaxUnknown),
		handshakes: rates.NewTable[netip.Addr](cfg.HandshakesPerSecond, cfg.HandshakeBurst, cfg.Now()),
		failures:   rates.NewTable[netip.Addr](cfg.FailuresPerSecond, cfg.FailureBurst, cfg.Now()),
		unknownOf:  make(map[netip.Addr]int),
	}
}

// visitor is one connection, as admission counts it.
type visitor struct {
	admission *admission
	// proxy is whom the connection is from, if what he says of his clients is believed; else nil.
	proxy *netip.Addr
	// addr is what is counted by; exempt addresses are not. On a connection of a proxy both change with the request, under the admission's mu.
	addr   netip.Addr
	exempt bool
	marks  atomic.Uint32
	came   time.Duration // since the admission began
}

// What is known of a visitor, as bits of its marks.
const (
	// heard: a request has come, and its handler is at work.
	heard = 1 << iota
	// known: it is known whose connection it is.
	known
	gone
	// excused: that it comes to nothing is the server's own doing.
	excused
)

func (v *visitor) is(mark uint32) bool { return v.marks.Load()&mark != 0 }

// mark sets a mark, and says whether it was set.
func (v *visitor) mark(mark uint32) (was bool) { return v.marks.Or(mark)&mark != 0 }

// unmark takes it away, and says the same.
func (v *visitor) unmark(mark uint32) (was bool) { return v.marks.And(^mark)&mark != 0 }

// enter counts a new connection, or says why it cannot stay. An address that is not valid is one of no network, and not counted.
func (a *admission) enter(from netip.Addr) (*visitor, string) {
	now := a.now()
	v := &visitor{admission: a, came: now}
	switch from = plainAddr(from); {
	case !from.IsValid():
		v.exempt = true
	case a.isProxy(from):
		// Nobody's, until a request says whose.
		v.proxy, v.exempt = &from, true
	default:
		v.addr, v.exempt = a.countedBy(from)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.open >= a.cfg.MaxConnections:
		return nil, full("503 Service Unavailable", "this shard holds as many connections as it may; try another, or later")
	case a.unknown >= a.cfg.MaxUnknown:
		return nil, full("503 Service Unavailable", "as many connections as may have not signed in yet; try another shard, or later")
	case !v.exempt && a.unknownOf[v.addr] >= a.cfg.MaxUnknownPerAddress:
		return nil, full("429 Too Many Requests", tooManyUnknown)
	case !a.rush.admits(now, a.unknown):
		a.sayRush(now)
		return nil, later()
	}
	a.open++
	a.unknown++
	a.unknownOf[v.addr]++
	return v, ""
}

// now is the time since the admission began, by a clock that is not set.
func (a *admission) now() time.Duration { return a.cfg.Now().Sub(a.began) }

// sayRush logs that connections are refused, once in a while.
func (a *admission) sayRush(now time.Duration) {
	if a.cfg.Logger != nil && (a.said == 0 || now-a.said > sayRushEvery) {
		a.said = now
		a.cfg.Logger.Warn("connections are told to come later: even the quickest take too long to sign in", "may_be_unknown", a.rush.limit, "unknown", a.unknown)
	}
}

// addressOf is where a connection comes from; not valid if it is from no network.
func addressOf(remote net.Addr) netip.Addr {
	if tcp, ok := remote.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr()
	}
	return netip.Addr{}
}

// countedBy is what who comes from an address is counted by: an IPv4 address, or the 64 bits of an IPv6 address that name a network.
func (a *admission) countedBy(addr netip.Addr) (counted netip.Addr, exempt bool) {
	if within(a.cfg.ExemptAddresses, addr) {
		return addr, true
	}
	if addr.Is6() {
		if network, err := addr.Prefix(64); err == nil {
			addr = network.Addr()
		}
	}
	return addr, false
}

// SignedIn notes that whose connection this is is known now.
func (v *visitor) SignedIn() {
	if v.mark(known) {
		return
	}
	a := v.admission
	now := a.now()
	a.mu.Lock()
	defer a.mu.Unlock()
	if !v.is(gone) {
		a.forgetLocked(v)
		a.rush.signedIn(now, now-v.came)
	}
}

// Excuse notes that it was the server that failed: unavailable, leaving, or by a defect. That counts against nobody.
func (v *visitor) Excuse() {
	if v != nil {
		v.mark(excused)
	}
}

// blamed notes a refusal of a token, unless it is the server's own failure.
func (v *visitor) blamed(failed *chatv1.Error) {
	switch failed.GetCode() {
	case chatv1.Error_CODE_UNAVAILABLE, chatv1.Error_CODE_INTERNAL, chatv1.Error_CODE_DRAINING:
		v.Excuse()
	default:
		v.fail()
	}
}

// leave ends the count of a connection. One that ends unknown counts as a failure of its address.
func (v *visitor) leave() {
	a := v.admission
	a.mu.Lock()
	defer a.mu.Unlock()
	if v.mark(gone) {
		return
	}
	a.open--
	if !v.is(known) {
		a.forgetLocked(v)
		a.failLocked(v)
	}
}

// failLocked notes that a connection has come to nothing for who it counts for, unless he is not to blame for it.
func (a *admission) failLocked(v *visitor) {
	if !v.is(excused) {
		v.fail()
	}
}

func (a *admission) forgetLocked(v *visitor) {
	a.unknown--
	if a.unknownOf[v.addr]--; a.unknownOf[v.addr] == 0 {
		delete(a.unknownOf, v.addr)
	}
}

// fail notes a token that was refused, or a connection that came to nothing.
func (v *visitor) fail() {
	if v != nil && !v.exempt {
		v.admission.failures.Take(v.addr, 1, v.admission.cfg.Now())
	}
}

// mayShake counts a handshake of a session, or says why there are too many.
func (v *visitor) mayShake() *chatv1.Error {
	if v == nil || v.exempt {
		return nil
	}
	if failed := v.mayTry(); failed != nil {
		return failed
	}
	a := v.admission
	if wait, ok := a.handshakes.Take(v.addr, 1, a.cfg.Now()); !ok {
		return tooMany(wait, "more sessions of your address a second than may be; connect more slowly")
	}
	return nil
}

// mayTry says no to an address that has failed too often. Who is known already is not held liable for his neighbours.
func (v *visitor) mayTry() *chatv1.Error {
	if v == nil || v.exempt || v.is(known) {
		return nil
	}
	a := v.admission
	if wait, spent := a.failures.Spent(v.addr, a.cfg.Now()); spent {
		return tooMany(wait, "too many connections or requests of your address came without a good token; wait, and sign in")
	}
	return nil
}

func tooMany(wait time.Duration, message string) *chatv1.Error {
	return &chatv1.Error{Code: chatv1.Error_CODE_TOO_MANY, Message: message, RetryAfterMs: uint32(min(wait.Milliseconds()+1, 1<<31))}
}

const tooManyUnknown = "as many connections of your address as may have not signed in yet; sign in, or wait"

// sayRushEvery is how often the log is told of a rush that lasts.
const sayRushEvery = 10 * time.Second

// fullFor is what who finds no place is told to wait.
const fullFor = 5 * time.Second

// later is the answer to a connection that comes in a rush. Not all are to come back at once.
func later() string {
	wait := rushPatience + rand.N(4*rushPatience)
	return "HTTP/1.1 503 Service Unavailable\r\nRetry-After: " + strconv.Itoa(int(wait.Round(time.Second).Seconds())) +
		"\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n" +
		`{"code":"CODE_TOO_MANY","message":"more connections come than can sign in at once; try another shard, or later","retryAfterMs":` +
		strconv.FormatInt(wait.Milliseconds(), 10) + "}\n"
}

// full is the whole answer to a connection that cannot stay.
func full(status, message string) string {
	return "HTTP/1.1 " + status + "\r\nRetry-After: " + strconv.Itoa(int(fullFor.Seconds())) + "\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n" +
		`{"code":"CODE_TOO_MANY","message":"` + message + `"}` + "\n"
}

const tooSlow = "HTTP/1.1 408 Request Timeout\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n" +
	`{"code":"CODE_INVALID","message":"the headers of the request did not come in time"}` + "\n"

// LimitListener bounds the connections that are open at once, and counts what their addresses do. What is above a bound is told so and
// closed: a client that waits unheard would think the fleet dead.
func LimitListener(l net.Listener, cfg Config) net.Listener {
	cfg = cfg.withDefaults()
	limits := &limited{Listener: l, admission: newAdmission(cfg)}
	if tcp, ok := l.(*net.TCPListener); ok && cfg.Opener != nil && !cfg.TLS {
		return newFront(tcp, limits)
	}
	return limits
}

type limited struct {
	net.Listener
	admission *admission
}

// Accept implements net.Listener.
func (l *limited) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		v, refusal := l.admission.enter(addressOf(conn.RemoteAddr()))
		if v != nil {
			return admit(conn, v, nil), nil
		}
		if l.admission.cfg.TLS {
			conn.Close() // who waits for a handshake cannot be told
			continue
		}
		turnAway(conn, refusal)
	}
}

// turnAway answers what has not been asked. It must not block: it writes what fits in a fresh socket's buffer, and takes what has come
// off the socket, as the system would answer unread bytes with a reset that overtakes the answer.
func turnAway(conn net.Conn, refusal string) {
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	_, _ = conn.Write([]byte(refusal))
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
		_ = tcp.SetReadDeadline(time.Now().Add(time.Millisecond))
		var rest [4096]byte
		_, _ = tcp.Read(rest[:])
	}
	conn.Close()
}

// admit makes a connection give its place back when it is closed. said is what has been read from it.
func admit(conn net.Conn, v *visitor, said []byte) net.Conn {
	if tcp, ok := conn.(*net.TCPConn); ok {
		// The engine sets its buffers and writes to its descriptor.
		return &admittedTCP{TCPConn: tcp, visitor: v, said: said}
	}
	return &admitted{conn, v}
}

type admitted struct {
	net.Conn
	*visitor
}

func (c *admitted) Close() error {
	c.leave()
	return c.Conn.Close()
}

type admittedTCP struct {
	*net.TCPConn
	*visitor
	// said is what has been read from the socket, and comes before what is in it.
	said []byte
	// elsewhere, if it is set, is what is read and written in place of the socket: an engine has taken that.
	elsewhere atomic.Pointer[io.ReadWriter]
}

func (c *admittedTCP) Close() error {
	c.leave()
	return c.TCPConn.Close()
}

// Detach implements engine.Detacher.
func (c *admittedTCP) Detach() engine.Detached {
	return engine.Detached{Socket: c.TCPConn, Left: c.leave}
}

// Write implements net.Conn.
func (c *admittedTCP) Write(p []byte) (int, error) {
	if to := c.elsewhere.Load(); to != nil {
		return (*to).Write(p)
	}
	return c.TCPConn.Write(p)
}

// Read implements net.Conn. The HTTP server ends a connection whose first request does not come in time without a word: here is the word.
func (c *admittedTCP) Read(p []byte) (int, error) {
	if from := c.elsewhere.Load(); from != nil {
		return (*from).Read(p)
	}
	if len(c.said) > 0 {
		n := copy(p, c.said)
		c.said = c.said[n:]
		return n, nil
	}
	n, err := c.TCPConn.Read(p)
	if err != nil && !c.admission.cfg.TLS && !c.is(heard) && errors.Is(err, os.ErrDeadlineExceeded) {
		_ = c.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = c.Write([]byte(tooSlow)) // the client is gone if this fails
		_ = c.CloseWrite()              // what the HTTP server may have to say comes too late
	}
	return n, err
}

type visitorKey struct{}

// asVisitor puts a connection's visitor into the context of its requests.
func asVisitor(ctx context.Context, conn net.Conn) context.Context {
	if over, ok := conn.(*tls.Conn); ok {
		conn = over.NetConn()
	}
	switch c := conn.(type) {
	case *admitted:
		return context.WithValue(ctx, visitorKey{}, c.visitor)
	case *admittedTCP:
		return context.WithValue(ctx, visitorKey{}, c.visitor)
	}
	return ctx
}

// visitorOf is nil on a listener that is not of LimitListener.
func visitorOf(r *http.Request) *visitor {
	v, _ := r.Context().Value(visitorKey{}).(*visitor)
	return v
}
