package render

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/chatfleet/chatfleet/api/v1alpha1"
)

// Services are the two of a fleet: the stores' names, and what clients connect to.
func Services(c *v1alpha1.ChatCluster) []*corev1.Service {
	kind := metav1.TypeMeta{APIVersion: "v1", Kind: "Service"}
	stores := &corev1.Service{
		TypeMeta: kind, ObjectMeta: meta(c, StoreService(c), v1alpha1.RoleStore, nil),
		Spec: corev1.ServiceSpec{
			ClusterIP: corev1.ClusterIPNone, Selector: Selector(c, v1alpha1.RoleStore),
			PublishNotReadyAddresses: true, // stores find each other before any of them is ready
			Ports:                    []corev1.ServicePort{servicePort("leaf", PortLeaf, "leaf"), servicePort("cluster", PortCluster, "cluster")},
		},
	}
	s := c.Spec.Access.Service
	clients := &corev1.Service{
		TypeMeta: kind, ObjectMeta: meta(c, ClientService(c), v1alpha1.RoleShard, s.Annotations),
		Spec: corev1.ServiceSpec{
			Type: s.Type, Selector: Selector(c, v1alpha1.RoleShard), ExternalTrafficPolicy: s.ExternalTrafficPolicy,
		},
	}
	for _, p := range s.Ports {
		port := servicePort(p.Name, p.Port, "clients")
		port.NodePort = p.NodePort
		clients.Spec.Ports = append(clients.Spec.Ports, port)
	}
	if len(s.Ports) == 0 {
		number := int32(80)
		if c.Spec.Access.TLS != nil {
			number = 443
		}
		clients.Spec.Ports = []corev1.ServicePort{servicePort("client", number, "clients")}
	}
	return []*corev1.Service{stores, clients}
}

func servicePort(name string, number int32, target string) corev1.ServicePort {
	return corev1.ServicePort{Name: name, Port: number, TargetPort: intstr.FromString(target), Protocol: corev1.ProtocolTCP}
}
