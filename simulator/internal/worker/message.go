package worker

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/chatfleet/chatfleet/simulator/internal/swarm"
)

const (
	// version of the messages. Coordinator and worker are normally the same executable; in a cluster, two images may meet.
	version = 4
	// maxMessageBytes bounds every message but the first: the lists of a long run, or the figures of one.
	maxMessageBytes = 256 << 20
	// maxHelloBytes bounds what somebody may send who has not shown the secret yet.
	maxHelloBytes = 4 << 10
	writeWithin   = 30 * time.Second
)

// message is one of the things below. Exactly one is set.
type message struct {
	Version int `json:"v"`

	Hello    *hello          `json:"hello,omitempty"`
	Ready    *ready          `json:"ready,omitempty"`
	Progress *swarm.Progress `json:"progress,omitempty"`
	Settled  *settled        `json:"settled,omitempty"`
	Severed  *severed        `json:"severed,omitempty"`
	Result   *swarm.Result   `json:"result,omitempty"`
	Failed   *failed         `json:"failed,omitempty"`

	Plan   *plan   `json:"plan,omitempty"`
	Start  *start  `json:"start,omitempty"`
	Settle *settle `json:"settle,omitempty"`
	Cut    *cut    `json:"cut,omitempty"`
	Wake   *wake   `json:"wake,omitempty"`
	Delay  *delay  `json:"delay,omitempty"`
	Finish *finish `json:"finish,omitempty"`
}

// hello is a worker's first message.
type hello struct {
	Secret string `json:"secret"`
	Index  int    `json:"index"`
	Pid    int    `json:"pid"`
}

// ready: the plan is understood and all tokens are made.
type ready struct{}

// failed ends a worker.
type failed struct {
	Error string `json:"error"`
}

// start begins the connects.
type start struct{}

// settle asks for a settled once all sessions have come to these heads, or the time is over.
type settle struct {
	Heads  map[string]uint64 `json:"heads"`
	Within time.Duration     `json:"within"`
}

type settled struct {
	Behind int64  `json:"behind"`
	Error  string `json:"error,omitempty"`
}

// cut asks for the end of a share of the connections, and for a severed once it is done.
type cut struct {
	Order int     `json:"order"`
	Share float64 `json:"share"`
}

type severed struct {
	Sessions int64 `json:"sessions"`
}

// wake lets slow readers read like everybody, or slowly again. Nothing answers it.
type wake struct {
	Awake bool `json:"awake"`
}

// delay says when far sessions are delayed. Nothing answers it.
type delay struct {
	When swarm.Window `json:"when"`
}

// finish asks for the result, which is the worker's last message.
type finish struct {
	Lists []list `json:"lists"`
}

// list is a swarm.LogList whose posts are packed, four bytes each, little-endian.
type list struct {
	Log   string `json:"log"`
	Epoch uint32 `json:"epoch"`
	First uint64 `json:"first"`
	Posts []byte `json:"posts"`
}

func packLists(lists []swarm.LogList) []list {
	packed := make([]list, len(lists))
	for i, l := range lists {
		packed[i] = list{Log: l.Log, Epoch: l.Epoch, First: l.First, Posts: make([]byte, 0, 4*len(l.Posts))}
		for _, post := range l.Posts {
			packed[i].Posts = binary.LittleEndian.AppendUint32(packed[i].Posts, post)
		}
	}
	return packed
}

func unpackLists(packed []list) ([]swarm.LogList, error) {
	lists := make([]swarm.LogList, len(packed))
	for i, l := range packed {
		if len(l.Posts)%4 != 0 {
			return nil, fmt.Errorf("list of log %q: %d bytes are no whole number of posts", l.Log, len(l.Posts))
		}
		lists[i] = swarm.LogList{Log: l.Log, Epoch: l.Epoch, First: l.First, Posts: make([]uint32, 0, len(l.Posts)/4)}
		for at := 0; at < len(l.Posts); at += 4 {
			lists[i].Posts = append(lists[i].Posts, binary.LittleEndian.Uint32(l.Posts[at:]))
		}
	}
	return lists, nil
}

// send writes a message. Only one goroutine may send on a connection.
func send(conn net.Conn, m message) error {
	m.Version = version
	body, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode a message: %w", err)
	}
	if len(body) > maxMessageBytes {
		return fmt.Errorf("a message of %d bytes is more than the %d that the other end takes", len(body), maxMessageBytes)
	}
	if err := conn.SetWriteDeadline(time.Now().Add(writeWithin)); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	buffers := net.Buffers{binary.BigEndian.AppendUint32(nil, uint32(len(body))), body}
	if _, err := buffers.WriteTo(conn); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// receive reads a message of at most limit bytes.
func receive(r io.Reader, limit int) (message, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return message{}, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if uint64(n) > uint64(limit) {
		return message{}, fmt.Errorf("a message of %d bytes is more than %d", n, limit)
	}
	// Read as it comes, so that a length alone reserves no memory.
	body, err := io.ReadAll(io.LimitReader(r, int64(n)))
	if err != nil {
		return message{}, err
	}
	if len(body) < int(n) {
		return message{}, io.ErrUnexpectedEOF
	}
	var m message
	if err := json.Unmarshal(body, &m); err != nil {
		return message{}, fmt.Errorf("decode a message: %w", err)
	}
	if m.Version != version {
		return message{}, fmt.Errorf("a message of version %d, want %d: coordinator and worker must be the same simulator", m.Version, version)
	}
	return m, nil
}

// over tells the end of a connection from what is worth a word.
func over(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed)
}
