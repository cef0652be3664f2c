package render

import (
	"fmt"
	"maps"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/chatfleet/chatfleet/api/v1alpha1"
)

// Ports of chatd in pods.
const (
	PortClients = 8080
	PortAdmin   = 9090
	PortProbes  = 9091
	PortCluster = 6222
	PortLeaf    = 7422
)

// Names of a fleet's objects. A ChatCluster's name is at most 40 characters long, which leaves room for all of these.

// StoreSet is the name of the stores' StatefulSet; its pods have a number behind it.
func StoreSet(c *v1alpha1.ChatCluster) string { return c.Name + "-store" }

// StorePod is the name of the store with a number.
func StorePod(c *v1alpha1.ChatCluster, ordinal int) string {
	return fmt.Sprintf("%s-%d", StoreSet(c), ordinal)
}

// ShardPod is the name of the shard with a number.
func ShardPod(c *v1alpha1.ChatCluster, index int) string {
	return fmt.Sprintf("%s-shard-%d", c.Name, index)
}

// StoreService is the headless Service that gives stores their names.
func StoreService(c *v1alpha1.ChatCluster) string { return c.Name + "-stores" }

// ClientService is what clients connect to.
func ClientService(c *v1alpha1.ChatCluster) string { return c.Name }

// Account is the ServiceAccount of a role's pods.
func Account(c *v1alpha1.ChatCluster, role string) string { return c.Name + "-" + role }

// ClusterSecret holds what all members share.
func ClusterSecret(c *v1alpha1.ChatCluster) string { return c.Name + "-cluster" }

// SessionKeysSecret holds the keys that shards make resume tokens and invitations by.
func SessionKeysSecret(c *v1alpha1.ChatCluster) string { return c.Name + "-session-keys" }

// CertificateSecret holds a role's certificate for other members. The operator has one too, by the role "operator".
func CertificateSecret(c *v1alpha1.ChatCluster, role string) string {
	return c.Name + "-" + role + "-tls"
}

// AuthoritySecret holds the roots that sign these. No pod gets it.
func AuthoritySecret(c *v1alpha1.ChatCluster) string { return c.Name + "-authority" }

// ClientTLSSecret holds the certificate that clients are shown; empty if they speak plain HTTP.
func ClientTLSSecret(c *v1alpha1.ChatCluster) string {
	switch tls := c.Spec.Access.TLS; {
	case tls == nil:
		return ""
	case tls.SecretName != "":
		return tls.SecretName
	}
	return IssuedSecret(c)
}

// IssuedSecret is what cert-manager puts that certificate into, where it is asked for one; the Certificate that asks is named alike.
func IssuedSecret(c *v1alpha1.ChatCluster) string { return c.Name + "-clients-tls" }

// TestUsersSecret holds the key that signs test users of a fleet that is for tests, and its public half.
func TestUsersSecret(c *v1alpha1.ChatCluster) string { return c.Name + "-test-users" }

// ForTests says whether a fleet is labelled as one for tests.
func ForTests(c *v1alpha1.ChatCluster) bool {
	return c.Labels[v1alpha1.LabelPurpose] == v1alpha1.PurposeTest
}

// StoreAddress is where a store is reached by the others, however often its pod is made anew.
func StoreAddress(c *v1alpha1.ChatCluster, ordinal, port int) string {
	return fmt.Sprintf("%s.%s.%s.svc:%d", StorePod(c, ordinal), StoreService(c), c.Namespace, port)
}

// storeAddresses are those of all stores.
func storeAddresses(c *v1alpha1.ChatCluster, port int) []string {
	var all []string
	for i := range int(c.Spec.Store.Replicas) {
		all = append(all, StoreAddress(c, i, port))
	}
	return all
}

// Selector is the labels that choose a role's pods. It never changes: a StatefulSet's cannot.
func Selector(c *v1alpha1.ChatCluster, role string) map[string]string {
	return map[string]string{v1alpha1.LabelCluster: c.Name, v1alpha1.LabelRole: role}
}

// Labels are those of everything that belongs to a role; of what belongs to the whole fleet if role is empty.
func Labels(c *v1alpha1.ChatCluster, role string) map[string]string {
	labels := map[string]string{
		v1alpha1.LabelCluster: c.Name, "app.kubernetes.io/name": "chatd", "app.kubernetes.io/instance": c.Name,
		"app.kubernetes.io/part-of": "chatfleet", "app.kubernetes.io/managed-by": "chatfleet-operator",
	}
	if role != "" {
		labels[v1alpha1.LabelRole], labels["app.kubernetes.io/component"] = role, role
	}
	return labels
}

// meta is the metadata of an object that goes with its ChatCluster.
func meta(c *v1alpha1.ChatCluster, name, role string, annotations map[string]string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name: name, Namespace: c.Namespace, Labels: Labels(c, role), Annotations: maps.Clone(annotations),
		OwnerReferences: []metav1.OwnerReference{Owner(c)},
	}
}

// Owner is the reference by which an object goes when its ChatCluster does.
func Owner(c *v1alpha1.ChatCluster) metav1.OwnerReference {
	return *metav1.NewControllerRef(c, v1alpha1.SchemeGroupVersion.WithKind("ChatCluster"))
}
