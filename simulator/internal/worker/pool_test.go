package worker

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
	"github.com/chatfleet/chatfleet/simulator/internal/stamp"
	"github.com/chatfleet/chatfleet/simulator/internal/swarm"
	"github.com/chatfleet/chatfleet/simulator/internal/swarm/chattest"
)

// hangs bounds every wait of these tests. Nothing is judged by it.
const hangs = time.Minute

const testRun = 42

// The test's executable is also the worker's and, to be killed, a coordinator's.
func TestMain(m *testing.M) {
	var err error
	switch {
	case len(os.Args) > 1 && os.Args[1] == "worker":
		err = Run(context.Background(), os.Args[2:])
	case len(os.Args) > 1 && os.Args[1] == "coordinator":
		err = coordinate(os.Args[2])
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// coordinate opens a pool, says which processes are in it, and waits to be killed.
func coordinate(endpoint string) error {
	public, key, err := newKey()
	if err != nil {
		return err
	}
	_ = public
	p, err := Open(context.Background(), testConfig(key, []string{endpoint}, 10, 2))
	if err != nil {
		return err
	}
	defer p.Close()
	if err := p.Start(); err != nil {
		return err
	}
	fmt.Println(p.Pids())
	select {}
}

func newKey() (ed25519.PublicKey, []byte, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	return public, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func testConfig(key []byte, endpoints []string, sessions, workers int) Config {
	b := swarm.DefaultBehaviour()
	b.BackoffBase, b.BackoffCap, b.HoldGap = 10*time.Millisecond, 200*time.Millisecond, 100*time.Millisecond
	return Config{
		Swarm: swarm.Config{
			Run: testRun, StartNs: stamp.Now(), Sessions: sessions, Endpoints: endpoints, JSONShare: 0.02,
			Logs: []string{"c1", "c2"}, Attach: []swarm.Attachment{{Log: 0, Count: sessions}, {Log: 1, First: 1, Count: sessions, Step: 4}},
			Groups: []swarm.Group{{Name: "warm-up"}, {Name: "chatter", Measured: true}, {Name: "broadcast", Measured: true}},
			Posts:  []swarm.PostRange{{First: 1, Count: 1000, Group: 1}, {First: 5, Count: 1, Group: 2}},
			Seed:   1, Behaviour: b, ConnectPerSecond: 5000,
		},
		SigningKey: key,
		Issued:     time.Now(),
		Expires:    time.Now().Add(time.Hour),
		Workers:    workers,
	}
}

// rig is a pool against a server in the test's process.
type rig struct {
	*testing.T
	server *chattest.Server
	pool   *Pool
	posts  uint32
}

func newRig(t *testing.T, sessions, workers, endpoints int, change func(*Config)) *rig {
	public, key, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	server := chattest.New(t)
	server.User = func(token string) (string, error) { return subject(token, public) }
	var addresses []string
	for range endpoints {
		addresses = append(addresses, server.Listen(t))
	}
	cfg := testConfig(key, addresses, sessions, workers)
	if change != nil {
		change(&cfg)
	}
	r := &rig{T: t, server: server}
	if r.pool, err = Open(context.Background(), cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.pool.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// subject checks a token as a fleet would.
func subject(token string, key ed25519.PublicKey) (string, error) {
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		return "", err
	}
	if len(parsed.Headers) != 1 || parsed.Headers[0].KeyID == "" {
		return "", errors.New("no key id")
	}
	var claims jwt.Claims
	if err := parsed.Claims(key, &claims); err != nil {
		return "", err
	}
	return claims.Subject, claims.ValidateWithLeeway(jwt.Expected{AnyAudience: jwt.Audience{"chatfleet"}, Time: time.Now()}, time.Second)
}

func (r *rig) until(what string, holds func(swarm.Counters) bool) {
	r.Helper()
	for deadline := time.Now().Add(hangs); ; time.Sleep(10 * time.Millisecond) {
		p := r.pool.Progress()
		if holds(p.Counters) {
			return
		}
		if time.Now().After(deadline) {
			r.Fatalf("waited %v until %s; it stands at %+v, errors %v, lost %v", hangs, what, p.Counters, p.Errors, r.pool.Lost())
		}
	}
}

func (r *rig) connect() {
	r.Helper()
	if err := r.pool.Start(); err != nil {
		r.Fatal(err)
	}
	r.until("all sessions are subscribed", func(c swarm.Counters) bool { return c.Wanted > 0 && c.Subscribed == c.Wanted })
}

func (r *rig) post(log string, n int) {
	for range n {
		data, err := stamp.Stamp{Run: testRun, Post: r.posts, IntendedNs: stamp.Now()}.Append(nil, 64)
		if err != nil {
			r.Fatal(err)
		}
		r.server.Post(log, data)
		r.posts++
	}
}

func (r *rig) finish() swarm.Result {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), hangs)
	defer cancel()
	heads := map[string]uint64{}
	var lists []swarm.LogList
	for _, log := range []string{"c1", "c2"} {
		l := swarm.LogList{Log: log, Epoch: chattest.Epoch, First: 1}
		for _, ev := range r.server.Events(log) {
			l.Posts = append(l.Posts, stamp.PostOf(ev.GetMessage().GetData(), testRun))
		}
		heads[log] = l.Head()
		lists = append(lists, l)
	}
	if behind, err := r.pool.Settle(ctx, heads); behind != 0 || err != nil {
		r.Fatalf("%d behind, %v; %+v", behind, err, r.pool.Progress())
	}
	res, err := r.pool.Finish(ctx, lists)
	if err != nil {
		r.Fatal(err)
	}
	return res
}

// Two thousand sessions in two processes: shards are cut, one delivery is withheld, and the account is right to the last one.
func TestTwoThousandSessionsInTwoProcesses(t *testing.T) {
	const sessions = 2000
	r := newRig(t, sessions, 2, 3, nil)
	var once sync.Once
	r.server.OnPush = func(c *chattest.Conn, ev *chatv1.Event) {
		withheld := false
		if ev.Log == "c1" && ev.Pts == 3 && c.User == "sim-1234" {
			once.Do(func() { withheld = true })
		}
		if !withheld {
			c.Push(ev)
		}
	}
	r.server.OnDifference = func(c *chattest.Conn, log string, d *chatv1.DifferenceResponse) {
		if log != "c1" || c.User != "sim-1234" {
			return
		}
		var kept []*chatv1.Event
		for _, ev := range d.Events {
			if ev.Pts != 3 {
				kept = append(kept, ev)
			}
		}
		d.Events = kept
	}
	r.connect()
	r.post("c1", 10)
	r.post("c2", 10)
	// What was withheld must be missed before the session is cut: after a cut it would be pushed again.
	r.until("the gap was found", func(c swarm.Counters) bool { return c.SkippedHole == 1 })
	cut := r.server.CutAll(r.pool.cfg.Swarm.Endpoints[0])
	r.post("c1", 10)
	r.until("those that were cut are back", func(c swarm.Counters) bool { return c.Cuts == int64(cut) && c.SignedInNow == sessions })
	res := r.finish()
	if len(r.pool.Lost()) != 0 {
		t.Errorf("lost are %v", r.pool.Lost())
	}
	const expected = sessions*20 + sessions/4*10
	v := res.Verification
	if v.Expected != expected || v.Delivered != expected-1 || v.Lost != 1 || v.Skipped != 1 || v.Cursors != sessions+sessions/4 {
		t.Errorf("%+v", v)
	}
	if len(v.Examples) != 1 || v.Examples[0].Session != 1234 || v.Examples[0].Log != "c1" || v.Examples[0].Pts != 3 {
		t.Errorf("examples are %v", v.Examples)
	}
	c := res.Counters
	if c.Wanted != sessions || c.SignedIn != sessions || c.Duplicate+c.Unordered+c.Stray+c.TooLong != 0 || c.Reconnects < int64(cut) {
		t.Errorf("%+v", c)
	}
	// Post 0 is in no range, so it is in the first group, which is not measured; post 5 is the broadcast.
	want := []int64{sessions, expected - 2*sessions - 1, sessions}
	var measured int64
	for i, g := range res.Groups {
		if g.Arrived != want[i] || v.Groups[i].Delivered != want[i] || g.Max <= 0 {
			t.Errorf("group %s: %d arrived (%d by the account), want %d; longest %v", g.Name, g.Arrived, v.Groups[i].Delivered, want[i], g.Max)
		}
	}
	measured = want[1] + want[2]
	if res.Latency.Count() != measured || res.Deliveries.Total() != expected-1 || res.Sessions.Total() != sessions ||
		res.Established.Total() != sessions || res.Wanted.Total() != sessions {
		t.Errorf("%d latencies, %d deliveries, %d sessions of %d connections, of %d", res.Latency.Count(), res.Deliveries.Total(),
			res.Sessions.Total(), res.Established.Total(), res.Wanted.Total())
	}
	if res.SignIn.Count() != sessions || res.SignIn.Min() <= 0 || res.SignIn.Max() > hangs {
		t.Errorf("%d sign-ins, from %v to %v", res.SignIn.Count(), res.SignIn.Min(), res.SignIn.Max())
	}
	if res.Hiccups.Count() == 0 || res.CPU <= 0 || res.BytesPerSubscriber < 100 || res.Counters.BytesRead == 0 {
		t.Errorf("%d hiccups, %v of CPU, %d bytes a subscriber", res.Hiccups.Count(), res.CPU, res.BytesPerSubscriber)
	}
	t.Logf("%d bytes a subscriber; %v of CPU; hiccups p99.9 %v", res.BytesPerSubscriber, res.CPU, res.Hiccups.Percentile(99.9))
}

func TestAWorkerThatDiesIsReported(t *testing.T) {
	r := newRig(t, 40, 2, 1, nil)
	r.connect()
	r.post("c1", 5)
	pids := r.pool.Pids()
	if err := syscall.Kill(pids[1], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	r.until("the worker is missed", func(c swarm.Counters) bool { return c.SignedInNow == 20 })
	r.post("c1", 5)
	res := r.finish()
	lost := r.pool.Lost()
	if len(lost) != 1 || !strings.Contains(lost[0], fmt.Sprintf("worker 1 (process %d, sessions 20 to 39): signal: killed", pids[1])) {
		t.Errorf("lost are %v", lost)
	}
	if v := res.Verification; v.Expected != 200 || v.Lost != 0 {
		t.Errorf("of the worker that lives: %+v", v)
	}
}

func TestAWorkerThatHangsIsReported(t *testing.T) {
	r := newRig(t, 40, 2, 1, func(c *Config) {
		c.Deadlines = DefaultDeadlines()
		c.Deadlines.Silence = 2 * time.Second
	})
	r.connect()
	if err := syscall.Kill(r.pool.Pids()[0], syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	r.until("the worker is missed", func(c swarm.Counters) bool { return c.SignedInNow == 20 })
	r.post("c1", 5)
	if v := r.finish().Verification; v.Expected != 100 || v.Lost != 0 {
		t.Errorf("of the worker that lives: %+v", v)
	}
	if lost := r.pool.Lost(); len(lost) != 1 || !strings.Contains(lost[0], "worker 0") {
		t.Errorf("lost are %v", lost)
	}
}

func TestWorkersGoWithTheContext(t *testing.T) {
	_, key, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	server := chattest.New(t)
	p, err := Open(ctx, testConfig(key, []string{server.Listen(t)}, 4, 2))
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	for _, w := range p.peers {
		select {
		case <-w.process.ended:
		case <-time.After(hangs):
			t.Errorf("%s lives on", w)
		}
	}
	if _, err := p.Finish(t.Context(), nil); err == nil {
		t.Error("a pool without workers has a result")
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

func TestWorkersGoWhenTheCoordinatorIsKilled(t *testing.T) {
	server := chattest.New(t)
	coordinator := exec.Command(os.Args[0], "coordinator", server.Listen(t))
	coordinator.Stderr = os.Stderr
	out, err := coordinator.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := coordinator.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if err := coordinator.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = coordinator.Wait() // killed, as it should be
	for _, field := range strings.Fields(strings.Trim(strings.TrimSpace(line), "[]")) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			t.Fatalf("the coordinator said %q", line)
		}
		for deadline := time.Now().Add(hangs); running(pid); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("worker %d has outlived its coordinator", pid)
			}
		}
	}
}

// running tells whether a process is there and not a zombie that nobody has waited for.
func running(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}

func TestPoolsThatCannotBeAreRefused(t *testing.T) {
	_, key, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Config){
		"0 sessions":                 func(c *Config) { c.Swarm.Sessions = 0 },
		"want at least":              func(c *Config) { c.Swarm.Sessions, c.Workers = 1_000_000, 1 },
		"use more machines":          func(c *Config) { c.Swarm.Sessions, c.Workers = 1<<30, 0 },
		"PEM":                        func(c *Config) { c.SigningKey = []byte("secret") },
		"ended before it said hello": func(c *Config) { c.Command = []string{"/bin/false"} },
		"no such file":               func(c *Config) { c.Command = []string{"/no/such/worker"} },
		"attach[0]":                  func(c *Config) { c.Swarm.Attach[0].Log = 7 },
		"not all said hello": func(c *Config) {
			c.Command = []string{"/bin/sh", "-c", "exec sleep 60", "sh"}
			c.Deadlines = DefaultDeadlines()
			c.Deadlines.Hello = 100 * time.Millisecond
		},
	} {
		cfg := testConfig(key, []string{"127.0.0.1:1"}, 4, 2)
		change(&cfg)
		if p, err := Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
			if err == nil {
				p.Close()
			}
		}
	}
}

func TestSocketsPerWorkerLeaveRoom(t *testing.T) {
	for limit, want := range map[uint64]int{0: 0, 512: 0, 1024: 384, 4096: 1920, 20_000: 9000, 1 << 20: 9000, 1<<64 - 1: 9000} {
		if got := SocketsPerWorker(limit); got != want {
			t.Errorf("limit %d: %d sockets, want %d", limit, got, want)
		}
	}
}
