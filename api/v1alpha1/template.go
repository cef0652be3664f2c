package v1alpha1

import "k8s.io/apimachinery/pkg/runtime"

// TemplateSpec is for all else of the pods. An overlay adds to what the operator has made, or changes it; it removes nothing.
//
// The schema of overlays is that of any object, since a whole pod template would be larger than a CustomResourceDefinition may be. The operator
// checks them, before it touches anything.
type TemplateSpec struct {
	// store is laid over the template of the stores' pods: a PodTemplateSpec (metadata, spec), by strategic merge, so containers are
	// matched by name (chatd is the one that there is). Fields that do not exist, what the operator owns and what breaks the restricted pod
	// security profile are refused: the condition Degraded says where, and nothing is touched. A change restarts the stores one by one.
	// +optional
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	Store *runtime.RawExtension `json:"store,omitempty"`

	// shard is laid over the template of the shards' pods, in the same way. A change is rolled out, each shard after a drain.
	// +optional
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	Shard *runtime.RawExtension `json:"shard,omitempty"`
}
