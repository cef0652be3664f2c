package chart

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

func unmarshal(t *testing.T, text string, into any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(text), into); err != nil {
		t.Fatal(err)
	}
}

// defaults are the leaves of values.yaml, by their paths.
func defaults(t *testing.T) map[string]any {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(chartDir, "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]any
	unmarshal(t, string(text), &values)
	leaves := map[string]any{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		if m, ok := v.(map[string]any); ok && len(m) > 0 {
			for key, v := range m {
				walk(strings.TrimPrefix(path+"."+key, "."), v)
			}
			return
		}
		leaves[path] = v
	}
	walk("", values)
	return leaves
}

// TestEveryValueHasAnEffect: each path of values.yaml, with another value than its default, and with what it needs besides.
func TestEveryValueHasAnEffect(t *testing.T) {
	others := map[string][]string{
		"nameOverride": {`"x"`}, "fullnameOverride": {`"x"`},
		"image.repository": {"example.com/operator"}, "image.tag": {"v1"}, "image.digest": {"sha256:" + strings.Repeat("a", 64)}, "image.pullPolicy": {"Always"},
		"imagePullSecrets": {"[{name: a}]"}, "replicas": {"2"}, "watchNamespaces": {"[a]"}, "clusterReads": {"false"}, "certManager.enabled": {"true"},
		"crds.install": {"false"}, "crds.keep": {"false"}, "rbac.create": {"false"}, "rbac.aggregate": {"false"},
		"serviceAccount.create": {"false", "serviceAccount: {name: a}"}, "serviceAccount.name": {"a"}, "serviceAccount.annotations": {"{a: b}"},
		"log.level": {"warn"}, "log.format": {"text"}, "concurrency": {"5"},
		"metrics.enabled": {"false"}, "metrics.tlsSecretName": {"a"}, "metrics.readers": {"[{namespace: a, name: b}]"},
		"metrics.serviceMonitor.enabled":         {"true"},
		"metrics.serviceMonitor.interval":        {"1m", "metrics: {serviceMonitor: {enabled: true}}"},
		"metrics.serviceMonitor.labels":          {"{a: b}", "metrics: {serviceMonitor: {enabled: true}}"},
		"metrics.serviceMonitor.tokenSecretName": {"a", "metrics: {serviceMonitor: {enabled: true}}"},
		"networkPolicy.enabled":                  {"true"},
		"networkPolicy.metricsFrom":              {"[{podSelector: {}}]", "networkPolicy: {enabled: true}"},
		"networkPolicy.apiServerPorts":           {"[8443]", "networkPolicy: {enabled: true}"},
		"resources.requests.cpu":                 {"1"}, "resources.requests.memory": {"1Gi"}, "resources.limits.memory": {"1Gi"},
		"podLabels": {"{a: b}"}, "podAnnotations": {"{a: b}"}, "priorityClassName": {"a"}, "nodeSelector": {"{a: b}"},
		"tolerations": {"[{key: a}]"}, "affinity": {"{nodeAffinity: {}}"},
		"topologySpreadConstraints": {"[{maxSkew: 1, topologyKey: a, whenUnsatisfiable: DoNotSchedule}]"},
	}
	for path := range defaults(t) {
		if _, ok := others[path]; !ok {
			t.Errorf("%s is in values.yaml, and this test has no other value for it", path)
		}
	}
	for path, other := range others {
		if _, ok := defaults(t)[path]; !ok {
			t.Errorf("%s is not in values.yaml", path)
		}
		with := strings.Repeat("}", strings.Count(path, "."))
		with = strings.ReplaceAll(path, ".", ": {") + ": " + other[0] + with
		before, err := renderFiles(release, other[1:]...)
		if err != nil {
			t.Fatal(err)
		}
		after, err := renderFiles(release, append([]string{with}, other[1:]...)...)
		if err != nil {
			t.Errorf("%s: %v", with, err)
		} else if maps.Equal(before, after) {
			t.Errorf("%s has no effect", with)
		}
	}
}

// TestRefusedValues: each is refused before anything is rendered, and the message names the place.
func TestRefusedValues(t *testing.T) {
	for values, says := range map[string]string{
		"replica: 2":                                  "additional properties 'replica' not allowed",
		"image: {name: a}":                            "at '/image': additional properties 'name' not allowed",
		"image: {repository: example.com/a:v1}":       "at '/image/repository'",
		"image: {repository: ''}":                     "at '/image/repository'",
		"image: {repository: Example/a}":              "at '/image/repository'",
		"image: {tag: 'a b'}":                         "at '/image/tag'",
		"image: {tag: 1.0}":                           "at '/image/tag': got number, want string",
		"image: {digest: sha256:abc}":                 "at '/image/digest'",
		"image: {pullPolicy: always}":                 "at '/image/pullPolicy': value must be one of 'Always', 'IfNotPresent', 'Never'",
		"image: operator":                             "at '/image': got string, want object",
		"imagePullSecrets: [registry]":                "at '/imagePullSecrets/0': got string, want object",
		"imagePullSecrets: [{}]":                      "at '/imagePullSecrets/0': missing property 'name'",
		"replicas: -1":                                "at '/replicas'",
		"replicas: 2.5":                               "at '/replicas': got number, want integer",
		"replicas: '2'":                               "at '/replicas': got string, want integer",
		"replicas: 50":                                "at '/replicas': maximum",
		"watchNamespaces: chat":                       "at '/watchNamespaces': got string, want array",
		"watchNamespaces: [chat, chat]":               "at '/watchNamespaces': items at 0 and 1 are equal",
		"watchNamespaces: ['*']":                      "at '/watchNamespaces/0'",
		"watchNamespaces: ['']":                       "at '/watchNamespaces/0'",
		"clusterReads: 'no'":                          "at '/clusterReads': got string, want boolean",
		"certManager: {enable: true}":                 "at '/certManager': additional properties 'enable' not allowed",
		"crds: {enabled: false}":                      "at '/crds': additional properties 'enabled' not allowed",
		"rbac: {scope: cluster}":                      "at '/rbac': additional properties 'scope' not allowed",
		"serviceAccount: {create: false}":             "at '/serviceAccount/name'",
		"serviceAccount: {name: A}":                   "at '/serviceAccount/name'",
		"log: {level: trace}":                         "at '/log/level': value must be one of",
		"log: {format: logfmt}":                       "at '/log/format': value must be one of",
		"concurrency: 0":                              "at '/concurrency': minimum",
		"metrics: {secure: false}":                    "at '/metrics': additional properties 'secure' not allowed",
		"metrics: {readers: [{name: a}]}":             "at '/metrics/readers/0': missing property 'namespace'",
		"metrics: {serviceMonitor: {interval: 30}}":   "at '/metrics/serviceMonitor/interval'",
		"metrics: {serviceMonitor: {interval: soon}}": "at '/metrics/serviceMonitor/interval'",
		"metrics: {enabled: false, serviceMonitor: {enabled: true}}": "at '/metrics/enabled': value must be true",
		"networkPolicy: {apiServerPorts: []}":                        "at '/networkPolicy/apiServerPorts': minItems",
		"networkPolicy: {apiServerPorts: [https]}":                   "at '/networkPolicy/apiServerPorts/0'",
		"networkPolicy: {metricsFrom: [{}]}":                         "at '/networkPolicy/metricsFrom/0'",
		"networkPolicy: {metricsFrom: [{cidr: 10.0.0.0/8}]}":         "additional properties 'cidr' not allowed",
		"resources: {limit: {memory: 1Gi}}":                          "at '/resources': additional properties 'limit' not allowed",
		"podLabels: {app.kubernetes.io/name: mine}":                  "at '/podLabels/app.kubernetes.io~1name'",
		"podLabels: {a: 1}":                                          "at '/podLabels/a': got number, want string",
		"nodeSelector: {a: true}":                                    "at '/nodeSelector/a': got boolean, want string",
		"tolerations: [{effect: NoRun}]":                             "at '/tolerations/0/effect'",
		"tolerations: [{keys: a}]":                                   "additional properties 'keys' not allowed",
		"affinity: {podAfinity: {}}":                                 "at '/affinity': additional properties 'podAfinity' not allowed",
		"topologySpreadConstraints: [{topologyKey: a, maxSkew: 1}]":  "missing property 'whenUnsatisfiable'",
		"securityContext: {runAsNonRoot: false}":                     "additional properties 'securityContext' not allowed",
		"fullnameOverride: Operator":                                 "at '/fullnameOverride'",
		"fullnameOverride: " + strings.Repeat("a", 41):               "at '/fullnameOverride'",
	} {
		if _, err := renderFiles(release, values); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: it is not refused with %q: %v", values, says, err)
		}
	}
	// As a part of another chart it gets its parent's global values.
	if _, err := renderFiles(release, "global: {a: b}"); err != nil {
		t.Error(err)
	}
}

// schema is a part of values.schema.json.
type schema struct {
	Ref                  string            `json:"$ref"`
	Comment              string            `json:"$comment"`
	Type                 any               `json:"type"`
	Description          string            `json:"description"`
	Properties           map[string]schema `json:"properties"`
	AdditionalProperties any               `json:"additionalProperties"`
	Items                *schema           `json:"items"`
	Definitions          map[string]schema `json:"definitions"`
}

func readSchema(t *testing.T) schema {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(chartDir, "values.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	var s schema
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSchemaIsStrict: it says what each value is for, and refuses what it does not know; but for labels and the like, where any name is right, and for parts
// of pods that Kubernetes looks at itself.
func TestSchemaIsStrict(t *testing.T) {
	top := readSchema(t)
	var check func(path string, s schema)
	check = func(path string, s schema) {
		if s.Ref != "" {
			s = top.Definitions[strings.TrimPrefix(s.Ref, "#/definitions/")]
		}
		if s.Description == "" && path != "" && !strings.HasSuffix(path, "[]") {
			t.Errorf("%s: no description", path)
		}
		if s.Type == "object" && s.AdditionalProperties != false && s.Comment == "" && path != "global" {
			t.Errorf("%s: takes whatever it is given", path)
		}
		for name, property := range s.Properties {
			check(strings.TrimPrefix(path+"."+name, "."), property)
		}
		if s.Items != nil {
			check(path+"[]", *s.Items)
		}
	}
	check("", top)
}

// TestReadme: its table has each value of values.yaml with its default, and what the schema says of it. -update writes it.
func TestReadme(t *testing.T) {
	const from, to = "<!-- values -->\n", "<!-- end of values -->\n"
	file := filepath.Join(chartDir, "README.md")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), from)
	_, after, foundToo := strings.Cut(rest, to)
	if !found || !foundToo {
		t.Fatalf("%s lacks %q or %q", file, from, to)
	}
	compare(t, file, before+from+table(t)+to+after)
}

func table(t *testing.T) string {
	t.Helper()
	top := readSchema(t)
	var b strings.Builder
	b.WriteString("| value | default | says |\n|---|---|---|\n")
	leaves := defaults(t)
	for _, path := range slices.Sorted(maps.Keys(leaves)) {
		s := top
		for name := range strings.SplitSeq(path, ".") {
			if property, ok := s.Properties[name]; ok {
				s = property
			} else if s.Comment == "" {
				t.Fatalf("%s is not in the schema", path)
			}
		}
		value, err := json.Marshal(leaves[path])
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", path, value, s.Description)
	}
	return b.String()
}
