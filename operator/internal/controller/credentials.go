package controller

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"maps"
	"net/url"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/chatfleet/chatfleet/api/v1alpha1"
	"github.com/chatfleet/chatfleet/operator/internal/pki"
	"github.com/chatfleet/chatfleet/operator/internal/render"
)

// annotationRotation on the authority's Secret is the spec.credentials.rotation that its newest root was made for.
const annotationRotation = v1alpha1.GroupName + "/rotation"

// credentials of a fleet, as far as a round needs them.
type credentials struct {
	// operator is what the operator proves itself with to members; empty if it has nothing yet.
	operator Identity
	// rotation is the one that is done.
	rotation int64
	// next is when something is to be renewed.
	next time.Time
}

// roles that have certificates.
var certified = []string{v1alpha1.RoleStore, v1alpha1.RoleShard, pki.RoleOperator}

// renewCredentials renews the certificates of a fleet that is paused, where it has any: it would come to an end with them. It makes nothing else.
func (r *round) renewCredentials(ctx context.Context) error {
	s, err := r.secret(ctx, render.AuthoritySecret(r.cluster))
	if err != nil || s == nil {
		return err
	}
	return r.ensureCertificates(ctx)
}

// ensureCredentials makes what is missing, and renews what is due.
func (r *round) ensureCredentials(ctx context.Context) error {
	if err := r.ensureClusterSecret(ctx); err != nil {
		return err
	}
	if err := r.ensureCertificates(ctx); err != nil {
		return err
	}
	if err := r.ensureSessionKeys(ctx); err != nil {
		return err
	}
	return r.ensureTestUsers(ctx)
}

// secret reads one of the fleet's own Secrets; nil if it is not there. The cache does not tell that: one that somebody has restored without its labels
// is not in it.
func (r *round) secret(ctx context.Context, name string) (*corev1.Secret, error) {
	var s corev1.Secret
	key := client.ObjectKey{Namespace: r.cluster.Namespace, Name: name}
	err := r.Get(ctx, key, &s)
	if apierrors.IsNotFound(err) {
		err = r.Uncached.Get(ctx, key, &s)
	}
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read the Secret %s: %w", name, err)
	}
	return &s, nil
}

// ensureClusterSecret makes what all members share, once. The stores' data is bound to it, so that it stays where the volumes stay, and is never made
// anew beside volumes that know another.
func (r *round) ensureClusterSecret(ctx context.Context) error {
	c := r.cluster
	name := render.ClusterSecret(c)
	live, err := r.secret(ctx, name)
	if err != nil {
		return err
	}
	want := render.Secret(c, name, corev1.SecretTypeOpaque, nil)
	if c.Spec.DeletionPolicy == v1alpha1.Retain {
		want.OwnerReferences = nil
	}
	switch {
	case live != nil:
		want.Data = live.Data
	default:
		var claims corev1.PersistentVolumeClaimList
		if err := r.List(ctx, &claims, client.InNamespace(c.Namespace), client.MatchingLabels(render.Selector(c, v1alpha1.RoleStore))); err != nil {
			return fmt.Errorf("list PersistentVolumeClaims: %w", err)
		}
		if len(claims.Items) > 0 {
			r.problem(v1alpha1.ReasonInvalidReference, "the Secret %s is gone, and the volumes of the stores (%s and others) are bound to it: restore it, or delete these PersistentVolumeClaims and lose what is in them", name, claims.Items[0].Name)
			r.stopped = true
			return nil
		}
		want.Data = map[string][]byte{render.ClusterSecretKey: newSecret()}
		want.OwnerReferences = nil // the next round applies them, so that they can be taken away again
		return r.createSecret(ctx, want)
	}
	return r.ensure(ctx, want, &corev1.Secret{})
}

// createSecret makes a Secret that must not be there: of two operators that have not seen each other's, one must lose.
func (r *round) createSecret(ctx context.Context, s *corev1.Secret) error {
	if err := r.Create(ctx, s, client.FieldOwner(Manager)); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("make the Secret %s: %w", s.Name, err)
	}
	return nil
}

func newSecret() []byte {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // it never fails
	return []byte(base64.StdEncoding.EncodeToString(raw))
}

// ensureCertificates sees to the fleet's authority and to what it issues.
func (r *round) ensureCertificates(ctx context.Context) error {
	c := r.cluster
	live, err := r.secret(ctx, render.AuthoritySecret(c))
	if err != nil {
		return err
	}
	var authority pki.Authority
	asked := int64(0) // the rotation that the newest root was made for
	if live != nil {
		if authority, err = pki.Read(live.Data); err != nil {
			r.problem(v1alpha1.ReasonInvalidReference, "the Secret %s: %v", live.Name, err)
			r.stopped = true
			return nil
		}
		asked, _ = strconv.ParseInt(live.Annotations[annotationRotation], 10, 64)
	}
	leaves, certificates, err := r.readLeaves(ctx)
	if err != nil {
		return err
	}
	wanted := c.Spec.Credentials.Rotation
	due, changed, next, err := authority.Due(r.now, len(authority) > 0 && wanted > asked, certificates)
	if err != nil {
		return fmt.Errorf("renew the fleet's authority: %w", err)
	}
	r.credentials.next = next
	if changed {
		data, err := due.Data()
		if err != nil {
			return err
		}
		if err := r.keep(ctx, live, render.AuthoritySecret(c), data, max(asked, wanted)); err != nil {
			return err
		}
	}
	for _, role := range certified {
		if err := r.ensureLeaf(ctx, due, role, leaves[role]); err != nil {
			return err
		}
	}
	if r.credentials.rotation = c.Status.CredentialsRotation; len(due) == 1 && max(asked, wanted) >= wanted {
		r.credentials.rotation = wanted
	}
	return nil
}

// readLeaves reads what members have now.
func (r *round) readLeaves(ctx context.Context) (map[string]*corev1.Secret, []*x509.Certificate, error) {
	leaves := map[string]*corev1.Secret{}
	var certificates []*x509.Certificate
	for _, role := range certified {
		s, err := r.secret(ctx, render.CertificateSecret(r.cluster, role))
		if err != nil {
			return nil, nil, err
		}
		if s == nil {
			continue
		}
		leaves[role] = s
		if leaf, err := pki.ReadCertificate(s.Data[corev1.TLSCertKey]); err == nil {
			certificates = append(certificates, leaf)
		}
	}
	return leaves, certificates, nil
}

// keep has a Secret hold what it is to hold, and for which wish for new credentials that was made. It replaces what was read and nothing else: what another operator
// has made meanwhile would be lost.
func (r *round) keep(ctx context.Context, live *corev1.Secret, name string, data map[string][]byte, rotation int64) error {
	s := render.Secret(r.cluster, name, corev1.SecretTypeOpaque, data)
	metav1.SetMetaDataAnnotation(&s.ObjectMeta, annotationRotation, strconv.FormatInt(rotation, 10))
	switch {
	case live == nil:
		if err := r.Create(ctx, s, client.FieldOwner(Manager)); err != nil {
			return fmt.Errorf("make the Secret %s: %w", name, err)
		}
		return nil
	case maps.EqualFunc(live.Data, data, bytes.Equal) && live.Annotations[annotationRotation] == s.Annotations[annotationRotation]:
		return nil
	}
	s.ResourceVersion = live.ResourceVersion
	if err := r.Update(ctx, s, client.FieldOwner(Manager)); err != nil {
		return fmt.Errorf("keep credentials in the Secret %s: %w", name, err)
	}
	return nil
}

// ensureLeaf gives a role a certificate if it has none that is good, and all roots that are trusted.
func (r *round) ensureLeaf(ctx context.Context, authority pki.Authority, role string, live *corev1.Secret) error {
	c := r.cluster
	names := pki.Names{Identity: pki.Identity(c.Namespace, c.Name, role)}
	if role == v1alpha1.RoleStore {
		names.DNS = []string{fmt.Sprintf("*.%s.%s.svc", render.StoreService(c), c.Namespace)}
	}
	want := render.Secret(c, render.CertificateSecret(c, role), corev1.SecretTypeTLS, map[string][]byte{render.AuthoritiesKey: authority.Bundle()})
	fresh := false
	if live != nil {
		leaf, err := pki.ReadCertificate(live.Data[corev1.TLSCertKey])
		if err == nil && len(live.Data[corev1.TLSPrivateKeyKey]) > 0 {
			var until time.Time
			if fresh, until = authority.Fresh(leaf, names, r.now); fresh && until.Before(r.credentials.next) {
				r.credentials.next = until
			}
			want.Data[corev1.TLSCertKey], want.Data[corev1.TLSPrivateKeyKey] = live.Data[corev1.TLSCertKey], live.Data[corev1.TLSPrivateKeyKey]
		}
	}
	if !fresh {
		leaf, err := authority.Issue(names, r.now)
		if err != nil {
			return err
		}
		want.Data[corev1.TLSCertKey], want.Data[corev1.TLSPrivateKeyKey] = leaf.CertificatePEM, leaf.KeyPEM
	}
	if role == pki.RoleOperator {
		r.credentials.operator = identity(want)
	}
	return r.ensure(ctx, want, &corev1.Secret{})
}

func identity(s *corev1.Secret) Identity {
	return Identity{Certificate: s.Data[corev1.TLSCertKey], Key: s.Data[corev1.TLSPrivateKeyKey], Authorities: s.Data[render.AuthoritiesKey]}
}

// ensureSessionKeys makes the keys of resume tokens, and has a new one take the place of the old where that is asked for.
func (r *round) ensureSessionKeys(ctx context.Context) error {
	c := r.cluster
	live, err := r.secret(ctx, render.SessionKeysSecret(c))
	if err != nil {
		return err
	}
	var keys pki.SessionKeys
	asked, wanted := int64(0), c.Spec.Credentials.Rotation
	if live != nil {
		if keys, err = pki.ReadSessionKeys(live.Data); err != nil {
			r.problem(v1alpha1.ReasonInvalidReference, "the Secret %s: %v", live.Name, err)
			r.stopped = true
			return nil
		}
		asked, _ = strconv.ParseInt(live.Annotations[annotationRotation], 10, 64)
	}
	due, taken, next := keys.Due(r.now, len(keys) > 0 && wanted > asked)
	if taken || len(keys) == 0 {
		asked = max(asked, wanted)
	}
	if err := r.keep(ctx, live, render.SessionKeysSecret(c), due.Data(), asked); err != nil {
		return err
	}
	if !next.IsZero() && next.Before(r.credentials.next) {
		r.credentials.next = next
	}
	if len(due) > 1 || asked < wanted {
		r.credentials.rotation = min(r.credentials.rotation, c.Status.CredentialsRotation)
	}
	return nil
}

// ensureTestUsers makes the key that signs users of a fleet for tests, once, and deletes that of a fleet that is for tests no more.
func (r *round) ensureTestUsers(ctx context.Context) error {
	name := render.TestUsersSecret(r.cluster)
	live, err := r.secret(ctx, name)
	switch {
	case err != nil:
		return err
	case live != nil && !render.ForTests(r.cluster) && metav1.IsControlledBy(live, r.cluster):
		return client.IgnoreNotFound(r.Delete(ctx, live))
	case live != nil || !render.ForTests(r.cluster):
		return nil
	}
	data, err := pki.NewTokenKey()
	if err != nil {
		return err
	}
	return r.createSecret(ctx, render.Secret(r.cluster, name, corev1.SecretTypeOpaque, data))
}

// Identity is what somebody proves himself with, PEM.
type Identity struct{ Certificate, Key, Authorities []byte }

// memberURL is where a pod's admin port is.
func memberURL(p *corev1.Pod) string {
	return (&url.URL{Scheme: "https", Host: p.Status.PodIP + ":" + strconv.Itoa(render.PortAdmin)}).String()
}
