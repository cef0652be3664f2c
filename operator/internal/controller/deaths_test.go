package controller

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/chatfleet/chatfleet/api/v1alpha1"
	"github.com/chatfleet/chatfleet/operator/internal/plan"
	adminv1 "github.com/chatfleet/chatfleet/proto/admin/v1"
)

// scenes of a fleet's life, one after the other. Together they take every kind of action there is.
var scenes = []struct {
	name string
	play func(l *life)
}{
	{"it comes up", func(*life) {}},
	{"a roll-out", func(l *life) { l.image("2") }},
	{"a bad image, and back", func(l *life) {
		l.image("bad")
		l.until("it is told", func(c *v1alpha1.ChatCluster) bool {
			return is(c, v1alpha1.ConditionDegraded, "True", v1alpha1.ReasonBadRevision)
		})
		l.image("2")
	}},
	{"fewer shards, and more again", func(l *life) {
		l.shards(2)
		l.rest("one has left")
		l.shards(3)
	}},
	{"fewer shards, and after all not", func(l *life) {
		l.slow(true)
		l.shards(2)
		l.lookUntil("one drains", func(w *crew) bool {
			return slices.ContainsFunc(slices.Collect(maps.Values(w.drains)), func(d *adminv1.Drain) bool { return d.State == adminv1.Drain_STATE_UNDER_WAY })
		})
		l.shards(3)
		l.rest("it stays")
		l.slow(false)
	}},
	{"one shard has most sessions", func(l *life) {
		full := l.pods(v1alpha1.RoleShard)[0].UID
		l.crew.mu.Lock()
		l.crew.sessions[full] = 2000
		l.crew.mu.Unlock()
		l.lookUntil("it gives some to others", func(w *crew) bool { return w.sessions[full] < 200 })
	}},
	{"a roll-out, and after all not", func(l *life) {
		last := l.pods(v1alpha1.RoleStore)[2].UID
		l.image("3")
		l.lookUntil("a store steps down", func(w *crew) bool { return w.down[last] })
		l.image("2")
	}},
	{"a store that fails before its turn", func(l *life) {
		l.fail(l.pods(v1alpha1.RoleStore)[0])
		l.image("4")
	}},
	{"more stores", func(l *life) { l.change(func(s *v1alpha1.ChatClusterSpec) { s.Store.Replicas = 5 }) }},
	{"larger volumes", func(l *life) {
		l.change(func(s *v1alpha1.ChatClusterSpec) { s.Store.Storage.Size = resource.MustParse("2Gi") })
	}},
	{"it sleeps and wakes", func(l *life) {
		l.change(func(s *v1alpha1.ChatClusterSpec) { s.Hibernate = true })
		l.until("it sleeps", func(c *v1alpha1.ChatCluster) bool {
			return is(c, v1alpha1.ConditionAvailable, "False", v1alpha1.ReasonHibernating) && len(l.pods(v1alpha1.RoleShard))+len(l.pods(v1alpha1.RoleStore)) == 0
		})
		l.change(func(s *v1alpha1.ChatClusterSpec) { s.Hibernate = false })
	}},
}

// TestAnOperatorThatDiesIsFollowed ends the operator before, or after, each action of a life. The next one goes on, and in no scene is a pod made or ended
// more often than where nobody dies. In the last life another, who has lost his lease and does not know it yet, does each action once more.
func TestAnOperatorThatDiesIsFollowed(t *testing.T) {
	var undisturbed []pods
	for _, when := range []string{"never", "before", "after", "twice"} {
		t.Run(when, func(t *testing.T) {
			if when != "never" && len(undisturbed) != len(scenes) {
				t.Skip("there is no whole life in which nobody dies to compare it with")
			}
			l := newLife(t, when)
			for i, scene := range scenes {
				before := l.census.count()
				scene.play(l)
				l.rest(scene.name)
				is := l.census.count().less(before)
				if when == "never" {
					undisturbed = append(undisturbed, is)
				} else if want := undisturbed[i]; is.more(want) {
					t.Errorf("%s: %+v, and %+v where nobody dies", scene.name, is, want)
				}
				t.Logf("%s: %+v", scene.name, is)
			}
			for kind := range reflect.TypeFor[plan.Actor]().Methods() {
				if when != "never" && l.died[kind.Name] == 0 {
					t.Errorf("%s: nobody has died at %s", when, kind.Name)
				}
			}
			t.Logf("deaths: %v", l.died)
		})
	}
}

var errDied = errors.New("the operator has died")

// life is a fleet whose operators die.
type life struct {
	*driver
	census *census
	when   string
	spared bool           // the next action is done, since an operator has just died before it
	died   map[string]int // by kind of action
	acted  int
}

func newLife(t *testing.T, when string) *life {
	all := needCluster(t)
	growing := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "growing"}, Provisioner: "example.com/none", AllowVolumeExpansion: new(true)}
	if err := all.client.Create(t.Context(), growing); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	c := sample("", "demo", 3)
	c.Spec.Store.Storage.StorageClassName = growing.Name
	l := &life{driver: operate(t, c), when: when, died: map[string]int{}}
	l.census = observePods(t, all, l.name.Namespace)
	l.Carry = l.carry
	return l
}

// carry does an action, and has the operator die around it. Who follows does so at once, with the same cache, which may not have what was done, and nothing else.
func (l *life) carry(ctx context.Context, a plan.Action, by plan.Actor) error {
	l.acted++
	if l.when == "before" && !l.spared {
		l.die(a)
		l.spared = true
		return errDied
	}
	l.spared = false
	if err := a.Do(ctx, by); err != nil || l.when == "never" || l.when == "before" {
		return err
	}
	if l.when == "twice" {
		time.Sleep(100 * time.Millisecond) // what comes of it has begun
		if err := a.Do(ctx, by); err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			l.t.Errorf("%s, once more: %v", a, err)
		}
	}
	l.die(a)
	return errDied
}

func (l *life) die(a plan.Action) {
	was := l.Reconciler
	l.died[reasonOf(a)]++
	l.Reconciler = &Reconciler{Client: was.Client, Uncached: was.Uncached, Events: was.Events, Members: was.Members, Nodes: was.Nodes, Now: was.Now, Carry: was.Carry}
}

// rest looks until the fleet is as spec asks for, and nothing is to be done any more.
func (l *life) rest(what string) {
	l.t.Helper()
	acted := -1
	l.until(what, func(c *v1alpha1.ChatCluster) bool {
		quiet := acted == l.acted
		acted = l.acted
		return quiet && settled(c) && l.proven(c)
	})
}

// lookUntil looks until the members are as they should be, whoever dies meanwhile, and no further.
func (l *life) lookUntil(what string, is func(w *crew) bool) {
	l.t.Helper()
	for deadline := time.Now().Add(hang); ; {
		err := l.look()
		l.crew.mu.Lock()
		done := is(l.crew)
		l.crew.mu.Unlock()
		if done {
			return
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("not in time: %s\nlast error: %v\n%s\ndid:\n%s", what, err, told(l.get()), strings.Join(l.did, "\n"))
		}
		pause(err)
	}
}

func (l *life) image(tag string) {
	l.t.Helper()
	l.change(func(s *v1alpha1.ChatClusterSpec) { s.Image = "chatfleet/chatd:" + tag })
}

func (l *life) shards(n int32) {
	l.t.Helper()
	l.change(func(s *v1alpha1.ChatClusterSpec) { s.Shards.Replicas = &n })
}

func (l *life) slow(yes bool) {
	l.crew.mu.Lock()
	defer l.crew.mu.Unlock()
	l.crew.slow = yes
}

// fail has a pod that runs fail again and again.
func (l *life) fail(p corev1.Pod) {
	l.t.Helper()
	for i := range p.Status.Conditions {
		p.Status.Conditions[i].Status = corev1.ConditionFalse
	}
	p.Status.ContainerStatuses[0].Ready = false
	p.Status.ContainerStatuses[0].State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
	if err := l.cluster.client.Status().Update(l.t.Context(), &p); err != nil {
		l.t.Fatal(err)
	}
	l.until("the operator knows", func(c *v1alpha1.ChatCluster) bool { return is(c, v1alpha1.ConditionStoreHealthy, "False", "") })
}

// pods are how many were made and have gone.
type pods struct{ shardsMade, shardsGone, storesMade, storesGone int }

func (p pods) less(q pods) pods {
	return pods{p.shardsMade - q.shardsMade, p.shardsGone - q.shardsGone, p.storesMade - q.storesMade, p.storesGone - q.storesGone}
}

func (p pods) more(q pods) bool {
	return p.shardsMade > q.shardsMade || p.shardsGone > q.shardsGone || p.storesMade > q.storesMade || p.storesGone > q.storesGone
}

// census watches who comes and goes.
type census struct {
	mu   sync.Mutex
	seen map[types.UID]bool
	n    pods
}

// observePods begins a census of a namespace that has no pods yet.
func observePods(t *testing.T, c *cluster, space string) *census {
	t.Helper()
	watcher, err := client.NewWithWatch(c.config, client.Options{Scheme: Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	w, err := watcher.Watch(t.Context(), &corev1.PodList{}, client.InNamespace(space))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	all := &census{seen: map[types.UID]bool{}}
	go func() {
		for e := range w.ResultChan() {
			if p, ok := e.Object.(*corev1.Pod); ok {
				all.note(e.Type, p)
			}
		}
	}()
	return all
}

func (c *census) note(what watch.EventType, p *corev1.Pod) {
	c.mu.Lock()
	defer c.mu.Unlock()
	made, gone := &c.n.shardsMade, &c.n.shardsGone
	if p.Labels[v1alpha1.LabelRole] == v1alpha1.RoleStore {
		made, gone = &c.n.storesMade, &c.n.storesGone
	}
	switch {
	case what == watch.Added && !c.seen[p.UID]:
		c.seen[p.UID] = true
		*made++
	case what == watch.Deleted:
		*gone++
	}
}

// count is what has been seen so far; the watch is milliseconds behind.
func (c *census) count() pods {
	time.Sleep(100 * time.Millisecond)
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}
