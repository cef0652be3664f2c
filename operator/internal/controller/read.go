package controller

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/chatfleet/chatfleet/api/v1alpha1"
	"github.com/chatfleet/chatfleet/operator/internal/observe"
	"github.com/chatfleet/chatfleet/operator/internal/plan"
	"github.com/chatfleet/chatfleet/operator/internal/render"
	"github.com/chatfleet/chatfleet/operator/internal/status"
	adminv1 "github.com/chatfleet/chatfleet/proto/admin/v1"
)

// world is a fleet as it was found.
type world struct {
	pods    map[string]*corev1.Pod
	set     *appsv1.StatefulSet
	volumes map[string]*corev1.PersistentVolumeClaim
	// kept templates of shards and stores, by role and revision.
	kept map[string]map[string]*appsv1.ControllerRevision

	snapshot  plan.Snapshot
	fullStore string
	fullest   status.Volume
}

// read fills r.world.
func (r *round) read(ctx context.Context) error {
	c, w := r.cluster, &r.world
	mine := []client.ListOption{client.InNamespace(c.Namespace), client.MatchingLabels{v1alpha1.LabelCluster: c.Name}}
	var pods corev1.PodList
	if err := r.List(ctx, &pods, mine...); err != nil {
		return fmt.Errorf("list pods: %w", err)
	}
	var revisions appsv1.ControllerRevisionList
	if err := r.List(ctx, &revisions, mine...); err != nil {
		return fmt.Errorf("list ControllerRevisions: %w", err)
	}
	var claims corev1.PersistentVolumeClaimList
	if err := r.List(ctx, &claims, mine...); err != nil {
		return fmt.Errorf("list PersistentVolumeClaims: %w", err)
	}
	var set appsv1.StatefulSet
	switch err := r.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: render.StoreSet(c)}, &set); {
	case err == nil && set.DeletionTimestamp == nil:
		w.set = &set
	case err != nil && !apierrors.IsNotFound(err):
		return fmt.Errorf("read the StatefulSet %s: %w", render.StoreSet(c), err)
	}
	w.pods = byName(pods.Items, func(p *corev1.Pod) bool {
		return p.Labels[v1alpha1.LabelRole] != v1alpha1.RoleShard || metav1.IsControlledBy(p, c)
	})
	w.volumes = byName(claims.Items, nil)
	w.kept = map[string]map[string]*appsv1.ControllerRevision{v1alpha1.RoleShard: {}, v1alpha1.RoleStore: {}}
	for i := range revisions.Items {
		if kept := &revisions.Items[i]; metav1.IsControlledBy(kept, c) && w.kept[kept.Labels[v1alpha1.LabelRole]] != nil {
			w.kept[kept.Labels[v1alpha1.LabelRole]][kept.Labels[v1alpha1.LabelRevision]] = kept
		}
	}
	seen := observe.World{Pods: slices.Collect(maps.Values(w.pods)), Now: r.now}
	var err error
	if seen.Nodes, err = r.readNodes(ctx, seen.Pods); err != nil {
		return err
	}
	seen.Answers = r.Members.Ask(ctx, c, seen.Pods, r.credentials.operator)
	w.fullStore, w.fullest = volumes(seen.Answers)
	w.snapshot = plan.Snapshot{Shards: seen.Shards(), Revisions: provenRevisions(w.kept[v1alpha1.RoleShard])}
	sessions := 0
	for _, sh := range w.snapshot.Shards {
		sessions += sh.Sessions
	}
	w.snapshot.SessionsLately = r.peaks.lately(c.UID, sessions, r.now)
	stores := 0
	if w.set != nil {
		w.snapshot.StoreSet = storeSet(w.set, revisions.Items)
		stores = w.snapshot.StoreSet.Replicas
	}
	w.snapshot.Stores = seen.Stores(render.StoreSet(c), stores)
	w.snapshot.Volumes, err = r.readVolumes(ctx)
	return err
}

// volumes names a store whose volume is full, as any of them says, and the one that comes to it first.
func volumes(answers map[string]*adminv1.StatusResponse) (full string, fullest status.Volume) {
	for _, name := range slices.Sorted(maps.Keys(answers)) {
		a := answers[name]
		full = cmp.Or(full, a.GetFullStore())
		v := status.Volume{Store: name, Used: int(a.GetVolumeUsedPermille()), FullAt: int(a.GetVolumeFullAtPermille())}
		if v.Used > 0 && (fullest.Store == "" || v.Left() < fullest.Left()) {
			fullest = v
		}
	}
	return full, fullest
}

func byName[T any, P interface {
	*T
	client.Object
}](items []T, fits func(P) bool) map[string]P {
	all := map[string]P{}
	for i := range items {
		if p := P(&items[i]); fits == nil || fits(p) {
			all[p.GetName()] = p
		}
	}
	return all
}

// readNodes reads the nodes that pods are bound to; nil where the operator may not read nodes.
func (r *round) readNodes(ctx context.Context, pods []*corev1.Pod) (map[string]*corev1.Node, error) {
	if !r.Nodes {
		return nil, nil
	}
	nodes := map[string]*corev1.Node{}
	for _, p := range pods {
		name := p.Spec.NodeName
		if name == "" || nodes[name] != nil {
			continue
		}
		var n corev1.Node
		switch err := r.Get(ctx, client.ObjectKey{Name: name}, &n); {
		case err == nil:
			nodes[name] = &n
		case !apierrors.IsNotFound(err):
			return nil, fmt.Errorf("read the node %s: %w", name, err)
		}
	}
	return nodes, nil
}

// storeSet is the stores' set in the planner's words.
func storeSet(set *appsv1.StatefulSet, revisions []appsv1.ControllerRevision) *plan.StoreSet {
	s := &plan.StoreSet{Replicas: 1, Template: set.Spec.Template.Labels[v1alpha1.LabelRevision]}
	if set.Spec.Replicas != nil {
		s.Replicas = int(*set.Spec.Replicas)
	}
	if u := set.Spec.UpdateStrategy.RollingUpdate; u != nil && u.Partition != nil {
		s.Partition = int(*u.Partition)
	}
	if releases(set) {
		s.Below, s.Partition = s.Template, s.Replicas // whatever it makes has the newest, and it restarts none
		return s
	}
	for i := range revisions {
		if kept := &revisions[i]; kept.Name == set.Status.CurrentRevision && metav1.IsControlledBy(kept, set) {
			s.Below = kept.Labels[v1alpha1.LabelRevision] // the template's own
		}
	}
	return s
}

func provenRevisions(kept map[string]*appsv1.ControllerRevision) []plan.Revision {
	var all []plan.Revision
	for name, k := range kept {
		proven, _ := strconv.ParseBool(k.Annotations[annotationProven])
		all = append(all, plan.Revision{Name: name, Number: k.Revision, Proven: proven})
	}
	return all
}

// readVolumes reads the stores' volumes, and whether they can grow.
func (r *round) readVolumes(ctx context.Context) ([]plan.Volume, error) {
	growable := map[string]bool{}
	var all []plan.Volume
	for name, claim := range r.world.volumes {
		if claim.DeletionTimestamp != nil || claim.Status.Phase != corev1.ClaimBound {
			continue
		}
		asked := claim.Spec.Resources.Requests[corev1.ResourceStorage]
		v := plan.Volume{Name: name, Bytes: asked.Value(), Growable: true}
		if class := claim.Spec.StorageClassName; class != nil && *class != "" && r.Nodes && v.Bytes < r.want.VolumeBytes {
			if _, known := growable[*class]; !known {
				var sc storagev1.StorageClass
				if err := r.Uncached.Get(ctx, client.ObjectKey{Name: *class}, &sc); client.IgnoreNotFound(err) != nil {
					return nil, fmt.Errorf("read the storage class %s: %w", *class, err)
				}
				growable[*class] = sc.AllowVolumeExpansion != nil && *sc.AllowVolumeExpansion
			}
			v.Growable = growable[*class]
		}
		all = append(all, v)
	}
	return all, nil
}

// times is a moment for each of some objects.
type times struct {
	mu  sync.Mutex
	all map[types.UID]time.Time
}

func (t *times) get(uid types.UID) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all[uid]
}

func (t *times) set(uid types.UID, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all == nil {
		t.all = map[types.UID]time.Time{}
	}
	t.all[uid] = at
	for other, was := range t.all { // those that are gone
		if at.Sub(was) > time.Hour {
			delete(t.all, other)
		}
	}
}
