package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/chatfleet/chatfleet/api/v1alpha1"
)

// Options of the operator's process.
type Options struct {
	// Namespaces to look after; none is all of them.
	Namespaces []string
	// LeaderElection has one of several operators work. Its lease is in LeaderElectionNamespace; empty is the one that the operator runs in.
	LeaderElection          bool
	LeaderElectionNamespace string
	// MetricsAddress serves metrics over HTTPS to whom the API server lets; "0" is nowhere. MetricsTLSDirectory holds tls.crt and tls.key for it; empty is
	// a certificate that it signs itself.
	MetricsAddress, MetricsTLSDirectory string
	// ProbeAddress serves /healthz and /readyz in plain; "0" is nowhere.
	ProbeAddress string
	// Concurrency is how many fleets are looked at at the same time.
	Concurrency int
	// ClusterReads says that nodes and storage classes may be read.
	ClusterReads bool
	Log          *slog.Logger
}

// Scheme knows all kinds that the operator reads and writes.
func Scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, appsv1.AddToScheme, policyv1.AddToScheme, networkingv1.AddToScheme, storagev1.AddToScheme, v1alpha1.AddToScheme,
	} {
		if err := add(s); err != nil {
			panic(err) // two kinds of one name: a defect of this program
		}
	}
	return s
}

// Run runs the operator until ctx ends.
func Run(ctx context.Context, config *rest.Config, o Options) error {
	ctrl.SetLogger(logr.FromSlogHandler(o.Log.Handler()))
	mgr, err := NewManager(config, o)
	if err != nil {
		return err
	}
	r := &Reconciler{
		Client: mgr.GetClient(), Uncached: mgr.GetAPIReader(), Events: mgr.GetEventRecorder(Manager), Members: &Members{}, Now: time.Now, Nodes: o.ClusterReads,
	}
	if err := r.SetupWithManager(ctx, mgr, o.Concurrency); err != nil {
		return err
	}
	if err := errors.Join(mgr.AddHealthzCheck("ping", healthz.Ping), mgr.AddReadyzCheck("ping", healthz.Ping)); err != nil {
		return fmt.Errorf("set up probes: %w", err)
	}
	return mgr.Start(ctx)
}

// NewManager makes the process's caches, servers and leader election. Only what is labelled as a fleet's is cached.
func NewManager(config *rest.Config, o Options) (manager.Manager, error) {
	ours, err := labels.NewRequirement(v1alpha1.LabelCluster, selection.Exists, nil)
	if err != nil {
		return nil, fmt.Errorf("select what belongs to fleets: %w", err)
	}
	labelled := cache.ByObject{Label: labels.NewSelector().Add(*ours)}
	namespaces := map[string]cache.Config{}
	for _, n := range o.Namespaces {
		namespaces[n] = cache.Config{}
	}
	byObject := map[client.Object]cache.ByObject{
		&corev1.Pod{}: labelled, &corev1.Secret{}: labelled, &corev1.Service{}: labelled, &corev1.ServiceAccount{}: labelled, &corev1.PersistentVolumeClaim{}: labelled,
		&appsv1.StatefulSet{}: labelled, &appsv1.ControllerRevision{}: labelled, &policyv1.PodDisruptionBudget{}: labelled, &networkingv1.NetworkPolicy{}: labelled,
	}
	if o.ClusterReads {
		byObject[&corev1.Node{}] = cache.ByObject{Transform: slimNode}
	}
	return ctrl.NewManager(config, ctrl.Options{
		Scheme: Scheme(), Cache: cache.Options{DefaultNamespaces: namespaces, ByObject: byObject, DefaultTransform: cache.TransformStripManagedFields()},
		LeaderElection: o.LeaderElection, LeaderElectionNamespace: o.LeaderElectionNamespace, LeaderElectionID: Manager, LeaderElectionReleaseOnCancel: true,
		Metrics: metricsserver.Options{
			BindAddress: o.MetricsAddress, SecureServing: true, FilterProvider: filters.WithAuthenticationAndAuthorization, CertDir: o.MetricsTLSDirectory,
		},
		HealthProbeBindAddress: o.ProbeAddress,
	})
}

// slimNode leaves what is looked at: a node's list of images alone is kilobytes.
func slimNode(object any) (any, error) {
	if n, ok := object.(*corev1.Node); ok {
		n.ManagedFields, n.Annotations = nil, nil
		n.Status = corev1.NodeStatus{Conditions: n.Status.Conditions}
	}
	return object, nil
}

// byNode is the index of pods by the node that they are bound to.
const byNode = "spec.nodeName"

// SetupWithManager says what calls for a round.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr manager.Manager, concurrency int) error {
	named := predicate.Or(predicate.GenerationChangedPredicate{}, predicate.LabelChangedPredicate{})
	labelled := handler.EnqueueRequestsFromMapFunc(func(_ context.Context, o client.Object) []reconcile.Request {
		return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetLabels()[v1alpha1.LabelCluster]}}}
	})
	b := ctrl.NewControllerManagedBy(mgr).For(&v1alpha1.ChatCluster{}, builder.WithPredicates(named)).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: concurrency,
			// A member that does not answer is an error, and what waits for it is looked at as often as if there were none.
			RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](200*time.Millisecond, lookAgain),
		})
	for _, o := range []client.Object{&corev1.Pod{}, &corev1.Secret{}, &corev1.Service{}, &corev1.ServiceAccount{}, &corev1.PersistentVolumeClaim{}, &appsv1.StatefulSet{}, &networkingv1.NetworkPolicy{}} {
		b = b.Watches(o, labelled)
	}
	b = b.Watches(&policyv1.PodDisruptionBudget{}, labelled, builder.WithPredicates(predicate.GenerationChangedPredicate{})) // its status counts pods
	if r.Nodes {
		if err := mgr.GetFieldIndexer().IndexField(ctx, &corev1.Pod{}, byNode, func(o client.Object) []string {
			return []string{o.(*corev1.Pod).Spec.NodeName}
		}); err != nil {
			return fmt.Errorf("index pods by node: %w", err)
		}
		b = b.Watches(&corev1.Node{}, handler.EnqueueRequestsFromMapFunc(r.fleetsOn), builder.WithPredicates(nodeChanged))
	}
	if err := b.Complete(r); err != nil {
		return fmt.Errorf("set up the controller: %w", err)
	}
	return nil
}

// fleetsOn are the fleets that have pods on a node.
func (r *Reconciler) fleetsOn(ctx context.Context, node client.Object) []reconcile.Request {
	var pods corev1.PodList
	if err := r.List(ctx, &pods, client.MatchingFields{byNode: node.GetName()}); err != nil {
		return nil // the next look comes by itself
	}
	seen := map[types.NamespacedName]bool{}
	var all []reconcile.Request
	for i := range pods.Items {
		name := types.NamespacedName{Namespace: pods.Items[i].Namespace, Name: pods.Items[i].Labels[v1alpha1.LabelCluster]}
		if !seen[name] {
			seen[name] = true
			all = append(all, reconcile.Request{NamespacedName: name})
		}
	}
	return all
}

// nodeChanged tells what matters of a node from its heartbeats.
var nodeChanged = predicate.Funcs{
	CreateFunc: func(event.CreateEvent) bool { return false }, // no pod is on a new one yet
	UpdateFunc: func(e event.UpdateEvent) bool {
		was, ok1 := e.ObjectOld.(*corev1.Node)
		is, ok2 := e.ObjectNew.(*corev1.Node)
		return !ok1 || !ok2 || readiness(was) != readiness(is) || len(was.Spec.Taints) != len(is.Spec.Taints) || was.Labels[corev1.LabelTopologyZone] != is.Labels[corev1.LabelTopologyZone]
	},
}

func readiness(n *corev1.Node) corev1.ConditionStatus {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status
		}
	}
	return corev1.ConditionUnknown
}

// isNoKind says that the API server does not know a kind at all.
func isNoKind(err error) bool { return meta.IsNoMatchError(err) || runtime.IsNotRegisteredError(err) }
