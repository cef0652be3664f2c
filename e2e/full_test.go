package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/chatfleet/chatfleet/api/v1alpha1"
	"github.com/chatfleet/chatfleet/e2e/internal/kube"
)

// fullCases are those of make e2e-full besides. The last ones change the fleet for good, or remove it.
var fullCases = []one{
	{name: "revive", full: true, sessions: 600, bound: 3 * time.Second, do: revive},
	{name: "operator-killed-in-drain", full: true, sessions: 600, bound: 3 * time.Second, do: operatorKilledInDrain},
	{name: "operator-killed-in-roll-out", full: true, sessions: 300, bound: 3 * time.Second, do: operatorKilledInRollOut},
	{name: "eviction-while-paused", full: true, sessions: 300, bound: 3 * time.Second, do: evictionWhilePaused},
	{name: "dns-gone", full: true, sessions: 300, bound: time.Second, do: dnsGone},
	// Sessions on the lost node hear nothing of it: they are back once their pings have gone unanswered.
	{name: "node-lost", full: true, sessions: 300, bound: 15 * time.Second, cuts: true, do: nodeLost},
	{name: "operator-upgrade", full: true, sessions: 300, bound: time.Second, do: operatorUpgrade},
	{name: "hibernate", full: true, do: hibernate},
	{name: "store-growth", full: true, sessions: 300, bound: 3 * time.Second, do: storeGrowth},
	{name: "deletion", full: true, do: func(r *run) { removeSample(r, r.fleet) }},
}

// revive takes a scale-in back while shards send their sessions away.
func revive(r *run) {
	was := r.uids()
	r.drainAt(40) // so that a drain can be met in its midst
	r.scaleTo(1)
	r.must(r.fleet.Until(r.ctx, "shards send sessions away", time.Minute, 0, func(c *v1alpha1.ChatCluster) bool { return c.Status.Shards.Draining > 0 }))
	time.Sleep(time.Second)
	r.scaleTo(3)
	r.must(r.settled("the shards stay"))
	r.must(r.allBack())
	stay := 0
	for uid := range r.uids() {
		if was[uid] != "" {
			stay++
		}
	}
	moved, _ := r.load.Moves(time.Time{})
	_, devices := r.load.Devices()
	r.note("%d of 6 pods have stayed, %d of %d sessions moved", stay, len(moved), devices)
	if stay != 6 {
		r.Errorf("%d of 6 pods have stayed", stay)
	}
}

// killOperator ends the operator without a word, and waits for its successor to lead.
func (r *run) killOperator() {
	pods := r.operators()
	for _, p := range pods {
		r.must(r.Delete(r.ctx, &p, client.GracePeriodSeconds(0)))
	}
	r.must(kube.Until(r.ctx, "another operator runs", 2*time.Minute, func(ctx context.Context) (bool, string, error) {
		now := r.operators()
		ready := slices.ContainsFunc(now, func(p corev1.Pod) bool {
			return p.DeletionTimestamp == nil && !slices.ContainsFunc(pods, func(was corev1.Pod) bool { return was.UID == p.UID }) && podReady(p)
		})
		return ready, fmt.Sprintf("%d pods", len(now)), nil
	}))
}

func (r *run) operators() []corev1.Pod {
	var pods corev1.PodList
	r.must(r.List(r.ctx, &pods, client.InNamespace("chatfleet-system"), client.MatchingLabels{"app.kubernetes.io/name": "chatfleet-operator"}))
	return pods.Items
}

func podReady(p corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue })
}

// operatorKilledInDrain has the operator die while shards send their sessions away.
func operatorKilledInDrain(r *run) {
	r.drainAt(40) // so that a drain can be met in its midst
	r.scaleTo(1)
	r.must(r.fleet.Until(r.ctx, "shards send sessions away", time.Minute, 0, func(c *v1alpha1.ChatCluster) bool { return c.Status.Shards.Draining > 0 }))
	r.killOperator()
	r.must(r.fleet.Until(r.ctx, "one shard is left", settleWithin, 0, func(c *v1alpha1.ChatCluster) bool {
		return c.Status.ObservedGeneration == c.Generation && c.Status.Shards.Replicas == 1
	}))
	r.must(r.settled("the successor has gone on"))
	r.must(r.allBack())
}

// operatorKilledInRollOut has the operator die again and again while members are made anew.
func operatorKilledInRollOut(r *run) {
	r.must(r.change(`{"spec":{"image":"chatfleet/chatd:` + told.next + `"}}`))
	kills := 0
	for step := 1; step <= 6; step++ {
		err := kube.Until(r.ctx, "the roll-out has come to its next pod", 2*time.Minute, func(ctx context.Context) (bool, string, error) {
			c, err := r.fleet.Read(ctx)
			return err == nil && (int(c.Status.Shards.Updated+c.Status.Store.Updated) >= step || kube.Settled(c)), kube.How(c), err
		})
		r.must(err)
		if c, err := r.fleet.Read(r.ctx); err == nil && kube.Settled(c) {
			break
		}
		r.killOperator()
		kills++
	}
	r.must(r.settled("the new image is everywhere"))
	r.must(r.allBack())
	r.note("the operator was killed %d times", kills)
}

// evictionWhilePaused has pods evicted while the fleet is paused and a new image waits: they come back as they were.
func evictionWhilePaused(r *run) {
	r.must(r.change(`{"spec":{"update":{"paused":true},"image":"chatfleet/chatd:` + told.next + `"}}`))
	r.must(r.fleet.Until(r.ctx, "the change is seen", time.Minute, 0, func(c *v1alpha1.ChatCluster) bool { return c.Status.ObservedGeneration == c.Generation }))
	for _, role := range []string{v1alpha1.RoleShard, v1alpha1.RoleStore} {
		pods, err := r.fleet.Pods(r.ctx, role)
		r.must(err)
		r.must(r.fleet.Evict(r.ctx, pods[0].Name))
		r.must(kube.Until(r.ctx, "what was evicted has come back", 3*time.Minute, func(ctx context.Context) (bool, string, error) {
			now, err := r.fleet.Pods(ctx, role)
			ready := 0
			for _, p := range now {
				if podReady(p) && p.DeletionTimestamp == nil && p.UID != pods[0].UID {
					ready++
				}
			}
			return ready == 3, fmt.Sprintf("%d ready", ready), err
		}))
	}
	r.eachPod(func(p corev1.Pod) {
		if image := p.Spec.Containers[0].Image; image != "chatfleet/chatd:"+told.tag {
			r.Errorf("%s has the image %s while updates are paused", p.Name, image)
		}
	})
	r.must(r.change(`{"spec":{"update":{"paused":false},"image":"chatfleet/chatd:` + told.tag + `"}}`))
	r.must(r.settled("updates go on, and there is nothing to do"))
	r.must(r.allBack())
}

// dnsGone takes the cluster's DNS away for a minute: no session is cut and nothing is lost.
func dnsGone(r *run) {
	dns := &appsv1.Deployment{}
	key := client.ObjectKey{Namespace: "kube-system", Name: "coredns"}
	r.must(r.Get(r.ctx, key, dns))
	was := *dns.Spec.Replicas
	scale := func(ctx context.Context, n int32) error {
		_, err := r.Command(ctx, "kubectl", "scale", "deployment/coredns", "-n", key.Namespace, fmt.Sprintf("--replicas=%d", n))
		return err
	}
	defer func() { _ = scale(context.WithoutCancel(r.ctx), was) }()
	r.must(scale(r.ctx, 0))
	r.must(kube.Until(r.ctx, "there is no DNS", time.Minute, func(ctx context.Context) (bool, string, error) {
		err := r.Get(ctx, key, dns)
		return dns.Status.Replicas == 0, fmt.Sprint(dns.Status.Replicas), err
	}))
	gone := time.Now()
	time.Sleep(time.Minute)
	if _, cut := r.load.Moves(gone); len(cut) > 0 {
		r.Errorf("%d sessions were cut while there was no DNS", len(cut))
	}
	r.must(scale(r.ctx, was))
	r.must(r.settled("there is DNS again"))
}

// nodeLost kills a worker: its shards are replaced within 90 s, its store waits for it, and says what to do if it does not come back.
func nodeLost(r *run) {
	node, has := r.busiest()
	r.note("%s has %s", node, has)
	if err := docker(r.ctx, "inspect", node); err != nil {
		r.Skipf("node %s is no container of this machine's engine: %v", node, err)
	}
	begun := time.Now()
	defer func() { _ = docker(context.WithoutCancel(r.ctx), "start", node) }()
	r.must(docker(r.ctx, "kill", node))
	r.must(kube.Until(r.ctx, "three shards are ready elsewhere", 90*time.Second, func(ctx context.Context) (bool, string, error) {
		pods, err := r.fleet.Pods(ctx, v1alpha1.RoleShard)
		ready := 0
		for _, p := range pods {
			if p.Spec.NodeName != node && podReady(p) {
				ready++
			}
		}
		return ready >= 3, fmt.Sprintf("%d", ready), err
	}))
	r.note("the shards of %s were replaced after %.0f s", node, time.Since(begun).Seconds())
	r.must(r.fleet.Until(r.ctx, "the lost store is told, with what to do", 2*time.Minute, 0, func(c *v1alpha1.ChatCluster) bool {
		return slices.ContainsFunc(c.Status.Conditions, func(cond metav1.Condition) bool {
			return cond.Type == v1alpha1.ConditionDegraded && cond.Reason == v1alpha1.ReasonStoreNodeLost && strings.Contains(cond.Message, "out-of-service")
		})
	}))
	r.must(docker(r.ctx, "start", node))
	r.must(r.network())
	r.must(r.settled("the node is back"))
	r.must(r.allBack())
}

func docker(ctx context.Context, args ...string) error {
	if out, err := exec.CommandContext(ctx, "docker", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("docker %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// network has the routes between nodes made again, which a container that was started anew has lost.
func (r *run) network() error {
	out, err := exec.CommandContext(r.ctx, "./cluster/network", told.cluster).CombinedOutput()
	if err != nil {
		return fmt.Errorf("e2e/cluster/network: %w: %s", err, out)
	}
	return nil
}

// operatorUpgrade installs another version of the operator, with labels of its own: no pod of a fleet is made anew.
func operatorUpgrade(r *run) {
	was := r.uids()
	upgrade := func(ctx context.Context, args ...string) error {
		_, err := r.Command(ctx, "helm", append([]string{"upgrade", "--install", "chatfleet", "../charts/chatfleet", "--namespace", "chatfleet-system",
			"--set", "image.repository=chatfleet/operator", "--wait", "--timeout", "3m"}, args...)...)
		return err
	}
	defer func() { _ = upgrade(context.WithoutCancel(r.ctx), "--set", "image.tag="+told.tag) }()
	r.must(upgrade(r.ctx, "--set", "image.tag="+told.next, "--set", "podLabels.example\\.com/team=chat", "--set", "log.level=debug"))
	time.Sleep(30 * time.Second) // two looks, and what a change of leader takes
	r.must(r.settled("the fleet is as it was"))
	is := r.uids()
	for uid, name := range was {
		if is[uid] == "" {
			r.Errorf("%s was made anew by an upgrade of the operator", name)
		}
	}
	r.note("%d of %d pods are the same after the upgrade", len(is), len(was))
}

// hibernate ends all pods and wakes the fleet: what was posted before is there.
func hibernate(r *run) {
	r.must(r.ensureFleet())
	l, err := r.startLoad(100)
	r.must(err)
	time.Sleep(5 * time.Second)
	got, err := l.Stop(r.ctx)
	r.must(err)
	if !got.None() || len(got.Hanging) > 0 {
		r.Fatalf("before: %+v %q", got.Faults, got.Hanging)
	}
	begun := time.Now()
	r.must(r.change(`{"spec":{"hibernate":true}}`))
	r.must(r.fleet.Until(r.ctx, "no pod is left", settleWithin, 0, func(c *v1alpha1.ChatCluster) bool { return c.Status.Store.Replicas+c.Status.Shards.Replicas == 0 }))
	r.note("asleep after %.0f s", time.Since(begun).Seconds())
	begun = time.Now()
	r.must(r.change(`{"spec":{"hibernate":false}}`))
	r.must(r.settled("awake"))
	r.note("awake after %.0f s", time.Since(begun).Seconds())
	r.must(l.ReadAgain(r.ctx))
}

// storeGrowth makes five stores of three.
func storeGrowth(r *run) {
	begun := time.Now()
	r.must(r.change(`{"spec":{"store":{"replicas":5}}}`))
	r.must(r.fleet.Until(r.ctx, "five stores are ready", settleWithin, 0, func(c *v1alpha1.ChatCluster) bool { return c.Status.Store.Ready == 5 }))
	r.must(r.settled("the fleet has settled with five stores"))
	r.must(r.allBack())
	r.note("five stores after %.0f s", time.Since(begun).Seconds())
	// A fleet does not shrink: the next case begins with another.
	r.row.Notes = append(r.row.Notes, "the fleet keeps its five stores")
}
