package v1alpha1_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/chatfleet/chatfleet/api/v1alpha1"
)

func TestAPIServersTakeTheDefinition(t *testing.T) {
	if errs := theServer(t).accepted(); len(errs) > 0 {
		t.Errorf("an API server refuses %s:%s", crdFile, lines(errs))
	}
}

func TestTheDefinitionIsSmall(t *testing.T) {
	info, err := os.Stat(crdFile)
	if err != nil {
		t.Fatal(err)
	}
	// 256 KiB is what kubectl apply can note of an object in an annotation. Half of it leaves room for fields to come.
	if info.Size() > 128<<10 {
		t.Errorf("%s has %d bytes", crdFile, info.Size())
	}
}

func TestEveryFieldIsExplained(t *testing.T) {
	fields := 0
	theServer(t).eachSchema(func(path string, at apiextensionsv1.JSONSchemaProps) {
		name := path[strings.LastIndexByte(path, '.')+1:]
		if path == "" || path == ".metadata" || strings.HasSuffix(name, "]") || strings.HasSuffix(name, "}") {
			return
		}
		fields++
		switch {
		case at.Description == "":
			t.Errorf("kubectl explain says nothing of %s", path)
		case strings.HasPrefix(path, ".spec.") && !strings.HasPrefix(at.Description, name):
			t.Errorf("the text of %s does not begin with its name: %q", path, at.Description)
		case at.Default != nil && string(at.Default.Raw) != "{}" && !strings.Contains(strings.ToLower(at.Description), "default"):
			t.Errorf("the text of %s does not tell its default: %q", path, at.Description)
		}
	})
	if fields < 80 {
		t.Errorf("only %d fields were found", fields)
	}
}

func TestWhatKubectlShows(t *testing.T) {
	crd := theServer(t).crd
	version := crd.Spec.Versions[0]
	var columns []string
	for _, c := range version.AdditionalPrinterColumns {
		columns = append(columns, c.Name)
	}
	if got := strings.Join(columns, " "); got != "Shards Ready Updated Draining Sessions Store Available Age" {
		t.Errorf("columns: %s", got)
	}
	if scale := version.Subresources.Scale; scale.SpecReplicasPath != ".spec.shards.replicas" || scale.StatusReplicasPath != ".status.shards.replicas" ||
		scale.LabelSelectorPath == nil || *scale.LabelSelectorPath != ".status.selector" {
		t.Errorf("scale: %+v", scale)
	}
	if version.Subresources.Status == nil || !version.Storage || !slices.Contains(crd.Spec.Names.ShortNames, "cc") {
		t.Errorf("status %v, storage %v, short names %v", version.Subresources.Status, version.Storage, crd.Spec.Names.ShortNames)
	}
}

// The kinds that Go knows are those that an API server is told of.
func TestTheSchemeKnowsTheDefinitions(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	names := theServer(t).crd.Spec.Names
	known := slices.Collect(maps.Keys(scheme.KnownTypes(v1alpha1.SchemeGroupVersion)))
	for _, kind := range []string{names.Kind, names.ListKind} {
		if !slices.Contains(known, kind) {
			t.Errorf("the scheme does not know %s", kind)
		}
	}
}

func TestSamplesAreValid(t *testing.T) {
	files, err := filepath.Glob("../../config/samples/chatcluster*.yaml")
	if err != nil || len(files) < 2 {
		t.Fatalf("%d samples, %v", len(files), err)
	}
	for _, file := range files {
		for _, object := range documents(t, file) {
			if errs := theServer(t).admit(nil, object); len(errs) > 0 {
				t.Errorf("%s is refused:%s", file, lines(errs))
			}
		}
	}
}
