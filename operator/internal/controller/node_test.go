package controller

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/chatfleet/chatfleet/api/v1alpha1"
)

// TestALostNode: shards are replaced without waiting for their node, stores are left to people, who are told how.
func TestALostNode(t *testing.T) {
	const shards, within = 6, 90 * time.Second
	for _, tt := range []struct {
		name string
		mark func(d *driver, n *corev1.Node)
	}{
		{"it is not heard of", (*driver).silence},
		{"it is deleted", func(d *driver, n *corev1.Node) {
			if err := d.cluster.client.Delete(d.t.Context(), n); err != nil {
				d.t.Fatal(err)
			}
		}},
		{"it is declared out of service", func(d *driver, n *corev1.Node) {
			n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: corev1.TaintNodeOutOfService, Value: "nodeshutdown", Effect: corev1.TaintEffectNoExecute})
			if err := d.cluster.client.Update(d.t.Context(), n); err != nil {
				d.t.Fatal(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := operate(t, sample("", "demo", shards))
			d.until("the fleet settles", settled)
			node := d.nodeOfBoth()
			stores, victims := uids(d.pods(v1alpha1.RoleStore), ""), uids(d.pods(v1alpha1.RoleShard), node.Name)
			d.lose(node.Name)
			marked := d.Now()
			tt.mark(d, node)
			c := d.until("its shards are replaced, and the store's node is told", func(c *v1alpha1.ChatCluster) bool {
				if now := uids(d.pods(v1alpha1.RoleStore), ""); !slices.Equal(now, stores) {
					t.Fatalf("stores are not left alone: %v, were %v", now, stores)
				}
				pods := d.pods(v1alpha1.RoleShard)
				return len(pods) == shards && len(uids(pods, node.Name)) == 0 && c.Status.Shards.Ready == shards && is(c, v1alpha1.ConditionDegraded, "True", v1alpha1.ReasonStoreNodeLost)
			})
			if took := d.Now().Sub(marked); took > within {
				t.Errorf("it took %v, want at most %v", took, within)
			} else {
				t.Logf("it took %v", took)
			}
			if told := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionDegraded).Message; !strings.Contains(told, corev1.TaintNodeOutOfService) || !strings.Contains(told, node.Name) {
				t.Errorf("it does not say what to do with the node: %s", told)
			}
			forced := slices.DeleteFunc(slices.Clone(d.did), func(s string) bool { return !strings.Contains(s, "without waiting for its node") })
			if len(forced) != len(victims) {
				t.Errorf("%d shards were on the node, deleted by force were:\n%s", len(victims), strings.Join(forced, "\n"))
			}
		})
	}
}

// uids of the pods on a node, or of all, in the order of their names. One that is being deleted has its time beside it.
func uids(pods []corev1.Pod, node string) (all []types.UID) {
	for _, p := range pods {
		if node == "" || p.Spec.NodeName == node {
			if p.DeletionTimestamp != nil {
				p.UID += types.UID(" until " + p.DeletionTimestamp.String())
			}
			all = append(all, p.UID)
		}
	}
	return all
}

// nodeOfBoth is a node with a store and a shard.
func (d *driver) nodeOfBoth() *corev1.Node {
	d.t.Helper()
	for _, name := range nodes {
		if len(uids(d.pods(v1alpha1.RoleStore), name)) > 0 && len(uids(d.pods(v1alpha1.RoleShard), name)) > 0 {
			var n corev1.Node
			if err := d.cluster.client.Get(d.t.Context(), client.ObjectKey{Name: name}, &n); err != nil {
				d.t.Fatal(err)
			}
			return &n
		}
	}
	d.t.Fatal("no node has a store and a shard")
	return nil
}

// lose ends a node for the time of the test: what is on it neither begins nor ends, and nobody answers.
func (d *driver) lose(node string) {
	d.cluster.lost.Store(node, true)
	d.crew.mu.Lock()
	d.crew.lost = node
	d.crew.mu.Unlock()
	d.t.Cleanup(func() {
		ctx, c := context.Background(), d.cluster
		if err := c.client.Delete(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}}); err != nil && !apierrors.IsNotFound(err) {
			d.t.Error(err)
		}
		if err := c.makeNode(ctx, node); err != nil {
			d.t.Error(err)
		}
		c.lost.Delete(node)
	})
}

// silence is what Kubernetes' own controller notes of a node that has not reported for a while, and of the pods on it.
func (d *driver) silence(n *corev1.Node) {
	d.t.Helper()
	for i := range n.Status.Conditions {
		n.Status.Conditions[i].Status, n.Status.Conditions[i].LastTransitionTime = corev1.ConditionUnknown, metav1.NewTime(d.Now())
	}
	if err := d.cluster.client.Status().Update(d.t.Context(), n); err != nil {
		d.t.Fatal(err)
	}
	for _, p := range slices.Concat(d.pods(v1alpha1.RoleShard), d.pods(v1alpha1.RoleStore)) {
		if p.Spec.NodeName != n.Name {
			continue
		}
		for i := range p.Status.Conditions {
			p.Status.Conditions[i].Status = corev1.ConditionFalse
		}
		if err := d.cluster.client.Status().Update(d.t.Context(), &p); err != nil {
			d.t.Fatal(err)
		}
	}
}
