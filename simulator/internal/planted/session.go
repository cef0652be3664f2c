package planted

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gobwas/ws"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// maxMessageBytes is more than any end of a session sends.
const maxMessageBytes = 64 << 20

const defaultSwapWithin = time.Second

// conn is one session through the proxy.
type conn struct {
	proxy    *Proxy
	number   uint64
	client   net.Conn
	shard    net.Conn
	encoding encoding
	opcode   ws.OpCode
	done     context.Context
	close    context.CancelFunc

	// mu makes frames to the client whole, and guards the rest.
	mu           sync.Mutex
	user, device string
	// overtaken are the deliveries that wait for the next one of the same log.
	overtaken map[string]*held
}

// held is a delivery that is to be overtaken.
type held struct {
	raw      []byte
	occasion Occasion
	timer    *time.Timer
}

// message is one WebSocket message as it came.
type message struct {
	// raw is all of its frames, payload what they say together.
	raw, payload []byte
	opcode       ws.OpCode
}

// serveSession joins a client and the shard until one of them, or the plan, ends it.
func (p *Proxy) serveSession(w http.ResponseWriter, r *http.Request) {
	shard, err := p.dial(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		shard.Close()
		return
	}
	c := &conn{proxy: p, client: client, shard: shard, overtaken: make(map[string]*held)}
	c.done, c.close = context.WithCancel(context.Background())
	defer c.close()
	closed := make(chan struct{})
	context.AfterFunc(c.done, func() {
		defer close(closed)
		client.Close()
		shard.Close()
	})
	defer func() { <-closed }()
	defer c.close()
	if !p.add(c) {
		return
	}
	defer p.remove(c)
	fromShard := bufio.NewReader(shard)
	if c.shakeHands(r, fromShard) {
		c.run(buffered.Reader, fromShard)
	}
}

// shakeHands passes the handshake on, and says whether a session came of it.
func (c *conn) shakeHands(r *http.Request, fromShard *bufio.Reader) bool {
	// Without compression, which would hide the messages.
	r.Header.Del("Sec-WebSocket-Extensions")
	if r.Header.Get("User-Agent") == "" {
		r.Header.Set("User-Agent", "") // else Write adds one
	}
	if err := r.Write(c.shard); err != nil {
		return false
	}
	var head bytes.Buffer
	for !bytes.HasSuffix(head.Bytes(), []byte("\r\n\r\n")) {
		line, err := fromShard.ReadSlice('\n')
		head.Write(line)
		if err != nil || head.Len() > 1<<16 {
			return false
		}
	}
	raw := bytes.Clone(head.Bytes())
	response, err := http.ReadResponse(bufio.NewReader(io.MultiReader(&head, fromShard)), r)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusSwitchingProtocols {
		response.Close = true
		_ = response.Write(c.client)
		return false
	}
	c.encoding, c.opcode = inProtobuf, ws.OpBinary
	if response.Header.Get("Sec-WebSocket-Protocol") == "chatfleet.v1.json" {
		c.encoding, c.opcode = inJSON, ws.OpText
	}
	_, err = c.client.Write(raw)
	return err == nil
}

func (c *conn) run(fromClient, fromShard *bufio.Reader) {
	defer c.letGo()
	var work sync.WaitGroup
	work.Go(func() {
		defer c.close()
		_ = c.copy(fromClient, c.shard, c.fromClient)
	})
	work.Go(func() {
		defer c.close()
		_ = c.copy(fromShard, c.client, c.fromShard)
	})
	work.Wait()
}

// letGo forgets the deliveries that nothing will overtake any more.
func (c *conn) letGo() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for log, h := range c.overtaken {
		h.timer.Stop()
		delete(c.overtaken, log)
	}
}

// copy reads messages and gives those of the session's own opcode to handle, which writes what becomes of them; control frames
// pass at once.
func (c *conn) copy(from *bufio.Reader, to io.Writer, handle func(message) error) error {
	var m message
	for {
		header, raw, payload, err := readFrame(from, maxMessageBytes-len(m.payload))
		if err != nil {
			return err
		}
		if header.OpCode.IsControl() {
			if err := c.write(to, raw); err != nil {
				return err
			}
			continue
		}
		if header.OpCode != ws.OpContinuation {
			m = message{opcode: header.OpCode}
		}
		m.raw, m.payload = append(m.raw, raw...), append(m.payload, payload...)
		if !header.Fin {
			continue
		}
		if err := handle(m); err != nil {
			return err
		}
		m = message{}
	}
}

// readFrame reads a frame: as it came, and its payload without the mask.
func readFrame(r *bufio.Reader, most int) (_ ws.Header, raw, payload []byte, err error) {
	var head bytes.Buffer
	header, err := ws.ReadHeader(io.TeeReader(r, &head))
	if err != nil {
		return header, nil, nil, err
	}
	if header.Length > int64(most) {
		return header, nil, nil, fmt.Errorf("planted: a message of more than %d bytes", maxMessageBytes)
	}
	n := head.Len()
	raw = append(head.Bytes(), make([]byte, header.Length)...)
	if _, err := io.ReadFull(r, raw[n:]); err != nil {
		return header, nil, nil, err
	}
	payload = raw[n:]
	if header.Masked {
		payload = bytes.Clone(payload)
		ws.Cipher(payload, header.Mask, 0)
	}
	return header, raw, payload, nil
}

// write writes whole frames: in the direction of the client more than one goroutine does.
func (c *conn) write(to io.Writer, raw []byte) error {
	if to == io.Writer(c.client) {
		c.mu.Lock()
		defer c.mu.Unlock()
	}
	_, err := to.Write(raw)
	return err
}

// fromClient passes a message to the shard, unless it is a post to be swallowed.
func (c *conn) fromClient(m message) error {
	var frame chatv1.ClientFrame
	if m.opcode == c.opcode && c.encoding.unmarshal(m.payload, &frame) == nil {
		if r := frame.GetSignIn(); r != nil {
			c.mu.Lock()
			c.device = r.GetDevice()
			c.mu.Unlock()
		}
		if post := frame.GetPost(); post != nil {
			o := c.occasion()
			o.Post = post
			if answer := c.proxy.post(o); answer != nil {
				return c.send(&chatv1.ServerFrame{Ref: frame.Ref, Body: &chatv1.ServerFrame_Posted{Posted: answer}})
			}
		}
	}
	return c.write(c.shard, m.raw)
}

// fromShard passes a message to the client, or does to it what the plan says.
func (c *conn) fromShard(m message) error {
	var frame chatv1.ServerFrame
	if m.opcode != c.opcode || c.encoding.unmarshal(m.payload, &frame) != nil {
		return c.write(c.client, m.raw)
	}
	switch body := frame.Body.(type) {
	case *chatv1.ServerFrame_Event:
		return c.deliver(m, body.Event)
	case *chatv1.ServerFrame_SignedIn:
		c.mu.Lock()
		c.user = body.SignedIn.GetUser()
		c.mu.Unlock()
		c.proxy.learnStates(body.SignedIn.GetLogs())
	case *chatv1.ServerFrame_Attached:
		c.proxy.learnStates(body.Attached.GetLogs())
	case *chatv1.ServerFrame_Created:
		c.proxy.learn(body.Created)
	case *chatv1.ServerFrame_Posted:
		c.proxy.learn(body.Posted)
	case *chatv1.ServerFrame_Difference:
		c.proxy.learn(body.Difference.GetCursor())
		o := c.occasion()
		if c.proxy.keepBack(o.User, o.Device, body.Difference) {
			return c.send(&frame)
		}
	}
	return c.write(c.client, m.raw)
}

func (p *Proxy) learnStates(states []*chatv1.LogState) {
	for _, s := range states {
		p.learn(s)
	}
}

func (c *conn) occasion() Occasion {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Occasion{Connection: c.number, User: c.user, Device: c.device}
}

// deliver brings a pushed event to the client, or does to it what the plan says.
func (c *conn) deliver(m message, e *chatv1.Event) error {
	o := c.occasion()
	o.Event = e
	fault, hit := c.proxy.delivery(o)
	if !hit {
		return c.pass(m.raw, e.GetLog())
	}
	switch fault {
	case drop:
		return nil
	case cut:
		_ = c.write(c.client, m.raw[:(len(m.raw)+1)/2])
		return errors.New("planted: cut")
	case swap:
		return c.hold(m.raw, o)
	case double:
		if err := c.pass(m.raw, e.GetLog()); err != nil {
			return err
		}
		return c.write(c.client, m.raw)
	default:
		if err := c.sleep(c.proxy.delayBy()); err != nil {
			return err
		}
		return c.pass(m.raw, e.GetLog())
	}
}

// pass writes an event, and after it the one of the same log that it was to overtake.
func (c *conn) pass(raw []byte, log string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.client.Write(raw); err != nil {
		return err
	}
	h := c.overtaken[log]
	if h == nil {
		return nil
	}
	h.timer.Stop()
	delete(c.overtaken, log)
	if _, err := c.client.Write(h.raw); err != nil {
		return err
	}
	c.proxy.mu.Lock()
	defer c.proxy.mu.Unlock()
	c.proxy.planted(swap, Fault{Occasion: h.occasion})
	return nil
}

// hold keeps an event until the next one of its log has passed. One that is kept already goes on before it: a swap is of two
// neighbours.
func (c *conn) hold(raw []byte, o Occasion) error {
	within := c.proxy.swapWithin()
	log := o.Event.GetLog()
	if err := c.release(log, nil); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	h := &held{raw: raw, occasion: o}
	h.timer = time.AfterFunc(within, func() { _ = c.release(log, h) })
	c.overtaken[log] = h
	return nil
}

// release lets a held event of the log go on unswapped: the given one, or whichever is held.
func (c *conn) release(log string, only *held) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.overtaken[log]
	if h == nil || only != nil && h != only {
		return nil
	}
	h.timer.Stop()
	delete(c.overtaken, log)
	_, err := c.client.Write(h.raw)
	return err
}

// send writes a frame of the proxy's own making to the client.
func (c *conn) send(frame *chatv1.ServerFrame) error {
	payload, err := c.encoding.marshal(frame)
	if err != nil {
		return err
	}
	var raw bytes.Buffer
	if err := ws.WriteFrame(&raw, ws.NewFrame(c.opcode, true, payload)); err != nil {
		return err
	}
	return c.write(c.client, raw.Bytes())
}

func (c *conn) sleep(d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-c.done.Done():
		return context.Cause(c.done)
	}
}

func (p *Proxy) delayBy() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.picker.plan.DelayBy
}

func (p *Proxy) swapWithin() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d := p.picker.plan.SwapWithin; d > 0 {
		return d
	}
	return defaultSwapWithin
}
