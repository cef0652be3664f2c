package command

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/chatfleet/chatfleet/chatd/internal/certs"
	"github.com/chatfleet/chatfleet/proto/admin/v1/adminv1connect"
)

// adminTimeout bounds one request to an admin port.
const adminTimeout = 10 * time.Second

// tlsVariable is the setting of a member that says where its certificate is, so that a command beside it needs no flag.
const tlsVariable = "CHATD_CLUSTER_TLS_DIRECTORY"

// target is the member that a command asks, and what the command shows it.
type target struct{ addr, tls string }

func (t *target) flags(f *pflag.FlagSet) {
	f.StringVar(&t.addr, "admin", "127.0.0.1:9090", "the member's admin address")
	f.StringVar(&t.tls, "tls-directory", os.Getenv(tlsVariable), "directory with tls.crt, tls.key and ca.crt, for an admin port that asks for a certificate: of role operator, or the member's own; $"+tlsVariable)
}

// admin is one member's admin port.
type admin struct {
	addr   string
	client adminv1connect.AdminServiceClient
}

func (t *target) dial() (*admin, error) {
	base := t.addr
	if !strings.Contains(base, "://") {
		scheme := "http://"
		if t.tls != "" {
			scheme = "https://"
		}
		base = scheme + base
	}
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Port() == "" {
		return nil, usageError{fmt.Errorf("--admin %q: want host:port", t.addr)}
	}
	client := &http.Client{Timeout: adminTimeout}
	if t.tls != "" {
		m, err := certs.OpenMembers(t.tls, slog.New(slog.DiscardHandler), certs.Operator, certs.Store, certs.Shard)
		if err != nil {
			return nil, usageError{fmt.Errorf("--tls-directory: %w", err)}
		}
		client.Transport = &http.Transport{
			DialContext: dialReadably, TLSClientConfig: m.ClientConfig(certs.PortAdmin, certs.Store, certs.Shard), ForceAttemptHTTP2: true,
		}
	}
	return &admin{t.addr, adminv1connect.NewAdminServiceClient(client, strings.TrimRight(base, "/"))}, nil
}

// readable is a connection whose reader alone tells that the other side is gone. In TLS 1.3 a server refuses a certificate after the client
// has done its part of the handshake: it says why and closes, and what the client has begun to write fails. Whoever sees that failure first
// closes the connection, and the reason is in it, unread.
type readable struct{ net.Conn }

func (c readable) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		return len(b), nil
	}
	return n, err
}

func dialReadably(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return readable{c}, nil
}
