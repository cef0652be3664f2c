package swarm

import (
	"fmt"
	"slices"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sync/errgroup"
)

// session is one subscriber, without what is rare: buffers are taken only while a frame is cut in two.
type session struct {
	fd       int32  // -1: none
	conn     uint32 // how many connections it has had; tells epoll events of an earlier one from its own
	ref      uint32 // of the last request on this connection
	partial  int32  // in loop.partials; 0: none
	wait     uint32 // milliseconds that the server asked to wait before the next connect
	since    uint32 // when it first dialled; once it has signed in, when it last lost its connection; in signInUnit since the loop began
	hop      uint16 // how far it has gone round its endpoints
	attempt  uint8  // connects in a row that did not lead to a sign-in
	state    sessionState
	flags    sessionFlags
	detached uint16 // its cursors that this connection has not attached yet
}

// signInUnit lets four bytes hold a moment, for 19 hours.
const signInUnit = 16 * time.Microsecond

type sessionState uint8

const (
	idle       sessionState = iota // before the first dial
	pausing                        // between two connections
	connecting                     // TCP
	upgrading                      // HTTP
	signingIn
	signedIn
	retired // it will not connect any more
)

type sessionFlags uint16

const (
	flagJSON        sessionFlags = 1 << iota
	flagEstablished              // once, as the two below
	flagSignedIn
	flagSubscribed
	flagPinged   // a ping is under way
	flagWriting  // epoll watches for room to write
	flagSlow     // it reads slowly, see slow.go
	flagResuming // it signs in, or has signed in, by its resume token
	flagFar      // its way to the shards can be made longer, see delay.go
)

func (s *session) is(f sessionFlags) bool { return s.flags&f != 0 }
func (s *session) set(f sessionFlags)     { s.flags |= f }
func (s *session) clear(f sessionFlags)   { s.flags &^= f }

// BytesPerSubscriber is the memory that a session holds in a swarm, while nothing unusual goes on, when it follows so many
// logs with a token of that size. The kernel's socket and the resume tokens, whose size the server chooses, are not in it.
func BytesPerSubscriber(logs, tokenBytes int) int {
	const perSession = int(unsafe.Sizeof(session{})) + int(unsafe.Sizeof(wheelNode{})) +
		2*int(unsafe.Sizeof(uint32(0))) // where its cursors and its token begin
	return perSession + logs*int(unsafe.Sizeof(cursor{})) + tokenBytes
}

// userOf is the user of a run-wide session number.
func userOf(number, users int) string {
	if users > 0 {
		number %= users
	}
	return "sim-" + strconv.Itoa(number)
}

// crowd is the part of a loop that New lays out: who follows what, with which token.
type crowd struct {
	first       int // run-wide number of the first session
	sessions    []session
	firstCursor []uint32 // one more than sessions
	tokens      []byte
	firstToken  []uint32 // one more than sessions
	slow        []int32  // the sessions that read slowly
}

// newCrowd lays out n sessions from the run-wide number first on, with their cursors.
func newCrowd(cfg *Config, first, n int) (crowd, []cursor, error) {
	c := crowd{first: first, sessions: make([]session, n), firstCursor: make([]uint32, n+1)}
	follows, err := attachments(cfg, first, n)
	if err != nil {
		return crowd{}, nil, err
	}
	total := 0
	for _, logs := range follows {
		total += len(logs)
	}
	cursors := make([]cursor, 0, total)
	for i, logs := range follows {
		s := &c.sessions[i]
		s.fd = -1
		if speaksJSON(first+i, cfg.JSONShare) {
			s.set(flagJSON)
		}
		if readsSlowly(first+i, cfg.SlowShare) {
			s.set(flagSlow)
			c.slow = append(c.slow, int32(i))
		} else if picked(first+i, cfg.FarShare, farSalt) {
			s.set(flagFar)
		}
		for _, log := range logs {
			cursors = append(cursors, cursor{log: log})
		}
		c.firstCursor[i+1] = uint32(len(cursors))
	}
	c.tokens, c.firstToken, err = mintAll(cfg.Token, first, n, cfg.Users)
	return c, cursors, err
}

// attachments returns the logs of each session, ascending and each once.
func attachments(cfg *Config, first, n int) ([][]int32, error) {
	follows := make([][]int32, n)
	total := 0
	for i, a := range cfg.Attach {
		step := max(a.Step, 1)
		k := 0
		if a.First < first {
			k = (first - a.First + step - 1) / step
		}
		for ; k < a.Count && a.First+k*step < first+n; k++ {
			at := a.First + k*step - first
			follows[at] = append(follows[at], int32(a.Log))
			if total++; total > maxCursors {
				return nil, fmt.Errorf("swarm: attach[%d]: more than %d cursors in one loop", i, maxCursors)
			}
		}
	}
	for i := range follows {
		slices.Sort(follows[i])
		follows[i] = slices.Compact(follows[i])
		if len(follows[i]) > 1<<16-1 {
			return nil, fmt.Errorf("swarm: attach: session %d follows %d logs; at most 65535", first+i, len(follows[i]))
		}
	}
	return follows, nil
}

// mintAll gets all tokens before the run, so that no signature is made while latencies are taken.
func mintAll(mint func(string) (string, error), first, n, users int) ([]byte, []uint32, error) {
	const chunk = 256
	tokens := make([]string, n)
	var g errgroup.Group
	g.SetLimit(4)
	for from := 0; from < n; from += chunk {
		g.Go(func() error {
			for i := from; i < min(from+chunk, n); i++ {
				user := userOf(first+i, users)
				t, err := mint(user)
				if err != nil {
					return fmt.Errorf("swarm: token for %s: %w", user, err)
				}
				if t == "" || len(t) > maxTokenBytes {
					return fmt.Errorf("swarm: token for %s: %d bytes; want 1 to %d", user, len(t), maxTokenBytes)
				}
				tokens[i] = t
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	var all []byte
	ends := make([]uint32, n+1)
	for i, t := range tokens {
		all = append(all, t...)
		ends[i+1] = uint32(len(all))
	}
	return slices.Clip(all), ends, nil
}

// number is the run-wide number of session i.
func (c *crowd) number(i int32) int { return c.first + int(i) }

func (c *crowd) token(i int32) string {
	return string(c.tokens[c.firstToken[i]:c.firstToken[i+1]])
}

// cursorsOf returns the range of session i's cursors.
func (c *crowd) cursorsOf(i int32) (from, to int32) {
	return int32(c.firstCursor[i]), int32(c.firstCursor[i+1])
}

// sessionOf returns the session that a cursor belongs to.
func (c *crowd) sessionOf(ci int32) int32 {
	at, _ := slices.BinarySearch(c.firstCursor, uint32(ci)+1)
	return int32(at - 1)
}
