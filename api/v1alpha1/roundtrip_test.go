package v1alpha1_test

import (
	"encoding/json"
	"math/rand"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apimachinery/pkg/api/apitesting/fuzzer"
	"k8s.io/apimachinery/pkg/api/equality"
	metafuzzer "k8s.io/apimachinery/pkg/apis/meta/fuzzer"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/randfill"

	"github.com/chatfleet/chatfleet/api/v1alpha1"
)

// Whatever a ChatCluster holds comes through JSON, the converter of dynamic clients, a copy, and the schema, which knows each of its fields. So a
// field that is new in Go and has not been generated fails here.
func TestRoundTrip(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	overlays := func(serializer.CodecFactory) []any {
		return []any{func(e *runtime.RawExtension, c randfill.Continue) {
			raw, _ := json.Marshal(map[string]any{"metadata": map[string]any{"name": c.String(0)}})
			e.Raw = raw
		}}
	}
	fill := fuzzer.FuzzerFor(fuzzer.MergeFuzzerFuncs(metafuzzer.Funcs, overlays), rand.NewSource(6), serializer.NewCodecFactory(scheme)).NilChance(0.2)
	structural := theServer(t).structural
	for range 200 {
		c := &v1alpha1.ChatCluster{}
		fill.Fill(c)
		c.SetGroupVersionKind(v1alpha1.SchemeGroupVersion.WithKind("ChatCluster"))

		raw, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		decoded := &v1alpha1.ChatCluster{}
		if strict, err := kjson.UnmarshalStrict(raw, decoded); err != nil || len(strict) > 0 {
			t.Fatalf("%v %v in %s", err, strict, raw)
		}
		if !equality.Semantic.DeepEqual(c, decoded) {
			t.Fatalf("from JSON:\n%+v\nof:\n%+v", decoded, c)
		}

		object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(c)
		if err != nil {
			t.Fatal(err)
		}
		if raw2, _ := json.Marshal(object); !sameJSON(t, raw, raw2) {
			t.Fatalf("JSON:\n%s\nthe converter's:\n%s", raw, raw2)
		}
		if unknown := pruning.PruneWithOptions(object, structural, true, schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}); len(unknown) > 0 {
			t.Fatalf("the schema does not know %v: run `make generate-api`", unknown)
		}

		copied := c.DeepCopy()
		if !equality.Semantic.DeepEqual(c, copied) {
			t.Fatalf("copy:\n%+v\nof:\n%+v", copied, c)
		}
		fill.Fill(copied)
		if again, _ := json.Marshal(c); string(again) != string(raw) {
			t.Fatal("a change of the copy has changed what it is a copy of")
		}
	}
}

func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	var left, right any
	if json.Unmarshal(a, &left) != nil || json.Unmarshal(b, &right) != nil {
		t.Fatalf("no JSON: %s or %s", a, b)
	}
	return equality.Semantic.DeepEqual(left, right)
}
