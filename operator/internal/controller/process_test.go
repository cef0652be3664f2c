package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiruntime "k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/chatfleet/chatfleet/api/v1alpha1"
	"github.com/chatfleet/chatfleet/operator/internal/convert"
	"github.com/chatfleet/chatfleet/operator/internal/render"
)

// TestTheProcessLooksAfterFleets runs the operator as it is, with nobody who tells it when to look. Its members do not answer: what needs no answer goes on.
func TestTheProcessLooksAfterFleets(t *testing.T) {
	c := needCluster(t)
	space := namespace(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Run(ctx, c.operator, Options{
			Namespaces: []string{space}, MetricsAddress: "127.0.0.1:0", ProbeAddress: "0", Concurrency: 2, ClusterReads: true, Log: slog.New(slog.DiscardHandler),
			LeaderElection: true, LeaderElectionNamespace: "chatfleet-system",
		})
	}()
	fleet := sample(space, "demo", 2)
	if err := c.client.Create(ctx, fleet); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(hang)
	for !is(fleet, v1alpha1.ConditionAvailable, "True", "") || !is(fleet, v1alpha1.ConditionStoreHealthy, "Unknown", "") {
		if time.Now().After(deadline) {
			t.Fatalf("not available in time: %s", told(fleet))
		}
		time.Sleep(100 * time.Millisecond)
		if err := c.client.Get(ctx, client.ObjectKeyFromObject(fleet), fleet); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.ContainsFunc(fleet.Status.Unhealthy, func(u v1alpha1.UnhealthyMember) bool { return u.Reason == "NoAnswer" }) {
		t.Errorf("nobody is told to be silent: %+v", fleet.Status.Unhealthy)
	}
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(hang):
		t.Error("it does not end")
	}
}

func namespace(t *testing.T, c *cluster) string {
	t.Helper()
	space := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	if err := c.client.Create(t.Context(), space); err != nil {
		t.Fatal(err)
	}
	return space.Name
}

// TestAnUpgradeOfTheOperatorRestartsNothing: the version before has kept other templates for the same inputs. Pods are made from those, word for word, and
// stay; the status says that they would look otherwise.
func TestAnUpgradeOfTheOperatorRestartsNothing(t *testing.T) {
	c := needCluster(t)
	fleet := sample(namespace(t, c), "demo", 2)
	if err := c.client.Create(t.Context(), fleet); err != nil {
		t.Fatal(err)
	}
	if err := c.client.Get(t.Context(), client.ObjectKeyFromObject(fleet), fleet); err != nil {
		t.Fatal(err)
	}
	want := convert.Spec(fleet)
	for role, revision := range map[string]string{v1alpha1.RoleShard: want.ShardRevision, v1alpha1.RoleStore: want.StoreRevision} {
		template, _ := render.ShardTemplate(fleet)
		if role == v1alpha1.RoleStore {
			template, _ = render.StoreTemplate(fleet)
		}
		template.Labels["made-by"] = "the-version-before"
		template.Spec.Containers[0].Args = append(template.Spec.Containers[0].Args, "--log-level=warn")
		text, err := json.Marshal(template)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.client.Create(t.Context(), render.Kept(fleet, role, revision, 1, apiruntime.RawExtension{Raw: text})); err != nil {
			t.Fatal(err)
		}
	}
	d := drive(t, c, client.ObjectKeyFromObject(fleet))
	now := d.until("the fleet settles", settled)
	if !is(now, v1alpha1.ConditionTemplateOutdated, "True", v1alpha1.ReasonOperatorChanged) {
		t.Errorf("it is not told that templates are outdated: %s", told(now))
	}
	uids := map[string]bool{}
	for _, p := range slices.Concat(d.pods(v1alpha1.RoleShard), d.pods(v1alpha1.RoleStore)) {
		uids[string(p.UID)] = true
		if p.Labels["made-by"] != "the-version-before" || !slices.Contains(p.Spec.Containers[0].Args, "--log-level=warn") {
			t.Errorf("%s is not made from what was kept", p.Name)
		}
	}
	d.start()
	for range 20 {
		if err := d.look(); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range slices.Concat(d.pods(v1alpha1.RoleShard), d.pods(v1alpha1.RoleStore)) {
		if !uids[string(p.UID)] {
			t.Errorf("%s was made anew", p.Name)
		}
	}
	// The next change of the user's brings this version's own.
	d.change(func(s *v1alpha1.ChatClusterSpec) { s.Image = "chatfleet/chatd:2" })
	now = d.until("the change is everywhere", settled)
	if is(now, v1alpha1.ConditionTemplateOutdated, "True", "") || slices.ContainsFunc(d.pods(v1alpha1.RoleShard), func(p corev1.Pod) bool { return p.Labels["made-by"] != "" }) {
		t.Errorf("the templates of before are still in use: %s", told(now))
	}
	// So does the way back: no pod has the template that was kept for it any more.
	d.change(func(s *v1alpha1.ChatClusterSpec) { s.Image = fleet.Spec.Image })
	now = d.until("the change is taken back everywhere", settled)
	if is(now, v1alpha1.ConditionTemplateOutdated, "True", "") || slices.ContainsFunc(d.pods(v1alpha1.RoleStore), func(p corev1.Pod) bool { return p.Labels["made-by"] != "" }) {
		t.Errorf("the templates of before have come back: %s", told(now))
	}
}

// TestCredentialsAreRotated: a new authority takes the place of the old, with a time in which both are trusted, and no pod is made anew for it.
func TestCredentialsAreRotated(t *testing.T) {
	d := operate(t, sample("", "demo", 1))
	d.until("the fleet settles", settled)
	roots := func() string {
		var s corev1.Secret
		if err := d.cluster.client.Get(t.Context(), client.ObjectKey{Namespace: d.name.Namespace, Name: "demo-shard-tls"}, &s); err != nil {
			t.Fatal(err)
		}
		return string(s.Data["ca.crt"])
	}
	keys := func() []string {
		var s corev1.Secret
		if err := d.cluster.client.Get(t.Context(), client.ObjectKey{Namespace: d.name.Namespace, Name: "demo-session-keys"}, &s); err != nil {
			t.Fatal(err)
		}
		return strings.Fields(string(s.Data["keys"]))
	}
	before, pods, key := roots(), d.pods(v1alpha1.RoleShard), keys()[0]
	d.change(func(s *v1alpha1.ChatClusterSpec) { s.Credentials.Rotation = 1 })
	d.until("both authorities are trusted", func(c *v1alpha1.ChatCluster) bool {
		return strings.HasPrefix(roots(), before) && len(roots()) > len(before) && is(c, v1alpha1.ConditionProgressing, "True", v1alpha1.ReasonRotatingCredentials)
	})
	d.until("both session keys are taken, the new one first", func(*v1alpha1.ChatCluster) bool { return len(keys()) == 2 && keys()[1] == key })
	d.until("the old one is dropped", func(c *v1alpha1.ChatCluster) bool { return c.Status.CredentialsRotation == 1 && settled(c) })
	if now := roots(); strings.Contains(now, before) || strings.Count(now, "BEGIN CERTIFICATE") != 1 {
		t.Errorf("the authorities after it:\n%s", now)
	}
	if now := keys(); len(now) != 1 || now[0] == key {
		t.Errorf("the session keys after it: %d, the first is the old one: %v", len(now), now[0] == key)
	}
	if after := d.pods(v1alpha1.RoleShard); after[0].UID != pods[0].UID {
		t.Error("a shard was made anew for it")
	}
}

// TestAFleetThatIsForTestsNoMore has no key of test users any more.
func TestAFleetThatIsForTestsNoMore(t *testing.T) {
	d := operate(t, sample("", "demo", 1))
	d.until("the fleet settles", settled)
	key := client.ObjectKey{Namespace: d.name.Namespace, Name: "demo-test-users"}
	if err := d.cluster.client.Get(t.Context(), key, &corev1.Secret{}); err != nil {
		t.Fatal(err)
	}
	c := d.get()
	was := c.DeepCopy()
	delete(c.Labels, v1alpha1.LabelPurpose)
	if err := d.cluster.client.Patch(t.Context(), c, client.MergeFrom(was)); err != nil {
		t.Fatal(err)
	}
	d.until("the key is gone, and nobody can sign in", func(c *v1alpha1.ChatCluster) bool {
		return is(c, v1alpha1.ConditionDegraded, "True", v1alpha1.ReasonNoIssuer) && apierrors.IsNotFound(d.cluster.client.Get(t.Context(), key, &corev1.Secret{}))
	})
}

// TestWhatOthersChangeIsPutRight: what the operator wants stands there again, what others have added stays, and what it wants no more goes.
func TestWhatOthersChangeIsPutRight(t *testing.T) {
	d := operate(t, sample("", "demo", 1))
	d.until("the fleet settles", settled)
	service := func() *corev1.Service {
		var s corev1.Service
		if err := d.cluster.client.Get(t.Context(), d.name, &s); err != nil {
			t.Fatal(err)
		}
		return &s
	}
	s := service()
	s.Spec.Ports[0].Port, s.Annotations["theirs"] = 81, "stays"
	if err := d.cluster.client.Update(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	d.until("the port is right", func(*v1alpha1.ChatCluster) bool { return service().Spec.Ports[0].Port == 80 })
	if service().Annotations["theirs"] != "stays" {
		t.Error("what another has added is gone")
	}
	d.change(func(s *v1alpha1.ChatClusterSpec) { s.Access.Service.Annotations = map[string]string{"lb": "internal"} })
	d.until("the annotation is there", func(*v1alpha1.ChatCluster) bool { return service().Annotations["lb"] == "internal" })
	d.change(func(s *v1alpha1.ChatClusterSpec) { s.Access.Service.Annotations = nil })
	d.until("the annotation is gone", func(*v1alpha1.ChatCluster) bool { _, there := service().Annotations["lb"]; return !there })
	var kept appsv1.ControllerRevisionList
	if err := d.cluster.client.List(t.Context(), &kept, client.InNamespace(d.name.Namespace)); err != nil {
		t.Fatal(err)
	}
	key := client.ObjectKey{Namespace: d.name.Namespace, Name: "demo-cluster"}
	var was corev1.Secret
	if err := d.cluster.client.Get(t.Context(), key, &was); err != nil {
		t.Fatal(err)
	}
	bare := was.DeepCopy()
	bare.Labels = nil // as somebody restores it by hand
	if err := d.cluster.client.Update(t.Context(), bare); err != nil {
		t.Fatal(err)
	}
	d.until("a Secret without its labels is found, and has them again", func(*v1alpha1.ChatCluster) bool {
		var live corev1.Secret
		if err := d.cluster.client.Get(t.Context(), key, &live); err != nil {
			t.Fatal(err)
		}
		return live.UID == was.UID && live.Labels[v1alpha1.LabelCluster] == "demo" && string(live.Data["secret"]) == string(was.Data["secret"])
	})
	if err := d.cluster.client.Delete(t.Context(), was.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	// Volumes are bound to it: it is told, or comes back as it was, if the operator was about to apply it. Never another one.
	d.until("a lost Secret is told, or is back", func(c *v1alpha1.ChatCluster) bool {
		var live corev1.Secret
		if err := d.cluster.client.Get(t.Context(), key, &live); err == nil {
			if string(live.Data["secret"]) != string(was.Data["secret"]) {
				t.Fatal("another secret was made beside the volumes")
			}
			return live.UID != was.UID
		}
		return is(c, v1alpha1.ConditionDegraded, "True", v1alpha1.ReasonInvalidReference) && strings.Contains(told(c), "restore it")
	})
}

// BenchmarkManyFleets is a round of each of 200 ChatClusters with 10 shards and 3 stores, all of them settled: what looking after them costs.
func BenchmarkManyFleets(b *testing.B) {
	const fleets, shards = 200, 10
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		b.Skip("KUBEBUILDER_ASSETS is not set")
	}
	c := shared()
	if c.err != nil {
		b.Fatal(c.err)
	}
	space := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "many-"}}
	if err := c.client.Create(b.Context(), space); err != nil {
		b.Fatal(err)
	}
	crew := newCrew(100)
	started := settleFleets(b, c, space.Name, crew, fleets, shards)
	before := heap()
	r := beginOperator(b.Context(), b, c, space.Name, crew, false)
	round := func() {
		for i := range fleets {
			if _, err := r.Reconcile(b.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Namespace: space.Name, Name: fmt.Sprintf("f%03d", i)}}); err != nil {
				b.Fatal(err)
			}
		}
	}
	round()
	after := heap()
	for b.Loop() {
		round()
	}
	b.ReportMetric(started.Seconds(), "s/start")                 // all 200, from nothing
	b.ReportMetric(float64(after-before)/fleets, "B-heap/fleet") // of an operator that has looked at all of them, its own beginnings included
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/fleets, "µs/round")
}

// beginOperator begins an operator; where it does not work by itself, it is for others to call for its rounds.
func beginOperator(ctx context.Context, b *testing.B, c *cluster, space string, crew *crew, works bool) *Reconciler {
	mgr, err := NewManager(c.operator, Options{Namespaces: []string{space}, MetricsAddress: "0", ProbeAddress: "0", ClusterReads: true})
	if err != nil {
		b.Fatal(err)
	}
	r := &Reconciler{Client: mgr.GetClient(), Uncached: mgr.GetAPIReader(), Events: recorder{&driver{}}, Members: crew, Nodes: true, Now: time.Now}
	if works {
		if err := r.SetupWithManager(ctx, mgr, 4); err != nil {
			b.Fatal(err)
		}
	}
	go func() { _ = mgr.Start(ctx) }()
	if !mgr.GetCache().WaitForCacheSync(ctx) {
		b.Fatal("the cache does not fill")
	}
	return r
}

// settleFleets makes fleets, has an operator look after them until they are as they should be, ends it, and says how long that took.
func settleFleets(b *testing.B, c *cluster, space string, crew *crew, fleets, shards int) time.Duration {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	beginOperator(ctx, b, c, space, crew, true)
	begun := time.Now()
	for i := range fleets {
		if err := c.client.Create(ctx, sample(space, fmt.Sprintf("f%03d", i), int32(shards))); err != nil {
			b.Fatal(err)
		}
	}
	for {
		var all v1alpha1.ChatClusterList
		if err := c.client.List(ctx, &all, client.InNamespace(space)); err != nil {
			b.Fatal(err)
		}
		if n := len(slices.DeleteFunc(all.Items, func(c v1alpha1.ChatCluster) bool { return !settled(&c) })); n == fleets {
			started := time.Since(begun)
			time.Sleep(15 * time.Second) // their revisions are proven too
			return started
		}
		if time.Since(begun) > 10*time.Minute {
			b.Fatal("they do not settle")
		}
		time.Sleep(time.Second)
	}
}

// heap is what is in use of it, once what has ended lately is gone.
func heap() int64 {
	time.Sleep(5 * time.Second)
	runtime.GC()
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return int64(memory.HeapAlloc)
}
