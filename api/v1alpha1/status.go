package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ChatClusterStatus is the fleet that the operator has found. It is made anew from what is observed each time.
type ChatClusterStatus struct {
	// conditions say how the fleet is, each with a reason for programs and a message for people, which says what to do next. Types: Available,
	// Progressing, Degraded, StoreHealthy, StoragePressure, ScalingLimited, Draining, Paused, TemplateOutdated.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the metadata.generation that all of this is about. While it is behind, the operator has not seen the newest spec.
	// +optional
	// +kubebuilder:validation:Minimum=1
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// selector chooses the shards' pods, for the scale subresource.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Selector string `json:"selector,omitempty"`

	// store counts the stores.
	// +optional
	Store StoreStatus `json:"store,omitzero"`

	// shards count the shards.
	// +optional
	Shards ShardsStatus `json:"shards,omitzero"`

	// sessions on all shards that have answered. It is written at most every 30 s, and only when it has moved by 5 %.
	// +optional
	Sessions int64 `json:"sessions"`

	// credentialsRotation is the spec.credentials.rotation that is done: the credentials of before are of no use any more.
	// +optional
	CredentialsRotation int64 `json:"credentialsRotation"`

	// unhealthy lists members that are not well, and why; the first 20 by name.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=20
	Unhealthy []UnhealthyMember `json:"unhealthy,omitempty"`
}

// StoreStatus counts the stores.
type StoreStatus struct {
	// desired is how many there are to be now: 0 while the fleet hibernates.
	// +optional
	Desired int32 `json:"desired"`
	// replicas is how many pods there are.
	// +optional
	Replicas int32 `json:"replicas"`
	// ready is how many take part.
	// +optional
	Ready int32 `json:"ready"`
	// updated is how many have the newest revision.
	// +optional
	Updated int32 `json:"updated"`
	// revision is the newest revision of the stores' template.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Revision string `json:"revision,omitempty"`
}

// ShardsStatus counts the shards.
type ShardsStatus struct {
	// desired is how many there are to be now: spec.shards.replicas, or 0 while the fleet hibernates.
	// +optional
	Desired int32 `json:"desired"`
	// replicas is how many pods there are, those that leave with them.
	// +optional
	Replicas int32 `json:"replicas"`
	// ready is how many take sessions.
	// +optional
	Ready int32 `json:"ready"`
	// updated is how many have the newest revision.
	// +optional
	Updated int32 `json:"updated"`
	// draining is how many send their sessions away.
	// +optional
	Draining int32 `json:"draining"`
	// revision is the newest revision of the shards' template.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Revision string `json:"revision,omitempty"`
}

// UnhealthyMember is a member that is not well.
type UnhealthyMember struct {
	// name of its pod.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
	// reason is one word for programs, such as ImagePullBackOff or NodeLost.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Reason string `json:"reason,omitempty"`
	// message says for people what is wrong, and what to do.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}
