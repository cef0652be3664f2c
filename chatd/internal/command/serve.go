package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/chatfleet/chatfleet/chatd/internal/bus"
	"github.com/chatfleet/chatfleet/chatd/internal/node"
)

const serveExamples = `  # One process for development: stores, shard and all.
  chatd keygen --out keys
  head -c 32 /dev/urandom | base64 > secret
  chatd serve --role combined --name dev --data data --replicas 1 --listen 127.0.0.1:8080 \
    --admin 127.0.0.1:9090 --cluster-secret-file secret --token-keys keys/keys.json

  # A shard that joins three stores.
  chatd serve --role shard --name shard-0 --stores 10.0.0.1:7422,10.0.0.2:7422,10.0.0.3:7422 \
    --listen :8080 --admin :9090 --cluster-secret-file secret --token-keys keys/keys.json`

func serveCommand() *cobra.Command {
	var (
		cfg                         node.Config
		role, durability, secret    string
		logLevel, logFormat         string
		clusterPeers, stores, pages []string
	)
	cmd := &cobra.Command{
		Use:     "serve",
		Short:   "Run a member of a fleet",
		Example: serveExamples,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			logger, err := newLogger(cmd.ErrOrStderr(), logLevel, logFormat)
			if err != nil {
				return err
			}
			data, err := os.ReadFile(secret)
			if err != nil {
				return usageError{fmt.Errorf("--cluster-secret-file: %w", err)}
			}
			cfg.Logger = logger.With("name", cfg.Bus.Name)
			cfg.Role, cfg.Bus.Durability, cfg.Bus.Secret = node.Role(role), bus.Durability(durability), bytes.TrimSpace(data)
			cfg.Bus.Peers, cfg.Bus.Stores, cfg.AllowedOrigins = clusterPeers, stores, pages
			if err := cfg.Validate(); err != nil {
				return usageError{err}
			}
			ctx, hurry, stop := signals(cmd.Context())
			defer stop()
			return node.Run(ctx, hurry, cfg)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&role, "role", "combined", "what this member is for: store, shard or combined")
	f.StringVar(&cfg.Bus.Name, "name", hostname(), "its name among all members of the region")
	f.StringVar(&cfg.Bus.Region, "region", "local", "the region it belongs to")
	f.StringVar(&cfg.Admin, "admin", "127.0.0.1:9090", "address of probes and metrics")
	f.StringVar(&secret, "cluster-secret-file", "", "file with the secret that all members share, at least 16 bytes")
	f.IntVar(&cfg.Bus.Partitions, "partitions", 16, "number of partitions of the region; set once, for ever, and the same everywhere")
	f.StringVar(&cfg.Listen, "listen", "127.0.0.1:8080", "address for clients (shard, combined)")
	f.StringVar(&cfg.TokenKeys, "token-keys", "", "file with the public keys of users' tokens, JWKS (shard, combined)")
	f.StringSliceVar(&pages, "allow-origin", nil, "web origins whose pages may connect, besides the same host's (shard, combined)")
	f.IntVar(&cfg.DrainPerSecond, "drain-sessions-per-second", 500, "pace at which sessions are sent away on SIGTERM (shard, combined)")
	f.DurationVar(&cfg.DrainTimeout, "drain-timeout", 30*time.Second, "when what is left of them is cut off (shard, combined)")
	f.StringSliceVar(&stores, "stores", nil, "the stores' leaf addresses (shard)")
	f.StringVar(&cfg.Bus.Dir, "data", "", "directory of the streams (store, combined)")
	f.StringVar(&durability, "durability", string(bus.Fsync), "when a post is acknowledged: Fsync, on a quorum's disks; or Replicated, in a quorum's memory (store, combined)")
	f.IntVar(&cfg.Bus.Replicas, "replicas", 3, "copies of each stream: 1, 3 or 5 (store, combined)")
	f.StringVar(&cfg.Bus.ClusterListen, "cluster-listen", "", "address for the other stores (store)")
	f.StringSliceVar(&clusterPeers, "cluster-peers", nil, "all stores' cluster addresses (store)")
	f.StringVar(&cfg.Bus.LeafListen, "leaf-listen", "", "address for shards (store)")
	f.StringVar(&logLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&logFormat, "log-format", "text", "text or json")
	return cmd
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
	return strings.ToLower(name)
}

func isUsage(err error) bool {
	var usage usageError
	return errors.As(err, &usage)
}
