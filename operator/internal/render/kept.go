package render

import (
	"maps"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/chatfleet/chatfleet/api/v1alpha1"
)

// Entries of Secrets.
const (
	// ClusterSecretKey is the entry of the cluster's Secret.
	ClusterSecretKey = clusterSecretKey
	// AuthoritiesKey is the entry with the roots that a member trusts, beside its certificate and key.
	AuthoritiesKey = "ca.crt"
)

// CertificateKind is cert-manager's kind of a wish for a certificate.
var CertificateKind = schema.GroupVersionKind{Group: "cert-manager.io", Version: "v1", Kind: "Certificate"}

// Secret is one that belongs to the whole fleet.
func Secret(c *v1alpha1.ChatCluster, name string, kind corev1.SecretType, data map[string][]byte) *corev1.Secret {
	return &corev1.Secret{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}, ObjectMeta: meta(c, name, "", nil), Type: kind, Data: data,
	}
}

// Kept is a template of a role's pods as it is kept, so that pods of that revision can be made again word for word.
func Kept(c *v1alpha1.ChatCluster, role, revision string, number int64, template runtime.RawExtension) *appsv1.ControllerRevision {
	kept := &appsv1.ControllerRevision{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "ControllerRevision"},
		ObjectMeta: meta(c, c.Name+"-"+role+"-"+revision, role, nil), Data: template, Revision: number,
	}
	kept.Labels[v1alpha1.LabelRevision] = revision
	return kept
}

// Shard is the pod with a number, from a kept template.
func Shard(c *v1alpha1.ChatCluster, template corev1.PodTemplateSpec, revision string, index int) *corev1.Pod {
	template = *template.DeepCopy()
	p := &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: meta(c, ShardPod(c, index), v1alpha1.RoleShard, template.Annotations), Spec: template.Spec,
	}
	maps.Copy(p.Labels, template.Labels)
	p.Labels[v1alpha1.LabelRevision] = revision
	p.Spec.Hostname = p.Name
	return p
}

// ClientCertificate asks cert-manager for the certificate that clients are shown; nil where spec names none of its issuers.
func ClientCertificate(c *v1alpha1.ChatCluster) *unstructured.Unstructured {
	tls := c.Spec.Access.TLS
	if tls == nil || tls.IssuerRef.Name == "" {
		return nil
	}
	var names []any
	for _, n := range tls.DNSNames {
		names = append(names, n)
	}
	labels := map[string]any{}
	for k, v := range Labels(c, "") {
		labels[k] = v
	}
	owner, _ := runtime.DefaultUnstructuredConverter.ToUnstructured(new(Owner(c))) // a plain struct
	u := &unstructured.Unstructured{Object: map[string]any{
		"metadata": map[string]any{"name": IssuedSecret(c), "namespace": c.Namespace, "labels": labels, "ownerReferences": []any{owner}},
		"spec": map[string]any{
			"secretName": IssuedSecret(c), "dnsNames": names, "usages": []any{"server auth", "digital signature", "key encipherment"},
			"issuerRef": map[string]any{"name": tls.IssuerRef.Name, "kind": tls.IssuerRef.Kind, "group": tls.IssuerRef.Group},
		},
	}}
	u.SetGroupVersionKind(CertificateKind)
	return u
}
