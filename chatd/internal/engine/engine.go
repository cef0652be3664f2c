// Package engine says what holds the sockets of a shard: it reads and writes WebSocket frames, and fans events out.
//
// An Engine knows connections, frames and, for each log, a bounded ring of the log's recent events. It does not know users,
// rights or stores: package shard is its one caller, tells it what to send and is told what came in. The rule that makes
// a broadcast cheap is that nothing is queued per reader. An event is encoded once, into an immutable Frame; a session has
// only a cursor for each log that it has attached, and is sent what the ring holds after that cursor whenever its socket takes more.
// A session whose cursor has fallen off the ring is told so once ("too long") and goes on from the newest event.
//
// Package perconn is the engine with a goroutine for each connection. Package enginetest is the suite that every engine
// passes.
package engine

import (
	"context"
	"math"
	"net"
	"runtime"
	"time"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// Newest, as the cursor of Attach, means: from the next event on.
const Newest uint64 = math.MaxUint64

// Engine holds connections and the fan-out of logs. Its methods may be called from many goroutines at once.
type Engine interface {
	// OpenLog makes the fan-out of a log whose newest event is at head and of which the engine has none yet.
	OpenLog(log string, epoch uint32, head uint64) Fanout

	// Adopt takes over a connection whose WebSocket handshake is done, and owns it from then on, also when it returns an
	// error: ErrShutDown. early is what was read from the connection already. The handler may be called before Adopt
	// returns.
	Adopt(conn net.Conn, early []byte, enc Encoding, h Handler) (Session, error)

	// Stats counts what the engine has done since it was made.
	Stats() Stats

	// Shutdown closes every session with CloseGoingAway and waits until each has ended, its handler has been told, and no
	// goroutine of the engine is left. When ctx ends first, the connections are cut instead, and its error is returned.
	Shutdown(ctx context.Context) error
}

// Fanout brings the events of one log to the sessions attached to it. Append, Reset and Close are called by one goroutine
// at a time; the rest may be called by any.
type Fanout interface {
	// Append puts the log's next event on the ring and wakes the sessions. It returns at once, whatever the number of sessions
	// and however slow they are. It refuses, and returns false, if f.Pts() is not Head()+1.
	Append(f *Frame) bool

	// Expect says that n more events than before are likely to be appended within milliseconds (below 0: fewer). Sessions may have to wait for them that long, if
	// that saves writing to each of them more than once. What was expected is taken back when it has come, or will not come. Any goroutine may call it.
	Expect(n int)

	// Attach begins to send a session the events after cursor (Newest: after the newest one). The events after from will
	// be sent. covered says that from is what was asked for; it is false if the ring has no longer all events after
	// cursor, and from is then the newest event's position. A session that is attached already is attached anew. A
	// cursor beyond the newest event is waited for.
	//
	// Who attaches a session also detaches it, at the latest when he is told that it is closed: an engine need not know
	// which logs a session has attached. Until then it counts among the log's, though it is sent nothing once it is over.
	// One that is over already is not attached.
	Attach(s Session, cursor uint64) (from uint64, covered bool)

	// Detach ends that. No event of this log comes after an answer that is sent once Detach has returned. Of a session that
	// is not attached it does nothing.
	Detach(s Session)

	// Reset empties the ring and gives the log another head, and maybe another epoch. Every session is told TooLong.
	Reset(epoch uint32, head uint64)

	// Recent returns the events after cursor that the ring holds, at most limit, and the position of the newest. ok is
	// false if the ring does not hold the first one asked for.
	Recent(cursor uint64, limit int) (frames []*Frame, head uint64, ok bool)

	Epoch() uint32
	Head() uint64
	// Sessions is the number of sessions attached. It may lag behind Detach.
	Sessions() int

	// Close detaches all sessions. The log may be opened anew.
	Close()
}

// Session is one connection.
type Session interface {
	// Send queues a frame for this session alone: an answer. Answers overtake events that are not yet sent. A session
	// that does not read its answers is closed (TOO_MANY). After Close it does nothing.
	Send(f *chatv1.ServerFrame)

	// SendIfIdle is Send for what may be lost: it does nothing while anything else waits to be sent to this session, so that what
	// is of no weight neither delays nor closes a session that reads slowly.
	SendIfIdle(f *chatv1.ServerFrame)

	// Close sends what was queued by Send, then final (if not nil), then a WebSocket close frame, waits a little for the
	// other side's close frame, and ends the connection. Events that are not yet sent stay unsent. It does not block.
	Close(final *chatv1.ServerFrame, code CloseCode, reason string)

	// Cork holds events back, not answers, until as many calls of Uncork. Who attaches logs and answers afterwards, corks
	// meanwhile, so that the answer comes first.
	Cork()
	Uncork()

	Encoding() Encoding
}

// Handler is told what happens on one session.
type Handler interface {
	// Message brings one whole message from the client, one at a time, in order. It must not block, nor keep payload.
	Message(s Session, payload []byte)

	// Closed is the last call for a session, once the connection is closed. cause says why. The session is then to be
	// detached from the logs that it was attached to.
	Closed(s Session, cause error)
}

// Stats are counters, but for what is said to be now.
type Stats struct {
	// Sessions is the number of connections held now.
	Sessions int
	// Deliveries is how many events were written to sessions: one event to one session is one.
	Deliveries uint64
	// TooLong is how often a session was told that it has missed events.
	TooLong uint64
	// WrittenBytes is what sockets have taken.
	WrittenBytes uint64
	// Stuck is the number of sessions now whose sockets take no more for the moment; Ready that of those that wait for a writer.
	Stuck, Ready int
	// RingBytes is what the rings of all logs hold now (see Held.Bytes).
	RingBytes int64
}

// Config bounds what a connection may cost. The zero value of a field means its default.
type Config struct {
	// MaxMessageBytes is the largest message accepted from a client, all fragments together. Default 64 KiB.
	MaxMessageBytes int
	// FirstMessageWithin is how long a new connection may take to send its first message. Default 10 s.
	FirstMessageWithin time.Duration
	// IdleAfter is how long a client may be silent before it is taken for gone. Default 75 s.
	IdleAfter time.Duration
	// MessageWithin is how long a message may take from its first byte to its last. Default 15 s.
	MessageWithin time.Duration
	// WriteTimeout is how long the socket may take no byte before the client is taken for gone. Default 20 s.
	WriteTimeout time.Duration
	// CloseWithin is how long a closing connection may take for its last frames and the other side's close. Default 3 s.
	CloseWithin time.Duration
	// MaxQueuedAnswers and MaxQueuedBytes bound what Send may leave unsent. Defaults 128 and 4 MiB.
	MaxQueuedAnswers int
	MaxQueuedBytes   int
	// SendBufferBytes is the kernel's send buffer for a connection; it bounds what a reader that has stopped reading costs.
	// Default 64 KiB. Below 0: the kernel decides.
	SendBufferBytes int
	// RingFrames and RingBytes bound the ring of a log. The newest event is held whatever its size. Defaults 1,024 and 1 MiB.
	RingFrames int
	RingBytes  int
	// Loops is how many event loops an engine has that has loops. Default one for each core.
	Loops int
	// AllRingsBytes bounds what the rings of all logs hold together, newest events of quiet logs included. Default 64 MiB.
	AllRingsBytes int
}

// WithDefaults is the configuration with its zero fields filled in.
func (c Config) WithDefaults() Config {
	def(&c.MaxMessageBytes, 64<<10)
	def(&c.FirstMessageWithin, 10*time.Second)
	def(&c.IdleAfter, 75*time.Second)
	def(&c.MessageWithin, 15*time.Second)
	def(&c.WriteTimeout, 20*time.Second)
	def(&c.CloseWithin, 3*time.Second)
	def(&c.MaxQueuedAnswers, 128)
	def(&c.MaxQueuedBytes, 4<<20)
	def(&c.SendBufferBytes, 64<<10)
	def(&c.RingFrames, 1024)
	def(&c.RingBytes, 1<<20)
	def(&c.AllRingsBytes, 64<<20)
	def(&c.Loops, runtime.GOMAXPROCS(0))
	return c
}

func def[T int | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}
