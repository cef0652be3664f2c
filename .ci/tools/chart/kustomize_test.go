package chart

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// kustomize is what `kubectl kustomize config/…` prints.
func kustomize(t *testing.T, dir string) manifests {
	t.Helper()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(project, "config", dir))
	if err != nil {
		t.Fatal(err)
	}
	text, err := built.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	all, err := read(text)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestKustomize: config/default installs what the chart installs with its default values; all but the labels that say who installed it, and
// the namespace, which Helm makes itself.
func TestKustomize(t *testing.T) {
	chart, plain := plainly(t, render(t)), map[string]string{}
	for name, content := range plainly(t, kustomize(t, "default")) {
		if !strings.HasPrefix(name, "Namespace ") {
			plain[name] = content
		}
	}
	for _, name := range slices.Sorted(maps.Keys(chart)) {
		if chart[name] != plain[name] {
			t.Errorf("%s: the chart has\n%s\nand config/default\n%s", name, chart[name], plain[name])
		}
		delete(plain, name)
	}
	for name := range plain {
		t.Errorf("only config/default has %s", name)
	}
}

// plainly is objects as text, by kind and name, without what says who installed them.
func plainly(t *testing.T, all manifests) map[string]string {
	t.Helper()
	plain := map[string]string{}
	for _, o := range all {
		labelled, annotated := maps.Clone(o.GetLabels()), maps.Clone(o.GetAnnotations())
		for _, key := range []string{"app.kubernetes.io/managed-by", "app.kubernetes.io/version", "helm.sh/chart"} {
			delete(labelled, key)
		}
		if _, ok := o.(*apiextensionsv1.CustomResourceDefinition); ok {
			delete(labelled, "app.kubernetes.io/part-of") // config/crd is generated, and has no labels
		}
		delete(annotated, "helm.sh/resource-policy")
		o.SetLabels(labelled)
		o.SetAnnotations(annotated)
		text, err := json.MarshalIndent(o, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		plain[id(o)] = string(text)
	}
	return plain
}

// TestNamespace: the one that kustomize makes takes restricted pods alone.
func TestNamespace(t *testing.T) {
	if got := the[*corev1.Namespace](t, kustomize(t, "default")).Labels["pod-security.kubernetes.io/enforce"]; got != "restricted" {
		t.Errorf("it enforces %q", got)
	}
}

// TestCertManager: config/rbac/cert_manager.yaml grants what certManager.enabled adds to the operator's role.
func TestCertManager(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(project, "config", "rbac", "cert_manager.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	all, err := read(text)
	if err != nil {
		t.Fatal(err)
	}
	with := roles(render(t, "certManager: {enabled: true}"))["ClusterRole /chatfleet-operator"]
	without := roles(render(t))["ClusterRole /chatfleet-operator"]
	if len(with) != len(without)+1 {
		t.Fatalf("certManager.enabled adds %d rules", len(with)-len(without))
	}
	if got, want := the[*rbacv1.ClusterRole](t, all).Rules, with[len(without):]; !sameJSON(t, got, want) {
		t.Errorf("cert_manager.yaml has %v, the chart %v", got, want)
	}
}

// TestDefinition: the chart has config/crd's definition, and it outlives the release unless values say otherwise.
func TestDefinition(t *testing.T) {
	file := "chatfleet.io_chatclusters.yaml"
	want, err := os.ReadFile(filepath.Join(project, "config", "crd", file))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(chartDir, "files", "crd", file)); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the chart's files/crd/%s is not that of config/crd: run `make generate-api` (%v)", file, err)
	}
	files, err := filepath.Glob(filepath.Join(project, "config", "crd", "chatfleet.io_*.yaml"))
	if err != nil || len(files) != len(of[*apiextensionsv1.CustomResourceDefinition](render(t))) {
		t.Errorf("config/crd has %v, and the chart installs another number of definitions (%v)", files, err)
	}
	plain, err := read(want)
	if err != nil {
		t.Fatal(err)
	}
	for values, keep := range map[string]string{"{}": "keep", "crds: {keep: false}": ""} {
		got := the[*apiextensionsv1.CustomResourceDefinition](t, render(t, values))
		if policy := got.Annotations["helm.sh/resource-policy"]; policy != keep {
			t.Errorf("%s: the policy is %q, not %q", values, policy, keep)
		}
		was := the[*apiextensionsv1.CustomResourceDefinition](t, plain)
		if key := "controller-gen.kubebuilder.io/version"; got.Annotations[key] != was.Annotations[key] {
			t.Errorf("%s: the annotations are %v", values, got.Annotations)
		}
		if !sameJSON(t, got.Spec, was.Spec) {
			t.Errorf("%s: the specification is not that of config/crd", values)
		}
	}
	if n := len(of[*apiextensionsv1.CustomResourceDefinition](render(t, "crds: {install: false}"))); n != 0 {
		t.Errorf("crds.install is off, and there are %d definitions", n)
	}
}

func sameJSON(t *testing.T, a, b any) bool {
	t.Helper()
	one, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	other, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Equal(one, other)
}
