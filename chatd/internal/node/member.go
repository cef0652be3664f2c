package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chatfleet/chatfleet/chatd/internal/bus"
	"github.com/chatfleet/chatfleet/chatd/internal/clock"
	"github.com/chatfleet/chatfleet/chatd/internal/engine"
	"github.com/chatfleet/chatfleet/chatd/internal/gateway"
	"github.com/chatfleet/chatfleet/chatd/internal/shard"
	"github.com/chatfleet/chatfleet/chatd/internal/trace"
)

// unreadyFirst is how long a member says that it is not ready before it does anything about it: balancers look about so often.
const unreadyFirst = 250 * time.Millisecond

// node is the parts of a running member; those that its role does not have are nil.
type node struct {
	cfg   Config
	began time.Time
	// now is the clock that all parts go by. clock is the same where it may be set, else nil.
	now   func() time.Time
	clock *clock.Clock
	// started: all parts are there. draining: the member is on its way out.
	started, draining atomic.Bool
	// failed brings the error of a part that cannot go on.
	failed chan error

	certificates certificates

	trace    *trace.Tracer
	store    *bus.Store
	link     *bus.Shard
	identity *identity
	engine   engine.Engine
	shard    *shard.Shard
	clients  net.Listener
	server   *http.Server
}

// start starts the parts, each after what it needs.
func (n *node) start(registry *prometheus.Registry) (err error) {
	if n.trace, err = trace.FromEnvironment(context.Background(), os.Getenv, n.cfg.Bus.Name, string(n.cfg.Role), n.cfg.Logger); err != nil {
		return err
	}
	n.cfg.Bus.Trace, n.cfg.Bus.Now, n.cfg.Bus.TLS = n.trace, n.now, n.certificates.members
	if n.cfg.Role != Shard {
		if n.store, err = bus.StartStore(n.cfg.Bus); err != nil {
			return err
		}
		registry.MustRegister(n.store.Collector())
	}
	if n.cfg.Role == Store {
		return nil
	}
	if n.identity, err = startIdentity(n.cfg, n.now); err != nil {
		return err
	}
	registry.MustRegister(n.identity)
	if n.store != nil {
		n.link, err = n.store.Shard()
	} else {
		n.link, err = bus.StartShard(n.cfg.Bus)
	}
	if err != nil {
		return err
	}
	cfg := n.cfg.Sessions
	cfg.Name, cfg.Region, cfg.Partitions, cfg.Logger = n.cfg.Bus.Name, n.cfg.Bus.Region, n.cfg.Bus.Partitions, n.cfg.Logger
	cfg.Resume, cfg.Revoked, cfg.Revoke, cfg.Trace = n.identity.resume, n.identity.revoked, n.link.Revoke, n.trace
	cfg.Soft, cfg.Now = n.link.Soft(), n.now
	if cfg.InvitationKeys, err = shard.InvitationKeys(n.identity.seals, n.cfg.Bus.Region); err != nil {
		return err
	}
	registry.MustRegister(n.link.Collector())
	if n.engine, err = newEngine(n.cfg.Engine, cfg.Engine()); err != nil {
		return err
	}
	if n.shard, err = shard.New(cfg, n.engine, n.link, n.identity.tokens, shard.NewMetrics(registry)); err != nil {
		return err
	}
	n.shard.Start()
	n.link.FollowRevocations(n.shard)
	if err := n.link.Start(n.shard); err != nil {
		return err
	}
	return n.listen()
}

// listen takes clients.
func (n *node) listen() error {
	l, err := listen("clients", "listen", n.cfg.Listen)
	if err != nil {
		return err
	}
	cfg := n.cfg.Clients
	cfg.Now, cfg.TLS = n.now, n.certificates.clients != nil
	cfg.Opener, _ = n.engine.(engine.Opener)
	cfg.Shard, cfg.Logger, cfg.AllowedOrigins, cfg.MaxBodyBytes = n.shard, n.cfg.Logger, n.cfg.AllowedOrigins, n.cfg.Sessions.FrameBytes()
	n.clients, n.server = l, gateway.NewServer(cfg)
	n.server.TLSConfig = n.clientsTLS()
	go func() {
		if err := serveOn(n.server, gateway.LimitListener(l, cfg)); !errors.Is(err, http.ErrServerClosed) {
			n.failed <- fmt.Errorf("serving clients: %w", err)
		}
	}()
	return nil
}

func (n *node) clientAddr() string {
	if n.clients == nil {
		return ""
	}
	return n.clients.Addr().String()
}

// drain sends the sessions away, until none is left, the drain's time is up, or hurry ends. A drain that was asked for on the admin port
// goes on at its own pace. Then it stays until it has been seen to leave.
func (n *node) drain(hurry context.Context) {
	if n.shard == nil {
		return
	}
	if n.shard.Sessions() > 0 {
		select {
		case <-time.After(unreadyFirst):
		case <-hurry.Done():
		}
	}
	began := time.Now()
	left := n.shard.Depart(hurry, shard.DrainOrder{PerSecond: n.cfg.DrainPerSecond, Timeout: n.cfg.DrainTimeout})
	n.cfg.Logger.Info("drained", "told", left.Told, "left", left.Sessions, "took", time.Since(began))
	if rest := n.cfg.DrainLinger - n.now().Sub(left.Began); rest > 0 {
		n.cfg.Logger.Info("staying until nobody is sent here any more", "for", rest)
		select {
		case <-time.After(rest):
		case <-hurry.Done():
		}
	}
}

// stop ends the parts, each before what it needs.
func (n *node) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if n.server != nil {
		if err := n.server.Shutdown(ctx); err != nil {
			n.server.Close()
		}
	}
	if n.shard != nil {
		n.shard.Close()
	}
	if n.engine != nil {
		if err := n.engine.Shutdown(ctx); err != nil {
			n.cfg.Logger.Warn("sessions were cut", "err", err)
		}
	}
	if n.identity != nil {
		n.identity.stop()
	}
	if n.link != nil {
		n.link.Stop()
	}
	if n.store != nil {
		n.store.Stop()
	}
	// A time of its own: what was waited for before is no reason to lose the last traces.
	last, cancelLast := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancelLast()
	if err := n.trace.Stop(last); err != nil {
		n.cfg.Logger.Warn("the last traces were not sent", "err", err)
	}
}
