package v1alpha1

// ShardsSpec is what holds the sessions. Shards keep nothing that lasts: any of them may go, after a drain.
type ShardsSpec struct {
	// replicas is the number of shards, 0 to 1,000; `kubectl scale cc` sets it. A shard holds up to about 18,000 sessions. More shards: sessions
	// move to the new ones at the pace of the drain. Fewer: the shards that are missed least drain and go; raising the number again before
	// they are gone takes them back. 0 sends everybody away and keeps the stores. Default 3.
	// +optional
	// +default=3
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	Replicas *int32 `json:"replicas,omitempty"`

	// resources of each shard's container. A session that waits takes about 1 KB of memory in the process, 7 KB over TLS,
	// and some 4 KB in the kernel; a memory limit counts both. A change is rolled out.
	// +optional
	Resources Resources `json:"resources,omitzero"`

	// drain is how sessions leave a shard: at scale-in, roll-out, hibernation and eviction, and when sessions are moved to new shards.
	// +optional
	// +default={}
	Drain DrainSpec `json:"drain,omitzero"`
}

// DrainSpec is how sessions leave a shard.
type DrainSpec struct {
	// sessionsPerSecond is the pace at which sessions are sent away, over the whole fleet, however many shards drain at the same time. The
	// other shards have to take them at this pace. 1 to 100,000, default 500. A drain that is under way takes a change up at once.
	// +optional
	// +default=500
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	SessionsPerSecond int32 `json:"sessionsPerSecond,omitempty"`

	// timeoutSeconds is how long a shard's drain may take, in seconds: 1 to 3,600, default 120. Whoever is left then is sent away at once, with
	// a hint to wait that spreads them as the pace would have. Make it longer than a shard's sessions at the pace take. Pods are granted this and
	// a margin to end; that part of a change goes with the next roll-out. A deleted ChatCluster is gone after it at the latest.
	// +optional
	// +default=120
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=3600
	TimeoutSeconds int32 `json:"timeoutSeconds,omitempty"`

	// jitterSeconds spreads those who come back: each client waits this long to twice as long, at random, before it connects to another
	// shard. It is a pause for that client, so keep it small. 1 to 600. Default: half a second to a second.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=600
	JitterSeconds int32 `json:"jitterSeconds,omitempty"`
}

// UpdateSpec is how a change of image or template is rolled out: one shard tries it, then stores one by one, then the other shards.
type UpdateSpec struct {
	// paused keeps every pod at the revision that it has, also when it is evicted and made anew. All else goes on: scaling, drains, lost nodes.
	// Default false.
	// +optional
	Paused bool `json:"paused,omitempty"`

	// maxConcurrentShards is how many shards drain at the same time for a roll-out: 1 to 100, default 1. They share the pace of the drain, so more
	// of them are faster only where shards are small or slow to start. As many as exceed surge are missed meanwhile.
	// +optional
	// +default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	MaxConcurrentShards int32 `json:"maxConcurrentShards,omitempty"`

	// surge is how many shards more than shards.replicas there may be during a roll-out: 0 to 100, default 1. A new one is ready before an old
	// one drains. With 0 an old one goes first, so the others have to bear its sessions; it costs no room.
	// +optional
	// +default=1
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	Surge *int32 `json:"surge,omitempty"`

	// zoneOrder lists zones whose shards are replaced first, in this order, such as a zone to try things in; the other zones follow by name. At
	// most 32.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.all(z, self.exists_one(other, other == z))",message="a zone is listed twice: each has one place in the order"
	ZoneOrder []string `json:"zoneOrder,omitempty"`

	// storeSoakSeconds is how long a restarted store is watched before the next one's turn, in seconds: 0 to 86,400, default 30. It counts from when
	// the store is ready and every group of replicas is current.
	// +optional
	// +default=30
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=86400
	StoreSoakSeconds *int32 `json:"storeSoakSeconds,omitempty"`
}

// TopologySpec is how pods are spread over zones. Stores never share a node where there are enough.
type TopologySpec struct {
	// zoneKey is the label of nodes that names their zone. Default topology.kubernetes.io/zone. A change is rolled out.
	// +optional
	// +default="topology.kubernetes.io/zone"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	// +kubebuilder:validation:XValidation:rule="self.matches('^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$')",message="this is no label of nodes: write its key, such as topology.kubernetes.io/zone"
	ZoneKey string `json:"zoneKey,omitempty"`

	// maxSkew is by how many pods of a role zones may differ: 1 to 100, default 1. Stores wait for a place that keeps it; shards would rather run
	// elsewhere than not at all. When shards are taken away, the fullest zone loses one first.
	// +optional
	// +default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	MaxSkew int32 `json:"maxSkew,omitempty"`
}
