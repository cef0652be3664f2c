package status

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/chatfleet/chatfleet/api/v1alpha1"
	"github.com/chatfleet/chatfleet/operator/internal/convert"
	"github.com/chatfleet/chatfleet/operator/internal/plan"
)

var noon = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

// well is a fleet of three stores and three shards that is as it should be.
func well() Observed {
	c := &v1alpha1.ChatCluster{
		ObjectMeta: metav1.ObjectMeta{Name: "eu", Namespace: "chat", Generation: 4, Labels: map[string]string{v1alpha1.LabelPurpose: v1alpha1.PurposeTest}},
		Spec:       v1alpha1.ChatClusterSpec{Image: "chatd:1", Region: "eu", Store: v1alpha1.StoreSpec{Storage: v1alpha1.StoreStorage{Size: resource.MustParse("10Gi")}}},
	}
	c.Default()
	o := Observed{Cluster: c, Want: convert.Spec(c), Now: noon, SessionsOld: true}
	for i := range 3 {
		o.Snapshot.Shards = append(o.Snapshot.Shards, plan.Shard{Name: fmt.Sprintf("eu-shard-%d", i), Index: i, Revision: o.Want.ShardRevision, Ready: true, Reached: true, Sessions: 100})
		o.Snapshot.Stores = append(o.Snapshot.Stores, plan.Store{Name: fmt.Sprintf("eu-store-%d", i), Ordinal: i, Revision: o.Want.StoreRevision, Ready: true, Reached: true})
	}
	o.Snapshot.StoreSet = &plan.StoreSet{Replicas: 3, Template: o.Want.StoreRevision, Below: o.Want.StoreRevision}
	o.Snapshot.Revisions = []plan.Revision{{Name: o.Want.ShardRevision, Number: 2, Proven: true}, {Name: "old", Number: 1, Proven: true}}
	o.Cluster.Status = Of(o)
	return o
}

// TestConditions: one thing is otherwise than in a fleet that is well, and the conditions say so, with what to do.
func TestConditions(t *testing.T) {
	const (
		available, progressing, degraded = v1alpha1.ConditionAvailable, v1alpha1.ConditionProgressing, v1alpha1.ConditionDegraded
		healthy, pressure, limited       = v1alpha1.ConditionStoreHealthy, v1alpha1.ConditionStoragePressure, v1alpha1.ConditionScalingLimited
		draining, paused, outdated       = v1alpha1.ConditionDraining, v1alpha1.ConditionPaused, v1alpha1.ConditionTemplateOutdated
	)
	down := func(st *plan.Store) { st.Ready, st.Reached = false, false }
	for _, tt := range []struct {
		name   string
		change func(o *Observed)
		// want is "Type=Status Reason: words of the message", one for each condition that the case is about.
		want []string
	}{
		{"all is well", func(*Observed) {}, []string{
			available + "=True Serving: 3 of 3 stores and 3 of 3 shards", progressing + "=False AsExpected: as spec asks", degraded + "=False AsExpected", healthy + "=True AllCurrent: any one of 3",
			pressure + "=False AsExpected", limited + "=False AsExpected", draining + "=False AsExpected", paused + "=False AsExpected", outdated + "=False AsExpected",
		}},
		{"it is new", func(o *Observed) {
			o.Cluster.Status, o.Snapshot = v1alpha1.ChatClusterStatus{}, plan.Snapshot{}
		}, []string{available + "=False NoQuorum: 0 of 3 stores", progressing + "=True Creating: 0 of 3 stores", healthy + "=False NoQuorum"}},
		{"a store is down", func(o *Observed) { down(&o.Snapshot.Stores[1]) }, []string{available + "=True Serving", healthy + "=False StoreDown: eu-store-1", progressing + "=True Scaling"}},
		{"two stores are down", func(o *Observed) { down(&o.Snapshot.Stores[0]); down(&o.Snapshot.Stores[2]) }, []string{available + "=False NoQuorum: 1 of 3 stores are ready, and it takes 2", healthy + "=False NoQuorum"}},
		{"a store catches up", func(o *Observed) { o.Snapshot.Stores[1].Behind = "LOG-eu-3: lags" }, []string{healthy + "=False CatchingUp: eu-store-1: LOG-eu-3: lags"}},
		{"a store does not answer", func(o *Observed) { o.Snapshot.Stores[1].Reached = false }, []string{healthy + "=Unknown Unknown: eu-store-1 does not answer"}},
		{"a store's node is gone", func(o *Observed) {
			o.Snapshot.Stores[1].NodeLost, o.Snapshot.Stores[1].Node, o.Snapshot.Stores[1].Ready = true, "n7", false
		},
			[]string{degraded + "=True StoreNodeLost: kubectl taint node n7 node.kubernetes.io/out-of-service"}},
		{"no shard is ready", func(o *Observed) {
			for i := range o.Snapshot.Shards {
				o.Snapshot.Shards[i].Ready = false
			}
		}, []string{available + "=False NoShards: none of 3 shards", progressing + "=True Scaling"}},
		{"a pod does not run", func(o *Observed) {
			o.Snapshot.Shards[0].Ready, o.Snapshot.Shards[0].Trouble = false, "CrashLoopBackOff: exit 2"
		}, []string{degraded + "=True PodsFailing: eu-shard-0: CrashLoopBackOff: exit 2"}},
		{"a pod has nowhere to run", func(o *Observed) {
			o.Snapshot.Shards[0].Ready, o.Snapshot.Shards[0].Trouble = false, "Unschedulable: 0/3 nodes are available"
		}, []string{limited + "=True Unschedulable: no node takes eu-shard-0"}},
		{"the API server refuses pods", func(o *Observed) { o.Forbidden = "exceeded quota" }, []string{limited + "=True Forbidden: exceeded quota"}},
		{"a roll-out", func(o *Observed) {
			o.Want.ShardRevision = "new"
			o.Snapshot.Shards[0].Revision = "new"
		}, []string{progressing + "=True RollingOut: 1 of 3 shards"}},
		{"a roll-out that is paused", func(o *Observed) { o.Want.ShardRevision, o.Want.UpdatePaused = "new", true }, []string{progressing + "=False UpdatePaused: spec.update.paused"}},
		{"a bad revision", func(o *Observed) {
			o.Want.ShardRevision = "new"
			o.Snapshot.Shards = append(o.Snapshot.Shards, plan.Shard{Name: "eu-shard-3", Index: 3, Revision: "new", Trouble: "ImagePullBackOff: none"})
		}, []string{degraded + "=True BadRevision: eu-shard-3 is not ready: ImagePullBackOff: none", progressing + "=False Waiting: revision new does not work", available + "=True Serving"}},
		{"shards leave", func(o *Observed) {
			o.Snapshot.Shards[2].Mark = &plan.Mark{Since: noon, Cause: plan.ScaleIn}
			o.Want.Shards = 2
		},
			[]string{draining + "=True Scaling: eu-shard-2: at 500 sessions/s", progressing + "=True Scaling"}},
		{"a shard was evicted", func(o *Observed) { o.Snapshot.Shards[2].Deleting, o.Snapshot.Shards[2].Ready = true, false }, []string{draining + "=True Eviction: eu-shard-2"}},
		{"sessions move", func(o *Observed) { o.Snapshot.Shards[0].Leaving.State = plan.Shedding }, []string{progressing + "=True Rebalancing"}},
		{"it is paused", func(o *Observed) { o.Want.Paused = true }, []string{paused + "=True PausedBySpec: set spec.paused to false", progressing + "=False AsExpected: paused"}},
		{"it falls asleep", func(o *Observed) { o.Want.Hibernate = true }, []string{progressing + "=True GoingToSleep: 3 shards and 3 stores"}},
		{"it sleeps", func(o *Observed) { o.Want.Hibernate, o.Snapshot.Shards, o.Snapshot.Stores = true, nil, nil },
			[]string{available + "=False Hibernating: spec.hibernate", progressing + "=False Hibernating", healthy + "=False Hibernating"}},
		{"it wakes", func(o *Observed) {
			meta.FindStatusCondition(o.Cluster.Status.Conditions, available).Reason = v1alpha1.ReasonHibernating
			o.Snapshot.Shards = nil
		}, []string{progressing + "=True Waking"}},
		{"a volume is full", func(o *Observed) { o.FullStore = "eu-store-1" }, []string{pressure + "=True VolumeFull: the volume of eu-store-1"}},
		{"a volume fills up", func(o *Observed) { o.Fullest = Volume{"eu-store-1", 751, 850} },
			[]string{pressure + "=True VolumeFilling: the volume of eu-store-1 fills up, and from 85 % on"}},
		{"a volume has room", func(o *Observed) { o.Fullest = Volume{"eu-store-1", 749, 850} }, []string{pressure + "=False AsExpected"}},
		{"a volume that filled up has a little more room", func(o *Observed) {
			o.Fullest = Volume{"eu-store-1", 731, 850}
			meta.FindStatusCondition(o.Cluster.Status.Conditions, pressure).Reason = v1alpha1.ReasonVolumeFilling
		}, []string{pressure + "=True VolumeFilling"}},
		{"a volume that filled up has room again", func(o *Observed) {
			o.Fullest = Volume{"eu-store-1", 729, 850}
			meta.FindStatusCondition(o.Cluster.Status.Conditions, pressure).Reason = v1alpha1.ReasonVolumeFilling
		}, []string{pressure + "=False AsExpected"}},
		{"a volume cannot grow", func(o *Observed) { o.Snapshot.Volumes = []plan.Volume{{Name: "data-eu-store-0", Bytes: 1}} }, []string{pressure + "=True VolumeCannotGrow: allowVolumeExpansion"}},
		{"volumes grow", func(o *Observed) { o.Plan.Actions = []plan.Action{plan.GrowVolume{}} }, []string{progressing + "=True GrowingVolumes"}},
		{"credentials are replaced", func(o *Observed) { o.Cluster.Spec.Credentials.Rotation = 1 }, []string{progressing + "=True RotatingCredentials"}},
		{"nobody can sign in", func(o *Observed) { o.Cluster.Labels = nil }, []string{degraded + "=True NoIssuer: spec.access.issuers"}},
		{"a Secret is missing", func(o *Observed) {
			o.Problems = []Problem{{v1alpha1.ReasonInvalidReference, "there is no Secret web"}}
		}, []string{degraded + "=True InvalidReference: there is no Secret web", progressing + "=False Waiting: there is no Secret web"}},
		{"a new operator makes other pods", func(o *Observed) { o.Outdated = []string{"shard", "store"} }, []string{outdated + "=True OperatorChanged: shard and store"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := well()
			tt.change(&o)
			s := Of(o)
			var types []string
			for _, c := range s.Conditions {
				types = append(types, c.Type)
				if c.Message == "" || c.ObservedGeneration != 4 {
					t.Errorf("%s has no message, or is about generation %d", c.Type, c.ObservedGeneration)
				}
			}
			if !slices.Equal(types, v1alpha1.ConditionTypes) {
				t.Errorf("the conditions are %v", types)
			}
			for _, want := range tt.want {
				head, words, _ := strings.Cut(want, ": ")
				kind, rest, _ := strings.Cut(head, "=")
				c := meta.FindStatusCondition(s.Conditions, kind)
				if got := string(c.Status) + " " + c.Reason; got != rest || !strings.Contains(c.Message, words) {
					t.Errorf("%s=%s: %s\nwant %s", kind, got, c.Message, want)
				}
			}
		})
	}
}

// TestTransitions: the time of a condition moves when its status does, and not else.
func TestTransitions(t *testing.T) {
	o := well()
	o.Now = noon.Add(time.Hour)
	o.Snapshot.Stores[1].Ready = false
	s := Of(o)
	if c := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionStoreHealthy); !c.LastTransitionTime.Time.Equal(o.Now) {
		t.Errorf("StoreHealthy has become false at %v", c.LastTransitionTime)
	}
	if c := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionAvailable); !c.LastTransitionTime.Time.Equal(noon) {
		t.Errorf("Available has been true since %v", c.LastTransitionTime)
	}
}

// TestSessions: the number is written where it has moved by 5 %, and not all the time.
func TestSessions(t *testing.T) {
	for _, tt := range []struct {
		one  int // of three shards; the others have 100 each, and the status says 300
		old  bool
		want int64
	}{
		{110, true, 300},   // less than 5 %
		{115, true, 315},   // 5 %
		{115, false, 300},  // too soon
		{1000, false, 300}, // still too soon
		{85, true, 285},
	} {
		o := well()
		o.Snapshot.Shards[0].Sessions, o.SessionsOld = tt.one, tt.old
		if got := Of(o).Sessions; got != tt.want {
			t.Errorf("300 sessions become %d: the status has %d, want %d", 200+tt.one, got, tt.want)
		}
	}
	o := well()
	o.Snapshot.Shards, o.SessionsOld = nil, false
	if got := Of(o).Sessions; got != 0 {
		t.Errorf("none is left, and the status has %d", got)
	}
}

// TestUnhealthyIsBounded: a list of a thousand pods would be larger than an object may be.
func TestUnhealthyIsBounded(t *testing.T) {
	o := well()
	for i := range 1000 {
		o.Snapshot.Shards = append(o.Snapshot.Shards, plan.Shard{Name: fmt.Sprintf("eu-shard-%04d", i), Trouble: strings.Repeat("x", 5000)})
	}
	s := Of(o)
	if len(s.Unhealthy) != mostUnhealthy {
		t.Errorf("%d members are listed", len(s.Unhealthy))
	}
	for _, u := range s.Unhealthy {
		if len(u.Message) > 1024 || len(u.Reason) > 256 {
			t.Errorf("%s: %d and %d bytes", u.Name, len(u.Reason), len(u.Message))
		}
	}
}
