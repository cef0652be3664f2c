package poster

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
	"github.com/chatfleet/chatfleet/proto/chat/v1/chatv1connect"
	"github.com/chatfleet/chatfleet/simulator/internal/schedule"
	"github.com/chatfleet/chatfleet/simulator/internal/stamp"
)

const (
	protobufType = "application/proto"
	jsonType     = "application/json"

	// maxAnswerBytes bounds an answer to a post.
	maxAnswerBytes = 64 << 10
	// dialWithin bounds the making of a connection.
	dialWithin = time.Second
	// avoidFor is how long an endpoint that did not answer is passed over, as long as there is another.
	avoidFor = time.Second
)

// client makes single tries at the endpoints, in turn.
type client struct {
	urls []string
	// Until when, by the clock, each endpoint is passed over.
	avoid     []atomic.Int64
	clock     stamp.Clock
	transport *http.Transport
}

func newClient(c Config) *client {
	urls := make([]string, len(c.Endpoints))
	for i, base := range c.Endpoints {
		urls[i] = strings.TrimRight(base, "/") + chatv1connect.ChatServicePostProcedure
	}
	return &client{
		urls: urls, avoid: make([]atomic.Int64, len(urls)), clock: c.Clock,
		transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: dialWithin, KeepAlive: 15 * time.Second}).DialContext,
			MaxIdleConns:        0,
			MaxIdleConnsPerHost: c.MaxInFlight,
			IdleConnTimeout:     time.Minute,
			DisableCompression:  true,
		},
	}
}

func (c *client) close() { c.transport.CloseIdleConnections() }

// url is where post number n is sent first.
func (c *client) url(n int) string { return c.urls[n%len(c.urls)] }

// answer is a post's acknowledgement.
type answer struct {
	*chatv1.PostResponse
	firstByteNs int64
}

// refusal is an answer other than the acknowledgement.
type refusal struct {
	kind string
	// It may be another answer a moment later, or elsewhere.
	passes     bool
	retryAfter time.Duration
	detail     string
}

func (r *refusal) Error() string { return r.kind + ": " + r.detail }

// try sends the body once, to the next endpoint that is not known to be silent, and waits so long for an answer. Its error is a
// *refusal if the fleet answered.
func (c *client) try(ctx context.Context, n int, header http.Header, body []byte, within time.Duration) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	at := c.pick(n)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.urls[at], bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	request.Header = http.Header{
		"Content-Type":             header["Content-Type"],
		"Connect-Protocol-Version": header["Connect-Protocol-Version"],
		"Connect-Timeout-Ms":       {strconv.FormatInt(within.Milliseconds(), 10)},
		"Authorization":            header["Authorization"],
	}
	response, err := c.transport.RoundTrip(request)
	firstByteNs := c.clock()
	if err != nil {
		c.avoid[at].Store(c.clock() + int64(avoidFor))
		return answer{}, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	if err != nil {
		c.avoid[at].Store(c.clock() + int64(avoidFor))
		return answer{}, err
	}
	if response.StatusCode != http.StatusOK {
		r := refused(response.StatusCode, text)
		if r.passes {
			c.avoid[at].Store(c.clock() + int64(lastPause))
		}
		return answer{}, r
	}
	posted := new(chatv1.PostResponse)
	if err := decode(header.Get("Content-Type"), text, posted); err != nil || posted.GetPts() == 0 {
		return answer{}, &refusal{kind: FailureNonsense, detail: fmt.Sprintf("an answer of %d bytes that is no position: %v", len(text), err)}
	}
	return answer{posted, firstByteNs}, nil
}

// pick chooses the endpoint for a try of post n: in turn, but not one that was silent a moment ago while another is left.
func (c *client) pick(n int) int {
	now := c.clock()
	for i := range c.urls {
		if at := (n + i) % len(c.urls); c.avoid[at].Load() <= now {
			return at
		}
	}
	// All of them: the one that is to be avoided least long.
	best := 0
	for at := range c.urls {
		if c.avoid[at].Load() < c.avoid[best].Load() {
			best = at
		}
	}
	return best
}

// connectError is the body of an error in the connect protocol (connectrpc.com/docs/protocol).
type connectError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Details []struct {
		Type  string `json:"type"`
		Value string `json:"value"`
	} `json:"details"`
}

// refused reads an answer that is no success.
func refused(status int, text []byte) *refusal {
	r := &refusal{kind: "HTTP_" + strconv.Itoa(status), detail: firstLine(text)}
	r.passes = status == http.StatusServiceUnavailable || status == http.StatusBadGateway ||
		status == http.StatusGatewayTimeout || status == http.StatusTooManyRequests
	var e connectError
	if json.Unmarshal(text, &e) != nil || e.Code == "" {
		return r
	}
	r.kind, r.detail = strings.ToUpper(e.Code), e.Message
	// Without a detail of the fleet's own, connect's codes tell what may pass.
	switch e.Code {
	case "unavailable", "deadline_exceeded", "resource_exhausted", "aborted", "canceled":
		r.passes = true
	}
	if own := ownError(e); own != nil {
		r.kind = strings.TrimPrefix(own.GetCode().String(), "CODE_")
		r.detail = own.GetMessage()
		r.retryAfter = time.Duration(own.GetRetryAfterMs()) * time.Millisecond
		switch own.GetCode() {
		case chatv1.Error_CODE_UNAVAILABLE, chatv1.Error_CODE_DRAINING, chatv1.Error_CODE_TOO_MANY:
			r.passes = true
		default:
			r.passes = false
		}
	}
	return r
}

func ownError(e connectError) *chatv1.Error {
	for _, d := range e.Details {
		if d.Type != string((*chatv1.Error)(nil).ProtoReflect().Descriptor().FullName()) {
			continue
		}
		// Padded or not: the protocol asks for unpadded and for tolerance.
		raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(d.Value, "="))
		own := new(chatv1.Error)
		if err == nil && proto.Unmarshal(raw, own) == nil {
			return own
		}
	}
	return nil
}

// encode makes the body of post number n.
func (p *Poster) encode(n int, firstSentMs int64) (body []byte, contentType string, err error) {
	post := p.config.Posts[n]
	mark := stamp.Stamp{Run: p.config.Run, Post: uint32(n), Broadcast: post.Broadcast != schedule.NoBroadcast, IntendedNs: p.outcomes[n].IntendedNs}
	data, err := mark.Append(make([]byte, 0, post.Bytes), post.Bytes)
	if err != nil {
		return nil, "", err
	}
	request := &chatv1.PostRequest{
		Log: p.config.Logs[post.Log].ID, RandomId: randomID(p.config.Seed, p.config.Run, n),
		Message: &chatv1.Message{Data: data}, FirstSentMs: firstSentMs,
	}
	// By a hash of the number, so that which posts are JSON has no period that the endpoints' turn could fall in with.
	if float64(mix(uint64(n))>>11)/(1<<53) < p.config.JSONShare {
		body, err = protojson.Marshal(request)
		return body, jsonType, err
	}
	body, err = proto.Marshal(request)
	return body, protobufType, err
}

func decode(contentType string, text []byte, into proto.Message) error {
	if contentType == jsonType {
		return protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(text, into)
	}
	if len(text) == 0 {
		return errors.New("it is empty")
	}
	return proto.Unmarshal(text, into)
}

func firstLine(text []byte) string {
	line, _, _ := bytes.Cut(bytes.TrimSpace(text), []byte("\n"))
	return string(line[:min(len(line), 200)])
}
