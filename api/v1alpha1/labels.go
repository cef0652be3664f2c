package v1alpha1

// Labels and annotations that the operator and its users agree on.
const (
	// LabelPurpose on a ChatCluster says what it is for. PurposeTest opens what simulations need: users that the operator signs tokens for, chatd's
	// fault port, and LoadRuns that break things.
	LabelPurpose = GroupName + "/purpose"
	// PurposeTest is the one value of LabelPurpose that means something.
	PurposeTest = "test"

	// LabelCluster on everything that belongs to a ChatCluster names it.
	LabelCluster = GroupName + "/cluster"
	// LabelRole on pods and what belongs to one role says which: RoleStore or RoleShard.
	LabelRole = GroupName + "/role"
	// LabelRevision on pods names the kept template that they were made from.
	LabelRevision = GroupName + "/revision"

	// AnnotationDrain on a shard's pod marks it as one that leaves: since when, in RFC 3339. It can be taken off until the pod is deleted.
	AnnotationDrain = GroupName + "/drain-since"
	// AnnotationDrainCause says why: ScaleIn, RollOut, Hibernation.
	AnnotationDrainCause = GroupName + "/drain-cause"
)

// The roles of members.
const (
	RoleStore = "store"
	RoleShard = "shard"
)

// ChatdContainer is the name of the container that chatd runs in, which overlays in spec.template refer to.
const ChatdContainer = "chatd"
