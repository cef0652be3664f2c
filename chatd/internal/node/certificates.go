package node

import (
	"context"
	"crypto/tls"
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chatfleet/chatfleet/chatd/internal/certs"
)

// certificates are what this member shows others; nil where it shows none.
type certificates struct {
	members *certs.Members
	clients *certs.Source
	cancel  context.CancelFunc
	done    sync.WaitGroup
}

// openCertificates reads the certificates, and has them read again as they change.
func (n *node) openCertificates(registry *prometheus.Registry) (err error) {
	c := &n.certificates
	var all certs.Collector
	if dir := n.cfg.TLSDirectory; dir != "" {
		role := certs.Store // of a combined member, too
		if n.cfg.Role == Shard {
			role = certs.Shard
		}
		if c.members, err = certs.OpenMembers(dir, n.cfg.Logger, role); err != nil {
			return err
		}
		all = append(all, c.members.Source)
		registry.MustRegister(c.members.Refusals())
	}
	if n.cfg.Role != Store && n.cfg.ClientsTLS != (certs.Files{}) {
		if c.clients, err = certs.Open("clients", n.cfg.ClientsTLS, n.cfg.Logger); err != nil {
			return err
		}
		all = append(all, c.clients)
	}
	registry.MustRegister(all)
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	for _, s := range all {
		c.done.Go(func() { s.Run(ctx) })
	}
	return nil
}

func (c *certificates) stop() {
	c.cancel()
	c.done.Wait()
}

// adminTLS is nil for a port in plain. Who shows this very member's certificate is the member: `chatd status` beside it.
func (n *node) adminTLS() *tls.Config {
	if n.certificates.members == nil {
		return nil
	}
	return n.certificates.members.ServerConfig(certs.PortAdmin, true, []certs.Role{certs.Operator, certs.Monitor}, "h2", "http/1.1")
}

// clientsTLS is nil for a port in plain.
func (n *node) clientsTLS() *tls.Config {
	if n.certificates.clients == nil {
		return nil
	}
	return n.certificates.clients.ServerConfig("h2", "http/1.1")
}

// probesHandler is all that there is for who shows no certificate. A port of its own, and not the admin port without a certificate: there,
// a stranger is turned away before a byte of a request is read, and no path can be left open by mistake.
func (n *node) probesHandler() http.Handler {
	mux := http.NewServeMux()
	n.addProbes(mux)
	return mux
}

// monitorsRead keeps who may only look from all else.
func monitorsRead(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if certs.RoleOf(r.TLS) == certs.Monitor {
			switch r.URL.Path {
			case "/metrics", "/healthz", "/readyz":
			default:
				http.Error(w, "a certificate for "+string(certs.Monitor)+" is for /metrics, /healthz and /readyz; this takes one for "+string(certs.Operator), http.StatusForbidden)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}
