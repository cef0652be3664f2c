package command

import (
	"cmp"
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/config"

	"github.com/chatfleet/chatfleet/api/v1alpha1"
	"github.com/chatfleet/chatfleet/operator/internal/controller"
)

// liveCluster reads from the API server what a ChatCluster is now, and asks it whether it would take the new one: a dry run, which changes nothing. Nil if
// there is none of that name yet.
func liveCluster(ctx context.Context, to *v1alpha1.ChatCluster, namespace string) (*v1alpha1.ChatCluster, error) {
	where, err := config.GetConfig()
	if err != nil {
		return nil, fmt.Errorf("find the Kubernetes cluster: %w; name a kubeconfig with --kubeconfig", err)
	}
	api, err := client.New(where, client.Options{Scheme: controller.Scheme()})
	if err != nil {
		return nil, fmt.Errorf("reach the Kubernetes cluster %s: %w", where.Host, err)
	}
	to.Namespace = cmp.Or(to.Namespace, namespace, metav1.NamespaceDefault)
	var live v1alpha1.ChatCluster
	switch err := api.Get(ctx, client.ObjectKeyFromObject(to), &live); {
	case apierrors.IsNotFound(err):
		if err := api.Create(ctx, to.DeepCopy(), client.DryRunAll); err != nil {
			return nil, refusal(to, err)
		}
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read the ChatCluster %s of namespace %s: %w", to.Name, to.Namespace, err)
	}
	trial := to.DeepCopy()
	trial.ResourceVersion = live.ResourceVersion
	if err := api.Update(ctx, trial, client.DryRunAll); err != nil {
		return nil, refusal(to, err)
	}
	live.Default()
	return &live, nil
}

func refusal(to *v1alpha1.ChatCluster, err error) error {
	if apierrors.IsInvalid(err) {
		return usageError{fmt.Errorf("the API server would refuse it: %w", err)}
	}
	return fmt.Errorf("ask whether the API server would take the ChatCluster %s: %w", to.Name, err)
}
