package v1alpha1

import corev1 "k8s.io/api/core/v1"

// Default fills in what is left out, as the API server does by the schema; for ChatClusters that have not passed one, such as a file that
// `operator plan` reads. It changes nothing that is there.
func (c *ChatCluster) Default() {
	s := &c.Spec
	orElse(&s.ImagePullPolicy, corev1.PullIfNotPresent)
	orElse(&s.Partitions, 16)
	orElse(&s.DeletionPolicy, Retain)

	orElse(&s.Store.Replicas, 3)
	orElse(&s.Store.Durability, Fsync)

	orElseTo(&s.Shards.Replicas, 3)
	orElse(&s.Shards.Drain.SessionsPerSecond, 500)
	orElse(&s.Shards.Drain.TimeoutSeconds, 120)

	orElse(&s.Update.MaxConcurrentShards, 1)
	orElseTo(&s.Update.Surge, 1)
	orElseTo(&s.Update.StoreSoakSeconds, 30)

	orElse(&s.Topology.ZoneKey, corev1.LabelTopologyZone)
	orElse(&s.Topology.MaxSkew, 1)

	s.Access.setDefaults()
}

func (a *AccessSpec) setDefaults() {
	orElse(&a.Service.Type, corev1.ServiceTypeClusterIP)
	if a.TLS != nil && a.TLS.IssuerRef != (IssuerReference{}) {
		orElse(&a.TLS.IssuerRef.Kind, "Issuer")
		orElse(&a.TLS.IssuerRef.Group, "cert-manager.io")
	}
	for i := range a.Issuers {
		issuer := &a.Issuers[i]
		orElse(&issuer.Audience, "chatfleet")
		if issuer.Keys.SecretRef != (SecretKey{}) {
			orElse(&issuer.Keys.SecretRef.Key, "jwks.json")
		}
	}
}

func orElse[T comparable](field *T, value T) {
	if *field == *new(T) {
		*field = value
	}
}

func orElseTo(field **int32, value int32) {
	if *field == nil {
		*field = &value
	}
}
