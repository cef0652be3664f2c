package controller

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/chatfleet/chatfleet/api/v1alpha1"
	"github.com/chatfleet/chatfleet/operator/internal/render"
)

const (
	// annotationProven on a kept template says that a shard of it has once worked.
	annotationProven = v1alpha1.GroupName + "/proven"
	// keepUnused is how many templates of a role are kept that no pod has, the newest.
	keepUnused = 5
)

// templates of a fleet as this version of the operator makes them, by role.
type templates struct {
	rendered map[string]corev1.PodTemplateSpec
	// outdated names the roles whose kept template is another than that.
	outdated []string
}

// checkTemplates renders both templates, and notes what is refused.
func (r *round) checkTemplates() {
	r.templates.rendered = map[string]corev1.PodTemplateSpec{}
	var refused field.ErrorList
	for role, make := range map[string]func(*v1alpha1.ChatCluster) (corev1.PodTemplateSpec, field.ErrorList){
		v1alpha1.RoleShard: render.ShardTemplate, v1alpha1.RoleStore: render.StoreTemplate,
	} {
		t, errs := make(r.cluster)
		r.templates.rendered[role] = t
		refused = append(refused, errs...)
	}
	if len(refused) == 0 {
		return
	}
	slices.SortFunc(refused, func(a, b *field.Error) int { return cmp.Compare(a.Field+a.Detail, b.Field+b.Detail) })
	r.problem(v1alpha1.ReasonInvalidTemplate, "%v. The fleet goes on as it was", refused.ToAggregate())
}

// wanted is the revision that a role's pods are to have.
func (r *round) wanted(role string) string {
	if role == v1alpha1.RoleStore {
		return r.want.StoreRevision
	}
	return r.want.ShardRevision
}

// newest is the revision of a role that was wanted last; empty if none is kept.
func (r *round) newest(role string) string {
	name, most := "", int64(0)
	for revision, kept := range r.world.kept[role] {
		if kept.Revision > most {
			name, most = revision, kept.Revision
		}
	}
	return name
}

// keepTemplates sees to it that the template of what is wanted is kept and the newest, and that not too many others are.
func (r *round) keepTemplates(ctx context.Context) error {
	for _, role := range []string{v1alpha1.RoleShard, v1alpha1.RoleStore} {
		if err := r.keepTemplate(ctx, role); err != nil {
			return err
		}
		if err := r.forgetTemplates(ctx, role); err != nil {
			return err
		}
	}
	r.world.snapshot.Revisions = provenRevisions(r.world.kept[v1alpha1.RoleShard])
	return nil
}

func (r *round) keepTemplate(ctx context.Context, role string) error {
	all, name, rendered := r.world.kept[role], r.wanted(role), r.templates.rendered[role]
	newest := int64(0)
	if last := all[r.newest(role)]; last != nil {
		newest = last.Revision
	}
	if kept := all[name]; kept != nil {
		template, err := templateOf(kept)
		if err != nil {
			return err
		}
		switch same := equality.Semantic.DeepEqual(template, rendered); {
		case !same && kept.Revision != newest && !r.inUse(role)[name]: // it comes back, and nothing has to stay as it was
			if err := r.Delete(ctx, kept); client.IgnoreNotFound(err) != nil {
				return fmt.Errorf("forget the template %s: %w", kept.Name, err)
			}
			delete(all, name)
			return r.keepTemplate(ctx, role)
		case !same:
			r.templates.outdated = append(r.templates.outdated, role)
		}
		if kept.Revision == newest {
			return nil
		}
		again := kept.DeepCopy() // it is wanted once more
		again.Revision = newest + 1
		if err := r.Update(ctx, again, client.FieldOwner(Manager)); err != nil {
			return fmt.Errorf("keep the template %s: %w", kept.Name, err)
		}
		all[name] = again
		return nil
	}
	text, err := json.Marshal(rendered)
	if err != nil {
		return fmt.Errorf("encode the template of %ss: %w", role, err)
	}
	kept := render.Kept(r.cluster, role, name, newest+1, runtime.RawExtension{Raw: text})
	if err := r.Create(ctx, kept, client.FieldOwner(Manager)); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("keep the template %s: %w", kept.Name, err)
	}
	all[name] = kept
	return nil
}

// inUse are the revisions that pods of a role have, or have when they are made anew.
func (r *round) inUse(role string) map[string]bool {
	used := map[string]bool{}
	for _, p := range r.world.pods {
		if p.Labels[v1alpha1.LabelRole] == role {
			used[p.Labels[v1alpha1.LabelRevision]] = true
		}
	}
	if set := r.world.snapshot.StoreSet; set != nil && role == v1alpha1.RoleStore {
		used[set.Template], used[set.Below] = true, true
	}
	return used
}

// forgetTemplates deletes the oldest of those that no pod has and nobody goes back to.
func (r *round) forgetTemplates(ctx context.Context, role string) error {
	used := r.inUse(role)
	used[r.wanted(role)] = true
	all := r.world.kept[role]
	unused := slices.DeleteFunc(slices.Collect(maps.Keys(all)), func(name string) bool { return used[name] })
	slices.SortFunc(unused, func(a, b string) int { return cmp.Compare(all[b].Revision, all[a].Revision) })
	for _, name := range unused[min(keepUnused, len(unused)):] {
		if err := r.Delete(ctx, all[name]); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("forget the template %s: %w", all[name].Name, err)
		}
		delete(all, name)
	}
	return nil
}

// template is the kept one of a revision.
func (r *round) template(role, revision string) (corev1.PodTemplateSpec, error) {
	kept := r.world.kept[role][revision]
	if kept == nil {
		return corev1.PodTemplateSpec{}, fmt.Errorf("the template of revision %s for %ss is not kept", revision, role)
	}
	return templateOf(kept)
}

func templateOf(kept *appsv1.ControllerRevision) (t corev1.PodTemplateSpec, err error) {
	if err := json.Unmarshal(kept.Data.Raw, &t); err != nil {
		return t, fmt.Errorf("read the template that the ControllerRevision %s keeps: %w", kept.Name, err)
	}
	return t, nil
}
