package kube

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// controlPlane is the label of nodes that run Kubernetes itself.
const controlPlane = "node-role.kubernetes.io/control-plane"

// Workers are the nodes that fleets run on, by name.
func (c *Cluster) Workers(ctx context.Context) ([]corev1.Node, error) {
	var nodes corev1.NodeList
	err := c.List(ctx, &nodes)
	workers := slices.DeleteFunc(nodes.Items, func(n corev1.Node) bool { _, is := n.Labels[controlPlane]; return is })
	slices.SortFunc(workers, func(a, b corev1.Node) int { return strings.Compare(a.Name, b.Name) })
	return workers, err
}

// Addresses are those by which nodes are reached: external ones where there are any, else internal ones. Nodes that are not ready, or are being emptied,
// are not among them.
func (c *Cluster) Addresses(ctx context.Context) ([]string, error) {
	var nodes corev1.NodeList
	if err := c.List(ctx, &nodes); err != nil {
		return nil, err
	}
	var external, internal []string
	for _, n := range nodes.Items {
		if !nodeReady(n) || n.Spec.Unschedulable {
			continue
		}
		for _, a := range n.Status.Addresses {
			switch a.Type {
			case corev1.NodeExternalIP:
				external = append(external, a.Address)
			case corev1.NodeInternalIP:
				internal = append(internal, a.Address)
			}
		}
	}
	if len(external) > 0 {
		return external, nil
	}
	if len(internal) == 0 {
		return nil, fmt.Errorf("no node that is ready has an address")
	}
	return internal, nil
}

func nodeReady(n corev1.Node) bool {
	return slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}
