package status

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/chatfleet/chatfleet/api/v1alpha1"
	"github.com/chatfleet/chatfleet/operator/internal/plan"
)

const (
	// volumeNear is how near a volume's use is to where posts are refused when it is told to fill up, and volumeNearMargin how much further off it must be again
	// before it is told no more: thousandths of its size.
	volumeNear       = 100
	volumeNearMargin = 20
)

// view is what conditions are about: what was observed, and what has been counted of it.
type view struct {
	Observed
	is v1alpha1.ChatClusterStatus
}

// conditions are all of them, in the order of v1alpha1.ConditionTypes.
func conditions(o Observed, counted v1alpha1.ChatClusterStatus) []metav1.Condition {
	v := view{o, counted}
	return []metav1.Condition{
		v.available(), v.progressing(), v.degraded(), v.storeHealthy(), v.storagePressure(), v.scalingLimited(), v.draining(), v.paused(), v.templateOutdated(),
	}
}

func condition(kind string, yes bool, reason, format string, args ...any) metav1.Condition {
	status := metav1.ConditionFalse
	if yes {
		status = metav1.ConditionTrue
	}
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

func unknown(kind, format string, args ...any) metav1.Condition {
	return metav1.Condition{Type: kind, Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonUnknown, Message: fmt.Sprintf(format, args...)}
}

// before is the reason that a condition had.
func (v view) before(kind string) string {
	if c := meta.FindStatusCondition(v.Cluster.Status.Conditions, kind); c != nil {
		return c.Reason
	}
	return ""
}

func (v view) quorum() int { return v.Want.Stores/2 + 1 }

// asleep says that the fleet has come to rest in hibernation.
func (v view) asleep() bool {
	return v.Want.Hibernate && v.is.Shards.Replicas == 0 && v.is.Store.Replicas == 0
}

func (v view) available() metav1.Condition {
	const kind = v1alpha1.ConditionAvailable
	switch {
	case v.asleep():
		return condition(kind, false, v1alpha1.ReasonHibernating, "the fleet hibernates; set spec.hibernate to false to wake it")
	case int(v.is.Store.Ready) < v.quorum():
		return condition(kind, false, v1alpha1.ReasonNoQuorum, "%d of %d stores are ready, and it takes %d; sessions stay, posts are refused. %s",
			v.is.Store.Ready, v.Want.Stores, v.quorum(), v.look("store"))
	case v.is.Shards.Ready == 0 && v.Want.Shards == 0:
		return condition(kind, false, v1alpha1.ReasonNoShards, "no shard is asked for; set spec.shards.replicas")
	case v.is.Shards.Ready == 0:
		return condition(kind, false, v1alpha1.ReasonNoShards, "none of %d shards is ready. %s", v.Want.Shards, v.look("shard"))
	}
	return condition(kind, true, v1alpha1.ReasonServing, "%d of %d stores and %d of %d shards are ready", v.is.Store.Ready, v.Want.Stores, v.is.Shards.Ready, v.Want.Shards)
}

// look says where to look for why members of a role are not ready.
func (v view) look(role string) string {
	for _, u := range v.is.Unhealthy {
		if strings.Contains(u.Name, "-"+role+"-") {
			return fmt.Sprintf("%s: %s", u.Name, u.Message)
		}
	}
	return fmt.Sprintf("kubectl -n %s get pods -l %s=%s,%s=%s shows them", v.Cluster.Namespace, v1alpha1.LabelCluster, v.Cluster.Name, v1alpha1.LabelRole, role)
}

func (v view) progressing() metav1.Condition {
	const kind = v1alpha1.ConditionProgressing
	yes := func(reason, format string, args ...any) metav1.Condition {
		return condition(kind, true, reason, "%s", fmt.Sprintf(format, args...)+v.waits())
	}
	if len(v.Problems) > 0 {
		return condition(kind, false, v1alpha1.ReasonWaiting, "%s", v.Problems[0].Message)
	}
	if bad := v.badRevision(); bad != "" && !v.Want.Paused {
		return condition(kind, false, v1alpha1.ReasonWaiting, "%s", bad)
	}
	outdated := v.is.Store.Updated < v.is.Store.Replicas || slices.ContainsFunc(v.Snapshot.Shards, func(sh plan.Shard) bool { return sh.Revision != v.Want.ShardRevision })
	was := v.before(kind)
	serving := v.before(v1alpha1.ConditionAvailable)
	whole := v.is.Store.Ready >= v.is.Store.Desired && v.is.Shards.Ready >= v.is.Shards.Desired
	switch {
	case v.Want.Paused:
		return condition(kind, false, v1alpha1.ReasonAsExpected, "the fleet is paused")
	case v.asleep():
		return condition(kind, false, v1alpha1.ReasonHibernating, "no pods; volumes are kept")
	case v.Want.Hibernate:
		return yes(v1alpha1.ReasonGoingToSleep, "%d shards and %d stores are left", v.is.Shards.Replicas, v.is.Store.Replicas)
	case !whole && (serving == v1alpha1.ReasonHibernating || was == v1alpha1.ReasonWaking):
		return yes(v1alpha1.ReasonWaking, "%d of %d stores and %d of %d shards are ready", v.is.Store.Ready, v.is.Store.Desired, v.is.Shards.Ready, v.is.Shards.Desired)
	case !whole && (serving == "" || was == v1alpha1.ReasonCreating):
		return yes(v1alpha1.ReasonCreating, "%d of %d stores and %d of %d shards are ready", v.is.Store.Ready, v.is.Store.Desired, v.is.Shards.Ready, v.is.Shards.Desired)
	case outdated && v.Want.UpdatePaused:
		return condition(kind, false, v1alpha1.ReasonUpdatePaused, "%d of %d shards and %d of %d stores have the newest revision; set spec.update.paused to false to go on",
			v.is.Shards.Updated, v.is.Shards.Desired, v.is.Store.Updated, v.is.Store.Desired)
	case outdated:
		return yes(v1alpha1.ReasonRollingOut, "%d of %d shards and %d of %d stores have the newest revision", v.is.Shards.Updated, v.is.Shards.Desired, v.is.Store.Updated, v.is.Store.Desired)
	case v.scaling():
		return yes(v1alpha1.ReasonScaling, "%d of %d shards and %d of %d stores are ready", v.is.Shards.Ready, v.is.Shards.Desired, v.is.Store.Ready, v.is.Store.Desired)
	case slices.ContainsFunc(v.Snapshot.Shards, func(sh plan.Shard) bool { return sh.Leaving.State == plan.Shedding }):
		return yes(v1alpha1.ReasonRebalancing, "sessions move to shards that have few")
	case slices.ContainsFunc(v.Plan.Actions, func(a plan.Action) bool { _, grows := a.(plan.GrowVolume); return grows }):
		return yes(v1alpha1.ReasonGrowingVolumes, "volumes are made larger")
	case v.Rotation < v.Cluster.Spec.Credentials.Rotation:
		return yes(v1alpha1.ReasonRotatingCredentials, "new credentials are given out beside the old; it takes about half an hour")
	}
	return condition(kind, false, v1alpha1.ReasonAsExpected, "the fleet is as spec asks for")
}

func (v view) scaling() bool {
	return v.is.Shards.Replicas != v.is.Shards.Desired || v.is.Shards.Ready != v.is.Shards.Desired || v.is.Store.Ready != v.is.Store.Desired
}

// waits is what the plan waits for, the first few.
func (v view) waits() string {
	const most = 3
	var out strings.Builder
	for i, w := range v.Plan.Waiting {
		if i == most {
			fmt.Fprintf(&out, "; and %d more", len(v.Plan.Waiting)-most)
			break
		}
		fmt.Fprintf(&out, "; %s: %s", w.What, w.For)
	}
	return out.String()
}

// badRevision says that the first shard of a new revision does not work; empty if it does, or none is tried.
func (v view) badRevision() string {
	proven := ""
	for _, r := range v.Snapshot.Revisions {
		switch {
		case r.Proven && r.Name == v.Want.ShardRevision:
			return ""
		case r.Proven:
			proven = r.Name
		}
	}
	for _, sh := range v.Snapshot.Shards {
		if sh.Live() && sh.Revision == v.Want.ShardRevision && !sh.Ready && sh.Trouble != "" && proven != "" {
			return fmt.Sprintf("revision %s does not work: %s is not ready: %s. The others keep the revision that they have; put spec.image or spec.template right, or back to what they were", v.Want.ShardRevision, sh.Name, sh.Trouble)
		}
	}
	return ""
}

func (v view) degraded() metav1.Condition {
	const kind = v1alpha1.ConditionDegraded
	if len(v.Problems) > 0 {
		return condition(kind, true, v.Problems[0].Reason, "%s", v.Problems[0].Message)
	}
	if bad := v.badRevision(); bad != "" {
		return condition(kind, true, v1alpha1.ReasonBadRevision, "%s", bad)
	}
	for _, st := range v.Snapshot.Stores {
		if st.NodeLost {
			return condition(kind, true, v1alpha1.ReasonStoreNodeLost, "%s: %s", st.Name, lostStore(st))
		}
	}
	for _, u := range v.is.Unhealthy {
		if u.Reason != "NoAnswer" && u.Reason != "CatchingUp" && u.Reason != "NodeLost" && u.Reason != "Ended" {
			return condition(kind, true, v1alpha1.ReasonPodsFailing, "%s: %s", u.Name, u.Message)
		}
	}
	if len(v.Cluster.Spec.Access.Issuers) == 0 && v.Cluster.Labels[v1alpha1.LabelPurpose] != v1alpha1.PurposeTest {
		return condition(kind, true, v1alpha1.ReasonNoIssuer, "nobody can sign in: name in spec.access.issuers who signs your users' tokens, or label a fleet for tests %s=%s", v1alpha1.LabelPurpose, v1alpha1.PurposeTest)
	}
	return condition(kind, false, v1alpha1.ReasonAsExpected, "nothing is wrong that needs somebody")
}

func (v view) storeHealthy() metav1.Condition {
	const kind = v1alpha1.ConditionStoreHealthy
	switch {
	case v.asleep():
		return condition(kind, false, v1alpha1.ReasonHibernating, "the fleet hibernates; volumes are kept")
	case int(v.is.Store.Ready) < v.quorum():
		return condition(kind, false, v1alpha1.ReasonNoQuorum, "%d of %d stores are ready, and it takes %d for posts. %s", v.is.Store.Ready, v.Want.Stores, v.quorum(), v.look("store"))
	}
	silent := ""
	for _, st := range v.Snapshot.Stores {
		switch {
		case !st.Ready:
			return condition(kind, false, v1alpha1.ReasonStoreDown, "%s is not ready; the others have a quorum. %s", st.Name, v.look("store"))
		case st.Behind != "":
			return condition(kind, false, v1alpha1.ReasonCatchingUp, "%s: %s", st.Name, st.Behind)
		case !st.Reached:
			silent = st.Name
		}
	}
	if silent != "" {
		return unknown(kind, "%s does not answer on its admin port; may the operator reach it (NetworkPolicies, certificates)?", silent)
	}
	return condition(kind, true, v1alpha1.ReasonAllCurrent, "any one of %d stores may be lost", v.is.Store.Ready)
}

func (v view) storagePressure() metav1.Condition {
	const kind = v1alpha1.ConditionStoragePressure
	if v.FullStore != "" {
		return condition(kind, true, v1alpha1.ReasonVolumeFull, "the volume of %s is in use to its limit, and what makes logs grow is refused in the whole fleet: raise spec.store.storage.size, or set spec.store.retention", v.FullStore)
	}
	for _, volume := range v.Snapshot.Volumes {
		if volume.Bytes < v.Want.VolumeBytes && !volume.Growable {
			return condition(kind, true, v1alpha1.ReasonVolumeCannotGrow, "volume %s has %d bytes of %d, and its storage class does not grow volumes: set allowVolumeExpansion there, if its driver can, or put spec.store.storage.size back in a ChatCluster that is made anew",
				volume.Name, volume.Bytes, v.Want.VolumeBytes)
		}
	}
	near := volumeNear
	if is := meta.FindStatusCondition(v.Cluster.Status.Conditions, kind); is != nil && is.Reason == v1alpha1.ReasonVolumeFilling {
		near += volumeNearMargin
	}
	if f := v.Fullest; f.Store != "" && f.Left() <= near {
		return condition(kind, true, v1alpha1.ReasonVolumeFilling, "the volume of %s fills up, and from %d %% on what makes logs grow is refused in the whole fleet: raise spec.store.storage.size, or set spec.store.retention",
			f.Store, f.FullAt/10)
	}
	return condition(kind, false, v1alpha1.ReasonAsExpected, "no store says that its volume is filling up")
}

func (v view) scalingLimited() metav1.Condition {
	const kind = v1alpha1.ConditionScalingLimited
	if v.Forbidden != "" {
		return condition(kind, true, v1alpha1.ReasonForbidden, "the API server refuses a pod: %s", v.Forbidden)
	}
	for _, u := range v.is.Unhealthy {
		if u.Reason == v1alpha1.ReasonUnschedulable {
			return condition(kind, true, v1alpha1.ReasonUnschedulable, "no node takes %s: %s", u.Name, u.Message)
		}
	}
	return condition(kind, false, v1alpha1.ReasonAsExpected, "nothing keeps pods from being made")
}

func (v view) draining() metav1.Condition {
	const kind = v1alpha1.ConditionDraining
	reasons := map[plan.Cause]string{plan.ScaleIn: v1alpha1.ReasonScaling, plan.RollOut: v1alpha1.ReasonRollingOut, plan.Hibernation: v1alpha1.ReasonGoingToSleep}
	reason, sessions, names := "", 0, []string(nil)
	for _, sh := range v.Snapshot.Shards {
		switch {
		case sh.Mark != nil:
			reason = reasons[sh.Mark.Cause]
		case sh.Deleting && reason == "":
			reason = v1alpha1.ReasonEviction
		case !sh.Deleting:
			continue
		}
		names, sessions = append(names, sh.Name), sessions+sh.Sessions
	}
	if len(names) == 0 {
		return condition(kind, false, v1alpha1.ReasonAsExpected, "no shard sends its sessions away")
	}
	// The number of sessions is not in the message: it would be written every few seconds.
	slices.Sort(names)
	left := "none have sessions left"
	if sessions > 0 {
		left = fmt.Sprintf("at %d sessions/s, at most %s each", v.Want.Drain.SessionsPerSecond, v.Want.Drain.Timeout)
	}
	const most = 5
	listed := strings.Join(names[:min(most, len(names))], ", ")
	if len(names) > most {
		listed += fmt.Sprintf(" and %d more", len(names)-most)
	}
	return condition(kind, true, reason, "%s: %s", listed, left)
}

func (v view) paused() metav1.Condition {
	if v.Want.Paused {
		return condition(v1alpha1.ConditionPaused, true, v1alpha1.ReasonPausedBySpec, "nothing is created, replaced, drained or updated; set spec.paused to false to go on")
	}
	return condition(v1alpha1.ConditionPaused, false, v1alpha1.ReasonAsExpected, "the operator looks after the fleet")
}

func (v view) templateOutdated() metav1.Condition {
	const kind = v1alpha1.ConditionTemplateOutdated
	if len(v.Outdated) == 0 {
		return condition(kind, false, v1alpha1.ReasonAsExpected, "pods made anew would look the same")
	}
	return condition(kind, true, v1alpha1.ReasonOperatorChanged, "pods of role %s would look otherwise if they were made anew; they are left as they are until the next change of image or template",
		strings.Join(v.Outdated, " and "))
}
