package controller

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/chatfleet/chatfleet/api/v1alpha1"
	"github.com/chatfleet/chatfleet/operator/internal/plan"
	"github.com/chatfleet/chatfleet/operator/internal/render"
	"github.com/chatfleet/chatfleet/operator/internal/status"
)

// ensureAround applies what stands around the pods.
func (r *round) ensureAround(ctx context.Context) error {
	c := r.cluster
	for _, s := range render.Services(c) {
		if err := r.ensure(ctx, s, &corev1.Service{}); err != nil {
			return err
		}
	}
	for _, b := range render.Budgets(c) {
		if err := r.ensure(ctx, b, &policyv1.PodDisruptionBudget{}); err != nil {
			return err
		}
	}
	for _, a := range render.Accounts(c) {
		if err := r.ensure(ctx, a, &corev1.ServiceAccount{}); err != nil {
			return err
		}
	}
	for _, p := range render.Policies(c) {
		if err := r.ensure(ctx, p, &networkingv1.NetworkPolicy{}); err != nil {
			return err
		}
	}
	return r.ensureClientCertificate(ctx)
}

// ensureClientCertificate asks cert-manager for the certificate that clients are shown, where spec names an issuer of its.
func (r *round) ensureClientCertificate(ctx context.Context) error {
	want := render.ClientCertificate(r.cluster)
	if want == nil {
		return nil
	}
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(want.GroupVersionKind())
	err := r.ensure(ctx, want, live)
	if isNoKind(err) {
		r.problem(v1alpha1.ReasonInvalidReference, "spec.access.tls.issuerRef: there is no cert-manager in this Kubernetes cluster (no kind %s of %s): install it, or use spec.access.tls.secretName",
			want.GetKind(), want.GetAPIVersion())
		return nil
	}
	return err
}

// generation is a ChatCluster as it was asked for at some time.
type generation struct {
	uid types.UID
	of  int64
}

// dropClientCertificate deletes the Certificate that spec asks for no more, once no shard will need the Secret that it makes. Certificates are not watched, and
// most clusters know none: it is looked for once for each spec. A missing right leaves it behind, which harms nobody.
func (r *round) dropClientCertificate(ctx context.Context) error {
	c := r.cluster
	if r.want.Paused || len(r.problems) > 0 || render.ClientTLSSecret(c) == render.IssuedSecret(c) || !r.rolledOut() {
		return nil
	}
	fleet, now := client.ObjectKeyFromObject(c), generation{c.UID, c.Generation}
	if was, ok := r.dropped.Load(fleet); ok && was == now {
		return nil
	}
	stale := &unstructured.Unstructured{}
	stale.SetGroupVersionKind(render.CertificateKind)
	err := r.Uncached.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: render.IssuedSecret(c)}, stale)
	if err == nil && metav1.IsControlledBy(stale, c) {
		if err = r.Delete(ctx, stale, client.Preconditions{UID: new(stale.GetUID())}); apierrors.IsForbidden(err) {
			log.FromContext(ctx).Info("a Certificate that is asked for no more is left behind: delete it", "certificate", stale.GetName(), "error", err.Error())
		}
	}
	if err != nil && !isNoKind(err) && !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err) {
		return fmt.Errorf("delete the Certificate %s: %w", render.IssuedSecret(c), err)
	}
	r.dropped.Store(fleet, now)
	return nil
}

// rolledOut says that all shards have the wanted revision, and that it works: nobody goes back to the one of before by himself.
func (r *round) rolledOut() bool {
	s, wanted := r.world.snapshot, r.want.ShardRevision
	return slices.ContainsFunc(s.Revisions, func(rev plan.Revision) bool { return rev.Name == wanted && rev.Proven }) &&
		!slices.ContainsFunc(s.Shards, func(sh plan.Shard) bool { return sh.Revision != wanted })
}

// problem notes what somebody else has to put right.
func (r *round) problem(reason, format string, args ...any) {
	r.problems = append(r.problems, status.Problem{Reason: reason, Message: fmt.Sprintf(format, args...)})
}

// checkReferences looks whether the Secrets that spec names are there and hold what they should: a pod that lacks one would wait for it without a
// word. Until they are there, the fleet goes on as it was.
func (r *round) checkReferences(ctx context.Context) error {
	c := r.cluster
	if tls := c.Spec.Access.TLS; tls != nil && tls.SecretName != "" {
		if err := r.checkSecret(ctx, "spec.access.tls.secretName", tls.SecretName, "tls.crt", "tls.key"); err != nil {
			return err
		}
	}
	for i, issuer := range c.Spec.Access.Issuers {
		if ref := issuer.Keys.SecretRef; ref.Name != "" {
			if err := r.checkSecret(ctx, fmt.Sprintf("spec.access.issuers[%d].keys.secretRef", i), ref.Name, ref.Key); err != nil {
				return err
			}
		}
	}
	for i, pull := range c.Spec.ImagePullSecrets {
		if err := r.checkSecret(ctx, fmt.Sprintf("spec.imagePullSecrets[%d]", i), pull.Name); err != nil {
			return err
		}
	}
	return nil
}

func (r *round) checkSecret(ctx context.Context, field, name string, keys ...string) error {
	var s corev1.Secret
	err := r.Uncached.Get(ctx, client.ObjectKey{Namespace: r.cluster.Namespace, Name: name}, &s)
	switch {
	case apierrors.IsNotFound(err):
		r.problem(v1alpha1.ReasonInvalidReference, "%s: there is no Secret %s in namespace %s: make it, or name another", field, name, r.cluster.Namespace)
		return nil
	case err != nil:
		return fmt.Errorf("read the Secret %s: %w", name, err)
	}
	for _, key := range keys {
		if len(s.Data[key]) == 0 {
			r.problem(v1alpha1.ReasonInvalidReference, "%s: the Secret %s has no entry %s, or an empty one: add it, or name another", field, name, key)
			return nil
		}
	}
	return nil
}
