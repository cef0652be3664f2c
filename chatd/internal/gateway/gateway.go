package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"

	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
	"github.com/chatfleet/chatfleet/proto/chat/v1/chatv1connect"
)

// SessionPath is where WebSocket clients connect.
const SessionPath = "/v1/session"

// Shard is what requests need of a shard. An *chatv1.Error that is not nil is the answer to the client.
type Shard interface {
	// Authenticate says who the bearer of a token is.
	Authenticate(token string) (user string, failed *chatv1.Error)
	Create(ctx context.Context, user string, r *chatv1.CreateRequest) (*chatv1.CreateResponse, *chatv1.Error)
	Join(ctx context.Context, user string, r *chatv1.JoinRequest) (*chatv1.JoinResponse, *chatv1.Error)
	Leave(ctx context.Context, user string, r *chatv1.LeaveRequest) (*chatv1.LeaveResponse, *chatv1.Error)
	Post(ctx context.Context, user string, r *chatv1.PostRequest) (*chatv1.PostResponse, *chatv1.Error)
	Difference(ctx context.Context, user string, r *chatv1.DifferenceRequest) (*chatv1.DifferenceResponse, *chatv1.Error)
	// Accepting is nil while new sessions are taken, else why not, and when to come back.
	Accepting() *chatv1.Error
	// Connect takes over a connection after its handshake; early is what was read from it already.
	Connect(conn net.Conn, early []byte, enc engine.Encoding) error
}

// Config of the gateway.
type Config struct {
	Shard  Shard
	Logger *slog.Logger
	// AllowedOrigins are the web origins ("https://app.example.com") whose pages may connect, besides those of the same host.
	AllowedOrigins []string
	// MaxBodyBytes bounds the body of a request over HTTP. Default 128 KiB.
	MaxBodyBytes int
	// MaxConnections of clients at once, waiting for their handshake, over HTTP and on sessions. Default 18,000, which leaves room
	// under a limit of 20,000 open files.
	MaxConnections int
	// RequestTimeout bounds a request over HTTP. Default 30 s.
	RequestTimeout time.Duration
}

func (c Config) withDefaults() Config {
	if c.MaxBodyBytes == 0 {
		c.MaxBodyBytes = 128 << 10
	}
	if c.MaxConnections == 0 {
		c.MaxConnections = 18_000
	}
	if c.RequestTimeout == 0 {
		c.RequestTimeout = 30 * time.Second
	}
	return c
}

// NewServer is the HTTP server for clients. Serve it on a listener of LimitListener. Its bounds are for strangers: whoever sends a
// request slowly, or too much of it, is cut off.
func NewServer(cfg Config) *http.Server {
	cfg = cfg.withDefaults()
	return &http.Server{
		Handler:           newHandler(cfg),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
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
		connect.WithReadMaxBytes(cfg.MaxBodyBytes), connect.WithRecover(recovered(cfg.Logger)))
	mux.Handle(path, newGuard(cfg, service))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusNotFound, &chatv1.Error{Code: chatv1.Error_CODE_UNSUPPORTED,
			Message: "nothing is at this path; sessions are at " + SessionPath + ", methods at /" + chatv1connect.ChatServiceName + "/<Method>"})
	})
	return mux
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
	_ = json.NewEncoder(w).Encode(map[string]string{"code": e.Code.String(), "message": e.Message})
}

// LimitListener bounds the connections that are open at once. What is above the bound is told so and closed: a client that
// waits unheard would think the fleet dead.
func LimitListener(l net.Listener, cfg Config) net.Listener {
	return &limited{Listener: l, free: make(chan struct{}, cfg.withDefaults().MaxConnections)}
}

type limited struct {
	net.Listener
	free chan struct{}
}

const full = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n" +
	`{"code":"CODE_TOO_MANY","message":"this shard holds as many connections as it may; try another, or later"}` + "\n"

// Accept implements net.Listener.
func (l *limited) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.free <- struct{}{}:
			return hold(conn, sync.OnceFunc(func() { <-l.free })), nil
		default:
			// A best effort that must not block: what fits in a fresh socket's buffer.
			_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
			_, _ = conn.Write([]byte(full))
			conn.Close()
		}
	}
}

// hold makes a connection give its place back when it is closed.
func hold(conn net.Conn, release func()) net.Conn {
	if tcp, ok := conn.(*net.TCPConn); ok {
		// The engine sets its buffers and writes to its descriptor.
		return &heldTCP{tcp, release}
	}
	return &held{conn, release}
}

type held struct {
	net.Conn
	release func()
}

func (h *held) Close() error {
	h.release()
	return h.Conn.Close()
}

type heldTCP struct {
	*net.TCPConn
	release func()
}

func (h *heldTCP) Close() error {
	h.release()
	return h.TCPConn.Close()
}
