package convert

import (
	"reflect"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/chatfleet/chatfleet/api/v1alpha1"
	"github.com/chatfleet/chatfleet/operator/internal/plan"
)

func fleet() *v1alpha1.ChatCluster {
	c := &v1alpha1.ChatCluster{Spec: v1alpha1.ChatClusterSpec{Image: "i", Region: "eu1", Store: v1alpha1.StoreSpec{Storage: v1alpha1.StoreStorage{Size: resource.MustParse("1Gi")}}}}
	c.Default()
	return c
}

// TestFieldsReachThePlanner changes one field at a time: exactly what it is about changes.
func TestFieldsReachThePlanner(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(s *v1alpha1.ChatClusterSpec)
		want   func(w *plan.Spec)
	}{
		"paused":                     {func(s *v1alpha1.ChatClusterSpec) { s.Paused = true }, func(w *plan.Spec) { w.Paused = true }},
		"hibernate":                  {func(s *v1alpha1.ChatClusterSpec) { s.Hibernate = true }, func(w *plan.Spec) { w.Hibernate = true }},
		"shards.replicas":            {func(s *v1alpha1.ChatClusterSpec) { *s.Shards.Replicas = 9 }, func(w *plan.Spec) { w.Shards = 9 }},
		"drain.sessionsPerSecond":    {func(s *v1alpha1.ChatClusterSpec) { s.Shards.Drain.SessionsPerSecond = 9 }, func(w *plan.Spec) { w.Drain.SessionsPerSecond = 9 }},
		"drain.timeoutSeconds":       {func(s *v1alpha1.ChatClusterSpec) { s.Shards.Drain.TimeoutSeconds = 9 }, func(w *plan.Spec) { w.Drain.Timeout = 9 * time.Second }},
		"update.paused":              {func(s *v1alpha1.ChatClusterSpec) { s.Update.Paused = true }, func(w *plan.Spec) { w.UpdatePaused = true }},
		"update.maxConcurrentShards": {func(s *v1alpha1.ChatClusterSpec) { s.Update.MaxConcurrentShards = 9 }, func(w *plan.Spec) { w.AtOnce = 9 }},
		"update.surge":               {func(s *v1alpha1.ChatClusterSpec) { *s.Update.Surge = 0 }, func(w *plan.Spec) { w.Surge = 0 }},
		"update.zoneOrder":           {func(s *v1alpha1.ChatClusterSpec) { s.Update.ZoneOrder = []string{"b"} }, func(w *plan.Spec) { w.ZoneOrder = []string{"b"} }},
		"update.storeSoakSeconds":    {func(s *v1alpha1.ChatClusterSpec) { *s.Update.StoreSoakSeconds = 9 }, func(w *plan.Spec) { w.StoreSoak = 9 * time.Second }},
		"store.storage.size":         {func(s *v1alpha1.ChatClusterSpec) { s.Store.Storage.Size = resource.MustParse("2Gi") }, func(w *plan.Spec) { w.VolumeBytes = 2 << 30 }},
	} {
		c, want := fleet(), Spec(fleet())
		tt.change(&c.Spec)
		tt.want(&want)
		if got := Spec(c); !reflect.DeepEqual(got, want) || reflect.DeepEqual(got, Spec(fleet())) {
			t.Errorf("%s: %+v\nwant %+v", name, got, want)
		}
	}
	grown := fleet()
	grown.Spec.Store.Replicas = 5
	if w := Spec(grown); w.Stores != 5 || w.StoreRevision == Spec(fleet()).StoreRevision {
		t.Errorf("store.replicas: %+v", w)
	}
}
