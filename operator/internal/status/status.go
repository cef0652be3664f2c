// Package status says how a fleet is: the conditions and counts of a ChatCluster, made anew each time from what was observed and what is planned.
// It is pure; package controller writes what comes out.
//
//   - status.go: counts, and who is not well
//   - conditions.go: the conditions, each with what to do next
package status

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/chatfleet/chatfleet/api/v1alpha1"
	"github.com/chatfleet/chatfleet/operator/internal/plan"
	"github.com/chatfleet/chatfleet/operator/internal/render"
)

// Observed is what a status is made from.
type Observed struct {
	// Cluster with its defaults filled in and the status of before.
	Cluster  *v1alpha1.ChatCluster
	Snapshot plan.Snapshot
	Want     plan.Spec
	Plan     plan.Plan
	Now      time.Time
	// Problems are what keeps the operator from doing what spec asks for.
	Problems []Problem
	// Forbidden is why the API server refused to make a pod; empty if it did not.
	Forbidden string
	// FullStore names a store whose volume is too full for posts; empty if none is. Fullest is the one that comes to it first; zero if none has told.
	FullStore string
	Fullest   Volume
	// Outdated names the roles whose pods would look otherwise if they were made anew.
	Outdated []string
	// Rotation is the one that is done.
	Rotation int64
	// SessionsOld says that the number of sessions was written so long ago that it may be written anew.
	SessionsOld bool
}

// Volume is how full the volume of a store is, and from where on posts are refused: thousandths of its size.
type Volume struct {
	Store        string
	Used, FullAt int
}

// Left says how much may still be written.
func (v Volume) Left() int { return v.FullAt - v.Used }

// Problem is something that somebody else has to put right before what spec asks for is done.
type Problem struct {
	// Reason of the condition Degraded.
	Reason string
	// Message says what to do.
	Message string
}

// most members that are not well are listed.
const mostUnhealthy = 20

// Of is the whole status.
func Of(o Observed) v1alpha1.ChatClusterStatus {
	was := o.Cluster.Status
	s := v1alpha1.ChatClusterStatus{
		ObservedGeneration:  o.Cluster.Generation,
		Selector:            labels.SelectorFromSet(render.Selector(o.Cluster, v1alpha1.RoleShard)).String(),
		Store:               stores(o),
		Shards:              shards(o),
		Sessions:            sessions(o, was.Sessions),
		CredentialsRotation: o.Rotation,
		Unhealthy:           unhealthy(o),
	}
	s.Conditions = make([]metav1.Condition, 0, len(v1alpha1.ConditionTypes))
	for _, c := range conditions(o, s) {
		c.ObservedGeneration, c.LastTransitionTime = o.Cluster.Generation, metav1.NewTime(o.Now.Truncate(time.Second))
		c.Message = short(c.Message, 2000)
		if before := meta.FindStatusCondition(was.Conditions, c.Type); before != nil && before.Status == c.Status {
			c.LastTransitionTime = before.LastTransitionTime
		}
		s.Conditions = append(s.Conditions, c)
	}
	return s
}

func stores(o Observed) v1alpha1.StoreStatus {
	s := v1alpha1.StoreStatus{Desired: int32(o.Want.Stores), Revision: o.Want.StoreRevision}
	if o.Want.Hibernate {
		s.Desired = 0
	}
	for _, st := range o.Snapshot.Stores {
		count(&s.Replicas, st.Revision != "")
		count(&s.Ready, st.Ready)
		count(&s.Updated, st.Revision == o.Want.StoreRevision)
	}
	return s
}

func shards(o Observed) v1alpha1.ShardsStatus {
	s := v1alpha1.ShardsStatus{Desired: int32(o.Want.Shards), Revision: o.Want.ShardRevision}
	if o.Want.Hibernate {
		s.Desired = 0
	}
	for _, sh := range o.Snapshot.Shards {
		count(&s.Replicas, true)
		count(&s.Ready, sh.Ready && sh.Live())
		count(&s.Updated, sh.Live() && sh.Revision == o.Want.ShardRevision)
		count(&s.Draining, sh.Mark != nil || sh.Deleting)
	}
	return s
}

func count(n *int32, yes bool) {
	if yes {
		*n++
	}
}

// sessions is the number to be shown: the one of before, unless it has moved by 5 % and may be written anew. Where it falls to none, or is no longer
// none, it is shown at once.
func sessions(o Observed, was int64) int64 {
	is := int64(0)
	for _, sh := range o.Snapshot.Shards {
		if sh.Reached {
			is += int64(sh.Sessions)
		}
	}
	moved := math.Abs(float64(is-was)) >= 0.05*float64(was) && is != was
	if moved && (o.SessionsOld || is == 0 || was == 0) {
		return is
	}
	return was
}

func unhealthy(o Observed) []v1alpha1.UnhealthyMember {
	var all []v1alpha1.UnhealthyMember
	add := func(name, reason, message string) {
		all = append(all, v1alpha1.UnhealthyMember{Name: name, Reason: reason, Message: short(message, 1000)})
	}
	for _, sh := range o.Snapshot.Shards {
		switch {
		case sh.NodeLost:
			add(sh.Name, "NodeLost", "its node "+sh.Node+" is gone; another shard takes its place")
		case sh.Ended:
			add(sh.Name, "Ended", "its containers have come to an end; another shard takes its place")
		case sh.Trouble != "" && !sh.Deleting:
			add(sh.Name, word(sh.Trouble), sh.Trouble)
		case sh.Ready && !sh.Reached && sh.Mark == nil:
			add(sh.Name, "NoAnswer", "it does not answer on its admin port")
		}
	}
	for _, st := range o.Snapshot.Stores {
		switch {
		case st.NodeLost:
			add(st.Name, "NodeLost", lostStore(st))
		case st.Trouble != "" && !st.Deleting:
			add(st.Name, word(st.Trouble), st.Trouble)
		case st.Ready && !st.Reached:
			add(st.Name, "NoAnswer", "it does not answer on its admin port")
		case st.Ready && st.Behind != "":
			add(st.Name, "CatchingUp", st.Behind)
		}
	}
	slices.SortFunc(all, func(a, b v1alpha1.UnhealthyMember) int { return cmp.Compare(a.Name, b.Name) })
	return all[:min(len(all), mostUnhealthy)]
}

// word is the first word of a trouble, which is the kubelet's reason where it gave one.
func word(trouble string) string {
	reason, _, _ := strings.Cut(trouble, ":")
	if reason == "" || strings.ContainsAny(reason, " \t") || reason == v1alpha1.ChatdContainer {
		return "NotReady"
	}
	return short(reason, 200)
}

func lostStore(st plan.Store) string {
	return "its node " + st.Node + " is gone. If it comes back, nothing is to be done; if it does not, say so: kubectl taint node " + st.Node +
		" node.kubernetes.io/out-of-service=nodeshutdown:NoExecute, and the store starts elsewhere where its volume can follow"
}

// short cuts a text to so many bytes.
func short(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
