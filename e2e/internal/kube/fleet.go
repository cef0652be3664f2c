package kube

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/chatfleet/chatfleet/api/v1alpha1"
	adminv1 "github.com/chatfleet/chatfleet/proto/admin/v1"
	"github.com/chatfleet/chatfleet/proto/admin/v1/adminv1connect"
)

// Fleet is one ChatCluster.
type Fleet struct {
	*Cluster
	Key client.ObjectKey
}

// Fleet names a ChatCluster of the cluster.
func (c *Cluster) Fleet(namespace, name string) *Fleet {
	return &Fleet{Cluster: c, Key: client.ObjectKey{Namespace: namespace, Name: name}}
}

// Read reads the ChatCluster.
func (f *Fleet) Read(ctx context.Context) (*v1alpha1.ChatCluster, error) {
	var c v1alpha1.ChatCluster
	err := f.Get(ctx, f.Key, &c)
	return &c, err
}

// Is reports whether a condition has a status, by what the operator has said of the newest spec.
func Is(c *v1alpha1.ChatCluster, kind string, status metav1.ConditionStatus) bool {
	cond := meta.FindStatusCondition(c.Status.Conditions, kind)
	return cond != nil && cond.Status == status && cond.ObservedGeneration == c.Generation
}

// How is a fleet's state in a line.
func How(c *v1alpha1.ChatCluster) string {
	s := c.Status
	out := fmt.Sprintf("shards %d of %d ready, %d updated, %d draining; stores %d of %d ready, %d updated; %d sessions",
		s.Shards.Ready, s.Shards.Desired, s.Shards.Updated, s.Shards.Draining, s.Store.Ready, s.Store.Desired, s.Store.Updated, s.Sessions)
	for _, cond := range s.Conditions {
		out += fmt.Sprintf("\n    %s=%s (%s) %s", cond.Type, cond.Status, cond.Reason, cond.Message)
	}
	return out
}

// Settled reports whether a fleet is as its spec asks for, and nothing moves.
func Settled(c *v1alpha1.ChatCluster) bool {
	s := c.Status
	return s.ObservedGeneration == c.Generation && Is(c, v1alpha1.ConditionAvailable, metav1.ConditionTrue) && Is(c, v1alpha1.ConditionProgressing, metav1.ConditionFalse) &&
		Is(c, v1alpha1.ConditionDegraded, metav1.ConditionFalse) && Is(c, v1alpha1.ConditionStoreHealthy, metav1.ConditionTrue) && Is(c, v1alpha1.ConditionDraining, metav1.ConditionFalse) &&
		s.Shards.Replicas == s.Shards.Desired && s.Shards.Updated == s.Shards.Desired && s.Store.Updated == s.Store.Desired
}

// Until waits until the fleet is as it should be, and has been for a while: the operator takes a moment to see what has just been done to it.
func (f *Fleet) Until(ctx context.Context, what string, within, hold time.Duration, is func(*v1alpha1.ChatCluster) bool) error {
	f.say("waiting: %s", what)
	begun := time.Now()
	var since time.Time
	err := Until(ctx, what, within, func(ctx context.Context) (bool, string, error) {
		c, err := f.Read(ctx)
		switch {
		case err != nil || !is(c):
			since = time.Time{}
		case since.IsZero():
			since = time.Now()
		}
		return !since.IsZero() && time.Since(since) >= hold, How(c), err
	})
	f.say("%s: after %.1f s", what, time.Since(begun).Seconds())
	return err
}

// Pods of a role, by name.
func (f *Fleet) Pods(ctx context.Context, role string) ([]corev1.Pod, error) {
	var pods corev1.PodList
	err := f.List(ctx, &pods, client.InNamespace(f.Key.Namespace), client.MatchingLabels{v1alpha1.LabelCluster: f.Key.Name, v1alpha1.LabelRole: role})
	slices.SortFunc(pods.Items, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return pods.Items, err
}

// Kill ends a pod's process by SIGKILL. Where the pod's node is a container of this machine's engine that is just it, and the kubelet starts the
// container again; elsewhere the pod is deleted without grace, which leaves the process a second.
func (f *Fleet) Kill(ctx context.Context, p corev1.Pod) error {
	// The pattern begins in a way that it does not match itself.
	out, err := exec.CommandContext(ctx, "docker", "exec", p.Spec.NodeName, "pkill", "-KILL", "-f", "^/[c]hatd .*--name="+p.Name+" ").CombinedOutput()
	if err == nil {
		f.say("kill -9 the process of %s", p.Name)
		return nil
	}
	f.say("delete %s without grace, since there is no docker exec into its node (%s)", p.Name, strings.TrimSpace(string(out)))
	return f.Delete(ctx, &p, client.GracePeriodSeconds(0))
}

// Evict evicts a pod as a node's drain does.
func (f *Fleet) Evict(ctx context.Context, pod string) error {
	f.say("evict %s", pod)
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: f.Key.Namespace, Name: pod}}
	return f.SubResource("eviction").Create(ctx, p, &policyv1.Eviction{})
}

// Sessions asks the admin port of each shard how many sessions it holds.
func (f *Fleet) Sessions(ctx context.Context) (map[string]int, error) {
	pods, err := f.Pods(ctx, v1alpha1.RoleShard)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var asking sync.WaitGroup
	all, errs := map[string]int{}, []error(nil)
	for i := range pods {
		p := &pods[i]
		if p.DeletionTimestamp != nil || p.Status.Phase != corev1.PodRunning {
			continue
		}
		asking.Go(func() {
			s, err := f.Status(ctx, p.Name)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, err)
				return
			}
			all[p.Name] = int(s.GetSessions())
		})
	}
	asking.Wait()
	return all, errors.Join(errs...)
}

// Status asks a member's admin port, as the operator does, by way of the API server: from here pods need not be reached.
func (f *Fleet) Status(ctx context.Context, pod string) (*adminv1.StatusResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	config, err := f.operatorTLS(ctx)
	if err != nil {
		return nil, err
	}
	local, stop, err := f.forward(ctx, pod)
	if err != nil {
		return nil, fmt.Errorf("forward the admin port of %s: %w", pod, err)
	}
	defer stop()
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	admin := adminv1connect.NewAdminServiceClient(&http.Client{Transport: transport}, "https://"+local)
	r, err := admin.Status(ctx, connect.NewRequest(&adminv1.StatusRequest{}))
	if err != nil {
		return nil, fmt.Errorf("ask the admin port of %s: %w", pod, err)
	}
	return r.Msg, nil
}

// adminPort is where chatd in pods is asked and told.
const adminPort = 9090

// operatorTLS is what the operator proves itself with to members of the fleet.
func (f *Fleet) operatorTLS(ctx context.Context) (*tls.Config, error) {
	var s corev1.Secret
	if err := f.Get(ctx, client.ObjectKey{Namespace: f.Key.Namespace, Name: f.Key.Name + "-operator-tls"}, &s); err != nil {
		return nil, err
	}
	own, err := tls.X509KeyPair(s.Data[corev1.TLSCertKey], s.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		return nil, fmt.Errorf("the operator's certificate: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.Data["ca.crt"])
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{own}, NextProtos: []string{"h2"},
		// Members prove an identity, not a host's name; that it is one of the fleet is enough here.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
			return err
		},
	}, nil
}

// forward makes a pod's admin port one of this machine.
func (f *Fleet) forward(ctx context.Context, pod string) (local string, stop func(), err error) {
	transport, upgrader, err := spdy.RoundTripperFor(f.Config)
	if err != nil {
		return "", nil, err
	}
	host, err := url.Parse(f.Config.Host)
	if err != nil {
		return "", nil, err
	}
	host.Path = fmt.Sprintf("/api/v1/namespaces/%s/pods/%s/portforward", f.Key.Namespace, pod)
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, host)
	ending, ready := make(chan struct{}), make(chan struct{})
	forwarder, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"}, []string{fmt.Sprintf("0:%d", adminPort)}, ending, ready, io.Discard, io.Discard)
	if err != nil {
		return "", nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- forwarder.ForwardPorts() }()
	stop = func() {
		close(ending)
		if err := <-ended; err != nil {
			f.say("port-forward to %s: %v", pod, err)
		}
	}
	select {
	case <-ready:
	case err := <-ended:
		return "", nil, fmt.Errorf("port-forward has ended: %w", err)
	case <-ctx.Done():
		close(ending)
		return "", nil, context.Cause(ctx)
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		stop()
		return "", nil, err
	}
	return net.JoinHostPort("127.0.0.1", fmt.Sprint(ports[0].Local)), stop, nil
}
