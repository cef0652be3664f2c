package planning

import "encoding/json"

// Parse reads a plan that was written as JSON; ok is false if it is no plan.
func Parse(data []byte) (p Plan, ok bool) {
	var head struct {
		Schema string `json:"schema"`
	}
	if json.Unmarshal(data, &head) != nil || head.Schema != Schema {
		return Plan{}, false
	}
	return p, json.Unmarshal(data, &p) == nil
}
