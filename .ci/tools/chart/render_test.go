package chart

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	v2 "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"

	"sigs.k8s.io/yaml"
)

var (
	project  = filepath.Join("..", "..", "..")
	chartDir = filepath.Join(project, "charts", "chatfleet")
)

// The release that most tests look at: that of the README, and of config/default.
var release = common.ReleaseOptions{Name: "chatfleet", Namespace: "chatfleet-system", IsInstall: true, Revision: 1}

var loaded = sync.OnceValues(func() (*v2.Chart, error) { return loader.LoadDir(chartDir) })

// manifests are what a release would install, or kustomize print.
type manifests []object

// render is what Helm makes of the chart with some values, each a piece of YAML; later ones go before earlier ones.
func render(t testing.TB, values ...string) manifests {
	t.Helper()
	files, err := renderFiles(release, values...)
	if err != nil {
		t.Fatalf("values %q: %v", values, err)
	}
	var all manifests
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if strings.HasSuffix(name, ".yaml") {
			objects, err := read([]byte(files[name]))
			if err != nil {
				t.Fatalf("values %q: %s: %v\n%s", values, name, err, files[name])
			}
			all = append(all, objects...)
		}
	}
	return all
}

func renderFiles(release common.ReleaseOptions, values ...string) (map[string]string, error) {
	chart, err := loaded()
	if err != nil {
		return nil, err
	}
	merged := map[string]any{}
	for _, text := range values {
		var v map[string]any
		if err := yaml.Unmarshal([]byte(text), &v); err != nil {
			return nil, fmt.Errorf("values %q: %w", text, err)
		}
		merged = loader.MergeMaps(merged, v)
	}
	top, err := util.ToRenderValues(chart, merged, release, nil)
	if err != nil {
		return nil, err
	}
	return engine.Render(chart, top)
}

// decoder knows Kubernetes' kinds, and refuses fields that these do not have.
var decoder = sync.OnceValue(func() runtime.Decoder {
	known := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, apiextensionsv1.AddToScheme} {
		if err := add(known); err != nil {
			panic(err)
		}
	}
	return serializer.NewCodecFactory(known, serializer.EnableStrict).UniversalDeserializer()
})

// read reads the documents of a YAML file.
func read(text []byte) (all manifests, _ error) {
	for documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text))); ; {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		o, err := readDocument(document)
		if err != nil {
			return nil, err
		}
		if o != nil {
			all = append(all, o.DeepCopyObject().(object))
		}
	}
}

// documents are those that were read before: most releases differ in a few lines, and the definition of ChatClusters is long.
var documents sync.Map

// readDocument is nil for one that is nothing but comments.
func readDocument(text []byte) (object, error) {
	if o, ok := documents.Load(string(text)); ok {
		return o.(object), nil
	}
	var content map[string]any
	if err := yaml.UnmarshalStrict(text, &content); err != nil || len(content) == 0 {
		return nil, err
	}
	decoded, _, err := decoder().Decode(text, nil, nil)
	if runtime.IsNotRegisteredError(err) {
		decoded, err = &unstructured.Unstructured{Object: content}, nil
	}
	if err != nil {
		return nil, err
	}
	documents.Store(string(text), decoded)
	return decoded.(object), nil
}

// of are the objects of one type.
func of[T object](all manifests) (some []T) {
	for _, candidate := range all {
		if o, ok := candidate.(T); ok {
			some = append(some, o)
		}
	}
	return some
}

// the is the object of a type of which there is one.
func the[T object](t testing.TB, all manifests) T {
	t.Helper()
	some := of[T](all)
	if len(some) != 1 {
		var none T
		t.Fatalf("%d objects of type %T, want one", len(some), none)
	}
	return some[0]
}

// id is kind, namespace and name.
func id(o object) string {
	return fmt.Sprintf("%s %s/%s", o.GetObjectKind().GroupVersionKind().Kind, o.GetNamespace(), o.GetName())
}

// object is any Kubernetes object.
type object interface {
	metav1.Object
	runtime.Object
}
