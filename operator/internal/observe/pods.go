package observe

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/chatfleet/chatfleet/api/v1alpha1"
	"github.com/chatfleet/chatfleet/operator/internal/plan"
	adminv1 "github.com/chatfleet/chatfleet/proto/admin/v1"
)

// World is what was read.
type World struct {
	// Pods of the fleet, both roles.
	Pods []*corev1.Pod
	// Nodes that these pods are bound to, by name. One that is not in it is not in the cluster any more. Nil: nodes may not be read, and none
	// counts as lost.
	Nodes map[string]*corev1.Node
	// Answers of the admin ports, by pod. Who did not answer is not in it.
	Answers map[string]*adminv1.StatusResponse
	Now     time.Time
}

// silentFor is how long a node must have been silent, by the API server's account, before its shards are given up. The API server waits for most
// of a minute itself before it says so.
const silentFor = 5 * time.Second

// Shards are those among the pods, as the planner wants them.
func (w World) Shards() []plan.Shard {
	var all []plan.Shard
	for _, p := range w.Pods {
		if p.Labels[v1alpha1.LabelRole] != v1alpha1.RoleShard {
			continue
		}
		index, ok := Number(p.Name)
		if !ok {
			continue // nobody's name for a shard
		}
		sh := plan.Shard{
			Name: p.Name, Index: index, Node: p.Spec.NodeName, Zone: w.zone(p), Revision: p.Labels[v1alpha1.LabelRevision],
			Trouble: trouble(p), Deleting: p.DeletionTimestamp != nil, Mark: mark(p),
			Ended:    p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded,
			NodeLost: w.nodeLost(p),
		}
		sh.Ready, sh.ReadySince = ready(p)
		if a := w.Answers[p.Name]; a != nil {
			sh.Reached, sh.Sessions, sh.Leaving = true, int(a.GetSessions()), leaving(a.GetDrain())
		}
		all = append(all, sh)
	}
	return all
}

// Stores are all that the set is to have, whether their pods are there or not.
func (w World) Stores(set string, replicas int) []plan.Store {
	all := make([]plan.Store, replicas)
	for i := range all {
		all[i] = plan.Store{Ordinal: i, Name: fmt.Sprintf("%s-%d", set, i)}
	}
	for _, p := range w.Pods {
		i, ok := Number(p.Name)
		if p.Labels[v1alpha1.LabelRole] != v1alpha1.RoleStore || !ok || i >= replicas {
			continue
		}
		st := &all[i]
		st.Revision, st.Trouble, st.Node = p.Labels[v1alpha1.LabelRevision], trouble(p), p.Spec.NodeName
		st.Deleting, st.NodeLost = p.DeletionTimestamp != nil, w.nodeLost(p)
		st.Ready, st.ReadySince = ready(p)
		if a := w.Answers[p.Name]; a != nil {
			st.Reached, st.Leads, st.LeadsMetadata, st.Behind = true, int(a.GetGroupsLed()), a.GetLeadsMetadata(), behind(a)
			if down := a.GetStepDown(); down != nil {
				st.SteppingDown = time.UnixMilli(down.GetBeganMs())
			}
		}
	}
	return all
}

// Number is what stands behind the last hyphen of a name.
func Number(name string) (int, bool) {
	n, err := strconv.Atoi(name[strings.LastIndexByte(name, '-')+1:])
	return n, err == nil && n >= 0
}

func (w World) zone(p *corev1.Pod) string {
	if n := w.Nodes[p.Spec.NodeName]; n != nil {
		return n.Labels[corev1.LabelTopologyZone]
	}
	return ""
}

// nodeLost says that a pod's node is gone, is declared out of service, or has been silent. A node that says itself that it is not ready still
// runs its pods.
func (w World) nodeLost(p *corev1.Pod) bool {
	if p.Spec.NodeName == "" || w.Nodes == nil {
		return false
	}
	n := w.Nodes[p.Spec.NodeName]
	if n == nil {
		return true
	}
	for _, taint := range n.Spec.Taints {
		if taint.Key == corev1.TaintNodeOutOfService {
			return true
		}
	}
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status == corev1.ConditionUnknown {
			return w.Now.Sub(c.LastTransitionTime.Time) >= silentFor
		}
	}
	return false
}

func ready(p *corev1.Pod) (bool, time.Time) {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue && p.DeletionTimestamp == nil {
			return true, c.LastTransitionTime.Time
		}
	}
	return false, time.Time{}
}

// mark reads the mark off a pod. One with a time that makes no sense counts from the pod's own beginning, so that its drain has an end.
func mark(p *corev1.Pod) *plan.Mark {
	text, ok := p.Annotations[v1alpha1.AnnotationDrain]
	if !ok {
		return nil
	}
	since, err := time.Parse(time.RFC3339, text)
	if err != nil {
		since = p.CreationTimestamp.Time
	}
	cause := plan.Cause(p.Annotations[v1alpha1.AnnotationDrainCause])
	if cause != plan.RollOut && cause != plan.Hibernation {
		cause = plan.ScaleIn
	}
	return &plan.Mark{Since: since, Cause: cause}
}

// trouble is why a pod does not run, where waiting alone does not help; empty if it runs, or is on its way.
func trouble(p *corev1.Pod) string {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
			return "Unschedulable: " + c.Message
		}
	}
	for _, c := range p.Status.ContainerStatuses {
		if w := c.State.Waiting; w != nil && w.Reason != "ContainerCreating" && w.Reason != "PodInitializing" {
			return reason(w.Reason, w.Message)
		}
		if last := c.LastTerminationState.Terminated; last != nil && !c.Ready && c.RestartCount > 0 {
			return fmt.Sprintf("%s: restarted %d times, the last time with exit code %d", c.Name, c.RestartCount, last.ExitCode)
		}
	}
	return ""
}

func reason(reason, message string) string {
	if message == "" {
		return reason
	}
	const enough = 300
	if len(message) > enough {
		message = strings.ToValidUTF8(message[:enough], "") + "…"
	}
	return reason + ": " + message
}

func leaving(d *adminv1.Drain) plan.Leaving {
	l := plan.Leaving{PerSecond: int(d.GetPace().GetSessionsPerSecond())}
	switch {
	case d.GetGoal() == adminv1.Drain_GOAL_SHED && d.GetState() == adminv1.Drain_STATE_UNDER_WAY:
		l.State = plan.Shedding
	case d.GetGoal() != adminv1.Drain_GOAL_DRAIN:
		return plan.Leaving{}
	case d.GetState() == adminv1.Drain_STATE_UNDER_WAY:
		l.State = plan.Draining
	case d.GetState() == adminv1.Drain_STATE_DONE:
		l.State = plan.Drained
	default:
		return plan.Leaving{}
	}
	return l
}

// behind names the first group that is not current, and how many more there are.
func behind(a *adminv1.StatusResponse) string {
	if !a.GetReady() {
		return strings.Join(a.GetNotReady(), "; ")
	}
	groups := a.GetGroupsBehind()
	if len(groups) == 0 {
		return ""
	}
	text := groups[0].GetGroup() + ": " + groups[0].GetWhy()
	if more := int(a.GetGroupsBehindTotal()) - 1; more > 0 {
		text += fmt.Sprintf(" (and %d more groups)", more)
	}
	return text
}
