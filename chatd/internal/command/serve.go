package command

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/chatfleet/chatfleet/chatd/internal/bus"
	"github.com/chatfleet/chatfleet/chatd/internal/certs"
	"github.com/chatfleet/chatfleet/chatd/internal/chatlog"
	"github.com/chatfleet/chatfleet/chatd/internal/config"
	"github.com/chatfleet/chatfleet/chatd/internal/gateway"
	"github.com/chatfleet/chatfleet/chatd/internal/node"
	"github.com/chatfleet/chatfleet/chatd/internal/owner"
	"github.com/chatfleet/chatfleet/chatd/internal/shard"
	"github.com/chatfleet/chatfleet/chatd/internal/token"
)

const serveExamples = `  # One process for development: stores, shard and all.
  chatd keygen --out keys
  head -c 32 /dev/urandom | base64 > secret
  chatd serve --role combined --name dev --data data --replicas 1 --listen 127.0.0.1:8080 \
    --admin 127.0.0.1:9090 --cluster-secret-file secret --token-keys keys/keys.json

  # A shard that joins three stores.
  chatd serve --role shard --name shard-0 --stores 10.0.0.1:7422,10.0.0.2:7422,10.0.0.3:7422 \
    --listen :8080 --admin :9090 --cluster-secret-file secret --token-keys keys/keys.json

  # What is in force, and where each value comes from.
  chatd serve --config chatd.yaml --print-config`

// shardGC is how much a shard's heap may grow between two collections, in percent. What it holds is sessions, which a delivery allocates nothing for: so
// collections are rare in any case, and memory is what a shard has least of.
const shardGC = 50

func serveCommand() *cobra.Command {
	host := hostname()
	flags := config.NewFlags(host)
	var printConfig bool
	cmd := &cobra.Command{
		Use:     "serve",
		Short:   "Run a member of a fleet",
		Long:    "Serve runs a member of a fleet. A flag goes before the environment, the environment before the file, the file before the default.",
		Example: serveExamples,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			loaded, err := config.Load(config.Inputs{Flags: flags, Environ: os.Environ(), Hostname: host})
			if printConfig {
				if err := loaded.Print(cmd.OutOrStdout()); err != nil {
					return err
				}
			}
			if err != nil {
				return usageError{err}
			}
			cfg := nodeConfig(loaded.Config)
			cfg.Logger = newLogger(cmd.ErrOrStderr(), loaded.Config).With("name", cfg.Bus.Name)
			if err := cfg.Validate(); err != nil {
				return usageError{err}
			}
			if printConfig {
				return nil
			}
			if cfg.Role == node.Shard && os.Getenv("GOGC") == "" {
				debug.SetGCPercent(shardGC)
			}
			ctx, hurry, stop := signals(cmd.Context())
			defer stop()
			return node.Run(ctx, hurry, cfg)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	for _, flag := range flags.All() {
		f.Var(flag, flag.Name, flag.Help)
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		var unknown interface{ GetSpecifiedName() string }
		if errors.As(err, &unknown) {
			return fmt.Errorf("%w%s", err, flags.DidYouMean(unknown.GetSpecifiedName()))
		}
		return err
	})
	f.BoolVar(&printConfig, "print-config", false, "print the configuration in force, where each value comes from, and end")
	return cmd
}

// nodeConfig hands every setting to the part that it is for.
func nodeConfig(c config.Config) node.Config {
	return node.Config{
		Role: node.Role(c.Role), Listen: c.Listen, Engine: c.Engine, Admin: c.Admin, Probes: c.Probes, TokenKeys: c.Token.Keys, SessionKeys: c.Session.KeysFile, AllowedOrigins: c.AllowOrigin,
		DrainPerSecond: c.Drain.SessionsPerSecond, DrainTimeout: c.Drain.Timeout, DrainLinger: c.Drain.Linger, FaultClock: c.FaultClock == "on",
		Issuers: issuers(c.Token.Issuers), Clients: clients(c),
		TLSDirectory: c.Cluster.TLSDirectory, ClientsTLS: certs.Files{Certificate: c.TLS.CertificateFile, Key: c.TLS.KeyFile},
		Sessions: shard.Config{
			MaxFrameBytes: c.Limits.FrameBytes, MaxMessageBytes: c.Limits.MessageBytes, MaxAttachedLogs: c.Limits.AttachedLogs,
			MaxInFlight: c.Limits.RequestsInFlight, RequestsPerSecond: c.Limits.RequestsPerSecond, RequestBurst: c.Limits.RequestBurst,
			UserRequestsPerSecond: c.Limits.UserRequestsPerSecond, UserRequestBurst: c.Limits.UserRequestBurst, MaxUserSessions: c.Limits.UserSessions,
			MaxLogs: c.Limits.OpenLogs, SignInWithin: c.Session.SignInWithin, PingWithin: c.Session.PingWithin,
			RingEvents: c.Ring.Events, RingBytes: c.Ring.Bytes, AllRingsBytes: c.Ring.TotalBytes, Loops: c.Loops,
		},
		Bus: bus.Config{
			Name: c.Name, Region: c.Region, Partitions: c.Partitions, Secret: c.Secret,
			Dir: c.Data, Durability: bus.Durability(c.Durability), Replicas: c.Replicas,
			ClusterListen: c.Cluster.Listen, Peers: c.Cluster.Peers, LeafListen: c.Leaf.Listen, Stores: c.Stores,
			Limits: chatlog.Limits{OwnedLogs: c.Limits.OwnedLogs, PostsPerSecond: c.Limits.LogPostsPerSecond, PostBurst: c.Limits.LogPostBurst},
			FullAt: float64(c.FullAt) / 100,
			Retain: owner.Retention{Age: c.RetainAge, Bytes: uint64(c.RetainBytesPerPartition)},
		},
	}
}

// clients are the bounds on who connects.
func clients(c config.Config) gateway.Config {
	return gateway.Config{
		TrustedProxies: prefixes(c.TrustedProxies), ExemptAddresses: prefixes(c.Limits.ExemptAddresses),
		MaxConnections: c.Limits.Connections, MaxUnknown: c.Limits.UnknownConnections, MaxUnknownPerAddress: c.Limits.UnknownPerAddress,
		HandshakesPerSecond: c.Limits.HandshakesPerSecond, HandshakeBurst: c.Limits.HandshakeBurst,
		FailuresPerSecond: c.Limits.FailuresPerSecond, FailureBurst: c.Limits.FailureBurst,
		HeadersWithin: c.HTTP.HeadersWithin, BodyWithin: c.HTTP.BodyWithin, RequestTimeout: c.HTTP.RequestTimeout,
	}
}

// prefixes is not nil if there are none: none is none, and not the default.
func prefixes(lines []string) []netip.Prefix {
	all := []netip.Prefix{}
	for _, s := range lines {
		if p, err := netip.ParsePrefix(s); err == nil { // checked already
			all = append(all, p)
		}
	}
	return all
}

func issuers(lines []string) []token.Issuer {
	var all []token.Issuer
	for _, line := range lines {
		if i, err := token.ParseIssuer(line); err == nil { // checked already
			all = append(all, i)
		}
	}
	return all
}

// signals gives a context that ends at the first SIGTERM or SIGINT and one that ends at the second.
func signals(parent context.Context) (first, second context.Context, stop func()) {
	first, cancelFirst := context.WithCancel(parent)
	second, cancelSecond := context.WithCancel(parent)
	ch := make(chan os.Signal, 2)
	signal.Notify(ch, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		select {
		case <-ch:
			cancelFirst()
		case <-first.Done():
		}
		select {
		case <-ch:
			cancelSecond()
		case <-second.Done():
		}
	}()
	return first, second, func() { signal.Stop(ch); cancelFirst(); cancelSecond() }
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "chatd"
	}
	name, _, _ = strings.Cut(name, ".")
	return strings.ToLower(name)
}

func isUsage(err error) bool {
	var usage usageError
	return errors.As(err, &usage)
}
