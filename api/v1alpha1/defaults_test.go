package v1alpha1_test

import (
	"encoding/json"
	"testing"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	"pgregory.net/rapid"

	"github.com/chatfleet/chatfleet/api/v1alpha1"
)

const smallest = `
apiVersion: chatfleet.io/v1alpha1
kind: ChatCluster
metadata: {name: eu}
spec:
  image: chatfleet/chatd:1
  region: eu
  store:
    storage: {size: 10Gi}
`

func typed(t testing.TB, object map[string]any) *v1alpha1.ChatCluster {
	t.Helper()
	c := &v1alpha1.ChatCluster{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object, c, true); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDefaults(t *testing.T) {
	object := objectOf(t, smallest)
	if errs := theServer(t).admit(nil, object); len(errs) > 0 {
		t.Fatalf("the smallest ChatCluster is refused:%s", lines(errs))
	}
	got, _ := json.Marshal(object["spec"])
	const want = `{"access":{"service":{"type":"ClusterIP"}},"deletionPolicy":"Retain","image":"chatfleet/chatd:1","imagePullPolicy":"IfNotPresent",` +
		`"partitions":16,"region":"eu","shards":{"drain":{"sessionsPerSecond":500,"timeoutSeconds":120},"replicas":3},` +
		`"store":{"durability":"Fsync","replicas":3,"storage":{"size":"10Gi"}},"topology":{"maxSkew":1,"zoneKey":"topology.kubernetes.io/zone"},` +
		`"update":{"maxConcurrentShards":1,"storeSoakSeconds":30,"surge":1}}`
	if string(got) != want {
		t.Errorf("defaults:\n%s\nwant:\n%s", got, want)
	}
}

// What has no API server behind it (operator plan -f) gets the same defaults.
func TestDefaultsInGoAreThoseOfTheSchema(t *testing.T) {
	optional := []string{
		"spec: {imagePullPolicy: Never, partitions: 4, deletionPolicy: Delete}",
		"spec: {store: {replicas: 1, durability: Replicated}}",
		"spec: {shards: {replicas: 0}}",
		"spec: {shards: {drain: {sessionsPerSecond: 7}}}",
		"spec: {shards: {drain: {timeoutSeconds: 9, jitterSeconds: 3}}}",
		"spec: {update: {surge: 0, paused: true}}",
		"spec: {update: {storeSoakSeconds: 0, maxConcurrentShards: 5}}",
		"spec: {topology: {zoneKey: zone}}",
		"spec: {topology: {maxSkew: 2}}",
		"spec: {access: {service: {type: NodePort}}}",
		"spec: {access: {tls: {issuerRef: {name: ca}, dnsNames: [a.example.com]}}}",
		"spec: {access: {tls: {issuerRef: {name: ca, kind: ClusterIssuer, group: example.com}, dnsNames: [a.example.com]}}}",
		"spec: {access: {issuers: [{issuer: a, keys: {secretRef: {name: keys}}}, {issuer: b, audience: c, keys: {url: 'https://b.example.com/keys'}}]}}",
	}
	rapid.Check(t, func(r *rapid.T) {
		object := objectOf(t, smallest)
		for _, patch := range optional {
			if rapid.Bool().Draw(r, patch) {
				object = patched(t, object, patch)
			}
		}
		inGo := typed(t, object)
		inGo.Default()
		if errs := theServer(t).admit(nil, object); len(errs) > 0 {
			r.Fatalf("refused:%s", lines(errs))
		}
		if bySchema := typed(t, object); !equality.Semantic.DeepEqual(inGo, bySchema) {
			r.Fatalf("in Go:\n%+v\nby the schema:\n%+v", inGo.Spec, bySchema.Spec)
		}
	})
}
