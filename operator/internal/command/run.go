package command

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"sigs.k8s.io/controller-runtime/pkg/client/config"

	"github.com/chatfleet/chatfleet/operator/internal/controller"
)

const runLong = `Run looks after the ChatClusters of a Kubernetes cluster, until it is told to end (SIGINT, SIGTERM). It speaks to the API server as the pod that it runs
in, or as kubectl would: --kubeconfig, KUBECONFIG, ~/.kube/config.

It may be run twice for the same ChatClusters: one of them works, the other takes over within 15 s where that one ends without a word.`

func runCommand() *cobra.Command {
	var o controller.Options
	var level, format string
	cmd := &cobra.Command{
		Use: "run", Short: "Look after ChatClusters", Long: runLong, Args: cobra.NoArgs,
		Example: `  # All ChatClusters, from outside, with nothing served.
  operator run --leader-elect=false --metrics-address 0 --probe-address 0

  # Those of two namespaces.
  operator run --namespace chat --namespace chat-staging`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := logger(cmd.ErrOrStderr(), level, format)
			if err != nil {
				return err
			}
			if o.Concurrency < 1 || o.Concurrency > 64 {
				return usageError{fmt.Errorf("--concurrency %d: want 1 to 64", o.Concurrency)}
			}
			o.Log = log
			where, err := config.GetConfig()
			if err != nil {
				return fmt.Errorf("find the Kubernetes cluster: %w; run inside of one, or name a kubeconfig with --kubeconfig", err)
			}
			if where.QPS == 0 {
				where.QPS, where.Burst = 50, 100 // of a few hundred fleets; the API server has its own fairness
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			log.Info("starting", "version", version(), "namespaces", o.Namespaces, "server", where.Host)
			if err := controller.Run(ctx, where, o); err != nil {
				return err
			}
			log.Info("stopped")
			return nil
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringSliceVar(&o.Namespaces, "namespace", nil, "look after this namespace, and others that are named so; none: all of them")
	f.BoolVar(&o.LeaderElection, "leader-elect", true, "work only while no other operator does")
	f.StringVar(&o.LeaderElectionNamespace, "leader-election-namespace", "", "where the lease for that is; none: the namespace of the pod")
	f.StringVar(&o.MetricsAddress, "metrics-address", ":8443", "where /metrics is served, over HTTPS, to whom the API server lets; 0: nowhere")
	f.StringVar(&o.MetricsTLSDirectory, "metrics-tls-directory", "", "directory of tls.crt and tls.key for that; none: a certificate that it signs itself")
	f.StringVar(&o.ProbeAddress, "probe-address", ":8081", "where /healthz and /readyz are served; 0: nowhere")
	f.IntVar(&o.Concurrency, "concurrency", 4, "how many fleets are looked at at the same time, 1 to 64")
	f.BoolVar(&o.ClusterReads, "cluster-reads", true, "read nodes and storage classes; without them zones are not known, shards of a lost node are replaced when Kubernetes says so, and volumes are grown untried")
	f.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&format, "log-format", "json", "json or text")
	addKubeconfig(f)
	return cmd
}

// addKubeconfig adds the flag that says which Kubernetes cluster.
func addKubeconfig(f *pflag.FlagSet) {
	theirs := flag.NewFlagSet("", flag.ContinueOnError)
	config.RegisterFlags(theirs)
	f.AddGoFlagSet(theirs)
	f.Lookup(config.KubeconfigFlagName).Usage = "file that says how to reach the Kubernetes cluster; none: KUBECONFIG, the pod's own account, ~/.kube/config"
}

func logger(out io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, usageError{fmt.Errorf("--log-level %q: want debug, info, warn or error", level)}
	}
	o := &slog.HandlerOptions{Level: l}
	switch format {
	case "json":
		return slog.New(slog.NewJSONHandler(out, o)), nil
	case "text":
		return slog.New(slog.NewTextHandler(out, o)), nil
	}
	return nil, usageError{errors.New("--log-format " + format + ": want json or text")}
}
