package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ChatCluster is one region's fleet: a few stores that keep the logs on a quorum of disks, and shards that hold the sessions of
// subscribers and scale with the audience.
//
// +kubebuilder:object:root=true
// +kubebuilder:storageversion
// +kubebuilder:subresource:status
// +kubebuilder:subresource:scale:specpath=.spec.shards.replicas,statuspath=.status.shards.replicas,selectorpath=.status.selector
// +kubebuilder:resource:path=chatclusters,singular=chatcluster,scope=Namespaced,shortName=cc,categories={all,chatfleet}
// +kubebuilder:printcolumn:name="Shards",type=integer,JSONPath=`.status.shards.desired`,description="Shards that there are to be"
// +kubebuilder:printcolumn:name="Ready",type=integer,JSONPath=`.status.shards.ready`,description="Shards that take sessions"
// +kubebuilder:printcolumn:name="Updated",type=integer,JSONPath=`.status.shards.updated`,description="Shards of the newest revision"
// +kubebuilder:printcolumn:name="Draining",type=integer,JSONPath=`.status.shards.draining`,description="Shards that send their sessions away"
// +kubebuilder:printcolumn:name="Sessions",type=integer,JSONPath=`.status.sessions`,description="Sessions on all shards, to 5 %"
// +kubebuilder:printcolumn:name="Store",type=integer,JSONPath=`.status.store.ready`,description="Stores that are ready"
// +kubebuilder:printcolumn:name="Available",type=string,JSONPath=`.status.conditions[?(@.type=="Available")].status`,description="Whether sessions and posts are served"
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 40",message="the name is at most 40 characters long, since those of pods and Services are made from it: choose a shorter one"
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="the name begins with a lower-case letter and has only those, digits and hyphens, since Services are named after it: choose another one"
type ChatCluster struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard metadata. The name is at most 40 characters long: lower-case letters, digits and hyphens, a letter first.
	// The label chatfleet.io/purpose: test opens what simulations need (test users, faults); never set it in production.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is the fleet that there is to be.
	// +required
	Spec ChatClusterSpec `json:"spec,omitzero"`

	// status is the fleet that the operator has found. Nobody else writes it.
	// +optional
	Status ChatClusterStatus `json:"status,omitzero"`
}

// ChatClusterList is what listing ChatClusters gives.
//
// +kubebuilder:object:root=true
type ChatClusterList struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard metadata of a list.
	// +optional
	metav1.ListMeta `json:"metadata,omitzero"`
	// items are the ChatClusters.
	Items []ChatCluster `json:"items"`
}

// ChatClusterSpec is the fleet that there is to be.
//
// +kubebuilder:validation:XValidation:rule="self.region == oldSelf.region",fieldPath=".region",message="the region cannot be changed, since the stores' data belongs to it: make a new ChatCluster with the other region, and restore a backup into it"
// +kubebuilder:validation:XValidation:rule="self.partitions == oldSelf.partitions",fieldPath=".partitions",message="the number of partitions cannot be changed, since it says where each log lies: make a new ChatCluster with the other number, and move users to it"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.credentials) || !has(oldSelf.credentials.rotation) || has(self.credentials) && has(self.credentials.rotation) && self.credentials.rotation >= oldSelf.credentials.rotation",fieldPath=".credentials.rotation",message="rotation only grows: set it to one more than it was to have credentials replaced"
// +kubebuilder:validation:XValidation:rule="!has(self.store.retention) || !has(self.store.retention.maxBytes) || quantity(string(self.store.retention.maxBytes)).isInteger() && quantity(string(self.store.retention.maxBytes)).asInteger() >= self.partitions * 67108864",fieldPath=".store.retention.maxBytes",message="maxBytes is shared by all partitions, and each needs 64Mi: ask for at least 64Mi times spec.partitions"
type ChatClusterSpec struct {
	// image is chatd's container image, with a tag that does not move or, better, a digest. Required, so that a new version of the operator
	// alone restarts nothing. When it is changed, one shard tries it first; then the stores are restarted one by one, then the
	// other shards, each after a drain. A bad image stops at that first pod.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^[^ \\\\t\\\\r\\\\n]+$')",message="an image has no white space: write it as registry/repository:tag or registry/repository@sha256:…"
	Image string `json:"image,omitempty"`

	// imagePullPolicy is when nodes pull the image: Always, IfNotPresent or Never. Default IfNotPresent. A change restarts nothing by itself:
	// it goes with the next change of image or template.
	// +optional
	// +default="IfNotPresent"
	// +kubebuilder:validation:Enum=Always;IfNotPresent;Never
	ImagePullPolicy corev1.PullPolicy `json:"imagePullPolicy,omitempty"`

	// imagePullSecrets name Secrets of this namespace that nodes pull the image with, at most 8.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	ImagePullSecrets []SecretName `json:"imagePullSecrets,omitempty"`

	// region is the fleet's name among regions: 1 to 32 lower-case letters and digits. It is in what the stores keep, so it can never be
	// changed.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]+$')",message="a region is named by lower-case letters and digits alone, such as eu1"
	Region string `json:"region,omitempty"`

	// partitions is how many streams the logs are divided among. Default 16, at most 1,024. It can never be changed. Each has one writer at
	// a time, so a few for each core of all stores together are enough; each costs every store that has a copy of it up to 8 MiB of memory.
	// +optional
	// +default=16
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1024
	Partitions int32 `json:"partitions,omitempty"`

	// store is what keeps the logs.
	// +required
	Store StoreSpec `json:"store,omitzero"`

	// shards are what holds the sessions.
	// +optional
	// +default={}
	Shards ShardsSpec `json:"shards,omitzero"`

	// update is how a change of image or template is rolled out.
	// +optional
	// +default={}
	Update UpdateSpec `json:"update,omitzero"`

	// topology is how pods are spread over zones.
	// +optional
	// +default={}
	Topology TopologySpec `json:"topology,omitzero"`

	// access is how clients reach the shards, and who may sign in.
	// +optional
	// +default={}
	Access AccessSpec `json:"access,omitzero"`

	// credentials are what the operator makes for the fleet's own use.
	// +optional
	Credentials CredentialsSpec `json:"credentials,omitzero"`

	// template is for all else of the pods: tolerations, node affinity, sidecars, annotations, chatd's settings as environment variables.
	// +optional
	Template TemplateSpec `json:"template,omitzero"`

	// paused has the operator leave this fleet alone: it creates, replaces, drains and updates nothing until paused is false again. It
	// goes on reporting, and renews certificates. Pods that are evicted meanwhile come back, if at all, with the revision that they had. Default false.
	// +optional
	Paused bool `json:"paused,omitempty"`

	// hibernate ends all pods and keeps the volumes: shards drain first, then the stores end. Clients cannot connect until it is false again;
	// then the fleet starts with all that it had. Default false.
	// +optional
	Hibernate bool `json:"hibernate,omitempty"`

	// deletionPolicy is what becomes of the stores' volumes when this ChatCluster is deleted. Retain keeps them, with the Secret that their
	// data is bound to: a ChatCluster of the same name takes them up again. Delete removes both, and with them every log, for ever.
	// Default Retain. It counts what it is at the moment of deletion.
	// +optional
	// +default="Retain"
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`
}

// DeletionPolicy is what becomes of volumes.
//
// +kubebuilder:validation:Enum=Retain;Delete
type DeletionPolicy string

const (
	// Retain keeps volumes, and the Secret that their data is bound to.
	Retain DeletionPolicy = "Retain"
	// Delete removes volumes and Secrets.
	Delete DeletionPolicy = "Delete"
)

// CredentialsSpec is about what the operator makes for the fleet's own use: the certificates that members prove themselves with to each other, the authority
// that issues them, and the keys of resume tokens. Certificates are renewed in time without asking. The secret that the stores' volumes are bound to is made once.
type CredentialsSpec struct {
	// rotation asks for new credentials: set it to one more than it was, for example after somebody has seen a Secret who should not have. The
	// operator makes a new authority beside the old, has all members trust it, issues new certificates, and then drops the old one; and the same with the keys of
	// resume tokens. It takes about half an hour, and status.credentialsRotation says when it is done. Nothing is restarted, and nobody is signed out. The
	// secret that the stores' volumes are bound to (NAME-cluster) stays: without a certificate it opens nothing. It only grows, and counts as 0 where it
	// is missing: 1 is the first.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000000
	Rotation int64 `json:"rotation,omitempty"`
}

// SecretName names a Secret of the ChatCluster's namespace.
type SecretName struct {
	// name of the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
}
