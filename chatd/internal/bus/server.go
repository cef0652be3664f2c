package bus

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/chatfleet/chatfleet/chatd/internal/certs"
	"github.com/chatfleet/chatfleet/chatd/internal/election"
)

const (
	// pingEvery and maxPings: a shard's link to a store that hangs is given up after pingEvery × (maxPings + 1), since what it asks
	// would wait as long.
	pingEvery = 500 * time.Millisecond
	maxPings  = 2
	// routePingEvery is the same for a store's route to another, where nothing waits for it: groups elect by their own silence. A route that is
	// given up makes the other stores stand for election at once, so stores that get no time for a second or two must not lose theirs.
	routePingEvery = 2 * time.Second
	// relinkEvery is how often a shard looks for a store after its link broke.
	relinkEvery = 100 * time.Millisecond
	// maxPayload bounds one message inside the fleet: a fetch's answer, a group's snapshot.
	maxPayload = 8 << 20
	// readyWithin is how long an embedded server may take to listen, and readyStep how often it is asked why it does not.
	readyWithin = 10 * time.Second
	readyStep   = 50 * time.Millisecond
	// handshakeWithin is how long a TLS handshake between members may take, in seconds.
	handshakeWithin = 2

	routeUser, memberUser, shardUser = "route", "member", "shard"
)

// base are the options of every embedded server.
func base(c Config) (*server.Options, error) {
	if err := election.Set(); err != nil {
		return nil, err
	}
	return &server.Options{
		ServerName: c.Name,
		// Routes start only if the client listener does; nobody but this process has its password, and it is on loopback.
		Host: "127.0.0.1", Port: server.RANDOM_PORT,
		NoSigs: true, NoLog: true,
		MaxPayload:   maxPayload,
		MaxPending:   256 << 20,
		PingInterval: pingEvery, MaxPingsOut: maxPings,
		WriteDeadline:          10 * time.Second,
		LameDuckDuration:       2 * time.Second,
		LameDuckGracePeriod:    time.Second,
		DisableShortFirstPing:  false,
		DisableJetStreamBanner: true,
	}, nil
}

func storeOptions(c Config) (*server.Options, error) {
	o, err := base(c)
	if err != nil {
		return nil, err
	}
	o.JetStream, o.StoreDir, o.JetStreamDomain = true, c.Dir, c.Region
	o.SyncAlways, o.SyncInterval = c.Durability == Fsync, syncEvery
	// Unlimited as far as NATS is concerned: it would otherwise reserve by what is free at the moment.
	o.JetStreamMaxStore, o.JetStreamMaxMemory = 1<<60, 1<<40
	subj := subjects{c.Region}
	o.Users = []*server.User{
		{Username: memberUser, Password: c.password(memberUser)},
		{Username: shardUser, Password: c.password(shardUser), Permissions: shardPermissions(subj)},
	}
	if len(c.Peers) > 1 {
		host, port, err := hostPort(c.ClusterListen)
		if err != nil {
			return nil, err
		}
		o.Cluster = server.ClusterOpts{
			Name: c.Region, Host: host, Port: port,
			Username: routeUser, Password: c.password(routeUser), AuthTimeout: 5,
			NoAdvertise: true, ConnectRetries: 1 << 30,
			PingInterval: routePingEvery, MaxPingsOut: maxPings,
			Compression: server.CompressionOpts{Mode: server.CompressionOff},
		}
		if c.TLS != nil {
			o.Cluster.TLSConfig, o.Cluster.TLSTimeout = c.TLS.BothConfig(certs.PortStores, certs.Store), handshakeWithin
		}
		for _, peer := range c.Peers {
			o.Routes = append(o.Routes, &url.URL{Scheme: "nats-route", Host: peer, User: url.UserPassword(routeUser, c.password(routeUser))})
		}
	}
	if c.LeafListen != "" {
		if o.LeafNode.Host, o.LeafNode.Port, err = hostPort(c.LeafListen); err != nil {
			return nil, err
		}
		o.LeafNode.AuthTimeout, o.LeafNode.NoAdvertise = 5, true
		o.LeafNode.Compression = server.CompressionOpts{Mode: server.CompressionOff}
		if c.TLS != nil {
			o.LeafNode.TLSConfig = c.TLS.ServerConfig(certs.PortLeaf, false, []certs.Role{certs.Shard})
			o.LeafNode.TLSTimeout = handshakeWithin
		}
	}
	return o, nil
}

// shardPermissions are all that a shard may do at the stores: ask owners, have something said to the other shards, and hear what is
// published for shards. Not one subject of
// the JetStream API is among them.
func shardPermissions(s subjects) *server.Permissions {
	return &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: []string{"own." + s.region + ".*", s.say(">")}},
		Subscribe: &server.SubjectPermission{Allow: []string{"live." + s.region + ".>", "digest." + s.region + ".*", s.soft(">"), nats.InboxPrefix + ">"}},
	}
}

func shardOptions(c Config) (*server.Options, error) {
	o, err := base(c)
	if err != nil {
		return nil, err
	}
	o.Users = []*server.User{{Username: memberUser, Password: c.password(memberUser)}}
	remote := &server.RemoteLeafOpts{
		// Shards hear the stores, not each other.
		RequestIsolation: true,
		Compression:      server.CompressionOpts{Mode: server.CompressionOff},
		DialTimeout:      time.Second,
		// The kernel accepts for a store that hangs; only its silence tells.
		FirstInfoTimeout: 300 * time.Millisecond,
	}
	if c.TLS != nil {
		remote.TLSConfig, remote.TLSTimeout = c.TLS.ClientConfig(certs.PortLeaf, certs.Store), handshakeWithin
	}
	for _, store := range c.Stores {
		remote.URLs = append(remote.URLs, &url.URL{Scheme: "nats-leaf", Host: store, User: url.UserPassword(shardUser, c.password(shardUser))})
	}
	o.LeafNode.Remotes = []*server.RemoteLeafOpts{remote}
	o.LeafNode.ReconnectInterval = relinkEvery
	return o, nil
}

// start runs an embedded server until it takes connections of this process. broken is set once it cannot write its streams any more.
func start(o *server.Options, log *slog.Logger, broken *atomic.Bool) (*server.Server, error) {
	srv, err := server.NewServer(o)
	if err != nil {
		return nil, fmt.Errorf("configuring the embedded NATS server: %w", err)
	}
	logger := natsLogger{log.With("part", "nats"), make(chan string, 1), broken, &tlsTrouble{said: make(map[string]time.Time)}}
	srv.SetLoggerV2(logger, false, false, false)
	srv.Start()
	for begun := time.Now(); !srv.ReadyForConnections(readyStep); {
		var failed string
		select {
		case failed = <-logger.failed:
		default:
			if time.Since(begun) < readyWithin {
				continue
			}
			failed = "it is not ready after " + readyWithin.String() + "; its last log lines say why"
		}
		srv.Shutdown()
		return nil, startFailure(failed)
	}
	logger.started()
	return srv, nil
}

// startFailure says in our words what keeps the embedded server from starting.
func startFailure(said string) error {
	for theirs, ours := range map[string]string{
		"Error listening on router port": "listening for the other stores", "Error listening on leafnode port": "listening for shards",
	} {
		if _, why, ok := strings.Cut(said, " - "); ok && strings.HasPrefix(said, theirs) {
			if strings.Contains(why, syscall.EADDRINUSE.Error()) {
				why += "; end what listens there, or choose another port"
			}
			return fmt.Errorf("%s: %s", ours, why)
		}
	}
	return fmt.Errorf("starting the embedded NATS server: %s", said)
}

// connect opens a connection within the process.
func connect(srv *server.Server, c Config, purpose string) (*nats.Conn, error) {
	nc, err := nats.Connect("",
		nats.InProcessServer(srv), nats.Name(c.Name+" "+purpose),
		nats.UserInfo(memberUser, c.password(memberUser)),
		nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond),
		nats.PingInterval(time.Minute),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			subject := ""
			if sub != nil {
				subject = sub.Subject
			}
			c.Logger.Warn("trouble on a connection to the embedded server", "connection", purpose, "subject", subject, "err", err)
		}))
	if err != nil {
		return nil, fmt.Errorf("connecting to the embedded NATS server: %w", err)
	}
	return nc, nil
}

func hostPort(addr string) (string, int, error) {
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("address %q: want host:port", addr)
	}
	port, err := strconv.ParseUint(p, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("address %q: the port is not a number from 0 to 65535", addr)
	}
	return host, int(port), nil
}

// natsLogger passes on what the embedded server says. Its notices are many and for people who run NATS itself: debug.
type natsLogger struct {
	log *slog.Logger
	// failed takes the first thing that keeps the server from starting: its caller's to log.
	failed chan string
	broken *atomic.Bool
	tls    *tlsTrouble
}

// started ends that: what is fatal from now on is logged.
func (l natsLogger) started() {
	select {
	case l.failed <- "":
	default:
	}
}

func (l natsLogger) say(level slog.Level, format string, args []any) {
	if l.log.Enabled(context.Background(), level) {
		l.log.Log(context.Background(), level, fmt.Sprintf(format, args...))
	}
}
func (l natsLogger) Noticef(f string, a ...any) { l.say(slog.LevelDebug, f, a) }
func (l natsLogger) Warnf(f string, a ...any) {
	switch {
	case strings.HasPrefix(f, "Plaintext passwords"):
		// ours are 256 bits derived from the region's secret, and stand in no file
	case strings.HasPrefix(f, "TLS certificate chain and hostname"):
		// package certs checks the chain, and the role in place of the host name
	default:
		l.say(slog.LevelWarn, f, a)
	}
}
func (l natsLogger) Fatalf(f string, a ...any) {
	select {
	case l.failed <- fmt.Sprintf(f, a...):
	default:
		l.say(slog.LevelError, f, a)
	}
}
func (l natsLogger) Errorf(f string, a ...any) {
	if l.handshakeFailed(f, a) {
		return
	}
	l.say(slog.LevelError, f, a)
	// A stream whose write failed refuses all others from then on, and the server says so nowhere else.
	if strings.Contains(f, "critical write error") || strings.Contains(f, "Critical write error") || strings.Contains(f, "will be DISABLED") {
		l.broken.Store(true)
	}
}
func (l natsLogger) Debugf(f string, a ...any) { l.say(slog.LevelDebug, f, a) }
func (l natsLogger) Tracef(f string, a ...any) { l.say(slog.LevelDebug, f, a) }
