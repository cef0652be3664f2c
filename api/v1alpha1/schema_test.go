package v1alpha1_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	crdvalidation "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/model"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/common"
	"sigs.k8s.io/yaml"
)

const crdFile = "../../config/crd/chatfleet.io_chatclusters.yaml"

// apiServer checks resources by config/crd as an API server does, with the API server's own parts, in its order.
type apiServer struct {
	crd        *apiextensionsv1.CustomResourceDefinition
	internal   *apiextensions.CustomResourceDefinition
	schema     *apiextensions.JSONSchemaProps
	structural *schema.Structural
	values     validation.SchemaValidator
	rules      *cel.Validator
}

// server is made once: compiling the rules takes half a second.
var server = sync.OnceValues(func() (*apiServer, error) {
	raw, err := os.ReadFile(crdFile)
	if err != nil {
		return nil, err
	}
	s := &apiServer{crd: &apiextensionsv1.CustomResourceDefinition{}, internal: &apiextensions.CustomResourceDefinition{}}
	if err := yaml.UnmarshalStrict(raw, s.crd); err != nil {
		return nil, err
	}
	defaulted := s.crd.DeepCopy()
	apiextensionsv1.SetObjectDefaults_CustomResourceDefinition(defaulted)
	defaulted.Status.StoredVersions = []string{"v1alpha1"}
	if err := apiextensionsv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition(defaulted, s.internal, nil); err != nil {
		return nil, err
	}
	version, err := apiextensions.GetSchemaForVersion(s.internal, "v1alpha1")
	if err != nil {
		return nil, err
	}
	s.schema = version.OpenAPIV3Schema
	if s.structural, err = schema.NewStructural(s.schema); err != nil {
		return nil, err
	}
	if s.values, _, err = validation.NewSchemaValidator(s.schema); err != nil {
		return nil, err
	}
	s.rules = cel.NewValidator(s.structural, true, celconfig.PerCallLimit)
	return s, nil
})

func theServer(t testing.TB) *apiServer {
	t.Helper()
	s, err := server()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// accepted says whether an API server takes the CustomResourceDefinition; the costs of its rules are a part of that.
func (s *apiServer) accepted() field.ErrorList {
	return crdvalidation.ValidateCustomResourceDefinition(context.Background(), s.internal)
}

// admit drops fields that there are not, fills in defaults, and checks what is created, or what takes the place of old. It tells unknown fields
// as kubectl does.
func (s *apiServer) admit(old, object map[string]any) field.ErrorList {
	var errs field.ErrorList
	for _, path := range pruning.PruneWithOptions(object, s.structural, true, schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}) {
		errs = append(errs, field.Invalid(field.NewPath(path), nil, "unknown field"))
	}
	defaulting.Default(object, s.structural)
	if old == nil {
		errs = append(errs, validation.ValidateCustomResource(nil, object, s.values)...)
		errs = append(errs, listtype.ValidateListSetsAndMaps(nil, s.structural, object)...)
		if !blocking(errs) {
			more, _ := s.rules.Validate(context.Background(), nil, s.structural, object, nil, celconfig.RuntimeCELCostBudget)
			errs = append(errs, more...)
		}
		return errs
	}
	ratchet := common.NewCorrelatedObject(object, old, &model.Structural{Structural: s.structural})
	errs = append(errs, validation.ValidateCustomResourceUpdate(nil, object, old, s.values, validation.WithRatcheting(ratchet))...)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, s.structural, object)...)
	if !blocking(errs) {
		more, _ := s.rules.Validate(context.Background(), nil, s.structural, object, old, celconfig.RuntimeCELCostBudget, cel.WithRatcheting(ratchet))
		errs = append(errs, more...)
	}
	return errs
}

// blocking says that rules are not looked at, since the object has not even the right shape.
func blocking(errs field.ErrorList) bool {
	for _, err := range errs {
		switch err.Type {
		case field.ErrorTypeNotSupported, field.ErrorTypeRequired, field.ErrorTypeTooLong, field.ErrorTypeTooMany, field.ErrorTypeTypeInvalid:
			return true
		}
	}
	return false
}

// messages of all rules.
func (s *apiServer) messages() map[string]bool {
	all := map[string]bool{}
	s.eachSchema(func(_ string, at apiextensionsv1.JSONSchemaProps) {
		for _, rule := range at.XValidations {
			all[rule.Message] = true
		}
	})
	return all
}

// eachSchema calls f with every part of the schema and where it is, from the outside in.
func (s *apiServer) eachSchema(f func(path string, at apiextensionsv1.JSONSchemaProps)) {
	var walk func(path string, at apiextensionsv1.JSONSchemaProps)
	walk = func(path string, at apiextensionsv1.JSONSchemaProps) {
		f(path, at)
		for name, property := range at.Properties {
			walk(path+"."+name, property)
		}
		if at.Items != nil {
			walk(path+"[]", *at.Items.Schema)
		}
		if at.AdditionalProperties != nil && at.AdditionalProperties.Schema != nil {
			walk(path+"{}", *at.AdditionalProperties.Schema)
		}
	}
	walk("", *s.crd.Spec.Versions[0].Schema.OpenAPIV3Schema)
}

// objectOf reads YAML as the API server does: whole numbers are int64.
func objectOf(t testing.TB, text string) map[string]any {
	t.Helper()
	var object map[string]any
	raw, err := yaml.YAMLToJSONStrict([]byte(text))
	if err == nil {
		err = utiljson.Unmarshal(raw, &object)
	}
	if err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	return object
}

// documents of a YAML file.
func documents(t testing.TB, path string) []map[string]any {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []map[string]any
	for doc := range bytes.SplitSeq(raw, []byte("\n---\n")) {
		all = append(all, objectOf(t, string(doc)))
	}
	return all
}

// patched is a copy of object with a merge patch (RFC 7386) in YAML.
func patched(t testing.TB, object map[string]any, patch string) map[string]any {
	t.Helper()
	object = runtime.DeepCopyJSON(object)
	if strings.TrimSpace(patch) == "" {
		return object
	}
	return merge(object, objectOf(t, patch))
}

func merge(object, patch map[string]any) map[string]any {
	for key, value := range patch {
		section, isSection := value.(map[string]any)
		below, has := object[key].(map[string]any)
		switch {
		case value == nil:
			delete(object, key)
		case isSection && has:
			object[key] = merge(below, section)
		default:
			object[key] = value
		}
	}
	return object
}

func lines(errs field.ErrorList) string {
	var b strings.Builder
	for _, err := range errs {
		fmt.Fprintf(&b, "\n  %v", err)
	}
	return b.String()
}
