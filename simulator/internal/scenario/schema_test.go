package scenario

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/invopop/jsonschema"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/verdict"
)

var update = flag.Bool("update", false, "write what is generated instead of comparing it")

const (
	module     = "github.com/chatfleet/chatfleet"
	schemaFile = "schema.json"
)

// The schema is generated from the types, their comments and tags, and the metrics; a change of these without
// `go generate ./simulator/internal/scenario` fails here.
func TestSchemaIsThatOfTheTypes(t *testing.T) {
	want := generateSchema(t)
	if *update {
		if err := os.WriteFile(schemaFile, want, 0o644); err != nil { // a source file
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(Schema(), want) {
		t.Errorf("%s is not up to date: go generate ./simulator/internal/scenario", schemaFile)
	}
}

func generateSchema(t *testing.T) []byte {
	t.Helper()
	r := &jsonschema.Reflector{RequiredFromJSONSchemaTags: true, Mapper: schemaOfText}
	func() {
		// The generator finds packages by their path from here.
		here, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chdir("../../.."); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = os.Chdir(here) }()
		if err := r.AddGoComments(module, "./api/scenario/v1alpha1", jsonschema.WithFullComment()); err != nil {
			t.Fatal(err)
		}
	}()
	for key, comment := range r.CommentMap {
		r.CommentMap[key] = strings.Join(strings.Fields(comment), " ")
	}
	s := r.Reflect(&v1alpha1.Scenario{})
	s.ID = "https://" + module + "/scenario/v1alpha1"
	s.Title = "chatfleet scenario"
	metric, ok := s.Definitions["Threshold"].Properties.Get("metric")
	if !ok {
		t.Fatal("thresholds have no metric")
	}
	describeMetrics(metric)
	out, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(out, '\n')
}

func describeMetrics(s *jsonschema.Schema) {
	s.Description = "What is bounded. What was posted in the warm-up is not in it."
	for _, m := range verdict.Metrics() {
		help := fmt.Sprintf("%s (a %s", m.Help, m.Unit)
		if m.Aggregation != "" {
			help += "; " + m.Aggregation + " where no aggregation is given"
		}
		s.OneOf = append(s.OneOf, &jsonschema.Schema{Const: m.Name, Description: help + ")"})
	}
}

// schemaOfText gives the schemas of the types that read themselves.
func schemaOfText(t reflect.Type) *jsonschema.Schema {
	text := func(pattern, description string) *jsonschema.Schema {
		return &jsonschema.Schema{Type: "string", Pattern: pattern, Description: description}
	}
	const (
		duration = `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`
		size     = `^[0-9]+(B|kB|MB|GB|KiB|MiB|GiB)?$`
	)
	whole := &jsonschema.Schema{Type: "integer", Minimum: "0"}
	switch t {
	case reflect.TypeFor[v1alpha1.Duration]():
		return text(duration, "")
	case reflect.TypeFor[v1alpha1.Step]():
		return text("^[+-]?"+strings.TrimPrefix(duration, "^"), "")
	case reflect.TypeFor[v1alpha1.Size]():
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{whole, text(size, "")}}
	case reflect.TypeFor[v1alpha1.WorkerCount]():
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{{Const: "auto"}, {Type: "integer", Minimum: "1", Maximum: "256"}}}
	case reflect.TypeFor[v1alpha1.Bound]():
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{
			{Type: "number", Minimum: "0"},
			text(duration, "a time"),
			text(size, "a size, or a number in quotes"),
		}}
	}
	return nil
}

func TestSchemaDescribesEveryField(t *testing.T) {
	var s struct {
		Defs map[string]struct {
			Properties           map[string]map[string]any
			AdditionalProperties any
		} `json:"$defs"`
	}
	if err := json.Unmarshal(Schema(), &s); err != nil {
		t.Fatal(err)
	}
	if len(s.Defs) < 10 {
		t.Fatalf("%d definitions", len(s.Defs))
	}
	for name, def := range s.Defs {
		if def.AdditionalProperties != false {
			t.Errorf("%s allows unknown keys", name)
		}
		for key, property := range def.Properties {
			if text, _ := property["description"].(string); text == "" {
				t.Errorf("%s.%s has no description", name, key)
			}
		}
	}
}
