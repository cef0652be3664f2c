package render

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/chatfleet/chatfleet/api/v1alpha1"
)

// sample is a small fleet with all defaults.
func sample() *v1alpha1.ChatCluster {
	c := &v1alpha1.ChatCluster{
		ObjectMeta: metav1.ObjectMeta{Name: "demo", Namespace: "chat", UID: "u"},
		Spec: v1alpha1.ChatClusterSpec{
			Image: "chatfleet/chatd:1.0.0", Region: "eu1",
			Store: v1alpha1.StoreSpec{Storage: v1alpha1.StoreStorage{Size: resource.MustParse("10Gi")}},
		},
	}
	c.Default()
	return c
}

// rendered is everything that is made of a ChatCluster, as one text.
func rendered(t *testing.T, c *v1alpha1.ChatCluster) (shard, store, around string) {
	t.Helper()
	text := func(value any) string {
		out, err := json.MarshalIndent(value, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	shards, errs := ShardTemplate(c)
	if len(errs) > 0 {
		t.Fatal(errs.ToAggregate())
	}
	stores, errs := StoreTemplate(c)
	if len(errs) > 0 {
		t.Fatal(errs.ToAggregate())
	}
	set := StoreSetWith(c, corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{}}}, "r", c.Spec.Store.Replicas, 0)
	return text(shards), text(stores), text([]any{Services(c), Budgets(c), Policies(c), Accounts(c), set})
}

// TestFieldsHaveAnEffect changes one field at a time: what pods, or what is around them, must show it, and revisions change where pods are to be
// made anew, and nowhere else.
func TestFieldsHaveAnEffect(t *testing.T) {
	memory := map[corev1.ResourceName]resource.Quantity{corev1.ResourceMemory: resource.MustParse("1Gi")}
	for _, tt := range []struct {
		name   string
		change func(s *v1alpha1.ChatClusterSpec)
		// shows is what must be found in the templates of shards and stores and around them after the change, and not before; "" where nothing is.
		shard, store, around string
		// new says whose revision changes.
		newShard, newStore bool
	}{
		{"image", func(s *v1alpha1.ChatClusterSpec) { s.Image = "other:2" }, `"image": "other:2"`, `"image": "other:2"`, "", true, true},
		{"imagePullPolicy", func(s *v1alpha1.ChatClusterSpec) { s.ImagePullPolicy = corev1.PullAlways }, `"Always"`, `"imagePullPolicy": "Always"`, "", false, false},
		{"imagePullSecrets", func(s *v1alpha1.ChatClusterSpec) { s.ImagePullSecrets = []v1alpha1.SecretName{{Name: "pull"}} }, `"name": "pull"`, `"name": "pull"`, "", true, true},
		{"region", func(s *v1alpha1.ChatClusterSpec) { s.Region = "us2" }, "--region=us2", "--region=us2", "", true, true},
		{"partitions", func(s *v1alpha1.ChatClusterSpec) { s.Partitions = 64 }, "--partitions=64", "--partitions=64", "", true, true},
		{"store.replicas", func(s *v1alpha1.ChatClusterSpec) { s.Store.Replicas = 5 }, "demo-store-4.demo-stores.chat.svc:7422", "demo-store-4.demo-stores.chat.svc:6222", `"replicas": 5`, true, true},
		{"store.replicas 1", func(s *v1alpha1.ChatClusterSpec) { s.Store.Replicas = 1 }, "", `--replicas=1"`, `"replicas": 1`, true, true},
		{"store.storage.size", func(s *v1alpha1.ChatClusterSpec) { s.Store.Storage.Size = resource.MustParse("20Gi") }, "", "", `"storage": "20Gi"`, false, false},
		{"store.storage.storageClassName", func(s *v1alpha1.ChatClusterSpec) { s.Store.Storage.StorageClassName = "fast" }, "", "", `"storageClassName": "fast"`, false, false},
		{"store.durability", func(s *v1alpha1.ChatClusterSpec) { s.Store.Durability = v1alpha1.Replicated }, "", "--durability=Replicated", "", false, true},
		{"store.retention.maxAgeSeconds", func(s *v1alpha1.ChatClusterSpec) { s.Store.Retention.MaxAgeSeconds = 86400 }, "", "--retain-age=86400s", "", false, true},
		{"store.retention.maxBytes", func(s *v1alpha1.ChatClusterSpec) { s.Store.Retention.MaxBytes = new(resource.MustParse("16Gi")) }, "", "--retain-bytes-per-partition=1073741824", "", false, true},
		{"store.resources", func(s *v1alpha1.ChatClusterSpec) { s.Store.Resources.Limits = memory }, "", `"value": "966367638"`, "", false, true},
		{"shards.resources", func(s *v1alpha1.ChatClusterSpec) { s.Shards.Resources.Requests = memory }, `"memory": "1Gi"`, "", "", true, false},
		{"shards.drain.sessionsPerSecond", func(s *v1alpha1.ChatClusterSpec) { s.Shards.Drain.SessionsPerSecond = 7 }, "--drain-sessions-per-second=7", "", "", false, false},
		{"shards.drain.timeoutSeconds", func(s *v1alpha1.ChatClusterSpec) { s.Shards.Drain.TimeoutSeconds = 300 }, `"terminationGracePeriodSeconds": 315`, "", "", false, false},
		{"topology.zoneKey", func(s *v1alpha1.ChatClusterSpec) { s.Topology.ZoneKey = "rack" }, `"topologyKey": "rack"`, `"topologyKey": "rack"`, "", true, true},
		{"topology.maxSkew", func(s *v1alpha1.ChatClusterSpec) { s.Topology.MaxSkew = 3 }, `"maxSkew": 3`, `"maxSkew": 3`, "", true, true},
		{"access.service.type", func(s *v1alpha1.ChatClusterSpec) { s.Access.Service.Type = corev1.ServiceTypeLoadBalancer }, "", "", `"type": "LoadBalancer"`, false, false},
		{"access.service.annotations", func(s *v1alpha1.ChatClusterSpec) { s.Access.Service.Annotations = map[string]string{"lb": "internal"} }, "", "", `"lb": "internal"`, false, false},
		{"access.service.externalTrafficPolicy", func(s *v1alpha1.ChatClusterSpec) { s.Access.Service.ExternalTrafficPolicy = "Local" }, "", "", `"externalTrafficPolicy": "Local"`, false, false},
		{"access.service.ports", func(s *v1alpha1.ChatClusterSpec) {
			s.Access.Service.Ports = []v1alpha1.ServicePort{{Name: "ws", Port: 9999, NodePort: 31000}}
		}, "", "", `"nodePort": 31000`, false, false},
		{"access.tls.secretName", func(s *v1alpha1.ChatClusterSpec) { s.Access.TLS = &v1alpha1.TLSSpec{SecretName: "web"} }, `"secretName": "web"`, "", `"port": 443`, true, false},
		{"access.tls.issuerRef", func(s *v1alpha1.ChatClusterSpec) {
			s.Access.TLS = &v1alpha1.TLSSpec{IssuerRef: v1alpha1.IssuerReference{Name: "acme"}}
		}, `"secretName": "demo-clients-tls"`, "", "", true, false},
		{"access.issuers by URL", func(s *v1alpha1.ChatClusterSpec) {
			s.Access.Issuers = []v1alpha1.TokenIssuer{{Issuer: "https://id", Audience: "chat", Keys: v1alpha1.TokenKeys{URL: "https://id/jwks"}, Algorithms: []v1alpha1.TokenAlgorithm{"ES256", "RS256"}}}
		}, "--token-issuers=iss=https://id keys=https://id/jwks aud=chat alg=ES256+RS256", "", "", true, false},
		{"access.issuers by Secret", func(s *v1alpha1.ChatClusterSpec) {
			s.Access.Issuers = []v1alpha1.TokenIssuer{{Issuer: "a", Audience: "chat", Keys: v1alpha1.TokenKeys{SecretRef: v1alpha1.SecretKey{Name: "keys", Key: "set.json"}}}}
		}, "iss=a keys=/etc/chatfleet/issuers/0/set.json aud=chat", "", "", true, false},
		{"template.shard", func(s *v1alpha1.ChatClusterSpec) {
			s.Template.Shard = overlayOf(`{"spec":{"priorityClassName":"high"}}`)
		}, `"priorityClassName": "high"`, "", "", true, false},
		{"template.store", func(s *v1alpha1.ChatClusterSpec) {
			s.Template.Store = overlayOf(`{"spec":{"priorityClassName":"high"}}`)
		}, "", `"priorityClassName": "high"`, "", false, true},
		{"deletionPolicy", func(s *v1alpha1.ChatClusterSpec) { s.DeletionPolicy = v1alpha1.Delete }, "", "", `"whenDeleted": "Delete"`, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before, after := sample(), sample()
			tt.change(&after.Spec)
			wasShard, wasStore, wasAround := rendered(t, before)
			isShard, isStore, isAround := rendered(t, after)
			for _, part := range []struct{ what, was, is, shows string }{
				{"shards", wasShard, isShard, tt.shard}, {"stores", wasStore, isStore, tt.store}, {"what is around", wasAround, isAround, tt.around},
			} {
				if part.shows != "" && (!strings.Contains(part.is, part.shows) || strings.Contains(part.was, part.shows)) {
					t.Errorf("%s: %s is not there after the change, or was before:\n%s", part.what, part.shows, part.is)
				}
			}
			if got := ShardInputs(before).Revision() != ShardInputs(after).Revision(); got != tt.newShard {
				t.Errorf("the shards' revision changes: %v, want %v", got, tt.newShard)
			}
			if got := StoreInputs(before).Revision() != StoreInputs(after).Revision(); got != tt.newStore {
				t.Errorf("the stores' revision changes: %v, want %v", got, tt.newStore)
			}
			if !tt.newShard && tt.shard == "" && isShard != wasShard || !tt.newStore && tt.store == "" && isStore != wasStore {
				t.Error("a template changes while its revision does not, and the table does not say so")
			}
		})
	}
}

func overlayOf(text string) *runtime.RawExtension { return &runtime.RawExtension{Raw: []byte(text)} }

// TestRevisionsStay holds the names of revisions to what they were when this was written: another name for the same inputs would restart every fleet
// when its operator is upgraded. It is never to be updated.
func TestRevisionsStay(t *testing.T) {
	c := sample()
	full := sample()
	full.Labels = map[string]string{v1alpha1.LabelPurpose: v1alpha1.PurposeTest}
	full.Spec.ImagePullSecrets = []v1alpha1.SecretName{{Name: "pull"}}
	full.Spec.Store.Retention = v1alpha1.StoreRetention{MaxAgeSeconds: 86400, MaxBytes: new(resource.MustParse("16Gi"))}
	full.Spec.Shards.Resources.Limits = map[corev1.ResourceName]resource.Quantity{corev1.ResourceMemory: resource.MustParse("1Gi"), corev1.ResourceCPU: resource.MustParse("2")}
	full.Spec.Access.TLS = &v1alpha1.TLSSpec{SecretName: "web"}
	full.Spec.Access.Issuers = []v1alpha1.TokenIssuer{{Issuer: "a", Audience: "chat", Keys: v1alpha1.TokenKeys{SecretRef: v1alpha1.SecretKey{Name: "keys", Key: "set.json"}}}}
	full.Spec.Template.Shard = overlayOf(`{"spec": {"priorityClassName": "high"}}`)
	got := []string{ShardInputs(c).Revision(), StoreInputs(c).Revision(), ShardInputs(full).Revision(), StoreInputs(full).Revision()}
	if want := []string{"dc387eb0be", "4f058a5d83", "de8cc15fd0", "fcba436349"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestOverlaysThatMeanTheSameAreTheSame(t *testing.T) {
	one, two, none := sample(), sample(), sample()
	one.Spec.Template.Shard = overlayOf(`{"spec":{"nodeSelector":{"a":"b","c":"d"}}}`)
	two.Spec.Template.Shard = overlayOf("{ \"spec\": {\"nodeSelector\": {\"c\": \"d\",\n\"a\": \"b\"}}}")
	if ShardInputs(one).Revision() != ShardInputs(two).Revision() {
		t.Error("the order of keys and white space make another revision")
	}
	none.Spec.Template.Shard = overlayOf("{}")
	if ShardInputs(none).Revision() != ShardInputs(sample()).Revision() {
		t.Error("an empty overlay makes another revision")
	}
}

// TestTemplatesStay compares what is rendered with what was: a difference is either wanted, and then goes with the next change of the user's, or a mistake.
// Run with UPDATE=1 to have it written anew.
func TestTemplatesStay(t *testing.T) {
	for name, c := range map[string]*v1alpha1.ChatCluster{"sample": sample(), "for-tests": func() *v1alpha1.ChatCluster {
		c := sample()
		c.Labels = map[string]string{v1alpha1.LabelPurpose: v1alpha1.PurposeTest}
		return c
	}()} {
		shard, store, around := rendered(t, c)
		for part, text := range map[string]string{"shard": shard, "store": store, "around": around} {
			file := filepath.Join("testdata", name+"-"+part+".json")
			if os.Getenv("UPDATE") != "" {
				if err := os.WriteFile(file, []byte(text+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			kept, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if string(kept) != text+"\n" {
				t.Errorf("%s is not what is rendered now; UPDATE=1 go test ./operator/internal/render, and look at the difference:\n%s", file, text)
			}
		}
	}
}

func TestRenderingChangesNothing(t *testing.T) {
	c := sample()
	c.Spec.Template.Shard = overlayOf(`{"metadata":{"labels":{"team":"chat"}}}`)
	before := c.DeepCopy()
	one, _, _ := rendered(t, c)
	two, _, _ := rendered(t, c)
	if one != two || !reflect.DeepEqual(before, c) {
		t.Error("two renderings differ, or the ChatCluster has changed")
	}
}
