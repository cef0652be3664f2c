package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/chatfleet/chatfleet/api/v1alpha1"
)

// Cluster is a Kubernetes cluster.
type Cluster struct {
	client.Client
	Config     *rest.Config
	kubeconfig string
	// Say tells what is being done; nil is silence.
	Say func(format string, args ...any)
}

// Connect reaches the cluster that a kubeconfig names.
func Connect(kubeconfig string) (*Cluster, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig %s: %w", kubeconfig, err)
	}
	config.QPS, config.Burst = 100, 200
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("reach the cluster %s: %w", config.Host, err)
	}
	return &Cluster{Client: c, Config: config, kubeconfig: kubeconfig}, nil
}

func (c *Cluster) say(format string, args ...any) {
	if c.Say != nil {
		c.Say(format, args...)
	}
}

// Command runs a program as a user of this cluster would, and returns what it printed.
func (c *Cluster) Command(ctx context.Context, program string, args ...string) (string, error) {
	c.say("$ %s %s", program, strings.Join(args, " "))
	cmd := exec.CommandContext(ctx, program, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.kubeconfig)
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %w: %s", cmd.Args[0], strings.Join(cmd.Args[1:], " "), err, strings.TrimSpace(errs.String()+out.String()))
	}
	return out.String(), nil
}

// look is how often a state that is waited for is looked at.
const look = 250 * time.Millisecond

// Until waits for a state. is says whether it has come, and how it is; an error that passes is told with the last of these if the time is over.
func Until(ctx context.Context, what string, within time.Duration, is func(context.Context) (bool, string, error)) error {
	deadline := time.Now().Add(within)
	for {
		done, how, err := is(ctx)
		if err == nil && done {
			return nil
		}
		if err != nil {
			how = err.Error()
		}
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("%s: %w; last: %s", what, context.Cause(ctx), how)
		case time.Now().After(deadline):
			return fmt.Errorf("%s: not within %s; last: %s", what, within, how)
		}
		time.Sleep(look)
	}
}

// Namespace makes a namespace that takes restricted pods only, unless it is there.
func (c *Cluster) Namespace(ctx context.Context, name string) error {
	ns := &corev1.Namespace{}
	ns.Name = name
	ns.Labels = map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}
	return client.IgnoreAlreadyExists(c.Create(ctx, ns))
}
