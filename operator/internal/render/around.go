package render

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/chatfleet/chatfleet/api/v1alpha1"
)

// Budgets let one pod of each role go at a time. One that is not ready may always go, so that no budget holds up a node's drain for good. A fleet
// that hibernates has nothing to keep up.
func Budgets(c *v1alpha1.ChatCluster) []*policyv1.PodDisruptionBudget {
	var all []*policyv1.PodDisruptionBudget
	most := intstr.FromInt32(1)
	if c.Spec.Hibernate {
		most = intstr.FromString("100%")
	}
	for _, role := range []string{v1alpha1.RoleStore, v1alpha1.RoleShard} {
		all = append(all, &policyv1.PodDisruptionBudget{
			TypeMeta:   metav1.TypeMeta{APIVersion: "policy/v1", Kind: "PodDisruptionBudget"},
			ObjectMeta: meta(c, c.Name+"-"+role, role, nil),
			Spec: policyv1.PodDisruptionBudgetSpec{
				MaxUnavailable: &most, Selector: &metav1.LabelSelector{MatchLabels: Selector(c, role)},
				UnhealthyPodEvictionPolicy: new(policyv1.AlwaysAllow),
			},
		})
	}
	return all
}

// Accounts are the ServiceAccounts of the pods. They may do nothing at the API server, and no pod gets their tokens.
func Accounts(c *v1alpha1.ChatCluster) []*corev1.ServiceAccount {
	var all []*corev1.ServiceAccount
	for _, role := range []string{v1alpha1.RoleStore, v1alpha1.RoleShard} {
		all = append(all, &corev1.ServiceAccount{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"},
			ObjectMeta: meta(c, Account(c, role), role, nil), AutomountServiceAccountToken: new(false),
		})
	}
	return all
}

// Policies say who may speak to whom: stores to stores, shards to stores, anybody to the clients' port and, as kubelets come from nodes'
// addresses, to probes. The admin port is for whoever is labelled as an operator, and is held by certificates besides.
func Policies(c *v1alpha1.ChatCluster) []*networkingv1.NetworkPolicy {
	kind := metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy"}
	from := func(role string) []networkingv1.NetworkPolicyPeer {
		return []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{MatchLabels: Selector(c, role)}}}
	}
	operator := []networkingv1.NetworkPolicyPeer{{
		NamespaceSelector: &metav1.LabelSelector{}, PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app.kubernetes.io/name": "chatfleet-operator"}},
	}}
	rule := func(port string, from []networkingv1.NetworkPolicyPeer) networkingv1.NetworkPolicyIngressRule {
		return networkingv1.NetworkPolicyIngressRule{From: from, Ports: []networkingv1.NetworkPolicyPort{{Port: new(intstr.FromString(port)), Protocol: new(corev1.ProtocolTCP)}}}
	}
	policy := func(role string, rules ...networkingv1.NetworkPolicyIngressRule) *networkingv1.NetworkPolicy {
		return &networkingv1.NetworkPolicy{
			TypeMeta: kind, ObjectMeta: meta(c, c.Name+"-"+role, role, nil),
			Spec: networkingv1.NetworkPolicySpec{
				PodSelector: metav1.LabelSelector{MatchLabels: Selector(c, role)}, PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
				Ingress: append(rules, rule("probes", nil), rule("admin", operator)),
			},
		}
	}
	return []*networkingv1.NetworkPolicy{
		policy(v1alpha1.RoleStore, rule("cluster", from(v1alpha1.RoleStore)), rule("leaf", from(v1alpha1.RoleShard))),
		policy(v1alpha1.RoleShard, rule("clients", nil)),
	}
}
