package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"connectrpc.com/connect"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
	"github.com/chatfleet/chatfleet/proto/chat/v1/chatv1connect"
)

// SessionPath is where WebSocket clients connect.
const SessionPath = "/v1/session"

// compressFrom bytes an answer is compressed, for who asks for it: to make a compressor ready costs more than a short answer.
const compressFrom = 1 << 10

// Shard is what requests need of a shard. An *chatv1.Error that is not nil is the answer to the client.
type Shard interface {
	// Authenticate says who the bearer of a token is.
	Authenticate(token string) (user string, failed *chatv1.Error)
	// Charge counts a request of a user over HTTP, and is not nil if it is one too many.
	Charge(user string) *chatv1.Error
	Create(ctx context.Context, user string, r *chatv1.CreateRequest) (*chatv1.CreateResponse, *chatv1.Error)
	Join(ctx context.Context, user string, r *chatv1.JoinRequest) (*chatv1.JoinResponse, *chatv1.Error)
	Leave(ctx context.Context, user string, r *chatv1.LeaveRequest) (*chatv1.LeaveResponse, *chatv1.Error)
	SetRole(ctx context.Context, user string, r *chatv1.SetRoleRequest) (*chatv1.SetRoleResponse, *chatv1.Error)
	SetPolicy(ctx context.Context, user string, r *chatv1.SetPolicyRequest) (*chatv1.SetPolicyResponse, *chatv1.Error)
	SetName(ctx context.Context, user string, r *chatv1.SetNameRequest) (*chatv1.SetNameResponse, *chatv1.Error)
	Resolve(ctx context.Context, user string, r *chatv1.ResolveRequest) (*chatv1.ResolveResponse, *chatv1.Error)
	CreateInvitation(ctx context.Context, user string, r *chatv1.CreateInvitationRequest) (*chatv1.CreateInvitationResponse, *chatv1.Error)
	RevokeInvitation(ctx context.Context, user string, r *chatv1.RevokeInvitationRequest) (*chatv1.RevokeInvitationResponse, *chatv1.Error)
	ListInvitations(ctx context.Context, user string, r *chatv1.ListInvitationsRequest) (*chatv1.ListInvitationsResponse, *chatv1.Error)
	ListJoined(ctx context.Context, user string, r *chatv1.ListJoinedRequest) (*chatv1.ListJoinedResponse, *chatv1.Error)
	Post(ctx context.Context, user string, r *chatv1.PostRequest) (*chatv1.PostResponse, *chatv1.Error)
	Difference(ctx context.Context, user string, r *chatv1.DifferenceRequest) (*chatv1.DifferenceResponse, *chatv1.Error)
	Presence(ctx context.Context, user string, r *chatv1.PresenceRequest) (*chatv1.PresenceResponse, *chatv1.Error)
	History(ctx context.Context, user string, r *chatv1.HistoryRequest) (*chatv1.HistoryResponse, *chatv1.Error)
	// Accepting is nil while new sessions are taken, else why not, and when to come back.
	Accepting() *chatv1.Error
	// Connect takes over a connection after its handshake; early is what was read from it already. If conn has a method SignedIn() it is
	// called when the session has signed in.
	Connect(conn net.Conn, early []byte, enc engine.Encoding) error
	// Begin makes the session of a connection that the engine has already. The guest is told when it has signed in, or could not and is not to blame.
	Begin(guest) engine.Handler
}

// guest is a connection, as far as its session has something to say to whoever let it in.
type guest = interface {
	SignedIn()
	Excuse()
}

// Config of the gateway.
type Config struct {
	Shard  Shard
	Logger *slog.Logger
	// Opener is the shard's engine, if it can take sockets before their handshake; else nil.
	Opener engine.Opener
	// AllowedOrigins are the web origins ("https://app.example.com") whose pages may connect, besides those of the same host.
	AllowedOrigins []string
	// MaxBodyBytes bounds the body of a request over HTTP. Default 128 KiB.
	MaxBodyBytes int
	// MaxConnections of clients at once, waiting for their handshake, over HTTP and on sessions. Default 18,000, which leaves room
	// under a limit of 20,000 open files.
	MaxConnections int
	// MaxUnknown of them, and of one address MaxUnknownPerAddress, may be such that have neither signed in nor brought a good token
	// yet. Defaults half of MaxConnections, and 500.
	MaxUnknown, MaxUnknownPerAddress int
	// HandshakesPerSecond and HandshakeBurst bound the sessions that one address begins. Defaults 50 and 1,000.
	HandshakesPerSecond float64
	HandshakeBurst      int
	// FailuresPerSecond and FailureBurst bound the connections of one address that come to nothing, and its tokens that are refused.
	// An address that has used them up may not try to sign in. Defaults 5 and 200.
	FailuresPerSecond float64
	FailureBurst      int
	// ExemptAddresses are not counted by address, such as those of a proxy or load balancer that hides who comes. Default loopback; an
	// empty list that is not nil exempts nobody.
	ExemptAddresses []netip.Prefix
	// TrustedProxies are addresses whose X-Forwarded-For is believed: who sends a request is then what they say. Default none.
	TrustedProxies []netip.Prefix
	// HeadersWithin is how long the headers of a request may take, BodyWithin the whole of it. Defaults 10 s and 30 s.
	HeadersWithin, BodyWithin time.Duration
	// RequestTimeout bounds a request over HTTP. Default 30 s.
	RequestTimeout time.Duration
	// TLS says that the listener's connections speak TLS, so that nothing is said to them in plain.
	TLS bool
	// Now is the clock by which rates count. Default time.Now.
	Now func() time.Time
}

func (c Config) withDefaults() Config {
	def(&c.MaxBodyBytes, 128<<10)
	def(&c.MaxConnections, 18_000)
	def(&c.MaxUnknown, max(1, c.MaxConnections/2))
	def(&c.MaxUnknownPerAddress, 500)
	def(&c.HandshakesPerSecond, 50)
	def(&c.HandshakeBurst, 1000)
	def(&c.FailuresPerSecond, 5)
	def(&c.FailureBurst, 200)
	def(&c.HeadersWithin, 10*time.Second)
	def(&c.BodyWithin, 30*time.Second)
	def(&c.RequestTimeout, 30*time.Second)
	if c.ExemptAddresses == nil {
		c.ExemptAddresses = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// NewServer is the HTTP server for clients. Serve it on a listener of LimitListener. Its bounds are for strangers: whoever sends a
// request slowly, or too much of it, is cut off.
func NewServer(cfg Config) *http.Server {
	cfg = cfg.withDefaults()
	return &http.Server{
		Handler:           newHandler(cfg),
		ConnContext:       asVisitor,
		ReadHeaderTimeout: cfg.HeadersWithin,
		ReadTimeout:       cfg.BodyWithin,
		WriteTimeout:      cfg.RequestTimeout + 15*time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelDebug),
	}
}

func newHandler(cfg Config) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(SessionPath, &sessions{cfg})
	path, service := chatv1connect.NewChatServiceHandler(&methods{cfg},
		connect.WithReadMaxBytes(cfg.MaxBodyBytes), connect.WithCompressMinBytes(compressFrom), connect.WithRecover(recovered(cfg.Logger)))
	mux.Handle(path, newGuard(cfg, service))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusNotFound, &chatv1.Error{Code: chatv1.Error_CODE_UNSUPPORTED,
			Message: "nothing is at this path; sessions are at " + SessionPath + ", methods at /" + chatv1connect.ChatServiceName + "/<Method>"})
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if failed := visitorOf(r).brings(r); failed != nil {
			refuse(w, http.StatusTooManyRequests, failed)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// recovered keeps a defect in one request from ending the others.
func recovered(log *slog.Logger) func(context.Context, connect.Spec, http.Header, any) error {
	return func(_ context.Context, spec connect.Spec, _ http.Header, panicked any) error {
		log.Error("defect: a request panicked", "method", spec.Procedure, "panic", panicked)
		return connect.NewError(connect.CodeInternal, errors.New("a defect of the server; its log has more"))
	}
}

// refuse answers a request outside connect, and ends the connection: who is refused here has no use for it.
func refuse(w http.ResponseWriter, status int, e *chatv1.Error) {
	setRetryAfter(w.Header(), e)
	w.Header().Set("Connection", "close")
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// The client is gone if this fails.
	_ = json.NewEncoder(w).Encode(struct {
		Code         string `json:"code"`
		Message      string `json:"message"`
		RetryAfterMs uint32 `json:"retryAfterMs,omitempty"`
	}{e.Code.String(), e.Message, e.RetryAfterMs})
}
