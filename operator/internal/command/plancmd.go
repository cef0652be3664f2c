package command

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"github.com/chatfleet/chatfleet/api/v1alpha1"
	"github.com/chatfleet/chatfleet/operator/internal/convert"
	"github.com/chatfleet/chatfleet/operator/internal/plan"
	"github.com/chatfleet/chatfleet/operator/internal/plan/play"
	"github.com/chatfleet/chatfleet/operator/internal/render"
)

const planLong = `Plan shows what the operator would do about a ChatCluster, in order and with reasons, before anybody applies it. It is the same
planner that runs in the cluster, played forward over a fleet in simulated time: pods start in 4 s, sessions leave at the pace. A real fleet
takes as long as its images, volumes and clients do; the order is the same.

With --from it is a change from one file to another, with --against-cluster from what is in the Kubernetes cluster, which is also asked whether it takes the
new one; without either, a fleet that is not there yet. "-" is the standard input.`

func planCommand() *cobra.Command {
	var file, from, namespace string
	var sessions int
	var against bool
	cmd := &cobra.Command{
		Use: "plan -f cluster.yaml [--from before.yaml | --against-cluster]", Short: "Show what would be done about a ChatCluster", Long: planLong, Args: cobra.NoArgs,
		Example: `  # What a new fleet begins with.
  operator plan -f config/samples/chatcluster.yaml

  # What a change does.
  operator plan --from cluster.yaml -f changed.yaml --sessions 20000

  # The same against the fleet that runs, with the sessions that it has.
  operator plan --against-cluster -f changed.yaml`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return usageError{errors.New("there is nothing to plan: name the ChatCluster's file with -f; `operator plan --help` says more")}
			}
			to, err := readCluster(cmd, file)
			if err != nil {
				return err
			}
			var before *v1alpha1.ChatCluster
			switch {
			case from != "" && against:
				return usageError{errors.New("--from and --against-cluster both say what it was before: give one of them")}
			case against:
				if before, err = liveCluster(cmd.Context(), to, namespace); err != nil {
					return err
				}
				if before != nil && !cmd.Flags().Changed("sessions") {
					sessions = int(before.Status.Sessions)
				}
			case from != "":
				if before, err = readCluster(cmd, from); err != nil {
					return err
				}
			}
			return showPlan(cmd.OutOrStdout(), before, to, sessions)
		},
	}
	cmd.Flags().StringVarP(&file, "filename", "f", "", "the ChatCluster, as YAML or JSON")
	cmd.Flags().StringVar(&from, "from", "", "what it was before")
	cmd.Flags().BoolVar(&against, "against-cluster", false, "it was before what is in the Kubernetes cluster; nothing there is changed")
	cmd.Flags().StringVarP(&namespace, "namespace", "n", "", "namespace of the ChatCluster, where its file names none; none: default")
	cmd.Flags().IntVar(&sessions, "sessions", 10_000, "how many sessions the fleet has; with --against-cluster, by default what its status says")
	addKubeconfig(cmd.Flags())
	return cmd
}

// readCluster reads a ChatCluster and fills in what it leaves out. What the schema refuses besides, only an API server tells.
func readCluster(cmd *cobra.Command, file string) (*v1alpha1.ChatCluster, error) {
	var text []byte
	var err error
	if file == "-" {
		file = "standard input"
		text, err = io.ReadAll(io.LimitReader(cmd.InOrStdin(), 1<<20))
	} else {
		text, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, usageError{err}
	}
	var c v1alpha1.ChatCluster
	if err := yaml.UnmarshalStrict(text, &c); err != nil {
		return nil, usageError{fmt.Errorf("%s: %w", file, err)}
	}
	if want := v1alpha1.SchemeGroupVersion.String(); c.APIVersion != want || c.Kind != "ChatCluster" {
		return nil, usageError{fmt.Errorf("%s: it is a %s of %q; want a ChatCluster of %s", file, c.Kind, c.APIVersion, want)}
	}
	c.Default()
	_, shard := render.ShardTemplate(&c)
	_, store := render.StoreTemplate(&c)
	if errs := slices.Concat(missing(&c), shard, store); len(errs) > 0 {
		return nil, usageError{fmt.Errorf("%s: %w", file, errs.ToAggregate())}
	}
	return &c, nil
}

// missing is what a plan cannot do without.
func missing(c *v1alpha1.ChatCluster) (errs field.ErrorList) {
	spec := field.NewPath("spec")
	if c.Name == "" {
		errs = append(errs, field.Required(field.NewPath("metadata", "name"), "pods are named after it"))
	}
	if c.Spec.Image == "" {
		errs = append(errs, field.Required(spec.Child("image"), "chatd's image"))
	}
	if c.Spec.Region == "" {
		errs = append(errs, field.Required(spec.Child("region"), "it is in what the stores keep"))
	}
	if c.Spec.Store.Storage.Size.Sign() <= 0 {
		errs = append(errs, field.Required(spec.Child("store", "storage", "size"), "the size of each store's volume, such as 100Gi"))
	}
	return errs
}

func showPlan(out io.Writer, from, to *v1alpha1.ChatCluster, sessions int) error {
	var before *plan.Spec
	if from != nil {
		was := convert.Spec(from)
		before = &was
	}
	done, took, err := play.Change(before, convert.Spec(to), sessions)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, d := range done {
		fmt.Fprintf(table, "%s\t%s\t%s\n", d.After.Round(time.Second), d.Action, d.Action.Because())
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print the plan: %w", err)
	}
	switch {
	case err != nil:
		return err
	case len(done) == 0:
		fmt.Fprintln(out, "nothing to do")
	default:
		fmt.Fprintf(out, "done after %s in simulated time, with %d sessions\n", took.Round(time.Second), sessions)
	}
	return nil
}
