package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/chatfleet/chatfleet/api/v1alpha1"
	"github.com/chatfleet/chatfleet/e2e/internal/kube"
)

// cases of make e2e.
var cases = []one{
	{name: "install", do: install},
	{name: "broadcast", do: broadcast},
	// Whoever is sent away is away for up to twice the jitter, and then connects. With so many sessions, and no more can be moved on two cores,
	// chance alone takes a shard farther than 15 % from the mean once in ten times.
	{name: "scale", sessions: 1600, bound: 3 * time.Second, do: scale},
	{name: "roll-out", sessions: 300, bound: 3 * time.Second, do: rollOut},
	{name: "bad-image", sessions: 300, bound: 3 * time.Second, do: badImage},
	{name: "kill", sessions: 300, bound: 3 * time.Second, cuts: true, do: kill},
	{name: "node-drain", sessions: 300, bound: 3 * time.Second, do: nodeDrain},
}

// install installs the operator and the sample with the README's commands, and removes the sample again.
func install(r *run) {
	const system, space = "chatfleet-system", "chat"
	_, err := r.Command(r.ctx, "helm", "upgrade", "--install", "chatfleet", "../charts/chatfleet", "--namespace", system, "--create-namespace",
		"--set", "image.repository=chatfleet/operator", "--set", "image.tag="+told.tag, "--wait", "--timeout", "3m")
	r.must(err)
	r.must(r.Namespace(r.ctx, space))
	sample := r.Cluster.Fleet(space, "dev")
	begun := time.Now()
	_, err = r.Command(r.ctx, "kubectl", "apply", "--namespace", space, "-f", "../config/samples/chatcluster.yaml")
	r.must(err)
	if told.tag != "dev" { // the image that the sample names
		_, err = r.Command(r.ctx, "kubectl", "patch", "cc", "dev", "-n", space, "--type", "merge", "-p", `{"spec":{"image":"chatfleet/chatd:`+told.tag+`"}}`)
		r.must(err)
	}
	_, err = r.Command(r.ctx, "kubectl", "wait", "--namespace", space, "--for=condition=Available", "chatcluster/dev", "--timeout", "5m")
	r.must(err)
	r.note("the sample is available %.0f s after kubectl apply", time.Since(begun).Seconds())
	r.must(sample.Until(r.ctx, "the sample has settled", settleWithin, 0, kube.Settled))
	columns, err := r.Command(r.ctx, "kubectl", "get", "cc", "-n", space)
	r.must(err)
	r.Logf("\n%s", columns)
	removeSample(r, sample)
}

// removeSample deletes a fleet: the object goes at once, and what belongs to it in bounded time.
func removeSample(r *run, fleet *kube.Fleet) {
	begun := time.Now()
	_, err := r.Command(r.ctx, "kubectl", "delete", "cc", fleet.Key.Name, "-n", fleet.Key.Namespace, "--wait=false")
	r.must(err)
	r.must(kube.Until(r.ctx, "the object is gone", 5*time.Second, func(ctx context.Context) (bool, string, error) {
		_, err := fleet.Read(ctx)
		return client.IgnoreNotFound(err) == nil && err != nil, "it is there", nil
	}))
	r.must(kube.Until(r.ctx, "all that belongs to the fleet is gone", 2*time.Minute, func(ctx context.Context) (bool, string, error) {
		var left []string
		for _, list := range []client.ObjectList{&corev1.PodList{}, &corev1.PersistentVolumeClaimList{}, &corev1.SecretList{}, &corev1.ServiceList{}} {
			if err := r.List(ctx, list, client.InNamespace(fleet.Key.Namespace), client.MatchingLabels{v1alpha1.LabelCluster: fleet.Key.Name}); err != nil {
				return false, "", err
			}
			if n := meta.LenList(list); n > 0 {
				left = append(left, fmt.Sprintf("%T: %d", list, n))
			}
		}
		return len(left) == 0, strings.Join(left, ", "), nil
	}))
	r.note("a deleted fleet is gone, volumes too, after %.0f s", time.Since(begun).Seconds())
}

// broadcast has the simulator give its verdict.
func broadcast(r *run) {
	r.must(r.ensureFleet())
	endpoints, err := r.endpoints()
	r.must(err)
	key, err := r.signingKey()
	r.must(err)
	dir := filepath.Join(told.out, "broadcast")
	_, err = r.Command(r.ctx, "../bin/simulator", "run", "../scenarios/smoke.yaml", "--target", strings.Join(endpoints, ","), "--token-key", key, "--out", dir)
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		r.Fatal(err)
	}
	text, readErr := os.ReadFile(filepath.Join(dir, "report.json"))
	if readErr != nil {
		r.Fatal(errors.Join(err, readErr))
	}
	var report struct {
		Verdict    string
		Reasons    []string
		Deliveries struct{ Expected, Delivered, Duplicate, Lost, Unordered int64 }
		LatencyMs  struct{ P50, P999, Max float64 }
		Posts      struct{ Unacknowledged int64 }
	}
	r.must(json.Unmarshal(text, &report))
	d := report.Deliveries
	r.note("verdict %s: %d of %d deliveries, lost %d, duplicate %d, unordered %d; p50 %.0f ms, p99.9 %.0f ms, max %.0f ms", report.Verdict, d.Delivered, d.Expected, d.Lost, d.Duplicate, d.Unordered,
		report.LatencyMs.P50, report.LatencyMs.P999, report.LatencyMs.Max)
	if d.Expected == 0 || d.Lost+d.Duplicate+d.Unordered > 0 {
		r.Errorf("deliveries: %+v", d)
	}
	// The scenario's own bounds are a second; the cluster has the same two cores as the load.
	if report.Verdict != "Pass" && (report.LatencyMs.Max > 5000 || report.LatencyMs.Max == 0) {
		r.Errorf("verdict %s: %s", report.Verdict, strings.Join(report.Reasons, "; "))
	}
}

// scale makes six shards of three and three of six.
func scale(r *run) {
	r.drainAt(60) // a sign-in costs more than a delivery, and thousands must move
	before, err := r.fleet.Sessions(r.ctx)
	r.must(err)
	begun := time.Now()
	r.scaleTo(6)
	r.must(r.fleet.Until(r.ctx, "six shards are ready", settleWithin, 0, func(c *v1alpha1.ChatCluster) bool { return c.Status.Shards.Ready == 6 }))
	var after map[string]int
	_, devices := r.load.Devices()
	even := max(0.15, chance(devices, 6))
	r.must(kube.Until(r.ctx, fmt.Sprintf("sessions are within %.0f %% of the mean", 100*even), 3*time.Minute, func(ctx context.Context) (bool, string, error) {
		time.Sleep(2 * time.Second)
		signedIn, all := r.load.Devices()
		after, err = r.fleet.Sessions(ctx)
		return err == nil && len(after) == 6 && spread(after) <= even && signedIn == all, fmt.Sprintf("%v, %d of %d devices", after, signedIn, all), err
	}))
	r.must(r.settled("the fleet has settled with six shards"))
	after, err = r.fleet.Sessions(r.ctx)
	r.must(err)
	if off := spread(after); off > even {
		r.Errorf("sessions have left the %.0f %% around the mean again: %v", 100*even, after)
	}
	moved, _ := r.load.Moves(begun)
	least := leastMoves(before, 6)
	r.note("3 → 6: %v → %v, at most %.1f %% off the mean; %d sessions moved, at least %d must (× %.2f); %.0f s", values(before), values(after), 100*spread(after), len(moved), least, float64(len(moved))/float64(least), time.Since(begun).Seconds())
	if len(moved) > 2*least {
		r.Errorf("%d sessions have moved, at least %d must", len(moved), least)
	}
	begun = time.Now()
	r.scaleTo(3)
	r.must(r.fleet.Until(r.ctx, "three shards are left", settleWithin, 0, func(c *v1alpha1.ChatCluster) bool {
		return c.Status.ObservedGeneration == c.Generation && c.Status.Shards.Replicas == 3
	}))
	r.must(r.settled("the fleet has settled with three shards"))
	r.must(r.allBack())
	moved, _ = r.load.Moves(begun)
	r.note("6 → 3: %d sessions moved in %.0f s", len(moved), time.Since(begun).Seconds())
}

// drainAt sets how many sessions may be sent away a second. Shards stay for that: the operator tells them.
func (r *run) drainAt(pace int) {
	r.pace = pace
	r.must(r.change(fmt.Sprintf(`{"spec":{"shards":{"drain":{"sessionsPerSecond":%d}}}}`, pace)))
	r.must(r.settled(fmt.Sprintf("drains are at %d a second", pace)))
}

func (r *run) scaleTo(n int) {
	_, err := r.Command(r.ctx, "kubectl", "scale", "cc", r.fleet.Key.Name, "-n", r.fleet.Key.Namespace, fmt.Sprintf("--replicas=%d", n))
	r.must(err)
}

// allBack waits until every device has a session.
func (r *run) allBack() error {
	return kube.Until(r.ctx, "all devices have a session", patience, func(context.Context) (bool, string, error) {
		signedIn, all := r.load.Devices()
		return signedIn == all, fmt.Sprintf("%d of %d", signedIn, all), nil
	})
}

// spread is how far the shard that is farthest from the mean is off, as a share of it.
func spread(sessions map[string]int) float64 {
	total := 0
	for _, n := range sessions {
		total += n
	}
	mean, most := float64(total)/float64(len(sessions)), 0.0
	for _, n := range sessions {
		most = max(most, math.Abs(float64(n)-mean)/mean)
	}
	return most
}

// chance is how far a shard may be off the mean without anybody's doing, as a share of it: sessions choose among shards at random, and the
// operator leaves alone what is within four standard deviations. Below 15 % it is from 711 sessions a shard on.
func chance(sessions, shards int) float64 {
	return 4 / math.Sqrt(float64(sessions)/float64(shards))
}

// leastMoves is how many sessions must move so that n shards have the same.
func leastMoves(before map[string]int, n int) int {
	total, least := 0, 0
	for _, is := range before {
		total += is
	}
	for _, is := range before {
		least += max(0, is-(total+n-1)/n)
	}
	return least
}

func values(m map[string]int) []int {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	var all []int
	for _, name := range names {
		all = append(all, m[name])
	}
	return all
}

// rollOut has all members made anew from another image.
func rollOut(r *run) {
	was := r.uids()
	begun := time.Now()
	r.must(r.change(`{"spec":{"image":"chatfleet/chatd:` + told.next + `"}}`))
	r.must(r.fleet.Until(r.ctx, "the roll-out has begun", time.Minute, 0, condition(v1alpha1.ConditionProgressing, metav1.ConditionTrue)))
	r.must(r.settled("the new image is everywhere"))
	r.must(r.allBack())
	r.note("three shards and three stores have the new image after %.0f s", time.Since(begun).Seconds())
	for uid, name := range r.uids() {
		if was[uid] != "" {
			r.Errorf("%s has not been made anew", name)
		}
	}
	r.eachPod(func(p corev1.Pod) {
		if image := p.Spec.Containers[0].Image; image != "chatfleet/chatd:"+told.next {
			r.Errorf("%s has the image %s", p.Name, image)
		}
	})
}

// uids are the fleet's pods, by what tells one from its successor.
func (r *run) uids() map[string]string {
	all := map[string]string{}
	r.eachPod(func(p corev1.Pod) { all[string(p.UID)] = p.Name })
	return all
}

func (r *run) eachPod(do func(corev1.Pod)) {
	for _, role := range []string{v1alpha1.RoleStore, v1alpha1.RoleShard} {
		pods, err := r.fleet.Pods(r.ctx, role)
		r.must(err)
		for _, p := range pods {
			if p.DeletionTimestamp == nil {
				do(p)
			}
		}
	}
}

// badImage rolls out an image that is not there. It must stop at one pod; what is evicted meanwhile must come back as it was; and putting it right must be
// all that it takes.
func badImage(r *run) {
	was := r.uids()
	const bad = "chatfleet/chatd:there-is-none"
	r.must(r.change(`{"spec":{"image":"` + bad + `"}}`))
	r.must(r.fleet.Until(r.ctx, "the bad image is noticed", 2*time.Minute, 0, condition(v1alpha1.ConditionDegraded, metav1.ConditionTrue)))
	c, err := r.fleet.Read(r.ctx)
	r.must(err)
	r.Log(kube.How(c))
	shards, err := r.fleet.Pods(r.ctx, v1alpha1.RoleShard)
	r.must(err)
	victim := slices.IndexFunc(shards, func(p corev1.Pod) bool { return p.Spec.Containers[0].Image != bad })
	r.must(r.fleet.Evict(r.ctx, shards[victim].Name))
	r.must(kube.Until(r.ctx, "what was evicted has come back as it was", 2*time.Minute, func(ctx context.Context) (bool, string, error) {
		old, tries, err := r.images(ctx, bad)
		return old == 3 && tries == 1, fmt.Sprintf("%d ready shards of before, %d of the bad image", old, tries), err
	}))
	time.Sleep(5 * time.Second) // and nothing more of it
	if _, tries, err := r.images(r.ctx, bad); err != nil || tries != 1 {
		r.Errorf("%d pods have the bad image (%v)", tries, err)
	}
	r.must(r.change(`{"spec":{"image":"chatfleet/chatd:` + told.tag + `"}}`))
	r.must(r.settled("the image is put right"))
	r.must(r.allBack())
	stay := 0
	for uid := range r.uids() {
		if was[uid] != "" {
			stay++
		}
	}
	if stay != 5 {
		r.Errorf("%d pods of before are still there, want the three stores and two shards", stay)
	}
}

// images counts shards that are ready with another image than the bad one, and all pods that have that.
func (r *run) images(ctx context.Context, bad string) (old, tries int, err error) {
	for _, role := range []string{v1alpha1.RoleStore, v1alpha1.RoleShard} {
		pods, err := r.fleet.Pods(ctx, role)
		if err != nil {
			return 0, 0, err
		}
		for _, p := range pods {
			ready := slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue })
			switch {
			case p.DeletionTimestamp != nil:
			case p.Spec.Containers[0].Image == bad:
				tries++
			case role == v1alpha1.RoleShard && ready:
				old++
			}
		}
	}
	return old, tries, nil
}

// kill ends each store's process and then a shard's without a word to them, one after the other.
func kill(r *run) {
	for _, role := range []string{v1alpha1.RoleStore, v1alpha1.RoleShard} {
		pods, err := r.fleet.Pods(r.ctx, role)
		r.must(err)
		if role == v1alpha1.RoleShard {
			pods = pods[:1]
		}
		for _, p := range pods {
			begun := time.Now()
			r.must(r.fleet.Kill(r.ctx, p))
			r.must(kube.Until(r.ctx, p.Name+" has ended", time.Minute, func(ctx context.Context) (bool, string, error) {
				is, err := r.incarnation(ctx, p.Name)
				return is != incarnation(p), is, err
			}))
			r.must(kube.Until(r.ctx, p.Name+" runs again", 2*time.Minute, func(ctx context.Context) (bool, string, error) {
				pods, err := r.fleet.Pods(ctx, role)
				ready := 0
				for _, p := range pods {
					if podReady(p) && p.DeletionTimestamp == nil {
						ready++
					}
				}
				return ready == 3, fmt.Sprintf("%d are ready", ready), err
			}))
			r.must(r.settled("the fleet is whole again"))
			r.note("%s: whole again after %.0f s", p.Name, time.Since(begun).Seconds())
		}
	}
	r.must(r.allBack())
}

// incarnation tells a pod's process from the one before.
func incarnation(p corev1.Pod) string {
	restarts := int32(0)
	for _, c := range p.Status.ContainerStatuses {
		restarts += c.RestartCount
	}
	return fmt.Sprintf("%s, restarted %d times", p.UID, restarts)
}

func (r *run) incarnation(ctx context.Context, pod string) (string, error) {
	var p corev1.Pod
	err := r.Get(ctx, client.ObjectKey{Namespace: r.fleet.Key.Namespace, Name: pod}, &p)
	if apierrors.IsNotFound(err) {
		return "gone", nil
	}
	return incarnation(p), err
}

// nodeDrain empties a node as for its maintenance, and lets it back.
func nodeDrain(r *run) {
	node, has := r.busiest()
	r.note("%s has %s", node, has)
	begun := time.Now()
	defer func() { _, _ = r.Command(context.WithoutCancel(r.ctx), "kubectl", "uncordon", node) }()
	_, err := r.Command(r.ctx, "kubectl", "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout", "3m")
	r.must(err)
	r.note("%s is empty after %.0f s", node, time.Since(begun).Seconds())
	r.must(r.fleet.Until(r.ctx, "three shards are elsewhere", settleWithin, 0, func(c *v1alpha1.ChatCluster) bool {
		return c.Status.Shards.Ready == 3 && c.Status.Shards.Draining == 0
	}))
	_, err = r.Command(r.ctx, "kubectl", "uncordon", node)
	r.must(err)
	r.must(r.settled("the node is back"))
	r.must(r.allBack())
}

// busiest is the worker that has most of the fleet, its shards first, and what that is.
func (r *run) busiest() (node, has string) {
	workers, err := r.Workers(r.ctx)
	r.must(err)
	shards, stores := map[string]int{}, map[string]int{}
	r.eachPod(func(p corev1.Pod) {
		if p.Labels[v1alpha1.LabelRole] == v1alpha1.RoleShard {
			shards[p.Spec.NodeName]++
		} else {
			stores[p.Spec.NodeName]++
		}
	})
	most := slices.MaxFunc(workers, func(a, b corev1.Node) int {
		return cmp.Or(cmp.Compare(shards[a.Name], shards[b.Name]), cmp.Compare(stores[a.Name], stores[b.Name]))
	}).Name
	return most, fmt.Sprintf("%d of the fleet's shards and %d of its stores", shards[most], stores[most])
}
