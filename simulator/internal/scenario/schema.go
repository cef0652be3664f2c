package scenario

import _ "embed"

//go:generate go test -run TestSchemaIsThatOfTheTypes -update .

//go:embed schema.json
var schema []byte

// Schema returns the JSON Schema (draft 2020-12) of a scenario. It knows the structure; what fields may not say together only
// Load knows.
func Schema() []byte { return append([]byte(nil), schema...) }
