package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// StoreSpec is what keeps the logs: each store a pod with a volume of its own.
//
// +kubebuilder:validation:XValidation:rule="oldSelf.replicas != 1 || self.replicas == 1",fieldPath=".replicas",message="a single store stays single, since its streams cannot join a quorum: make a new ChatCluster with 3 stores, and restore a backup of this one into it"
// +kubebuilder:validation:XValidation:rule="self.replicas >= oldSelf.replicas",fieldPath=".replicas",message="stores never become fewer, since their logs would lose copies: keep the number, or make a new ChatCluster with fewer stores and restore a backup of this one into it"
// +kubebuilder:validation:XValidation:rule="self.replicas == 5 || !has(self.retention) || !has(self.retention.maxBytes) || quantity(string(self.retention.maxBytes)).compareTo(quantity(string(self.storage.size))) < 0",fieldPath=".retention.maxBytes",message="maxBytes has to be less than storage.size, or the volume is full before anything goes: lower the one or raise the other"
type StoreSpec struct {
	// replicas is the number of stores: 3 or 5, of which 1 or 2 may be lost without losing a post. It may grow from 3 to 5, under load, and
	// never shrinks. 1 is for development and stays 1: move to 3 by restoring a backup into a new ChatCluster. Default 3.
	// +optional
	// +default=3
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=5
	// +kubebuilder:validation:XValidation:rule="self in [1, 3, 5]",message="the stores are 3 or 5, or 1 for development: they decide by majority, and another number survives no more losses than the next lower one of these"
	Replicas int32 `json:"replicas,omitempty"`

	// storage is each store's volume.
	// +required
	Storage StoreStorage `json:"storage,omitzero"`

	// durability is when a post is acknowledged. Fsync: once it is on the disks of a quorum. Replicated: once it is in the memory of a
	// quorum, which is faster on slow disks, but a power cut of a quorum of stores loses up to 10 s of acknowledged posts. Default Fsync. A
	// change restarts the stores one by one.
	// +optional
	// +default="Fsync"
	Durability Durability `json:"durability,omitempty"`

	// retention has old events go. What goes is in no copy any more, and cannot be had back. Without it a fleet keeps every event. A change
	// restarts the stores one by one.
	// +optional
	Retention StoreRetention `json:"retention,omitzero"`

	// resources of each store's container. Without them a store has to do with what its node has left; a production store wants requests, and a
	// memory limit. A change restarts the stores one by one.
	// +optional
	Resources Resources `json:"resources,omitzero"`
}

// StoreStorage is the volume of each store.
//
// +kubebuilder:validation:XValidation:rule="quantity(string(self.size)).compareTo(quantity(string(oldSelf.size))) >= 0",fieldPath=".size",message="volumes only grow: keep the size that it was, or ask for more"
// +kubebuilder:validation:XValidation:rule="has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)",fieldPath=".storageClassName",message="the storage class cannot be changed, since volumes do not move between classes: make a new ChatCluster with the other class, and restore a backup into it"
type StoreStorage struct {
	// size of each volume, such as 100Gi; at least 1Gi. It may grow while the fleet runs, if the storage class can (allowVolumeExpansion), and never
	// shrinks. At 85 % in use the fleet refuses posts, so leave room.
	// +required
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).compareTo(quantity('1Gi')) >= 0",message="a volume has at least 1Gi: below that, the room that is kept free for a full volume is too small to work with"
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).compareTo(quantity('1Pi')) <= 0",message="a volume has at most 1Pi: check the unit"
	Size resource.Quantity `json:"size,omitzero"`

	// storageClassName is the storage class of the volumes; without it, the Kubernetes cluster's default class. It can never be changed, nor
	// set later. Choose one with volumeBindingMode WaitForFirstConsumer, so that volumes come up in the zones that stores are spread over.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	StorageClassName string `json:"storageClassName,omitempty"`
}

// Durability is when a post is acknowledged.
//
// +kubebuilder:validation:Enum=Fsync;Replicated
type Durability string

const (
	// Fsync: once it is on the disks of a quorum.
	Fsync Durability = "Fsync"
	// Replicated: once it is in the memory of a quorum.
	Replicated Durability = "Replicated"
)

// StoreRetention bounds what is kept; whichever bound asks for more to go counts. Logs, members, roles and positions stay in any case.
//
// +kubebuilder:validation:MinProperties=1
type StoreRetention struct {
	// maxAgeSeconds is the age, in seconds, from which on events go: 86,400 (a day, for as long as repeats of posts are known) to 315,360,000
	// (10 years). Without it none goes for its age.
	// +optional
	// +kubebuilder:validation:Minimum=86400
	// +kubebuilder:validation:Maximum=315360000
	MaxAgeSeconds int64 `json:"maxAgeSeconds,omitempty"`

	// maxBytes is how many bytes of events the region keeps, each event counted once, such as 50Gi. Partitions have equal shares, and the
	// oldest events of a partition go first; at least 64Mi for each partition. With 3 stores each one has all of it on its volume, and
	// snapshots besides. Without it none goes for size.
	// +optional
	MaxBytes *resource.Quantity `json:"maxBytes,omitempty"`
}

// Resources are what a container asks of its node, and what it may use at most.
//
// +kubebuilder:validation:XValidation:rule="!has(self.limits) || !has(self.requests) || ['cpu', 'memory', 'ephemeral-storage'].all(r, !(r in self.requests) || !(r in self.limits) || quantity(string(self.requests[r])).compareTo(quantity(string(self.limits[r]))) <= 0)",message="a request is more than its limit, and such a pod cannot be made: lower the request or raise the limit"
type Resources struct {
	// requests are what the scheduler keeps free for the container, by resource: cpu, memory.
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	Requests map[corev1.ResourceName]resource.Quantity `json:"requests,omitempty"`

	// limits are what it may use at most, by resource. chatd's garbage collector is told nine tenths of the memory limit.
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	Limits map[corev1.ResourceName]resource.Quantity `json:"limits,omitempty"`
}
