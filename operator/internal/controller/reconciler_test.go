package controller

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/chatfleet/chatfleet/api/v1alpha1"
)

// driver is an operator that is told when to look, so that its clock can be set forward where a plan only waits.
type driver struct {
	*Reconciler
	t       *testing.T
	cluster *cluster
	name    client.ObjectKey
	ahead   time.Duration
	crew    *crew
	writes  *atomic.Int64
	last    *atomic.Value
	mu      sync.Mutex
	did     []string
}

// operate starts an operator for one fleet in a namespace of its own.
func operate(t *testing.T, c *v1alpha1.ChatCluster) *driver {
	t.Helper()
	all := needCluster(t)
	c.Namespace = namespace(t, all)
	if err := all.client.Create(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	return drive(t, all, client.ObjectKeyFromObject(c))
}

// drive starts an operator for a fleet that is there.
func drive(t *testing.T, all *cluster, name client.ObjectKey) *driver {
	t.Helper()
	d := &driver{t: t, cluster: all, name: name, crew: newCrew(100), writes: &atomic.Int64{}, last: &atomic.Value{}}
	d.start()
	return d
}

// start starts the operator anew: what it knew is gone.
func (d *driver) start() {
	config := rest.CopyConfig(d.cluster.operator)
	config.Wrap(func(rt http.RoundTripper) http.RoundTripper { return writes{rt, d.writes, d.last} })
	mgr, err := NewManager(config, Options{Namespaces: []string{d.name.Namespace}, MetricsAddress: "0", ProbeAddress: "0", ClusterReads: true})
	if err != nil {
		d.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	d.t.Cleanup(cancel)
	for _, o := range []client.Object{&v1alpha1.ChatCluster{}, &corev1.Pod{}} {
		if _, err := mgr.GetCache().GetInformer(ctx, o); err != nil {
			d.t.Fatal(err)
		}
	}
	go func() { _ = mgr.Start(ctx) }()
	if !mgr.GetCache().WaitForCacheSync(ctx) {
		d.t.Fatal("the cache does not fill")
	}
	d.Reconciler = &Reconciler{
		Client: mgr.GetClient(), Uncached: mgr.GetAPIReader(), Events: recorder{d}, Members: d.crew, Nodes: true,
		Now: func() time.Time { return time.Now().Add(d.ahead) },
	}
}

// recorder keeps what the operator says it did.
type recorder struct{ d *driver }

func (r recorder) Eventf(_, _ runtime.Object, _, reason, _, note string, args ...any) {
	r.d.mu.Lock()
	defer r.d.mu.Unlock()
	r.d.did = append(r.d.did, reason+": "+fmt.Sprintf(note, args...))
}

var _ events.EventRecorder = recorder{}

// look does one round. Where it only waits, the clock goes on.
func (d *driver) look() error {
	d.t.Helper()
	before := d.writes.Load()
	result, err := d.Reconcile(d.t.Context(), ctrl.Request{NamespacedName: d.name})
	if err == nil && d.writes.Load() == before {
		d.ahead += result.RequeueAfter
	}
	return err
}

// until looks again and again until the fleet is as it should be.
func (d *driver) until(what string, is func(c *v1alpha1.ChatCluster) bool) *v1alpha1.ChatCluster {
	d.t.Helper()
	deadline := time.Now().Add(hang)
	var last error
	for {
		last = d.look()
		c := d.get()
		if last == nil && is(c) {
			return c
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("not in time: %s\nlast error: %v\n%s\ndid:\n%s", what, last, told(c), strings.Join(d.did, "\n"))
		}
		pause(last)
	}
}

// pause gives the cluster time to do its part before the next look. One who follows a dead operator does not wait for it.
func pause(err error) {
	if !errors.Is(err, errDied) {
		time.Sleep(30 * time.Millisecond)
	}
}

func (d *driver) get() *v1alpha1.ChatCluster {
	d.t.Helper()
	var c v1alpha1.ChatCluster
	if err := d.cluster.client.Get(d.t.Context(), d.name, &c); err != nil {
		d.t.Fatal(err)
	}
	return &c
}

// change changes the spec as a user does, and waits until the operator has heard of it.
func (d *driver) change(how func(s *v1alpha1.ChatClusterSpec)) {
	d.t.Helper()
	c := d.get()
	was := c.DeepCopy()
	how(&c.Spec)
	if err := d.cluster.client.Patch(d.t.Context(), c, client.MergeFrom(was)); err != nil {
		d.t.Fatal(err)
	}
	for deadline := time.Now().Add(hang); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		var known v1alpha1.ChatCluster
		if err := d.Client.Get(d.t.Context(), d.name, &known); err == nil && known.Generation >= c.Generation {
			return
		}
	}
	d.t.Fatal("the operator does not hear of the change")
}

func (d *driver) pods(role string) []corev1.Pod {
	d.t.Helper()
	var pods corev1.PodList
	if err := d.cluster.client.List(d.t.Context(), &pods, client.InNamespace(d.name.Namespace), client.MatchingLabels{v1alpha1.LabelRole: role}); err != nil {
		d.t.Fatal(err)
	}
	slices.SortFunc(pods.Items, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return pods.Items
}

func told(c *v1alpha1.ChatCluster) string {
	var out strings.Builder
	fmt.Fprintf(&out, "shards %+v\nstore %+v\n", c.Status.Shards, c.Status.Store)
	for _, k := range c.Status.Conditions {
		fmt.Fprintf(&out, "%s=%s %s: %s\n", k.Type, k.Status, k.Reason, k.Message)
	}
	return out.String()
}

func is(c *v1alpha1.ChatCluster, kind string, status metav1.ConditionStatus, reason string) bool {
	k := meta.FindStatusCondition(c.Status.Conditions, kind)
	return k != nil && k.Status == status && (reason == "" || k.Reason == reason)
}

// settled says that the fleet is as spec asks for.
func settled(c *v1alpha1.ChatCluster) bool {
	return c.Status.ObservedGeneration == c.Generation && is(c, v1alpha1.ConditionProgressing, "False", v1alpha1.ReasonAsExpected) &&
		is(c, v1alpha1.ConditionAvailable, "True", "") && is(c, v1alpha1.ConditionStoreHealthy, "True", "") &&
		c.Status.Shards.Updated == c.Status.Shards.Desired && c.Status.Store.Updated == c.Status.Store.Desired
}

func TestAFleetComesUpAndIsSilent(t *testing.T) {
	d := operate(t, sample("", "demo", 3))
	c := d.until("the fleet settles, and all its sessions are told", func(c *v1alpha1.ChatCluster) bool { return settled(c) && c.Status.Sessions == 300 })
	if c.Status.Shards.Ready != 3 || c.Status.Store.Ready != 3 {
		t.Errorf("status: %s", told(c))
	}
	if is(c, v1alpha1.ConditionDegraded, "True", "") || is(c, v1alpha1.ConditionTemplateOutdated, "True", "") {
		t.Errorf("conditions: %s", told(c))
	}
	for range 20 { // what came of the last write is seen
		time.Sleep(20 * time.Millisecond)
		_ = d.look()
	}
	d.writes.Store(0)
	for range 1000 {
		if err := d.look(); err != nil {
			t.Fatal(err)
		}
	}
	if n := d.writes.Load(); n != 0 {
		t.Errorf("%d writes in 1,000 rounds of a settled fleet, the last %v", n, d.last.Load())
	}
}

func TestScaleOutAndIn(t *testing.T) {
	d := operate(t, sample("", "demo", 2))
	d.until("the fleet settles", settled)
	uids := map[string]bool{}
	for _, p := range d.pods(v1alpha1.RoleShard) {
		uids[string(p.UID)] = true
	}
	d.change(func(s *v1alpha1.ChatClusterSpec) { s.Shards.Replicas = new(int32(4)) })
	d.until("four shards", func(c *v1alpha1.ChatCluster) bool { return settled(c) && c.Status.Shards.Ready == 4 })
	d.change(func(s *v1alpha1.ChatClusterSpec) { s.Shards.Replicas = new(int32(2)) })
	d.until("two shards", func(c *v1alpha1.ChatCluster) bool { return settled(c) && c.Status.Shards.Replicas == 2 })
	d.crew.mu.Lock()
	defer d.crew.mu.Unlock()
	if n := len(d.crew.said); n < 2 {
		t.Errorf("shards went without a drain: %v", d.crew.said)
	}
	if !slices.ContainsFunc(d.did, func(s string) bool { return strings.HasPrefix(s, "EvictShard: ") }) {
		t.Errorf("no shard was evicted: %v", d.did)
	}
}

func TestRollOut(t *testing.T) {
	d := operate(t, sample("", "demo", 3))
	before := d.until("the fleet settles", settled).Status.Shards.Revision
	d.until("its revision is proven", func(*v1alpha1.ChatCluster) bool {
		return slices.ContainsFunc(d.did, func(s string) bool { return strings.HasPrefix(s, "ProveRevision: ") })
	})
	d.change(func(s *v1alpha1.ChatClusterSpec) { s.Image = "chatfleet/chatd:bad" })
	c := d.until("the bad image is told", func(c *v1alpha1.ChatCluster) bool {
		return is(c, v1alpha1.ConditionDegraded, "True", v1alpha1.ReasonBadRevision)
	})
	if !is(c, v1alpha1.ConditionAvailable, "True", "") || c.Status.Shards.Ready != 3 || c.Status.Store.Updated != 0 {
		t.Errorf("a bad image went further than one shard: %s", told(c))
	}
	// One that is evicted meanwhile comes back as it was.
	victim := d.pods(v1alpha1.RoleShard)[0]
	if err := d.cluster.client.Delete(t.Context(), &victim); err != nil {
		t.Fatal(err)
	}
	d.until("the evicted shard is back", func(c *v1alpha1.ChatCluster) bool { return c.Status.Shards.Ready == 3 && c.Status.Shards.Replicas == 4 })
	old := 0
	for _, p := range d.pods(v1alpha1.RoleShard) {
		if p.Labels[v1alpha1.LabelRevision] == before {
			old++
		}
	}
	if old != 3 {
		t.Errorf("%d shards have the revision of before, want 3", old)
	}
	d.change(func(s *v1alpha1.ChatClusterSpec) { s.Image = "chatfleet/chatd:2" })
	d.until("the good image is everywhere", settled)
	for _, role := range []string{v1alpha1.RoleShard, v1alpha1.RoleStore} {
		for _, p := range d.pods(role) {
			if p.Spec.Containers[0].Image != "chatfleet/chatd:2" {
				t.Errorf("%s has the image %s", p.Name, p.Spec.Containers[0].Image)
			}
		}
	}
}

func TestStoresGrow(t *testing.T) {
	c := sample("", "demo", 2)
	c.Spec.DeletionPolicy = v1alpha1.Delete
	d := operate(t, c)
	d.until("the fleet settles", settled)
	d.change(func(s *v1alpha1.ChatClusterSpec) { s.Store.Replicas = 5 })
	d.until("five stores", func(c *v1alpha1.ChatCluster) bool { return settled(c) && c.Status.Store.Ready == 5 })
	var claims corev1.PersistentVolumeClaimList
	if err := d.cluster.client.List(t.Context(), &claims, client.InNamespace(d.name.Namespace)); err != nil {
		t.Fatal(err)
	}
	if len(claims.Items) != 5 {
		t.Errorf("%d volumes, want 5", len(claims.Items))
	}
	for _, claim := range claims.Items {
		if claim.DeletionTimestamp != nil {
			t.Errorf("volume %s is being deleted", claim.Name)
		}
	}
}

func TestHibernation(t *testing.T) {
	d := operate(t, sample("", "demo", 2))
	d.until("the fleet settles", settled)
	d.change(func(s *v1alpha1.ChatClusterSpec) { s.Hibernate = true })
	d.until("it sleeps", func(c *v1alpha1.ChatCluster) bool {
		return is(c, v1alpha1.ConditionAvailable, "False", v1alpha1.ReasonHibernating) && len(d.pods(v1alpha1.RoleShard))+len(d.pods(v1alpha1.RoleStore)) == 0
	})
	d.change(func(s *v1alpha1.ChatClusterSpec) { s.Hibernate = false })
	d.until("it is awake", settled)
}

func TestPausedIsLeftAlone(t *testing.T) {
	d := operate(t, sample("", "demo", 2))
	d.until("the fleet settles", settled)
	d.change(func(s *v1alpha1.ChatClusterSpec) { s.Paused, s.Shards.Replicas = true, new(int32(5)) })
	d.until("it is paused", func(c *v1alpha1.ChatCluster) bool {
		return is(c, v1alpha1.ConditionPaused, "True", "") && c.Status.ObservedGeneration == c.Generation
	})
	for range 20 {
		_ = d.look()
	}
	if n := len(d.pods(v1alpha1.RoleShard)); n != 2 {
		t.Errorf("%d shards of a paused fleet, want 2", n)
	}
}

// TestProblemsAreTold: what somebody else has to put right is told, and nothing is made before.
func TestProblemsAreTold(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(c *v1alpha1.ChatCluster)
		reason string
		says   string
	}{
		{"an overlay that breaks the profile", func(c *v1alpha1.ChatCluster) {
			c.Spec.Template.Shard = &runtime.RawExtension{Raw: []byte(`{"spec":{"hostNetwork":true}}`)}
		}, v1alpha1.ReasonInvalidTemplate, "spec.template.shard"},
		{"no such Secret", func(c *v1alpha1.ChatCluster) { c.Spec.Access.TLS = &v1alpha1.TLSSpec{SecretName: "web"} }, v1alpha1.ReasonInvalidReference, "there is no Secret web"},
		{"no cert-manager", func(c *v1alpha1.ChatCluster) {
			c.Spec.Access.TLS = &v1alpha1.TLSSpec{IssuerRef: v1alpha1.IssuerReference{Name: "acme"}, DNSNames: []string{"chat.example.com"}}
		}, v1alpha1.ReasonInvalidReference, "no cert-manager"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := sample("", "demo", 1)
			tt.change(c)
			d := operate(t, c)
			c = d.until("it is told", func(c *v1alpha1.ChatCluster) bool { return is(c, v1alpha1.ConditionDegraded, "True", tt.reason) })
			if text := told(c); !strings.Contains(text, tt.says) {
				t.Errorf("it does not say %q: %s", tt.says, text)
			}
			if n := len(d.pods(v1alpha1.RoleShard)) + len(d.pods(v1alpha1.RoleStore)); n != 0 {
				t.Errorf("%d pods were made", n)
			}
		})
	}
}

// TestAProblemLaterHoldsTheFleetAsItWas: an overlay that is refused changes nothing, and what is lost meanwhile comes back.
func TestAProblemLaterHoldsTheFleetAsItWas(t *testing.T) {
	d := operate(t, sample("", "demo", 2))
	revision := d.until("the fleet settles", settled).Status.Shards.Revision
	d.change(func(s *v1alpha1.ChatClusterSpec) {
		s.Template.Shard = &runtime.RawExtension{Raw: []byte(`{"spec":{"hostNetwork":true}}`)}
	})
	d.until("it is told", func(c *v1alpha1.ChatCluster) bool {
		return is(c, v1alpha1.ConditionDegraded, "True", v1alpha1.ReasonInvalidTemplate)
	})
	victim := d.pods(v1alpha1.RoleShard)[0]
	if err := d.cluster.client.Delete(t.Context(), &victim); err != nil {
		t.Fatal(err)
	}
	d.until("the lost shard is back", func(c *v1alpha1.ChatCluster) bool {
		pods := d.pods(v1alpha1.RoleShard)
		return c.Status.Shards.Ready == 2 && len(pods) == 2 && pods[0].UID != victim.UID
	})
	for _, p := range d.pods(v1alpha1.RoleShard) {
		if p.Labels[v1alpha1.LabelRevision] != revision {
			t.Errorf("%s has revision %s, want %s", p.Name, p.Labels[v1alpha1.LabelRevision], revision)
		}
	}
}

// TestDeletionLeavesNothing: the object goes at once; what it owns follows by Kubernetes' own means, with no operator there.
func TestDeletionLeavesNothing(t *testing.T) {
	for _, tt := range []struct{ first, policy v1alpha1.DeletionPolicy }{
		{v1alpha1.Delete, v1alpha1.Delete}, {v1alpha1.Retain, v1alpha1.Retain}, {v1alpha1.Delete, v1alpha1.Retain}, {v1alpha1.Retain, v1alpha1.Delete},
	} {
		policy := tt.policy
		t.Run(string(tt.first)+" and then "+string(policy), func(t *testing.T) {
			c := sample("", "demo", 2)
			c.Spec.DeletionPolicy = tt.first
			d := operate(t, c)
			d.until("the fleet settles", settled)
			d.change(func(s *v1alpha1.ChatClusterSpec) { s.DeletionPolicy = policy })
			d.until("the change is seen", settled)
			time.Sleep(300 * time.Millisecond) // Kubernetes' own controller sees to the volumes' owners
			if err := d.cluster.client.Delete(t.Context(), d.get()); err != nil {
				t.Fatal(err)
			}
			deadline := time.Now().Add(hang)
			for {
				var sets appsv1.StatefulSetList
				var claims corev1.PersistentVolumeClaimList
				var secrets corev1.SecretList
				for _, list := range []client.ObjectList{&sets, &claims, &secrets} {
					if err := d.cluster.client.List(t.Context(), list, client.InNamespace(d.name.Namespace)); err != nil {
						t.Fatal(err)
					}
				}
				pods := len(d.pods(v1alpha1.RoleShard)) + len(d.pods(v1alpha1.RoleStore))
				volumes, kept := 0, 0
				if policy == v1alpha1.Retain {
					volumes, kept = 3, 1
				}
				going := slices.DeleteFunc(claims.Items, func(c corev1.PersistentVolumeClaim) bool { return c.DeletionTimestamp != nil })
				if len(sets.Items) == 0 && pods == 0 && len(going) == volumes && len(secrets.Items) == kept {
					return
				}
				if time.Now().After(deadline) {
					t.Fatalf("after a minute there are %d sets, %d pods, %d volumes (want %d), %d Secrets (want %d)", len(sets.Items), pods, len(going), volumes, len(secrets.Items), kept)
				}
				time.Sleep(100 * time.Millisecond)
			}
		})
	}
}
