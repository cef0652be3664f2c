package v1alpha1

// The types of a ChatCluster's conditions. All of them are there once the operator has seen it.
const (
	// ConditionAvailable: sessions and posts are served: a quorum of stores and at least one shard are ready.
	ConditionAvailable = "Available"
	// ConditionProgressing: the fleet is on its way to what spec asks for; the message says to what, and what is being waited for.
	ConditionProgressing = "Progressing"
	// ConditionDegraded: something is wrong that the operator cannot put right alone; the message says what to do.
	ConditionDegraded = "Degraded"
	// ConditionStoreHealthy: all stores are ready and every group of replicas is current, so any one store may be lost.
	ConditionStoreHealthy = "StoreHealthy"
	// ConditionStoragePressure: a store's volume is full, or close to it, or does not grow as asked.
	ConditionStoragePressure = "StoragePressure"
	// ConditionScalingLimited: there are fewer shards or stores than asked for, and something outside of the fleet is why.
	ConditionScalingLimited = "ScalingLimited"
	// ConditionDraining: at least one shard sends its sessions away.
	ConditionDraining = "Draining"
	// ConditionPaused: spec.paused has the operator leave the fleet alone.
	ConditionPaused = "Paused"
	// ConditionTemplateOutdated: pods would look otherwise if this version of the operator made them anew. They are left as they are until
	// the next change of image or template.
	ConditionTemplateOutdated = "TemplateOutdated"
)

// ConditionTypes are all of them, in the order in which status lists them.
var ConditionTypes = []string{
	ConditionAvailable, ConditionProgressing, ConditionDegraded, ConditionStoreHealthy, ConditionStoragePressure,
	ConditionScalingLimited, ConditionDraining, ConditionPaused, ConditionTemplateOutdated,
}

// Reasons of any condition.
const (
	// ReasonAsExpected: there is nothing to say; the condition has the status that one wishes for.
	ReasonAsExpected = "AsExpected"
	// ReasonHibernating: there are no pods, since spec.hibernate asks for none.
	ReasonHibernating = "Hibernating"
	// ReasonUnknown: what this is about does not answer.
	ReasonUnknown = "Unknown"
)

// Reasons of Available.
const (
	// ReasonServing: sessions and posts are served. True.
	ReasonServing = "Serving"
	// ReasonNoShards: no shard is ready. False.
	ReasonNoShards = "NoShards"
	// ReasonNoQuorum: fewer than a majority of the stores are ready; sessions stay, posts are refused. False. Of StoreHealthy as well.
	ReasonNoQuorum = "NoQuorum"
)

// Reasons of Progressing. Where several hold, the one that is listed first counts.
const (
	// ReasonWaiting: something has to be put right by somebody else first; Degraded says what. False.
	ReasonWaiting = "Waiting"
	// ReasonCreating: the fleet starts for the first time. True.
	ReasonCreating = "Creating"
	// ReasonWaking: the fleet starts after hibernation. True.
	ReasonWaking = "Waking"
	// ReasonGoingToSleep: the fleet is on its way into hibernation. True.
	ReasonGoingToSleep = "GoingToSleep"
	// ReasonRollingOut: pods get a new revision. True.
	ReasonRollingOut = "RollingOut"
	// ReasonUpdatePaused: a new revision waits for spec.update.paused to become false. False.
	ReasonUpdatePaused = "UpdatePaused"
	// ReasonScaling: shards or stores become more or fewer. True. Of Draining as well.
	ReasonScaling = "Scaling"
	// ReasonRebalancing: sessions move to shards that have few. True.
	ReasonRebalancing = "Rebalancing"
	// ReasonGrowingVolumes: volumes are being made larger. True.
	ReasonGrowingVolumes = "GrowingVolumes"
	// ReasonRotatingCredentials: credentials are being replaced. True.
	ReasonRotatingCredentials = "RotatingCredentials"
)

// Reasons of Degraded.
const (
	// ReasonInvalidTemplate: an overlay in spec.template is refused; nothing has been touched.
	ReasonInvalidTemplate = "InvalidTemplate"
	// ReasonInvalidReference: a Secret that spec names is missing, or does not hold what it should.
	ReasonInvalidReference = "InvalidReference"
	// ReasonNoIssuer: nobody can sign in, since spec.access.issuers is empty.
	ReasonNoIssuer = "NoIssuer"
	// ReasonBadRevision: the first pod of a new revision does not become ready; the others keep the one of before.
	ReasonBadRevision = "BadRevision"
	// ReasonStoreNodeLost: a store's node is gone. Whether it comes back only people know: mark it with the taint
	// node.kubernetes.io/out-of-service if it does not.
	ReasonStoreNodeLost = "StoreNodeLost"
	// ReasonPodsFailing: pods do not run, or do not become ready.
	ReasonPodsFailing = "PodsFailing"
)

// Reasons of StoreHealthy.
const (
	// ReasonAllCurrent: all stores are ready and every group of replicas is current. True.
	ReasonAllCurrent = "AllCurrent"
	// ReasonStoreDown: a store is not ready; the others have a quorum. False.
	ReasonStoreDown = "StoreDown"
	// ReasonCatchingUp: a group of replicas is not current. False.
	ReasonCatchingUp = "CatchingUp"
)

// Reasons of StoragePressure.
const (
	// ReasonVolumeFull: a store's volume is in use to its limit, and the fleet refuses what makes logs grow. True.
	ReasonVolumeFull = "VolumeFull"
	// ReasonVolumeFilling: a store's volume is within 10 points of that. True.
	ReasonVolumeFilling = "VolumeFilling"
	// ReasonVolumeCannotGrow: the storage class does not grow volumes. True.
	ReasonVolumeCannotGrow = "VolumeCannotGrow"
)

// Reasons of ScalingLimited.
const (
	// ReasonUnschedulable: no node takes a pod that there is to be. True.
	ReasonUnschedulable = "Unschedulable"
	// ReasonForbidden: the API server refuses to make a pod: a quota, or an admission policy. True.
	ReasonForbidden = "Forbidden"
)

// Reasons of Draining, besides ReasonScaling and ReasonRollingOut.
const (
	// ReasonEviction: a shard's pod was evicted or deleted. True.
	ReasonEviction = "Eviction"
)

// Reasons of Paused.
const (
	// ReasonPausedBySpec: spec.paused is set. True.
	ReasonPausedBySpec = "PausedBySpec"
)

// Reasons of TemplateOutdated.
const (
	// ReasonOperatorChanged: this version of the operator makes other pods. True.
	ReasonOperatorChanged = "OperatorChanged"
)
