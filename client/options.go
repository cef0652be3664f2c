package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// TokenSource returns a signed token that names the user. It is asked before the first sign-in, whenever the fleet has refused
// the last token, and after half of a token's life for the next one, with which the session goes on. An error is tried again.
type TokenSource func(ctx context.Context) (string, error)

// StaticToken is the source of one token, for programs that live no longer than it.
func StaticToken(token string) TokenSource {
	return func(context.Context) (string, error) { return token, nil }
}

// Encoding is the sub-protocol of the WebSocket.
type Encoding int

const (
	// Protobuf is smaller and faster, and the default.
	Protobuf Encoding = iota
	// JSON can be read in a network trace.
	JSON
)

// Options describe one device. Endpoints, Token and Device are required.
type Options struct {
	// Endpoints are the addresses of the fleet, tried in turn, as https://chat.example.com. The path is /v1/session unless
	// the address has another.
	Endpoints []string
	Token     TokenSource
	// Device names the device among the user's devices, [A-Za-z0-9._-]{1,64}. It must stay the same over restarts.
	Device string
	// Program is the name and version of the program, for the server's logs; at most 64 bytes.
	Program  string
	Encoding Encoding

	// Cursors keeps how far the device has come. Nil keeps it in memory: a new Client then begins at the head of each log.
	Cursors CursorStore
	// Follow attaches what the user has joined, on whatever device. Nil leaves attaching to the application.
	Follow *Follow

	// QueueEvents is the most events of one log that wait for its handler; 256 if 0.
	QueueEvents int
	// AckEvery is how often the server is told how far the device has come, which is for its statistics and its drain;
	// 5 s if 0, never if negative.
	AckEvery time.Duration
	// PingEvery is the longest silence of the client; the server's limit may shorten it. 20 s if 0. A server that is silent
	// for a ping and PingTimeout (10 s if 0) more is taken for dead.
	PingEvery, PingTimeout time.Duration
	// ConnectTimeout bounds the handshake and the sign-in together, each time; 15 s if 0.
	ConnectTimeout time.Duration
	// Backoff is the pause before a connection is tried again.
	Backoff Backoff
	// MaxFrameBytes is the largest message taken from the server; 16 MiB if 0.
	MaxFrameBytes int64

	// HTTPClient makes the connections; nil is http.DefaultClient. It must have no Timeout of its own, which would end
	// the session.
	HTTPClient *http.Client
	// Logger takes what an operator of the program may want to know; nil discards it.
	Logger *slog.Logger
	// OnStatus is called when the device has signed in and when its connection is lost, in order. It must return at once.
	OnStatus func(Status)
	// OnTyping is called when others type in a log that is attached, at most once a second and log. It holds for 5 s. It must return at
	// once, and call nothing of the Client.
	OnTyping func(*chatv1.Typing)
}

// Backoff is exponential with full jitter: after n failures in a row the pause is uniform between 0 and
// min(Most, Base × 2ⁿ). What the server asks for (ComeBack, retry_after_ms) is waited for in any case, and a random part of
// as much again.
type Backoff struct {
	// Base is 1 s if 0, Most 30 s if 0.
	Base, Most time.Duration
}

// Follow says what to do with the logs that the user has joined, or joins on any device. The Client reads the user's own log
// for it.
type Follow struct {
	// Attach says how to attach a log that the user has joined; false leaves it alone. It is called once for each such log
	// at the start, and once when the user joins one. Logs that it takes must not be attached by hand.
	Attach func(log string, kind chatv1.LogKind) (AttachOptions, bool)
	// Handler gets the user's own log, after the Client has acted on an update; nil if the application has no use for it.
	Handler Handler
}

// Status is the state of a device's connection.
type Status struct {
	// SignedIn: a session has begun. If false, one could not be had or has ended, Err says why, and another is tried in
	// RetryIn.
	SignedIn              bool
	Endpoint              string
	Session, User, Region string
	Err                   error
	RetryIn               time.Duration
}

const (
	defaultQueueEvents    = 256
	defaultAckEvery       = 5 * time.Second
	defaultPingEvery      = 20 * time.Second
	defaultPingTimeout    = 10 * time.Second
	defaultConnectTimeout = 15 * time.Second
	defaultBackoffBase    = time.Second
	defaultBackoffMost    = 30 * time.Second
	defaultMaxFrameBytes  = 16 << 20
	maxProgramBytes       = 64
	sessionPath           = "/v1/session"
)

var deviceName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// complete returns the options with defaults filled in, or says what is wrong with them.
func (o Options) complete() (Options, error) {
	if len(o.Endpoints) == 0 {
		return o, errors.New("chatfleet: Options.Endpoints is empty; name at least one address, as https://chat.example.com")
	}
	endpoints := make([]string, len(o.Endpoints))
	for i, e := range o.Endpoints {
		var err error
		if endpoints[i], err = sessionURL(e); err != nil {
			return o, fmt.Errorf("chatfleet: Options.Endpoints[%d]: %w", i, err)
		}
	}
	o.Endpoints = endpoints
	if o.Token == nil {
		return o, errors.New("chatfleet: Options.Token is nil; give a source of tokens, or StaticToken")
	}
	if !deviceName.MatchString(o.Device) {
		return o, fmt.Errorf("chatfleet: Options.Device is %q; it must be 1 to 64 of A-Z a-z 0-9 . _ -", o.Device)
	}
	if len(o.Program) > maxProgramBytes {
		return o, fmt.Errorf("chatfleet: Options.Program has %d bytes; at most %d", len(o.Program), maxProgramBytes)
	}
	if o.Encoding != Protobuf && o.Encoding != JSON {
		return o, fmt.Errorf("chatfleet: Options.Encoding is %d; it must be Protobuf or JSON", o.Encoding)
	}
	if o.Follow != nil && o.Follow.Attach == nil {
		return o, errors.New("chatfleet: Options.Follow.Attach is nil; say how a joined log is attached")
	}
	if o.Cursors == nil {
		o.Cursors = NewMemoryCursors()
	}
	if o.HTTPClient == nil {
		o.HTTPClient = http.DefaultClient
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	setDefault(&o.QueueEvents, defaultQueueEvents)
	setDefault(&o.AckEvery, defaultAckEvery)
	setDefault(&o.PingEvery, defaultPingEvery)
	setDefault(&o.PingTimeout, defaultPingTimeout)
	setDefault(&o.ConnectTimeout, defaultConnectTimeout)
	setDefault(&o.Backoff.Base, defaultBackoffBase)
	setDefault(&o.Backoff.Most, defaultBackoffMost)
	setDefault(&o.MaxFrameBytes, defaultMaxFrameBytes)
	for _, n := range []struct {
		name  string
		value int64
	}{
		{"QueueEvents", int64(o.QueueEvents)}, {"PingEvery", int64(o.PingEvery)}, {"PingTimeout", int64(o.PingTimeout)},
		{"ConnectTimeout", int64(o.ConnectTimeout)}, {"Backoff.Base", int64(o.Backoff.Base)},
		{"Backoff.Most", int64(o.Backoff.Most)}, {"MaxFrameBytes", o.MaxFrameBytes},
	} {
		if n.value < 0 {
			return o, fmt.Errorf("chatfleet: Options.%s is negative", n.name)
		}
	}
	return o, nil
}

func setDefault[T int | int64 | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

func sessionURL(endpoint string) (string, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return "", err
	}
	switch u.Scheme {
	case "http", "https":
	case "ws", "wss":
		u.Scheme = "http" + strings.TrimPrefix(u.Scheme, "ws")
	default:
		return "", fmt.Errorf("%q must begin with https:// or http://", endpoint)
	}
	if u.Host == "" {
		return "", fmt.Errorf("%q names no host", endpoint)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = sessionPath
	}
	return u.String(), nil
}
