package e2e

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/chatfleet/chatfleet/api/v1alpha1"
	"github.com/chatfleet/chatfleet/e2e/internal/kube"
	"github.com/chatfleet/chatfleet/e2e/internal/load"
)

// What the suite is told, by the environment: make e2e sets all of it.
var told = struct {
	kubeconfig string
	// tag of the images that are installed, next of the same ones under another name, to roll out.
	tag, next string
	// cluster is what the scripts in cluster/ call it, where it is one of theirs.
	cluster string
	// out is where the table and reports go.
	out string
	// full has the cases of make e2e-full too.
	full bool
}{
	os.Getenv("E2E_KUBECONFIG"), cmp.Or(os.Getenv("E2E_TAG"), "dev"), cmp.Or(os.Getenv("E2E_NEXT_TAG"), "dev-next"),
	cmp.Or(os.Getenv("E2E_CLUSTER"), "chatfleet"), cmp.Or(os.Getenv("E2E_OUT"), "../out/e2e"), os.Getenv("E2E_FULL") != "",
}

const (
	// pace and jitter of drains in the fleet of the cases.
	pace   = 150
	jitter = time.Second
	// settleWithin bounds what a fleet takes to come to rest.
	settleWithin = 4 * time.Minute
	// patience is when what has not come to an end counts as hanging.
	patience = 90 * time.Second
)

// one case. Each begins with a fleet of three stores and three shards that has settled, leaves such a one behind, and can be run alone:
// go test ./e2e -run TestCluster/NAME.
type one struct {
	name string
	full bool
	// sessions of the load; 0 is no load.
	sessions int
	// bound of what a subscriber may have to wait. Five times that fails.
	bound time.Duration
	// cuts allows sessions to be cut without a hint: something is killed.
	cuts bool
	do   func(r *run)
}

// run is a case while it runs.
type run struct {
	*testing.T
	*kube.Cluster
	ctx   context.Context
	fleet *kube.Fleet
	load  *load.Load
	row   *Row
	// pace is how many sessions may be sent away a second, while the case runs.
	pace int
}

// must ends the case if something went wrong.
func (r *run) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// note keeps a figure of this case.
func (r *run) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	r.Log(text)
	r.row.Notes = append(r.row.Notes, text)
}

// TestCluster runs all cases, one after the other.
func TestCluster(t *testing.T) {
	if told.kubeconfig == "" {
		t.Skip("E2E_KUBECONFIG names no cluster; `make e2e` makes one")
	}
	c, err := kube.Connect(told.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	table := Table{Begun: time.Now().UTC().Truncate(time.Second), Cluster: c.Config.Host}
	for _, o := range slices.Concat(cases, fullCases) {
		if o.full && !told.full {
			continue
		}
		t.Run(o.name, func(t *testing.T) {
			row := Row{Case: o.name, Bound: o.bound.Seconds()}
			begun := time.Now()
			c.Say = func(format string, args ...any) {
				fmt.Printf("    %5.1f %s: %s\n", time.Since(begun).Seconds(), o.name, fmt.Sprintf(format, args...))
			}
			defer func() {
				row.Seconds, row.Passed = time.Since(begun).Seconds(), !t.Failed()
				table.Rows = append(table.Rows, row)
				if err := table.Write(told.out); err != nil {
					t.Error(err)
				}
			}()
			o.run(t, c, &row)
		})
	}
	fmt.Print("\n", table.Text(), "\n")
}

func (o one) run(t *testing.T, c *kube.Cluster, row *Row) {
	ctx, cancel := context.WithTimeout(t.Context(), 12*time.Minute)
	defer cancel()
	r := &run{T: t, Cluster: c, ctx: ctx, fleet: c.Fleet("e2e", "fleet"), row: row, pace: pace}
	t.Cleanup(func() {
		if t.Failed() {
			r.diagnose()
		}
	})
	if o.sessions == 0 {
		o.do(r)
		return
	}
	r.must(r.ensureFleet())
	l, err := r.startLoad(o.sessions)
	r.must(err)
	r.load = l
	defer func() { // also where the case ends early
		stopping, stop := context.WithTimeout(context.WithoutCancel(ctx), 3*patience)
		defer stop()
		got, err := l.Stop(stopping)
		row.take(got, r.pace)
		if err != nil {
			t.Errorf("stop the load: %v", err)
		}
		o.judge(t, row)
	}()
	o.do(r)
}

// judge says what of a row must not be.
func (o one) judge(t *testing.T, row *Row) {
	if !row.Faults.None() {
		t.Errorf("lost %d, doubled %d, disordered %d, resets %d:\n%s", row.Faults.Lost, row.Faults.Doubled, row.Faults.Disordered, row.Faults.Resets, strings.Join(row.Faults.Examples, "\n"))
	}
	if len(row.Hanging) > 0 {
		t.Errorf("what has not come to an end:\n%s", strings.Join(row.Hanging, "\n"))
	}
	if row.Cut > 0 && !o.cuts {
		t.Errorf("%d sessions were cut without a hint:\n%s", row.Cut, strings.Join(row.CutReasons, "\n"))
	}
	if row.HintedPerSecond > row.allowed() {
		t.Errorf("%.0f sessions a second were sent away, and %d are allowed; the load was held up for %.2f s; in each second: %v", row.HintedPerSecond, row.PacePerSecond,
			row.HeldUp, row.bySecond())
	}
	if row.LongestWait > 5*row.Bound || row.LongestPost > 5*row.Bound {
		t.Errorf("a subscriber has waited %.2f s, an author %.2f s; the bound is %.1f s, five times that fails", row.LongestWait, row.LongestPost, row.Bound)
	}
}

// wanted is the fleet of the cases: the sample, reached by a port of the nodes.
func wanted() (*v1alpha1.ChatCluster, error) {
	text, err := os.ReadFile("../config/samples/chatcluster.yaml")
	if err != nil {
		return nil, err
	}
	var c v1alpha1.ChatCluster
	if err := yaml.UnmarshalStrict(text, &c); err != nil {
		return nil, fmt.Errorf("read the sample: %w", err)
	}
	c.Namespace, c.Name = "e2e", "fleet"
	c.Spec.Image = "chatfleet/chatd:" + told.tag
	c.Spec.Partitions = 4 // the machine may be a small one
	c.Spec.Access.Service.Type = corev1.ServiceTypeNodePort
	c.Spec.Shards.Drain = v1alpha1.DrainSpec{SessionsPerSecond: pace, TimeoutSeconds: 60, JitterSeconds: int32(jitter.Seconds())}
	// All clients come from one address, which the nodes put their own in place of.
	c.Spec.Template.Shard = &runtime.RawExtension{Raw: []byte(`{"spec": {"containers": [{"name": "chatd", "env": [{"name": "CHATD_LIMITS_EXEMPT_ADDRESSES", "value": "0.0.0.0/0,::/0"}]}]}}`)}
	return &c, nil
}

// ensureFleet has the fleet of the cases there, as it should be.
func (r *run) ensureFleet() error {
	c, err := wanted()
	if err != nil {
		return err
	}
	if err := r.Namespace(r.ctx, c.Namespace); err != nil {
		return err
	}
	switch is, err := r.fleet.Read(r.ctx); {
	case err == nil && is.DeletionTimestamp == nil:
		is.Spec, is.Labels = c.Spec, c.Labels
		if err := r.Update(r.ctx, is); err != nil {
			return fmt.Errorf("put the fleet back: %w", err)
		}
	case client.IgnoreNotFound(err) != nil:
		return err
	default:
		if err := r.Create(r.ctx, c); err != nil {
			return fmt.Errorf("make the fleet of the cases: %w", err)
		}
	}
	return r.settled("the fleet of the cases has settled")
}

// settled waits until the fleet is as its spec asks for.
func (r *run) settled(what string) error {
	return r.fleet.Until(r.ctx, what, settleWithin, 3*time.Second, kube.Settled)
}

// change patches the fleet's spec.
func (r *run) change(patch string) error {
	_, err := r.Command(r.ctx, "kubectl", "patch", "cc", r.fleet.Key.Name, "-n", r.fleet.Key.Namespace, "--type", "merge", "-p", patch)
	return err
}

// startLoad begins to use the fleet.
func (r *run) startLoad(sessions int) (*load.Load, error) {
	endpoints, err := r.endpoints()
	if err != nil {
		return nil, err
	}
	token, err := r.tokens()
	if err != nil {
		return nil, err
	}
	r.Logf("%d sessions at %v", sessions, endpoints)
	ctx, cancel := context.WithTimeout(r.ctx, 2*time.Minute)
	defer cancel()
	cfg := load.Config{
		Endpoints: endpoints, Token: token, Sessions: sessions, PerUser: 10, Channels: 8, PerSession: 2, PostsPerSecond: 20, DialPerSecond: 200, PingEvery: 5 * time.Second, PingTimeout: 5 * time.Second,
		Patience: patience,
	}
	if sessions > 500 { // many sessions, few deliveries and pings: the clients have the same two cores
		cfg.PerUser, cfg.PerSession, cfg.PostsPerSecond, cfg.PingEvery, cfg.PingTimeout = 40, 1, 3, 20*time.Second, 15*time.Second
	}
	l, err := load.Start(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("start the load: %w", err)
	}
	return l, nil
}

// endpoints are the fleet's Service on every node.
func (r *run) endpoints() ([]string, error) {
	var s corev1.Service
	if err := r.Get(r.ctx, r.fleet.Key, &s); err != nil {
		return nil, err
	}
	if len(s.Spec.Ports) == 0 || s.Spec.Ports[0].NodePort == 0 {
		return nil, fmt.Errorf("the Service %s has no port on nodes", s.Name)
	}
	addresses, err := r.Addresses(r.ctx)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, a := range addresses {
		all = append(all, fmt.Sprintf("http://%s:%d", a, s.Spec.Ports[0].NodePort))
	}
	return all, nil
}

// tokens signs users in with the key that the operator has made for tests, by the program that a user would take.
func (r *run) tokens() (func(string) (string, error), error) {
	file, err := r.signingKey()
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	known := map[string]string{}
	return func(user string) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		if known[user] == "" {
			out, err := exec.CommandContext(r.ctx, "../bin/chatd", "token", "--key", file, "--user", user).Output()
			if err != nil {
				return "", fmt.Errorf("chatd token (`make build` makes it): %w", err)
			}
			known[user] = strings.TrimSpace(string(out))
		}
		return known[user], nil
	}, nil
}

// signingKey is a file with the key of the fleet's test users.
func (r *run) signingKey() (string, error) {
	var s corev1.Secret
	if err := r.Get(r.ctx, client.ObjectKey{Namespace: r.fleet.Key.Namespace, Name: r.fleet.Key.Name + "-test-users"}, &s); err != nil {
		return "", err
	}
	file := filepath.Join(r.TempDir(), "signing.key")
	return file, os.WriteFile(file, s.Data["signing.key"], 0o600)
}

// diagnose keeps what a person would look at first.
func (r *run) diagnose() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	dir := filepath.Join(told.out, "failed", r.row.Case)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		r.Log(err)
		return
	}
	key := r.fleet.Key
	for name, args := range map[string][]string{
		"pods.txt":         {"get", "pods", "-A", "-o", "wide"},
		"fleet.yaml":       {"get", "cc", "-A", "-o", "yaml"},
		"events.txt":       {"get", "events", "-A", "--sort-by", ".lastTimestamp"},
		"operator.log":     {"logs", "-n", "chatfleet-system", "-l", "app.kubernetes.io/name=chatfleet-operator", "--tail", "2000"},
		"shards.log":       {"logs", "-n", key.Namespace, "-l", v1alpha1.LabelCluster + "=" + key.Name + "," + v1alpha1.LabelRole + "=shard", "--tail", "1000", "--prefix", "--max-log-requests", "20"},
		"stores.log":       {"logs", "-n", key.Namespace, "-l", v1alpha1.LabelCluster + "=" + key.Name + "," + v1alpha1.LabelRole + "=store", "--tail", "2000", "--prefix", "--max-log-requests", "20"},
		"nodes.txt":        {"describe", "nodes"},
		"descriptions.txt": {"describe", "pods", "-n", key.Namespace},
	} {
		out, err := r.Command(ctx, "kubectl", args...)
		if err := errors.Join(err, os.WriteFile(filepath.Join(dir, name), []byte(out), 0o644)); err != nil {
			r.Log(err)
		}
	}
	r.Logf("what the cluster says is in %s", dir)
}

// condition is a test for fleet.Until.
func condition(kind string, status metav1.ConditionStatus) func(*v1alpha1.ChatCluster) bool {
	return func(c *v1alpha1.ChatCluster) bool { return kube.Is(c, kind, status) }
}
