package controller

import (
	"context"
	"path/filepath"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/chatfleet/chatfleet/api/v1alpha1"
	"github.com/chatfleet/chatfleet/operator/internal/render"
)

// knowCertificates has the API server know cert-manager's Certificates for the time of a test. Nobody acts on them.
func knowCertificates(t *testing.T, c *cluster) {
	t.Helper()
	options := envtest.CRDInstallOptions{Paths: []string{filepath.Join("testdata", "certificates.yaml")}}
	if _, err := envtest.InstallCRDs(c.config, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := envtest.UninstallCRDs(c.config, options); err != nil {
			t.Error(err)
		}
		kinds := discovery.NewDiscoveryClientForConfigOrDie(c.config)
		for deadline := time.Now().Add(hang); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			if _, err := kinds.ServerResourcesForGroupVersion(render.CertificateKind.GroupVersion().String()); apierrors.IsNotFound(err) {
				return // the next test may rely on it
			}
		}
		t.Error("the API server still knows Certificates")
	})
}

// letOperator gives the operator rights to Certificates in a namespace, as the chart does where there is a cert-manager.
func letOperator(t *testing.T, c *cluster, space string, verbs ...any) {
	t.Helper()
	meta := map[string]any{"name": "certificates", "namespace": space}
	for _, o := range []map[string]any{
		{"kind": "Role", "rules": []any{map[string]any{"apiGroups": []any{"cert-manager.io"}, "resources": []any{"certificates"}, "verbs": verbs}}},
		{"kind": "RoleBinding", "roleRef": map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "certificates"},
			"subjects": []any{map[string]any{"kind": "ServiceAccount", "name": "chatfleet-operator", "namespace": "chatfleet-system"}}},
	} {
		o["apiVersion"], o["metadata"] = "rbac.authorization.k8s.io/v1", meta
		if err := c.client.Create(t.Context(), &unstructured.Unstructured{Object: o}); err != nil {
			t.Fatal(err)
		}
	}
}

// certificate is the fleet's Certificate; nil if there is none.
func (d *driver) certificate() *unstructured.Unstructured {
	d.t.Helper()
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(render.CertificateKind)
	switch err := d.cluster.client.Get(d.t.Context(), client.ObjectKey{Namespace: d.name.Namespace, Name: d.name.Name + "-clients-tls"}, u); {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		d.t.Fatal(err)
	}
	return u
}

// needsIssued says that a shard's pod has the Secret that the Certificate is for.
func needsIssued(p corev1.Pod) bool {
	return slices.ContainsFunc(p.Spec.Volumes, func(v corev1.Volume) bool { return v.Secret != nil && v.Secret.SecretName == "demo-clients-tls" })
}

// proven says that a shard has shown the wanted revision to work.
func (d *driver) proven(c *v1alpha1.ChatCluster) bool {
	d.t.Helper()
	var kept appsv1.ControllerRevision
	err := d.cluster.client.Get(d.t.Context(), client.ObjectKey{Namespace: c.Namespace, Name: c.Name + "-shard-" + c.Status.Shards.Revision}, &kept)
	return err == nil && kept.Annotations[annotationProven] == "true"
}

// lookups counts how often Certificates are looked for.
type lookups struct {
	client.Reader
	certificates int
}

func (l *lookups) Get(ctx context.Context, key client.ObjectKey, o client.Object, with ...client.GetOption) error {
	if o.GetObjectKind().GroupVersionKind() == render.CertificateKind {
		l.certificates++
	}
	return l.Reader.Get(ctx, key, o, with...)
}

// seen waits until the operator's cache has a generation of the fleet.
func (d *driver) seen(generation int64) {
	d.t.Helper()
	for deadline := time.Now().Add(hang); ; time.Sleep(10 * time.Millisecond) {
		var c v1alpha1.ChatCluster
		if err := d.Get(d.t.Context(), d.name, &c); err == nil && c.Generation >= generation {
			return
		}
		if time.Now().After(deadline) {
			d.t.Fatal("the cache does not follow")
		}
	}
}

// TestACertificateThatIsAskedForNoMore goes once no shard needs its Secret. It is looked for once, not in each round.
func TestACertificateThatIsAskedForNoMore(t *testing.T) {
	all := needCluster(t)
	knowCertificates(t, all)
	chart := []any{"get", "create", "patch"}
	for _, tt := range []struct {
		name  string
		verbs []any
		to    *v1alpha1.TLSSpec
		meddle,
		stays bool
	}{
		{name: "no TLS any more", verbs: append(chart, "delete")},
		{name: "a Secret of the user's", verbs: append(chart, "delete"), to: &v1alpha1.TLSSpec{SecretName: "web"}},
		{name: "its own Secret, by name", verbs: append(chart, "delete"), to: &v1alpha1.TLSSpec{SecretName: "demo-clients-tls"}, stays: true},
		{name: "it is somebody else's", verbs: append(chart, "delete"), meddle: true, stays: true},
		{name: "without the right to delete it", verbs: chart, stays: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fleet := sample("", "demo", 1)
			fleet.Spec.Access.TLS = &v1alpha1.TLSSpec{IssuerRef: v1alpha1.IssuerReference{Name: "acme"}, DNSNames: []string{"chat.example.com"}}
			d := operate(t, fleet)
			letOperator(t, all, d.name.Namespace, tt.verbs...)
			d.until("the fleet settles", settled)
			if u := d.certificate(); u == nil || !metav1.IsControlledBy(u, d.get()) {
				t.Fatalf("the Certificate: %v", u)
			}
			if tt.to != nil {
				secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: d.name.Namespace, Name: tt.to.SecretName}, Data: map[string][]byte{"tls.crt": {1}, "tls.key": {1}}}
				if err := all.client.Create(t.Context(), secret); err != nil {
					t.Fatal(err)
				}
			}
			count := &lookups{Reader: d.Uncached}
			d.Uncached = count
			d.change(func(s *v1alpha1.ChatClusterSpec) { s.Access.TLS = tt.to })
			if tt.meddle {
				d.seen(d.get().Generation) // or it would ask for its own once more
				u := d.certificate()
				u.SetOwnerReferences(nil)
				if err := all.client.Update(t.Context(), u); err != nil {
					t.Fatal(err)
				}
			}
			d.until("the change is everywhere", func(c *v1alpha1.ChatCluster) bool {
				if slices.ContainsFunc(d.pods(v1alpha1.RoleShard), needsIssued) && d.certificate() == nil {
					t.Fatal("the Certificate went before the shards that have its Secret")
				}
				return settled(c) && d.proven(c) && (tt.stays || d.certificate() == nil)
			})
			for range 20 {
				time.Sleep(10 * time.Millisecond)
				if err := d.look(); err != nil {
					t.Fatal(err)
				}
			}
			if tt.stays && d.certificate() == nil {
				t.Error("the Certificate is gone")
			}
			if count.certificates > 1 {
				t.Errorf("the Certificate was looked for %d times", count.certificates)
			}
		})
	}
}

// TestNoCertManagerIsNoTrouble: where the API server knows no Certificates, a fleet without TLS asks once for them and is silent then.
func TestNoCertManagerIsNoTrouble(t *testing.T) {
	d := operate(t, sample("", "demo", 1))
	count := &lookups{Reader: d.Uncached}
	d.Uncached = count
	d.until("the fleet settles, and Certificates are asked for", func(c *v1alpha1.ChatCluster) bool { return settled(c) && count.certificates > 0 })
	for range 20 {
		time.Sleep(10 * time.Millisecond)
		if err := d.look(); err != nil {
			t.Fatal(err)
		}
	}
	if count.certificates != 1 {
		t.Errorf("a Certificate was looked for %d times, want once", count.certificates)
	}
}
