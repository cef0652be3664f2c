package render

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/chatfleet/chatfleet/api/v1alpha1"
)

// Inputs are what a user has said of a role's pods, and no more: not what the operator makes of it. As long as they are the same, pods stay as they
// are, whatever a new version of the operator would render. What is not in here goes with the next change of something that is: the pull
// policy, the pace and the time of a drain (the operator tells shards itself), the pods' labels.
//
// Fields are only ever added, with omitempty: a field that is not used must not change the revision of a fleet that there is.
type Inputs struct {
	Image       string                   `json:"image"`
	PullSecrets []v1alpha1.SecretName    `json:"pullSecrets,omitempty"`
	Region      string                   `json:"region"`
	Partitions  int32                    `json:"partitions"`
	Stores      int32                    `json:"stores"`
	Resources   v1alpha1.Resources       `json:"resources,omitzero"`
	Topology    v1alpha1.TopologySpec    `json:"topology"`
	ForTests    bool                     `json:"forTests,omitempty"`
	Overlay     json.RawMessage          `json:"overlay,omitempty"`
	Issuers     []v1alpha1.TokenIssuer   `json:"issuers,omitempty"`
	ClientTLS   string                   `json:"clientTLS,omitempty"`
	Durability  v1alpha1.Durability      `json:"durability,omitempty"`
	Retention   *v1alpha1.StoreRetention `json:"retention,omitempty"`
}

// ShardInputs are those of shards.
func ShardInputs(c *v1alpha1.ChatCluster) Inputs {
	in := common(c)
	in.Resources, in.Overlay = c.Spec.Shards.Resources, canonical(raw(c.Spec.Template.Shard))
	in.Issuers, in.ClientTLS = c.Spec.Access.Issuers, ClientTLSSecret(c)
	return in
}

// StoreInputs are those of stores.
func StoreInputs(c *v1alpha1.ChatCluster) Inputs {
	in := common(c)
	in.Resources, in.Overlay = c.Spec.Store.Resources, canonical(raw(c.Spec.Template.Store))
	in.Durability = c.Spec.Store.Durability
	if r := c.Spec.Store.Retention; r.MaxAgeSeconds != 0 || r.MaxBytes != nil {
		in.Retention = &r
	}
	return in
}

func common(c *v1alpha1.ChatCluster) Inputs {
	s := c.Spec
	return Inputs{
		Image: s.Image, PullSecrets: s.ImagePullSecrets, Region: s.Region, Partitions: s.Partitions, Stores: s.Store.Replicas, Topology: s.Topology,
		ForTests: ForTests(c),
	}
}

// Revision is the name of inputs: ten hexadecimal digits that other inputs have as good as never.
func (in Inputs) Revision() string {
	text, err := json.Marshal(in)
	if err != nil {
		panic(fmt.Sprintf("inputs that JSON cannot hold: %v", err)) // they came from JSON
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:5])
}

func raw(overlay *runtime.RawExtension) []byte {
	if overlay == nil {
		return nil
	}
	return overlay.Raw
}

// canonical is a JSON text without the differences that mean nothing: order of keys, white space.
func canonical(text []byte) json.RawMessage {
	if len(text) == 0 {
		return nil
	}
	var value any
	if json.Unmarshal(text, &value) != nil {
		return json.RawMessage(fmt.Sprintf("%q", text)) // refused elsewhere
	}
	out, _ := json.Marshal(value) // it came from JSON
	if string(out) == "{}" || string(out) == "null" {
		return nil
	}
	return out
}
