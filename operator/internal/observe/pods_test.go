package observe

import (
	"reflect"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/chatfleet/chatfleet/api/v1alpha1"
	"github.com/chatfleet/chatfleet/operator/internal/plan"
	adminv1 "github.com/chatfleet/chatfleet/proto/admin/v1"
)

var noon = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

func at(ago time.Duration) metav1.Time { return metav1.NewTime(noon.Add(-ago)) }

// running is a pod of a role that has been ready for a minute.
func running(name, role string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{v1alpha1.LabelRole: role, v1alpha1.LabelRevision: "r1"}, CreationTimestamp: at(time.Hour)},
		Spec:       corev1.PodSpec{NodeName: "n1"},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{
			{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: at(time.Minute)},
		}},
	}
}

func node(status corev1.ConditionStatus, since time.Duration, taints ...string) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{corev1.LabelTopologyZone: "z1"}}}
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: status, LastTransitionTime: at(since)}}
	for _, key := range taints {
		n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: key})
	}
	return n
}

func waiting(reason, message string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.Conditions = nil
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "chatd", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}}
	}
}

func TestShards(t *testing.T) {
	up := plan.Shard{Name: "demo-shard-7", Index: 7, Zone: "z1", Node: "n1", Revision: "r1", Ready: true, ReadySince: noon.Add(-time.Minute)}
	down := up
	down.Ready, down.ReadySince = false, time.Time{}
	with := func(sh plan.Shard, change func(*plan.Shard)) plan.Shard {
		change(&sh)
		return sh
	}
	drain := func(goal adminv1.Drain_Goal, state adminv1.Drain_State) *adminv1.StatusResponse {
		return &adminv1.StatusResponse{Sessions: 9, Drain: &adminv1.Drain{Goal: goal, State: state, Pace: &adminv1.Pace{SessionsPerSecond: 50}}}
	}
	reached := func(state plan.LeavingState, pace int) plan.Shard {
		return with(up, func(sh *plan.Shard) {
			sh.Reached, sh.Sessions, sh.Leaving = true, 9, plan.Leaving{State: state, PerSecond: pace}
		})
	}
	for _, tt := range []struct {
		name   string
		pod    func(p *corev1.Pod)
		node   *corev1.Node
		answer *adminv1.StatusResponse
		want   plan.Shard
	}{
		{name: "ready", want: up},
		{name: "answers", answer: &adminv1.StatusResponse{Sessions: 9}, want: reached(plan.Staying, 0)},
		{name: "drains", answer: drain(adminv1.Drain_GOAL_DRAIN, adminv1.Drain_STATE_UNDER_WAY), want: reached(plan.Draining, 50)},
		{name: "drained", answer: drain(adminv1.Drain_GOAL_DRAIN, adminv1.Drain_STATE_DONE), want: reached(plan.Drained, 50)},
		{name: "stays after all", answer: drain(adminv1.Drain_GOAL_DRAIN, adminv1.Drain_STATE_REVERSED), want: reached(plan.Staying, 0)},
		{name: "sheds", answer: drain(adminv1.Drain_GOAL_SHED, adminv1.Drain_STATE_UNDER_WAY), want: reached(plan.Shedding, 50)},
		{name: "has shed", answer: drain(adminv1.Drain_GOAL_SHED, adminv1.Drain_STATE_DONE), want: reached(plan.Staying, 0)},
		{name: "is to leave", pod: func(p *corev1.Pod) {
			p.Annotations = map[string]string{v1alpha1.AnnotationDrain: "2030-01-01T11:59:00Z", v1alpha1.AnnotationDrainCause: "RollOut"}
		}, want: with(up, func(sh *plan.Shard) { sh.Mark = &plan.Mark{Since: noon.Add(-time.Minute), Cause: plan.RollOut} })},
		{name: "is to leave, and somebody has spoilt the mark", pod: func(p *corev1.Pod) {
			p.Annotations = map[string]string{v1alpha1.AnnotationDrain: "soon"}
		}, want: with(up, func(sh *plan.Shard) { sh.Mark = &plan.Mark{Since: noon.Add(-time.Hour), Cause: plan.ScaleIn} })},
		{name: "is being deleted", pod: func(p *corev1.Pod) { p.DeletionTimestamp = new(at(0)) }, want: with(down, func(sh *plan.Shard) { sh.Deleting = true })},
		{name: "has ended", pod: func(p *corev1.Pod) { p.Status = corev1.PodStatus{Phase: corev1.PodFailed} }, want: with(down, func(sh *plan.Shard) { sh.Ended = true })},
		{name: "starts", pod: waiting("ContainerCreating", ""), want: down},
		{name: "has no image", pod: waiting("ImagePullBackOff", "not found"), want: with(down, func(sh *plan.Shard) { sh.Trouble = "ImagePullBackOff: not found" })},
		{name: "has fallen over and runs again", pod: func(p *corev1.Pod) {
			p.Status.Conditions = nil
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "chatd", RestartCount: 2, LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 2}}}}
		}, want: with(down, func(sh *plan.Shard) { sh.Trouble = "chatd: restarted 2 times, the last time with exit code 2" })},
		{name: "has nowhere to run", pod: func(p *corev1.Pod) {
			p.Spec.NodeName = ""
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/3 nodes"}}
		}, want: with(down, func(sh *plan.Shard) { sh.Node, sh.Zone, sh.Trouble = "", "", "Unschedulable: 0/3 nodes" })},
		{name: "its node is silent", node: node(corev1.ConditionUnknown, 6*time.Second), want: with(up, func(sh *plan.Shard) { sh.NodeLost = true })},
		{name: "its node has just become silent", node: node(corev1.ConditionUnknown, 4*time.Second), want: up},
		{name: "its node says that it is not ready", node: node(corev1.ConditionFalse, time.Hour), want: up},
		{name: "its node is out of service", node: node(corev1.ConditionTrue, time.Hour, corev1.TaintNodeOutOfService), want: with(up, func(sh *plan.Shard) { sh.NodeLost = true })},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := World{Pods: []*corev1.Pod{running("demo-shard-7", v1alpha1.RoleShard), running("demo-store-0", v1alpha1.RoleStore)}, Now: noon,
				Nodes: map[string]*corev1.Node{"n1": node(corev1.ConditionTrue, time.Hour)}, Answers: map[string]*adminv1.StatusResponse{}}
			if tt.pod != nil {
				tt.pod(w.Pods[0])
			}
			if tt.node != nil {
				w.Nodes["n1"] = tt.node
			}
			if tt.answer != nil {
				w.Answers["demo-shard-7"] = tt.answer
			}
			if got := w.Shards(); !reflect.DeepEqual(got, []plan.Shard{tt.want}) {
				t.Errorf("%+v\nwant %+v", got, tt.want)
			}
		})
	}
	gone := World{Pods: []*corev1.Pod{running("demo-shard-7", v1alpha1.RoleShard)}, Now: noon, Nodes: map[string]*corev1.Node{}}
	if got := gone.Shards(); !got[0].NodeLost {
		t.Errorf("a node that is not in the cluster any more: %+v", got)
	}
}

func TestStores(t *testing.T) {
	w := World{Pods: []*corev1.Pod{running("demo-store-1", v1alpha1.RoleStore), running("demo-store-5", v1alpha1.RoleStore)}, Now: noon,
		Nodes: map[string]*corev1.Node{"n1": node(corev1.ConditionTrue, time.Hour)},
		Answers: map[string]*adminv1.StatusResponse{"demo-store-1": {
			Ready: true, GroupsLed: 4, LeadsMetadata: true, StepDown: &adminv1.StepDown{BeganMs: noon.UnixMilli()}, GroupsBehindTotal: 3,
			GroupsBehind: []*adminv1.GroupBehind{{Group: "LOG-eu1-3", Why: "demo-store-2 lags by 5"}},
		}}}
	got := w.Stores("demo-store", 3)
	want := []plan.Store{
		{Name: "demo-store-0"},
		{Ordinal: 1, Name: "demo-store-1", Revision: "r1", Ready: true, ReadySince: noon.Add(-time.Minute), Node: "n1", Reached: true, Leads: 4, LeadsMetadata: true,
			Behind: "LOG-eu1-3: demo-store-2 lags by 5 (and 2 more groups)", SteppingDown: got[1].SteppingDown},
		{Ordinal: 2, Name: "demo-store-2"},
	}
	if !reflect.DeepEqual(got, want) || !got[1].SteppingDown.Equal(noon) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	w.Answers["demo-store-1"] = &adminv1.StatusResponse{NotReady: []string{"no quorum", "no leader"}}
	if got := w.Stores("demo-store", 3); got[1].Behind != "no quorum; no leader" {
		t.Errorf("one that is not ready is behind by %q", got[1].Behind)
	}
}
