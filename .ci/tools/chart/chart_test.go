package chart

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// settings are values that others may have to go along with: every two of them are tried together.
var settings = [][]string{
	{"fullnameOverride: other", "nameOverride: x"},
	{"image: {tag: v1}", "image: {digest: sha256:" + strings.Repeat("0", 64) + "}"},
	{"imagePullSecrets: [{name: registry}]"},
	{"replicas: 0", "replicas: 2"},
	{"watchNamespaces: [chat]", "watchNamespaces: [chat, more]"},
	{"clusterReads: false"},
	{"certManager: {enabled: true}"},
	{"crds: {install: false}", "crds: {keep: false}"},
	{"rbac: {create: false}", "rbac: {aggregate: false}"},
	{"serviceAccount: {create: false, name: theirs}", "serviceAccount: {annotations: {a: b}}"},
	{"log: {level: debug, format: text}"},
	{
		"metrics: {enabled: false}", "metrics: {tlsSecretName: metrics-tls}", "metrics: {readers: [{namespace: monitoring, name: prometheus}]}",
		"metrics: {serviceMonitor: {enabled: true}}", "metrics: {serviceMonitor: {enabled: true, tokenSecretName: t, labels: {a: b}}, tlsSecretName: metrics-tls}",
	},
	{"networkPolicy: {enabled: true}", "networkPolicy: {enabled: true, metricsFrom: [{namespaceSelector: {matchLabels: {a: b}}}]}"},
	{"resources: null", "resources: {limits: {cpu: 2}}"},
	{"podLabels: {a: b}"},
	{"podAnnotations: {a: b}"},
	{"priorityClassName: high"},
	{"nodeSelector: {a: b}"},
	{"tolerations: [{key: a, operator: Exists}]"},
	{"affinity: {podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, podAffinityTerm: {topologyKey: a}}]}}"},
	{"topologySpreadConstraints: [{maxSkew: 1, topologyKey: a, whenUnsatisfiable: ScheduleAnyway}]"},
}

func TestEveryTwoSettings(t *testing.T) {
	checkRelease(t, render(t))
	for i, some := range settings {
		for _, one := range some {
			checkRelease(t, render(t, one))
			for _, others := range settings[:i] {
				for _, other := range others {
					t.Run(one+" "+other, func(t *testing.T) { checkRelease(t, render(t, one, other)) })
				}
			}
		}
	}
}

// checkRelease checks all that holds of every release.
func checkRelease(t *testing.T, all manifests) {
	t.Helper()
	seen := map[string]bool{}
	for _, o := range all {
		if seen[id(o)] {
			t.Errorf("%s is there twice", id(o))
		}
		seen[id(o)] = true
		_, crd := o.(*apiextensionsv1.CustomResourceDefinition)
		_, role := o.(*rbacv1.ClusterRole)
		_, binding := o.(*rbacv1.ClusterRoleBinding)
		if free := crd || role || binding; free != (o.GetNamespace() == "") {
			t.Errorf("%s: its namespace is %q", id(o), o.GetNamespace())
		}
		for _, key := range []string{"app.kubernetes.io/part-of", "app.kubernetes.io/version", "app.kubernetes.io/managed-by", "helm.sh/chart"} {
			if o.GetLabels()[key] == "" {
				t.Errorf("%s lacks the label %s", id(o), key)
			}
		}
	}
	checkPods(t, all)
	checkRoles(t, all)
	checkBindings(t, all)
}

// checkPods: they are what a restricted namespace takes, with no place to write, and what selects them does.
func checkPods(t *testing.T, all manifests) {
	t.Helper()
	d := the[*appsv1.Deployment](t, all)
	pod := d.Spec.Template
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	for _, result := range evaluator.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec) {
		if !result.Allowed {
			t.Errorf("a restricted namespace refuses the pod: %s: %s", result.ForbiddenReason, result.ForbiddenDetail)
		}
	}
	c := pod.Spec.Containers[0]
	if read := c.SecurityContext.ReadOnlyRootFilesystem; read == nil || !*read {
		t.Error("the container's root can be written")
	}
	// A Deployment's selector cannot change, so nothing that values or versions say may be in it.
	selector := d.Spec.Selector.MatchLabels
	if want := (map[string]string{"app.kubernetes.io/name": "chatfleet-operator", "app.kubernetes.io/instance": release.Name}); !maps.Equal(selector, want) {
		t.Errorf("the Deployment selects %v, not %v", selector, want)
	}
	selects := func(who object, with map[string]string, labelled map[string]string) {
		t.Helper()
		if !maps.Equal(with, selector) {
			t.Errorf("%s selects %v, and the Deployment %v", id(who), with, selector)
		}
		if !labels.SelectorFromSet(with).Matches(labels.Set(labelled)) {
			t.Errorf("%s selects %v, which these have not: %v", id(who), with, labelled)
		}
	}
	selects(d, selector, pod.Labels)
	for _, s := range of[*corev1.Service](all) {
		selects(s, s.Spec.Selector, pod.Labels)
		if port := s.Spec.Ports[0].TargetPort.String(); !hasPort(c, port) {
			t.Errorf("the Service sends to port %s, which the container has not", port)
		}
	}
	for _, p := range of[*networkingv1.NetworkPolicy](all) {
		selects(p, p.Spec.PodSelector.MatchLabels, pod.Labels)
		for _, rule := range p.Spec.Ingress {
			if port := rule.Ports[0].Port.String(); !hasPort(c, port) {
				t.Errorf("the NetworkPolicy lets in to port %s, which the container has not", port)
			}
		}
	}
	budgets := of[*policyv1.PodDisruptionBudget](all)
	if several := *d.Spec.Replicas > 1; several != (len(budgets) == 1) {
		t.Errorf("%d replicas with %d budgets", *d.Spec.Replicas, len(budgets))
	}
	for _, b := range budgets {
		selects(b, b.Spec.Selector.MatchLabels, pod.Labels)
	}
	for _, m := range of[*unstructured.Unstructured](all) { // a ServiceMonitor
		selector, _, _ := unstructured.NestedStringMap(m.Object, "spec", "selector", "matchLabels")
		selects(m, selector, the[*corev1.Service](t, all).Labels)
	}
	for _, mount := range c.VolumeMounts {
		if !slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == mount.Name }) {
			t.Errorf("nothing is mounted at %s", mount.MountPath)
		}
	}
}

func hasPort(c corev1.Container, name string) bool {
	return slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.Name == name })
}

// checkBindings: who is bound is there, or is somebody else's that values name; and so is what he is bound to.
func checkBindings(t *testing.T, all manifests) {
	t.Helper()
	account := the[*appsv1.Deployment](t, all).Spec.Template.Spec.ServiceAccountName
	for _, a := range of[*corev1.ServiceAccount](all) {
		if a.Name != account {
			t.Errorf("the ServiceAccount is called %s, and the pod's %s", a.Name, account)
		}
	}
	check := func(o object, ref rbacv1.RoleRef, subjects []rbacv1.Subject, reader bool) {
		t.Helper()
		if role := fmt.Sprintf("%s %s/%s", ref.Kind, o.GetNamespace(), ref.Name); !slices.ContainsFunc(all, func(o object) bool { return id(o) == role }) {
			t.Errorf("%s is to a role that is not there: %s", id(o), role)
		}
		want := rbacv1.Subject{Kind: "ServiceAccount", Name: account, Namespace: release.Namespace}
		if reader {
			want = rbacv1.Subject{Kind: "ServiceAccount", Name: "prometheus", Namespace: "monitoring"}
		}
		if len(subjects) != 1 || subjects[0] != want {
			t.Errorf("%s binds %v, not %v", id(o), subjects, want)
		}
	}
	for _, b := range of[*rbacv1.RoleBinding](all) {
		check(b, b.RoleRef, b.Subjects, false)
	}
	for _, b := range of[*rbacv1.ClusterRoleBinding](all) {
		check(b, b.RoleRef, b.Subjects, strings.HasSuffix(b.Name, "-metrics-reader"))
	}
}

func TestLint(t *testing.T) {
	for _, values := range []string{"{}", "watchNamespaces: [chat]", "metrics: {enabled: false}"} {
		var v map[string]any
		unmarshal(t, values, &v)
		result := lint.RunAll(chartDir, v, release.Namespace)
		for _, m := range result.Messages {
			if m.Severity >= support.WarningSev || !strings.Contains(m.Err.Error(), "icon is recommended") {
				t.Errorf("%s: %v", values, m)
			}
		}
	}
}

// TestNothingOfTheCluster: who owns a namespace and nothing else can install the operator for it.
func TestNothingOfTheCluster(t *testing.T) {
	all := render(t, "watchNamespaces: [chatfleet-system]", "clusterReads: false", "metrics: {enabled: false}", "crds: {install: false}", "rbac: {aggregate: false}")
	for _, o := range all {
		if o.GetNamespace() != release.Namespace {
			t.Errorf("%s is outside of the release's namespace", id(o))
		}
	}
}

// TestArguments: what values say reaches the operator.
func TestArguments(t *testing.T) {
	always := []string{"run", "--leader-election-namespace=$(POD_NAMESPACE)", "--probe-address=:8081"}
	for _, tt := range []struct {
		values string
		want   []string
	}{
		{"{}", []string{"--metrics-address=:8443", "--log-level=info", "--log-format=json", "--concurrency=4"}},
		{"watchNamespaces: [chat, more]", []string{"--namespace=chat", "--namespace=more", "--metrics-address=:8443", "--log-level=info", "--log-format=json", "--concurrency=4"}},
		{"log: {level: debug, format: text}", []string{"--metrics-address=:8443", "--log-level=debug", "--log-format=text", "--concurrency=4"}},
		{"concurrency: 16", []string{"--metrics-address=:8443", "--log-level=info", "--log-format=json", "--concurrency=16"}},
		{"clusterReads: false", []string{"--metrics-address=:8443", "--log-level=info", "--log-format=json", "--concurrency=4", "--cluster-reads=false"}},
		{"metrics: {enabled: false, tlsSecretName: t}", []string{"--metrics-address=0", "--log-level=info", "--log-format=json", "--concurrency=4"}},
		{"metrics: {tlsSecretName: t}", []string{"--metrics-address=:8443", "--metrics-tls-directory=/etc/chatfleet/metrics-tls", "--log-level=info", "--log-format=json", "--concurrency=4"}},
	} {
		pod := the[*appsv1.Deployment](t, render(t, tt.values)).Spec.Template.Spec
		got := slices.Clone(pod.Containers[0].Args)
		want := slices.Concat(always, tt.want)
		if got[0] != "run" {
			t.Errorf("%s: the first argument is %q", tt.values, got[0])
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: arguments\n%q, want\n%q", tt.values, got, want)
		}
	}
}

// TestOperatorTakesArguments: the program of this checkout knows every flag that the chart gives it, and takes its value.
func TestOperatorTakesArguments(t *testing.T) {
	program := filepath.Join(t.TempDir(), "operator")
	if out, err := exec.Command("go", "build", "-C", project, "-o", program, "./operator").CombinedOutput(); err != nil {
		t.Fatalf("go build ./operator: %v\n%s", err, out)
	}
	for _, values := range []string{
		"{}", "{watchNamespaces: [chat, more], clusterReads: false, metrics: {tlsSecretName: t}, log: {level: debug, format: text}}", "metrics: {enabled: false}",
	} {
		args := the[*appsv1.Deployment](t, render(t, values)).Spec.Template.Spec.Containers[0].Args
		// --help comes last: what is before it is read, and refused if it is unknown.
		if out, err := exec.Command(program, append(args, "--help")...).CombinedOutput(); err != nil {
			t.Errorf("operator %q: %v\n%s", args, err, out)
		}
	}
}

// TestNetworkPolicy: the operator reaches the admin ports of fleets, the API server and the cluster's DNS, and nothing else.
func TestNetworkPolicy(t *testing.T) {
	names, err := os.ReadFile(filepath.Join(project, "operator", "internal", "render", "names.go"))
	if err != nil {
		t.Fatal(err)
	}
	admin := regexp.MustCompile(`PortAdmin\s+= (\d+)`).FindSubmatch(names)
	if admin == nil {
		t.Fatal("operator/internal/render/names.go does not say what the admin port is")
	}
	var got []string
	for _, rule := range the[*networkingv1.NetworkPolicy](t, render(t, "networkPolicy: {enabled: true, apiServerPorts: [8443, 6444]}")).Spec.Egress {
		to := "anybody"
		if len(rule.To) > 0 {
			to = metav1.FormatLabelSelector(rule.To[0].PodSelector)
		}
		for _, p := range rule.Ports {
			got = append(got, fmt.Sprintf("%s %s to %s", *p.Protocol, p.Port, to))
		}
	}
	want := []string{"UDP 53 to anybody", "TCP 53 to anybody", "TCP 8443 to anybody", "TCP 6444 to anybody", fmt.Sprintf("TCP %s to chatfleet.io/cluster", admin[1])}
	if !slices.Equal(got, want) {
		t.Errorf("it may speak to %q, want %q", got, want)
	}
}

// TestNames: releases of other names, and of long ones, give names that Kubernetes takes.
func TestNames(t *testing.T) {
	for name, want := range map[string]string{
		"chatfleet": "chatfleet-operator", "eu": "eu-chatfleet-operator", "chatfleet-eu": "chatfleet-eu-operator",
		strings.Repeat("a", 53): strings.Repeat("a", 40) + "-operator", "chatfleet" + strings.Repeat("a", 44): "chatfleet" + strings.Repeat("a", 31) + "-operator",
	} {
		r := release
		r.Name = name
		files, err := renderFiles(r)
		if err != nil {
			t.Fatal(err)
		}
		all, err := read([]byte(files["chatfleet/templates/deployment.yaml"]))
		if err != nil {
			t.Fatal(err)
		}
		if got := all[0].GetName(); got != want {
			t.Errorf("release %s: the Deployment is called %s, not %s", name, got, want)
		}
	}
}

// TestNotes: they name the objects that there are, and warn of what values give up.
func TestNotes(t *testing.T) {
	for values, says := range map[string][]string{
		"{}":                      {"all namespaces", "rollout status deployment/chatfleet-operator", "kubectl apply --namespace chat -f config/samples/chatcluster.yaml"},
		"watchNamespaces: [a, b]": {"in a, b", "kubectl apply --namespace a "},
		"rbac: {create: false}":   {"rbac.create is off", "ServiceAccount chatfleet-operator"},
		"clusterReads: false":     {"clusterReads is off"},
		"crds: {keep: false}":     {"crds.keep is off"},
		"fullnameOverride: other": {"deployment/other-operator"},
	} {
		files, err := renderFiles(release, values)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range says {
			if notes := files["chatfleet/templates/NOTES.txt"]; !strings.Contains(notes, part) {
				t.Errorf("%s: the notes do not say %q:\n%s", values, part, notes)
			}
		}
	}
}
