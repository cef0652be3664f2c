package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/chatfleet/chatfleet/api/v1alpha1"
	"github.com/chatfleet/chatfleet/operator/internal/observe"
	"github.com/chatfleet/chatfleet/operator/internal/plan"
	"github.com/chatfleet/chatfleet/operator/internal/render"
)

// actor does what is planned for one fleet. Everything may be done twice; what is done to a pod is done to the very one that was observed.
type actor struct{ *round }

var _ plan.Actor = (*actor)(nil)

// reasonOf is an action's name, for events.
func reasonOf(a plan.Action) string {
	name := fmt.Sprintf("%T", a)
	return name[strings.LastIndexByte(name, '.')+1:]
}

// pod is one that was observed.
func (a *actor) pod(name string) (*corev1.Pod, error) {
	if p := a.world.pods[name]; p != nil {
		return p, nil
	}
	return nil, apierrors.NewNotFound(corev1.Resource("pods"), name)
}

func (a *actor) CreateShard(ctx context.Context, s plan.CreateShard) error {
	template, err := a.template(v1alpha1.RoleShard, s.Revision)
	if err != nil {
		return err
	}
	err = a.Create(ctx, render.Shard(a.cluster, template, s.Revision, s.Index), client.FieldOwner(Manager))
	if apierrors.IsAlreadyExists(err) {
		return nil // an operator before has made it, or this one has not seen it yet
	}
	return err
}

// MarkShard applies the mark alone: other fields of a pod stay as they were made.
func (a *actor) MarkShard(ctx context.Context, m plan.MarkShard) error {
	return a.applyMark(ctx, m.Shard, map[string]string{
		v1alpha1.AnnotationDrain: a.now.UTC().Format(time.RFC3339), v1alpha1.AnnotationDrainCause: string(m.Cause),
	})
}

func (a *actor) UnmarkShard(ctx context.Context, u plan.UnmarkShard) error {
	return a.applyMark(ctx, u.Shard, nil)
}

func (a *actor) applyMark(ctx context.Context, name string, annotations map[string]string) error {
	p, err := a.pod(name)
	if err != nil {
		return err
	}
	u := &unstructured.Unstructured{}
	u.SetAPIVersion("v1")
	u.SetKind("Pod")
	u.SetNamespace(p.Namespace)
	u.SetName(p.Name)
	u.SetUID(p.UID) // of this very pod; of another one it is a conflict
	u.SetAnnotations(annotations)
	return a.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(Manager), client.ForceOwnership)
}

func (a *actor) ProveRevision(ctx context.Context, p plan.ProveRevision) error {
	kept := a.world.kept[v1alpha1.RoleShard][p.Revision]
	if kept == nil {
		return nil
	}
	proven := kept.DeepCopy()
	metav1.SetMetaDataAnnotation(&proven.ObjectMeta, annotationProven, "true")
	return a.Patch(ctx, proven, client.MergeFrom(kept), client.FieldOwner(Manager))
}

// comeBack is the hint that sessions get with a fleet's jitter: clients add a random part of as much again.
func (a *actor) comeBack() time.Duration {
	return time.Duration(a.cluster.Spec.Shards.Drain.JitterSeconds) * time.Second
}

func (a *actor) BeginDrain(ctx context.Context, d plan.BeginDrain) error {
	p, err := a.pod(d.Shard)
	if err != nil {
		return err
	}
	return a.Members.BeginDrain(ctx, a.cluster, p, a.credentials.operator, Pace{d.PerSecond, a.comeBack(), d.Within})
}

func (a *actor) ReverseDrain(ctx context.Context, d plan.ReverseDrain) error {
	p, err := a.pod(d.Shard)
	if err != nil {
		return err
	}
	return a.Members.ReverseDrain(ctx, a.cluster, p, a.credentials.operator)
}

func (a *actor) ShedSessions(ctx context.Context, s plan.ShedSessions) error {
	p, err := a.pod(s.Shard)
	if err != nil {
		return err
	}
	return a.Members.Shed(ctx, a.cluster, p, a.credentials.operator, s.Keep, Pace{s.PerSecond, a.comeBack(), 0})
}

func (a *actor) EvictShard(ctx context.Context, e plan.EvictShard) error {
	p, err := a.pod(e.Shard)
	if err != nil {
		return err
	}
	return client.IgnoreNotFound(a.SubResource("eviction").Create(ctx, p, &policyv1.Eviction{
		ObjectMeta:    metav1.ObjectMeta{Name: p.Name, Namespace: p.Namespace},
		DeleteOptions: &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &p.UID}},
	}))
}

func (a *actor) DeleteShard(ctx context.Context, d plan.DeleteShard) error {
	if d.Force {
		return a.deletePod(ctx, d.Shard, client.GracePeriodSeconds(0))
	}
	return a.deletePod(ctx, d.Shard)
}

func (a *actor) DeleteStore(ctx context.Context, d plan.DeleteStore) error {
	return a.deletePod(ctx, d.Store)
}

func (a *actor) deletePod(ctx context.Context, name string, with ...client.DeleteOption) error {
	p, err := a.pod(name)
	if err != nil {
		return err
	}
	return client.IgnoreNotFound(a.Delete(ctx, p, append(with, client.Preconditions{UID: &p.UID})...))
}

func (a *actor) StepDown(ctx context.Context, s plan.StepDown) error {
	p, err := a.pod(s.Store)
	if err != nil {
		return err
	}
	return a.Members.StepDown(ctx, a.cluster, p, a.credentials.operator, s.Metadata)
}

func (a *actor) ReverseStepDown(ctx context.Context, s plan.ReverseStepDown) error {
	p, err := a.pod(s.Store)
	if err != nil {
		return err
	}
	return a.Members.ReverseStepDown(ctx, a.cluster, p, a.credentials.operator)
}

// applySet applies the stores' set with a change. What was applied is what the next action of the same plan begins with.
func (a *actor) applySet(ctx context.Context, revision string, replicas, partition int) error {
	template, err := a.template(v1alpha1.RoleStore, revision)
	if err != nil {
		return err
	}
	set := render.StoreSetWith(a.cluster, template, revision, int32(replicas), int32(partition))
	if live := a.world.set; live != nil {
		keepClaims(set, live)
	}
	if err := a.ensure(ctx, set, &appsv1.StatefulSet{}); err != nil {
		return err
	}
	a.world.set = set
	s := a.world.snapshot.StoreSet
	if s == nil {
		s = &plan.StoreSet{}
		a.world.snapshot.StoreSet = s
	}
	s.Template, s.Replicas, s.Partition = revision, replicas, partition
	if partition == render.NoPartition {
		s.Partition, s.Below = replicas, revision // as readers of such a set have it
	}
	return nil
}

// keepClaims leaves the size and the class that a live set's volumes are made with: they cannot be changed there. Volumes grow by themselves.
func keepClaims(set, live *appsv1.StatefulSet) {
	for i := range set.Spec.VolumeClaimTemplates {
		for _, was := range live.Spec.VolumeClaimTemplates {
			if claim := &set.Spec.VolumeClaimTemplates[i]; claim.Name == was.Name {
				claim.Spec.Resources, claim.Spec.StorageClassName = was.Spec.Resources, was.Spec.StorageClassName
			}
		}
	}
}

// set is the stores' set as the last action has left it.
func (a *actor) set() plan.StoreSet {
	if s := a.world.snapshot.StoreSet; s != nil {
		return *s
	}
	return plan.StoreSet{}
}

// errUnfinished: the set's controller has not noted yet that the roll-out of before has come to its end, and would make stores from the template before that one.
var errUnfinished = errors.New("the StatefulSet has not noted the end of the roll-out of before yet")

func (a *actor) SetStoreTemplate(ctx context.Context, t plan.SetStoreTemplate) error {
	replicas := a.set().Replicas
	switch {
	case a.world.set == nil:
		replicas = a.standing()
	case replicas > 0 && a.unfinished():
		return errUnfinished
	}
	return a.applySet(ctx, t.Revision, replicas, replicas) // none is restarted
}

// unfinished says that all stores have the set's template, and that the set does not say so yet.
func (a *actor) unfinished() bool {
	s := a.set()
	for _, st := range a.world.snapshot.Stores {
		if st.Revision != s.Template {
			return false
		}
	}
	return s.Below != s.Template || releases(a.world.set)
}

// standing is how many stores a set has to have so that it ends none that runs, where somebody has deleted the set and not its pods.
func (a *actor) standing() int {
	most := 0
	for name, p := range a.world.pods {
		if i, ok := observe.Number(name); ok && p.Labels[v1alpha1.LabelRole] == v1alpha1.RoleStore {
			most = max(most, i+1)
		}
	}
	return most
}

func (a *actor) ScaleStores(ctx context.Context, s plan.ScaleStores) error {
	set := a.set()
	partition := set.Partition
	switch {
	case set.Replicas == 0:
		partition = 0 // no store runs: all begin with the newest template
	case releases(a.world.set):
		partition = render.NoPartition
	}
	return a.applySet(ctx, set.Template, s.Replicas, partition)
}

// UpdateStore has the set restart a store, or does it itself where the set has been told to restart none.
func (a *actor) UpdateStore(ctx context.Context, u plan.UpdateStore) error {
	if releases(a.world.set) {
		return a.deletePod(ctx, u.Store)
	}
	set := a.set()
	return a.applySet(ctx, set.Template, set.Replicas, u.Ordinal)
}

// DropStoreTemplate has the set make every store with the newest template from now on. It has its partition back once all have it (tendStores).
func (a *actor) DropStoreTemplate(ctx context.Context, d plan.DropStoreTemplate) error {
	return a.applySet(ctx, d.Revision, a.set().Replicas, render.NoPartition)
}

// tendStores applies what of the set no action is about: what becomes of volumes, labels, what somebody else has changed. And it gives a set that makes
// every store with its newest template a partition again, once all stores have that: the set then notes the end of the roll-out, and can keep a
// template of before in the next one.
func (r *round) tendStores(ctx context.Context) error {
	s := r.world.snapshot.StoreSet
	if s == nil || r.world.kept[v1alpha1.RoleStore][s.Template] == nil {
		return nil
	}
	partition := s.Partition
	if releases(r.world.set) {
		partition = render.NoPartition
		if s.Replicas > 0 && !slices.ContainsFunc(r.world.snapshot.Stores, func(st plan.Store) bool { return st.Revision != s.Template || !st.Ready }) {
			partition = 0
		}
	}
	return (&actor{r}).applySet(ctx, s.Template, s.Replicas, partition)
}

// releases says that a set makes every store with its newest template, and restarts none.
func releases(set *appsv1.StatefulSet) bool {
	return set != nil && set.Spec.UpdateStrategy.Type == appsv1.OnDeleteStatefulSetStrategyType
}

func (a *actor) GrowVolume(ctx context.Context, g plan.GrowVolume) error {
	claim := a.world.volumes[g.Volume]
	if claim == nil {
		return nil
	}
	grown := claim.DeepCopy()
	grown.Spec.Resources.Requests[corev1.ResourceStorage] = *resource.NewQuantity(g.Bytes, resource.BinarySI)
	return a.Patch(ctx, grown, client.MergeFrom(claim), client.FieldOwner(Manager))
}
