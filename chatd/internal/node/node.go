// Package node is one running chatd: it puts together the parts that a role needs, in the order in which they depend on each
// other, and takes them apart again without losing anything.
//
// It decides nothing else. The command line (package command) calls it; tests of a whole member do, too.
package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/chatfleet/chatfleet/chatd/internal/bus"
	"github.com/chatfleet/chatfleet/chatd/internal/certs"
	"github.com/chatfleet/chatfleet/chatd/internal/clock"
	"github.com/chatfleet/chatfleet/chatd/internal/gateway"
	"github.com/chatfleet/chatfleet/chatd/internal/shard"
	"github.com/chatfleet/chatfleet/chatd/internal/token"
)

// Role is what a member is for.
type Role string

const (
	// Store keeps logs.
	Store Role = "store"
	// Shard holds sessions.
	Shard Role = "shard"
	// Combined does both in one process.
	Combined Role = "combined"
)

// Config of a member.
type Config struct {
	Role Role
	Bus  bus.Config
	// Listen is where clients connect (shard, combined); Admin where probes and metrics are; Probes where only probes are, empty for nowhere.
	Listen, Admin, Probes string
	// TLSDirectory has the certificate that this member shows the others; empty: they speak in plain. ClientsTLS is what it shows clients.
	TLSDirectory string
	ClientsTLS   certs.Files
	// TokenKeys is a file or URL with the keys (JWKS) that sign users' tokens, whatever issuer they name. Issuers are those whose
	// tokens name them. One or the other must be there (shard, combined).
	TokenKeys string
	Issuers   []token.Issuer
	// Engine that holds clients' connections: EngineAuto, also if it is empty, or one by name.
	Engine string
	// SessionKeys is the file of the seals of sessions (token.OpenSeals); empty: the region's secret is the seal.
	SessionKeys string
	// AllowedOrigins are the web origins whose pages may connect, besides those of the same host.
	AllowedOrigins []string
	// Sessions are the limits of sessions and logs, Clients those of who connects. Zero fields mean their defaults; names, places and
	// loggers in them are this configuration's.
	Sessions shard.Config
	Clients  gateway.Config
	// DrainPerSecond sessions are sent away on the way out; DrainTimeout is when what is left is cut off. A drain takes at least DrainLinger:
	// who is sent here meanwhile is told that the member is leaving, where it would else find nobody.
	DrainPerSecond            int
	DrainTimeout, DrainLinger time.Duration
	// FaultClock lets whoever reaches the admin port set the clock that the member goes by. For simulations alone.
	FaultClock bool
	Logger     *slog.Logger
}

// Validate says what is wrong with a configuration.
func (c Config) Validate() error {
	switch c.Role {
	case Store, Shard, Combined:
	default:
		return fmt.Errorf("role %q: want %s, %s or %s", c.Role, Store, Shard, Combined)
	}
	if c.Role != Store {
		if err := token.ValidateIssuers(c.issuers()); err != nil {
			return err
		}
		switch {
		case c.Listen == "":
			return errors.New("a member with sessions needs an address to listen on for clients")
		case c.DrainPerSecond < 1:
			return fmt.Errorf("drain of %d sessions a second: want at least 1", c.DrainPerSecond)
		case c.DrainTimeout <= 0:
			return fmt.Errorf("drain timeout %v: want more than 0", c.DrainTimeout)
		case c.DrainLinger < 0:
			return fmt.Errorf("drain linger %v: want 0 or more", c.DrainLinger)
		}
	}
	return c.Bus.Validate(c.Role != Shard)
}

// Run runs a member until ctx ends, and then drains it: at most as long as Config.DrainTimeout or DrainLinger say, less if hurry ends.
func Run(ctx, hurry context.Context, cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	cfg.Bus.Registerer, cfg.Bus.Logger = registry, cfg.Logger

	n := &node{cfg: cfg, began: time.Now(), now: time.Now, failed: make(chan error, 3)}
	if cfg.FaultClock {
		cfg.Logger.Warn("the admin port may set this member's clock (--fault-clock): for simulations, never in production")
		n.clock = clock.New()
		n.now = n.clock.Now
	}
	// Probes first: a member that takes long to start says so.
	admin, err := listen("probes and metrics", "admin", cfg.Admin)
	if err != nil {
		return err
	}
	if err := n.openCertificates(registry); err != nil {
		admin.Close()
		return err
	}
	defer n.certificates.stop()
	adminServer := n.serve("probes and metrics", admin, n.adminHandler(registry), n.adminTLS())
	defer adminServer.Close()
	probesAt := ""
	if cfg.Probes != "" {
		probes, err := listen("probes", "probes", cfg.Probes)
		if err != nil {
			return err
		}
		probesServer := n.serve("probes", probes, n.probesHandler(), nil)
		defer probesServer.Close()
		probesAt = probes.Addr().String()
	}

	if err := n.start(registry); err != nil {
		n.stop()
		return err
	}
	n.started.Store(true)
	cfg.Logger.Info("started", "role", cfg.Role, "region", cfg.Bus.Region, "admin", admin.Addr().String(), "clients", n.clientAddr(), "probes", probesAt)
	select {
	case <-ctx.Done():
	case err = <-n.failed:
	case err = <-n.storeFailed():
	}
	cfg.Logger.Info("stopping")
	n.draining.Store(true)
	n.drain(hurry)
	n.stop()
	cfg.Logger.Info("stopped")
	return err
}

// storeFailed brings the end of a store that must be started anew; nothing, where there is none.
func (n *node) storeFailed() <-chan error {
	if n.store == nil {
		return nil
	}
	return n.store.Failed()
}

// serve answers what operators ask.
func (n *node) serve(what string, l net.Listener, h http.Handler, secure *tls.Config) *http.Server {
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10, TLSConfig: secure,
		ErrorLog: slog.NewLogLogger(n.cfg.Logger.Handler(), slog.LevelDebug), // who is refused for his certificate is logged by package certs
	}
	go func() {
		err := serveOn(srv, l)
		if !errors.Is(err, http.ErrServerClosed) {
			n.failed <- fmt.Errorf("serving %s: %w", what, err)
		}
	}()
	return srv
}

// serveOn serves in TLS, if the server has a configuration of it.
func serveOn(srv *http.Server, l net.Listener) error {
	if srv.TLSConfig != nil {
		return srv.ServeTLS(l, "", "")
	}
	return srv.Serve(l)
}
