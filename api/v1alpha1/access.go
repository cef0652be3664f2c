package v1alpha1

import corev1 "k8s.io/api/core/v1"

// AccessSpec is how clients reach the shards, and who may sign in.
type AccessSpec struct {
	// service is the Service that clients connect to. It is named as the ChatCluster.
	// +optional
	// +default={}
	Service ServiceSpec `json:"service,omitzero"`

	// tls is the certificate that shards show to clients. Without it they speak plain HTTP: then let something in front of them speak TLS, since
	// tokens and messages pass here.
	// +optional
	TLS *TLSSpec `json:"tls,omitempty"`

	// issuers are who signs the tokens of this fleet's users, at most 16. All of them speak of the same users: alice of one is alice of the
	// other. Without any nobody can sign in, but for the test users of a ChatCluster that is labelled chatfleet.io/purpose: test. A change is
	// rolled out; new keys of an issuer are taken up without one.
	// +optional
	// +listType=map
	// +listMapKey=issuer
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Issuers []TokenIssuer `json:"issuers,omitempty"`
}

// ServiceSpec is the Service that clients connect to.
//
// +kubebuilder:validation:XValidation:rule="!has(self.externalTrafficPolicy) || self.type != 'ClusterIP'",fieldPath=".externalTrafficPolicy",message="a Service of type ClusterIP has no traffic from outside: remove externalTrafficPolicy, or set type to LoadBalancer or NodePort"
// +kubebuilder:validation:XValidation:rule="self.type != 'ClusterIP' || !has(self.ports) || self.ports.all(p, !has(p.nodePort))",fieldPath=".ports",message="a Service of type ClusterIP has no ports on nodes: remove nodePort, or set type to LoadBalancer or NodePort"
type ServiceSpec struct {
	// type of the Service: ClusterIP, NodePort or LoadBalancer. Default ClusterIP, which nobody outside of the Kubernetes cluster reaches.
	// +optional
	// +default="ClusterIP"
	// +kubebuilder:validation:Enum=ClusterIP;NodePort;LoadBalancer
	Type corev1.ServiceType `json:"type,omitempty"`

	// ports of the Service, at most 8; all of them lead to the shards' one port for clients. Default one port, client: 443 with tls, else 80.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:XValidation:rule="self.all(p, self.exists_one(other, other.port == p.port))",message="two ports have the same number: give each its own"
	// +kubebuilder:validation:XValidation:rule="self.all(p, !has(p.nodePort) || self.exists_one(other, has(other.nodePort) && other.nodePort == p.nodePort))",message="two ports have the same nodePort: give each its own, or leave it out"
	Ports []ServicePort `json:"ports,omitempty"`

	// annotations of the Service, at most 64: what a cloud's load balancer wants to be told.
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=64
	Annotations map[string]string `json:"annotations,omitempty"`

	// externalTrafficPolicy of the Service: Cluster or Local. Local keeps the clients' addresses, which limits by address go by; nodes without a shard
	// then take no traffic. Only for LoadBalancer and NodePort. Default: Kubernetes' own, Cluster.
	// +optional
	// +kubebuilder:validation:Enum=Cluster;Local
	ExternalTrafficPolicy corev1.ServiceExternalTrafficPolicy `json:"externalTrafficPolicy,omitempty"`
}

// ServicePort is one port of the Service.
type ServicePort struct {
	// name of the port, such as client: lower-case letters, digits and hyphens, at most 63.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="a port's name has lower-case letters, digits and hyphens inside: choose another one"
	Name string `json:"name,omitempty"`

	// port that clients connect to, 1 to 65,535.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port,omitempty"`

	// nodePort that every node listens on, for a Service of type NodePort or LoadBalancer. Default: Kubernetes chooses one.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	NodePort int32 `json:"nodePort,omitempty"`
}

// TLSSpec is the certificate that shards show to clients: from a Secret, or by reference to an issuer of cert-manager.
//
// +kubebuilder:validation:XValidation:rule="has(self.secretName) != has(self.issuerRef)",message="give the certificate by secretName or by issuerRef: one of the two, not both"
// +kubebuilder:validation:XValidation:rule="has(self.issuerRef) == has(self.dnsNames)",fieldPath=".dnsNames",message="dnsNames are what issuerRef issues a certificate for: give both, or with secretName neither"
type TLSSpec struct {
	// secretName names a Secret of type kubernetes.io/tls in this namespace. A new certificate in it is taken up without a restart.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	SecretName string `json:"secretName,omitempty"`

	// issuerRef names an issuer of cert-manager, which has to be installed. It issues the certificate and renews it.
	// +optional
	IssuerRef IssuerReference `json:"issuerRef,omitzero"`

	// dnsNames are the names that clients connect to, for the certificate of issuerRef: 1 to 32.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.all(n, n.matches('^([*][.])?[a-z0-9]([-a-z0-9.]*[a-z0-9])?$'))",message="these are DNS names such as chat.example.com, in lower case, without scheme or port"
	DNSNames []string `json:"dnsNames,omitempty"`
}

// IssuerReference names an issuer of cert-manager.
type IssuerReference struct {
	// name of the issuer.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// kind of the issuer: Issuer, of this namespace, or ClusterIssuer; or that of an external issuer. Default Issuer.
	// +optional
	// +default="Issuer"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind,omitempty"`

	// group of the issuer's kind. Default cert-manager.io.
	// +optional
	// +default="cert-manager.io"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Group string `json:"group,omitempty"`
}

// TokenIssuer is somebody whose tokens sign users in. The token's sub is the user.
type TokenIssuer struct {
	// issuer is what iss holds in its tokens, exactly: as a rule a URL, such as https://id.example.com.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^[^ ,\\\\t\\\\r\\\\n]+$')",message="an issuer has neither white space nor commas: write what iss holds in its tokens"
	Issuer string `json:"issuer,omitempty"`

	// audience is what aud has to hold. Default chatfleet.
	// +optional
	// +default="chatfleet"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^[^ ,\\\\t\\\\r\\\\n]+$')",message="an audience has neither white space nor commas: write what aud holds in the tokens"
	Audience string `json:"audience,omitempty"`

	// keys say where its public keys are, a JWK set.
	// +required
	Keys TokenKeys `json:"keys,omitzero"`

	// algorithms that it may sign with: EdDSA, ES256, RS256. Default all of them.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=3
	Algorithms []TokenAlgorithm `json:"algorithms,omitempty"`
}

// TokenAlgorithm signs tokens.
//
// +kubebuilder:validation:Enum=EdDSA;ES256;RS256
type TokenAlgorithm string

// The algorithms that chatd checks.
const (
	EdDSA TokenAlgorithm = "EdDSA"
	ES256 TokenAlgorithm = "ES256"
	RS256 TokenAlgorithm = "RS256"
)

// TokenKeys say where an issuer's public keys are.
//
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:XValidation:rule="has(self.url) != has(self.secretRef)",message="give the keys by url or by secretRef: one of the two, not both"
type TokenKeys struct {
	// url of the JWK set, over https. Shards read it again as it changes, so they have to reach it.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() == 'https' && url(self).getHost() != '' && self.matches('^[^ ,\\\\t\\\\r\\\\n]+$')",message="the keys come over https, or whoever is on the way could put his own in their place: write a URL such as https://id.example.com/jwks.json, or use secretRef"
	URL string `json:"url,omitempty"`

	// secretRef names the key of a Secret in this namespace that holds the JWK set, public keys alone. A change of it is taken up without a
	// restart.
	// +optional
	SecretRef SecretKey `json:"secretRef,omitzero"`
}

// SecretKey is one entry of a Secret of the ChatCluster's namespace.
type SecretKey struct {
	// name of the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// key of the entry. Default jwks.json.
	// +optional
	// +default="jwks.json"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[-._a-zA-Z0-9]+$')",message="a key of a Secret has letters, digits, hyphens, dots and underscores"
	Key string `json:"key,omitempty"`
}
