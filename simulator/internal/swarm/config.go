package swarm

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/measure"
	"github.com/chatfleet/chatfleet/simulator/internal/stamp"
)

// Bounds of a configuration. They hold what a coordinator can ask of one process, not what a run can be.
const (
	maxSessions   = 1 << 17
	maxLogs       = 1 << 16
	maxCursors    = 1 << 24
	maxPosts      = 1 << 26
	maxEndpoints  = 1 << 12
	maxSources    = 1 << 16
	maxLoops      = 64
	maxTokenBytes = 16 << 10
	maxSlowBytes  = 1 << 20
)

// Config says what a swarm is. The zero value of what is marked optional has a default.
type Config struct {
	// Run is the number that the run's stamps carry.
	Run uint64
	// StartNs is the moment, by Clock, from which series and heat map count.
	StartNs int64
	// FirstSession is the run-wide number of the first session and Sessions how many there are.
	FirstSession, Sessions int
	// Users is how many users the run's sessions belong to (optional, as many as sessions): session n is a device of user
	// sim-<n mod Users>.
	Users int
	// Endpoints are the shards as HOST:PORT. A session begins at one by its number and goes round them by an order of its own.
	Endpoints []string
	// SourceAddresses are local addresses to connect from, in turn (optional). Without, targets on 127.0.0.0/8 are reached from
	// as many addresses there as the sessions need ports, and others from the address that the kernel takes.
	SourceAddresses []string
	// JSONShare is the share of sessions, 0 to 1, that speak the JSON sub-protocol. They cost many times as much.
	JSONShare float64
	// SlowShare is the share of sessions, 0 to 1, that read slowly: SlowBytesPerSecond once they are signed in, 0 for nothing at
	// all. They read like everybody from Settle on, and are in an account of their own (Verification.Slow).
	SlowShare          float64
	SlowBytesPerSecond int
	// FarShare is the share of sessions, 0 to 1, that connect to Far in place of Endpoints, which stands for the same shards in the same
	// order: proxies that can make their way longer. Slow readers are not among them.
	FarShare float64
	Far      []string
	// Token returns the token that the user signs in with. It is called once for each session, by New, concurrently.
	Token func(user string) (string, error)
	// Logs are the logs to follow; Attach says who follows which.
	Logs   []string
	Attach []Attachment
	// ConnectPerSecond is the rate of first connects; 0 is as fast as they go. MaxConnecting bounds how many of them are
	// between dial and sign-in at a time (optional, 1024).
	ConnectPerSecond float64
	MaxConnecting    int
	// Groups are the kinds of posts that are told apart, Posts says which are which. What is not listed is in Groups[0].
	Groups []Group
	Posts  []PostRange
	// Loops is the number of epoll loops (optional, 1).
	Loops int
	// Seed makes the swarm's random choices repeatable.
	Seed uint64
	// Clock is optional: stamp.Now.
	Clock stamp.Clock
	// Behaviour is optional: DefaultBehaviour.
	Behaviour Behaviour
}

// Attachment lets Count sessions, from the run-wide number First on and then every Step-th (0 means 1), follow
// Logs[Log]. Sessions that another process holds are passed over, so all workers can have the same list.
type Attachment struct {
	Log   int `json:"log"`
	First int `json:"first"`
	Count int `json:"count"`
	Step  int `json:"step,omitempty"`
}

// Group is a kind of posts with figures of its own: a phase's chatter, or one broadcast.
type Group struct {
	Name string `json:"name"`
	// DeliverWithin is the time from the intended moment after which a delivery is late; 0: it is never late.
	DeliverWithin time.Duration `json:"deliverWithin"`
	// Measured groups make up Result.Latency. A warm-up is not measured, but still accounted for.
	Measured bool `json:"measured"`
}

// PostRange puts Count posts, from number First on, into Groups[Group].
type PostRange struct {
	First uint32 `json:"first"`
	Count uint32 `json:"count"`
	Group int    `json:"group"`
}

// Behaviour is how a session behaves, in what the protocol leaves to it.
type Behaviour struct {
	// BackoffBase and BackoffCap bound the pause before a reconnect: uniform between 0 and base × 2^attempt, at most cap.
	BackoffBase time.Duration `json:"backoffBase"`
	BackoffCap  time.Duration `json:"backoffCap"`
	// HoldGap is how long an event that came too early waits for those before it. The protocol says at most 0.5 s.
	HoldGap time.Duration `json:"holdGap"`
	// ConnectWithin bounds the TCP connect, SignInWithin the time from there to the sign-in's answer.
	ConnectWithin time.Duration `json:"connectWithin"`
	SignInWithin  time.Duration `json:"signInWithin"`
	// AnswerWithin bounds the wait for a pong or a difference. A session that waits longer takes the connection for dead.
	AnswerWithin time.Duration `json:"answerWithin"`
	// PingEvery is the pause between pings where the server's limit does not ask for a shorter one. By default that of the client library.
	PingEvery time.Duration `json:"pingEvery"`
	// DifferenceLimit is the most events that one difference asks for; 0 leaves it to the server.
	DifferenceLimit uint32 `json:"differenceLimit"`
	// MaxMessageBytes bounds a message from the server.
	MaxMessageBytes int `json:"maxMessageBytes"`
}

// DefaultBehaviour is that of a patient, well-behaved client.
func DefaultBehaviour() Behaviour {
	return Behaviour{
		BackoffBase:     100 * time.Millisecond,
		BackoffCap:      2 * time.Second,
		HoldGap:         500 * time.Millisecond,
		ConnectWithin:   5 * time.Second,
		SignInWithin:    10 * time.Second,
		AnswerWithin:    10 * time.Second,
		PingEvery:       20 * time.Second,
		DifferenceLimit: 500,
		MaxMessageBytes: 16 << 20,
	}
}

// withDefaults fills in what is optional and refuses what cannot be run, naming the field.
func (c Config) withDefaults() (Config, error) {
	if c.Clock == nil {
		c.Clock = stamp.Now
	}
	if c.Loops == 0 {
		c.Loops = 1
	}
	if c.MaxConnecting == 0 {
		c.MaxConnecting = 1024
	}
	if c.Behaviour == (Behaviour{}) {
		c.Behaviour = DefaultBehaviour()
	}
	switch {
	case c.Sessions < 1 || c.Sessions > maxSessions:
		return c, fmt.Errorf("swarm: sessions: %d; want 1 to %d in one process", c.Sessions, maxSessions)
	case c.FirstSession < 0 || c.FirstSession > math.MaxInt32-c.Sessions:
		return c, fmt.Errorf("swarm: firstSession: %d is out of range", c.FirstSession)
	case len(c.Endpoints) == 0 || len(c.Endpoints) > maxEndpoints:
		return c, fmt.Errorf("swarm: endpoints: %d; want 1 to %d", len(c.Endpoints), maxEndpoints)
	case len(c.SourceAddresses) > maxSources:
		return c, fmt.Errorf("swarm: sourceAddresses: %d; want at most %d", len(c.SourceAddresses), maxSources)
	case !(c.JSONShare >= 0 && c.JSONShare <= 1):
		return c, fmt.Errorf("swarm: jsonShare: %v; want 0 to 1", c.JSONShare)
	case !(c.SlowShare >= 0 && c.SlowShare <= 1):
		return c, fmt.Errorf("swarm: slowShare: %v; want 0 to 1", c.SlowShare)
	case c.SlowBytesPerSecond < 0 || c.SlowBytesPerSecond > maxSlowBytes:
		return c, fmt.Errorf("swarm: slowBytesPerSecond: %d; want 0 to %d", c.SlowBytesPerSecond, maxSlowBytes)
	case !(c.FarShare >= 0 && c.FarShare <= 1):
		return c, fmt.Errorf("swarm: farShare: %v; want 0 to 1", c.FarShare)
	case c.FarShare > 0 && len(c.Far) != len(c.Endpoints):
		return c, fmt.Errorf("swarm: far: %d; want one for each of %d endpoints", len(c.Far), len(c.Endpoints))
	case c.Token == nil:
		return c, errors.New("swarm: token: missing; sessions cannot sign in without")
	case !(c.ConnectPerSecond >= 0) || math.IsInf(c.ConnectPerSecond, 1):
		return c, fmt.Errorf("swarm: connectPerSecond: %v; want 0 or more", c.ConnectPerSecond)
	case c.MaxConnecting < 1:
		return c, fmt.Errorf("swarm: maxConnecting: %d; want 1 or more", c.MaxConnecting)
	case c.Loops < 1 || c.Loops > maxLoops:
		return c, fmt.Errorf("swarm: loops: %d; want 1 to %d", c.Loops, maxLoops)
	case len(c.Logs) == 0 || len(c.Logs) > maxLogs:
		return c, fmt.Errorf("swarm: logs: %d; want 1 to %d", len(c.Logs), maxLogs)
	}
	if err := c.checkAttach(); err != nil {
		return c, err
	}
	if err := c.checkGroups(); err != nil {
		return c, err
	}
	return c, c.Behaviour.check()
}

func (c Config) checkAttach() error {
	seen := make(map[string]bool, len(c.Logs))
	for i, log := range c.Logs {
		if log == "" || len(log) > 32 || seen[log] {
			return fmt.Errorf("swarm: logs[%d]: %q is empty, too long or there twice", i, log)
		}
		seen[log] = true
	}
	for i, a := range c.Attach {
		if a.Log < 0 || a.Log >= len(c.Logs) || a.First < 0 || a.Count < 0 || a.Step < 0 ||
			a.First > math.MaxInt32 || a.Count > math.MaxInt32 || a.Step > math.MaxInt32 {
			return fmt.Errorf("swarm: attach[%d]: log %d, first %d, count %d, step %d: out of range", i, a.Log, a.First, a.Count, a.Step)
		}
	}
	return nil
}

func (c Config) checkGroups() error {
	if len(c.Groups) == 0 || len(c.Groups) > measure.MaxGroups {
		return fmt.Errorf("swarm: groups: %d; want 1 to %d", len(c.Groups), measure.MaxGroups)
	}
	for i, g := range c.Groups {
		if g.DeliverWithin < 0 {
			return fmt.Errorf("swarm: groups[%d]: deliverWithin %v is below 0", i, g.DeliverWithin)
		}
	}
	for i, r := range c.Posts {
		if r.Group < 0 || r.Group >= len(c.Groups) {
			return fmt.Errorf("swarm: posts[%d]: there is no group %d", i, r.Group)
		}
		if uint64(r.First)+uint64(r.Count) > maxPosts {
			return fmt.Errorf("swarm: posts[%d]: posts %d and the %d after it: want numbers below %d", i, r.First, r.Count, maxPosts)
		}
	}
	return nil
}

func (b Behaviour) check() error {
	for name, d := range map[string]time.Duration{
		"backoffBase": b.BackoffBase, "backoffCap": b.BackoffCap, "holdGap": b.HoldGap, "connectWithin": b.ConnectWithin,
		"signInWithin": b.SignInWithin, "answerWithin": b.AnswerWithin, "pingEvery": b.PingEvery,
	} {
		if d <= 0 || d > time.Hour {
			return fmt.Errorf("swarm: behaviour.%s: %v; want above 0 and at most an hour", name, d)
		}
	}
	if b.MaxMessageBytes < 64<<10 || b.MaxMessageBytes > 1<<30 {
		return fmt.Errorf("swarm: behaviour.maxMessageBytes: %d; want 64 KiB to 1 GiB", b.MaxMessageBytes)
	}
	return nil
}

// speaksJSON spreads the JSON sessions evenly over the numbers.
func speaksJSON(session int, share float64) bool {
	return math.Floor(float64(session+1)*share) > math.Floor(float64(session)*share)
}
