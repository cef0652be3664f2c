package controller

import (
	"context"
	"fmt"
	"hash/fnv"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/chatfleet/chatfleet/api/v1alpha1"
	adminv1 "github.com/chatfleet/chatfleet/proto/admin/v1"
)

// The tests run against a real API server, with etcd and Kubernetes' own controllers (sets, garbage, budgets). What is played is nodes: kubelet has pods
// run, and crew answers for those that run.

// cluster is the one that all tests of this package share.
type cluster struct {
	config *rest.Config
	client client.Client // reads what is there, not a cache
	// operator is config with the rights that config/rbac gives, and no others.
	operator *rest.Config
	kubelet
	err error
}

var shared = sync.OnceValue(startCluster)

// end of what was started, in TestMain.
var atEnd []func()

// hang bounds what would else hang. Nothing passes or fails by being slower or faster below it: beside other tests, and with the race detector, an API server on two
// cores takes its time.
const hang = 4 * time.Minute

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.FromSlogHandler(slog.DiscardHandler))
	code := m.Run()
	for i := len(atEnd) - 1; i >= 0; i-- {
		atEnd[i]()
	}
	os.Exit(code)
}

// needCluster gives the cluster, and skips a test where the programs for it have not been built.
func needCluster(t *testing.T) *cluster {
	t.Helper()
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		if os.Getenv("CHATFLEET_SKIP") == "never" {
			t.Fatal("KUBEBUILDER_ASSETS is not set: `make test-operator` builds what it takes")
		}
		t.Skip("KUBEBUILDER_ASSETS is not set: `make test-operator` builds what it takes")
	}
	c := shared()
	if c.err != nil {
		t.Fatal(c.err)
	}
	return c
}

func startCluster() *cluster {
	root := filepath.Join("..", "..", "..")
	env := &envtest.Environment{CRDDirectoryPaths: []string{filepath.Join(root, "config", "crd")}, ErrorIfCRDPathMissing: true}
	config, err := env.Start()
	if err != nil {
		return &cluster{err: fmt.Errorf("start an API server: %w", err)}
	}
	atEnd = append(atEnd, func() { _ = env.Stop() })
	config.QPS, config.Burst = 2000, 4000
	c := &cluster{config: config}
	if c.client, err = client.New(config, client.Options{Scheme: Scheme()}); err == nil {
		err = c.startControllers(env)
	}
	if err == nil {
		err = c.startNodes()
	}
	if err == nil {
		err = c.grant(filepath.Join(root, "config", "rbac"))
	}
	c.err = err
	return c
}

// grant applies the operator's rights as a cluster gets them, so that a right that is missing fails a test.
func (c *cluster) grant(dir string) error {
	const space = "chatfleet-system"
	if err := c.client.Create(context.Background(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: space}}); err != nil {
		return fmt.Errorf("make the operator's namespace: %w", err)
	}
	for _, name := range []string{"operator.yaml", "cluster_reads.yaml", "leader_election.yaml", "metrics.yaml"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		for _, document := range strings.Split(strings.ReplaceAll(string(text), "namespace: system", "namespace: "+space), "\n---\n") {
			u := &unstructured.Unstructured{}
			if err := yaml.Unmarshal([]byte(document), &u.Object); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if err := c.client.Create(context.Background(), u); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	c.operator = rest.CopyConfig(c.config)
	c.operator.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:" + space + ":chatfleet-operator", Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + space, "system:authenticated"},
	}
	return nil
}

// startControllers starts Kubernetes' own, as a cluster has them.
func (c *cluster) startControllers(env *envtest.Environment) error {
	user, err := env.AddUser(envtest.User{Name: "controllers", Groups: []string{"system:masters"}}, nil)
	if err != nil {
		return fmt.Errorf("make a user: %w", err)
	}
	text, err := user.KubeConfig()
	if err != nil {
		return fmt.Errorf("make a kubeconfig: %w", err)
	}
	dir, err := os.MkdirTemp("", "controllers-")
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "kubeconfig")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	cmd := exec.Command(filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kube-controller-manager"), "--kubeconfig", file, "--leader-elect=false", "--secure-port=0",
		"--controllers=statefulset-controller,garbage-collector-controller,disruption-controller", "--kube-api-qps=2000", "--kube-api-burst=4000",
		"--concurrent-gc-syncs=20", "--concurrent-statefulset-syncs=20")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start kube-controller-manager: %w", err)
	}
	atEnd = append(atEnd, func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = os.RemoveAll(dir)
	})
	return nil
}

var nodes = []string{"node-a", "node-b", "node-c"}

// startNodes makes the nodes and what plays them.
func (c *cluster) startNodes() error {
	ctx, cancel := context.WithCancel(context.Background())
	atEnd = append(atEnd, cancel)
	for _, name := range nodes {
		if err := c.makeNode(ctx, name); err != nil {
			return err
		}
	}
	mgr, err := NewManager(c.config, Options{MetricsAddress: "0", ProbeAddress: "0"})
	if err != nil {
		return err
	}
	c.Client = c.client
	if err := ctrl.NewControllerManagedBy(mgr).For(&corev1.Pod{}).Named("kubelet").WithOptions(controller.Options{MaxConcurrentReconciles: 16}).Complete(&c.kubelet); err != nil {
		return err
	}
	go func() { _ = mgr.Start(ctx) }()
	return nil
}

// makeNode makes a node that is ready, in a zone of its own.
func (c *cluster) makeNode(ctx context.Context, name string) error {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelTopologyZone: "zone-of-" + name}}}
	if err := c.client.Create(ctx, n); err != nil {
		return fmt.Errorf("make a node: %w", err)
	}
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()}}
	if err := c.client.Status().Update(ctx, n); err != nil {
		return fmt.Errorf("make a node ready: %w", err)
	}
	return nil
}

// kubelet plays scheduler and kubelets: a pod gets a node, an address, and runs; one whose image is "bad" does not.
type kubelet struct {
	client.Client
	addresses atomic.Uint32
	lost      sync.Map // nodes on which nothing begins or ends any more
}

// node for a pod: always the same one, or the next where that is lost.
func (k *kubelet) node(pod string) string {
	h := fnv.New32()
	_, _ = h.Write([]byte(pod))
	for i := h.Sum32() % 3; ; i = (i + 1) % 3 {
		if _, lost := k.lost.Load(nodes[i]); !lost {
			return nodes[i]
		}
	}
}

func (k *kubelet) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var p corev1.Pod
	if err := k.Get(ctx, request.NamespacedName, &p); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	_, lost := k.lost.Load(p.Spec.NodeName)
	switch {
	case lost:
	case p.DeletionTimestamp != nil:
		return ctrl.Result{}, client.IgnoreNotFound(k.Delete(ctx, &p, client.GracePeriodSeconds(0), client.Preconditions{UID: &p.UID}))
	case p.Spec.NodeName == "":
		err := k.SubResource("binding").Create(ctx, &p, &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: k.node(p.Name)}})
		return ctrl.Result{}, ignoreChanged(err)
	case p.Status.PodIP == "":
		return ctrl.Result{}, ignoreChanged(k.run(ctx, &p))
	}
	return ctrl.Result{}, nil
}

func ignoreChanged(err error) error {
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

func (k *kubelet) run(ctx context.Context, p *corev1.Pod) error {
	n := k.addresses.Add(1)
	p.Status.PodIP = fmt.Sprintf("127.%d.%d.%d", 1+n>>16&127, n>>8&255, n&255) // where nobody listens
	p.Status.PodIPs = []corev1.PodIP{{IP: p.Status.PodIP}}
	p.Status.Phase = corev1.PodRunning
	one := corev1.ContainerStatus{Name: v1alpha1.ChatdContainer, Image: p.Spec.Containers[0].Image, Ready: true, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}}
	ready := corev1.ConditionTrue
	if strings.Contains(one.Image, "bad") {
		one.Ready, one.State, ready = false, corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "no such image"}}, corev1.ConditionFalse
		p.Status.Phase = corev1.PodPending
	}
	p.Status.ContainerStatuses = []corev1.ContainerStatus{one}
	p.Status.Conditions = []corev1.PodCondition{
		{Type: corev1.PodReady, Status: ready, LastTransitionTime: metav1.Now()},
		{Type: corev1.ContainersReady, Status: ready, LastTransitionTime: metav1.Now()},
	}
	if err := k.Status().Update(ctx, p); err != nil {
		return err
	}
	var claims corev1.PersistentVolumeClaimList
	if err := k.List(ctx, &claims, client.InNamespace(p.Namespace)); err != nil {
		return err
	}
	for i := range claims.Items {
		claim := &claims.Items[i]
		if claim.Status.Phase != corev1.ClaimBound && strings.HasSuffix(claim.Name, p.Name) {
			claim.Status.Phase = corev1.ClaimBound
			claim.Status.Capacity = corev1.ResourceList{corev1.ResourceStorage: claim.Spec.Resources.Requests[corev1.ResourceStorage]}
			if err := k.Status().Update(ctx, claim); err != nil {
				return err
			}
		}
	}
	return nil
}

// crew answers for the pods that run, as chatd does: sessions, drains, and who leads.
type crew struct {
	mu       sync.Mutex
	sessions map[types.UID]uint32
	drains   map[types.UID]*adminv1.Drain
	down     map[types.UID]bool
	perPod   uint32 // sessions of a new shard
	said     []string
	lost     string // a node whose pods do not answer
	slow     bool   // no drain comes to its end
}

func newCrew(perPod uint32) *crew {
	return &crew{sessions: map[types.UID]uint32{}, drains: map[types.UID]*adminv1.Drain{}, down: map[types.UID]bool{}, perPod: perPod}
}

func (w *crew) Ask(_ context.Context, _ *v1alpha1.ChatCluster, pods []*corev1.Pod, as Identity) map[string]*adminv1.StatusResponse {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := map[string]*adminv1.StatusResponse{}
	if len(as.Certificate) == 0 {
		return all
	}
	for _, p := range pods {
		if p.Status.Phase != corev1.PodRunning || p.DeletionTimestamp != nil || p.Spec.NodeName == w.lost {
			continue
		}
		s := &adminv1.StatusResponse{Name: p.Name, Ready: true}
		if p.Labels[v1alpha1.LabelRole] == v1alpha1.RoleShard {
			if _, known := w.sessions[p.UID]; !known {
				w.sessions[p.UID] = w.perPod
			}
			if d := w.drains[p.UID]; d.GetState() == adminv1.Drain_STATE_UNDER_WAY && !w.slow {
				if w.sessions[p.UID] = 0; d.GetGoal() == adminv1.Drain_GOAL_SHED {
					w.sessions[p.UID] = d.GetKeepSessions()
				}
				d.State = adminv1.Drain_STATE_DONE
			}
			s.Sessions, s.Drain = w.sessions[p.UID], w.drains[p.UID]
		} else if s.GroupsLed = 5; w.down[p.UID] {
			s.GroupsLed, s.StepDown = 0, &adminv1.StepDown{BeganMs: time.Now().UnixMilli()}
		}
		all[p.Name] = s
	}
	return all
}

func (w *crew) drain(p *corev1.Pod, goal adminv1.Drain_Goal, state adminv1.Drain_State, keep, pace int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.drains[p.UID] = &adminv1.Drain{Goal: goal, State: state, KeepSessions: uint32(keep), Pace: &adminv1.Pace{SessionsPerSecond: uint32(pace)}}
	w.said = append(w.said, fmt.Sprintf("%s %s", p.Name, state))
	return nil
}

func (w *crew) BeginDrain(_ context.Context, _ *v1alpha1.ChatCluster, p *corev1.Pod, _ Identity, pace Pace) error {
	return w.drain(p, adminv1.Drain_GOAL_DRAIN, adminv1.Drain_STATE_UNDER_WAY, 0, pace.PerSecond)
}

func (w *crew) ReverseDrain(_ context.Context, _ *v1alpha1.ChatCluster, p *corev1.Pod, _ Identity) error {
	return w.drain(p, adminv1.Drain_GOAL_DRAIN, adminv1.Drain_STATE_REVERSED, 0, 0)
}

func (w *crew) Shed(_ context.Context, _ *v1alpha1.ChatCluster, p *corev1.Pod, _ Identity, keep int, pace Pace) error {
	return w.drain(p, adminv1.Drain_GOAL_SHED, adminv1.Drain_STATE_UNDER_WAY, keep, pace.PerSecond)
}

func (w *crew) StepDown(_ context.Context, _ *v1alpha1.ChatCluster, p *corev1.Pod, _ Identity, _ bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down[p.UID] = true
	return nil
}

func (w *crew) ReverseStepDown(_ context.Context, _ *v1alpha1.ChatCluster, p *corev1.Pod, _ Identity) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.down, p.UID)
	return nil
}

func (w *crew) Forget(types.NamespacedName) {}

// writes counts what is asked of the API server that is no read.
type writes struct {
	http.RoundTripper
	count *atomic.Int64
	last  *atomic.Value
}

func (w writes) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Method != http.MethodGet {
		w.count.Add(1)
		w.last.Store(request.Method + " " + request.URL.Path)
	}
	return w.RoundTripper.RoundTrip(request)
}

// sample is a small ChatCluster for tests.
func sample(namespace, name string, shards int32) *v1alpha1.ChatCluster {
	return &v1alpha1.ChatCluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{v1alpha1.LabelPurpose: v1alpha1.PurposeTest}},
		Spec: v1alpha1.ChatClusterSpec{
			Image: "chatfleet/chatd:1", Region: "eu",
			Store:  v1alpha1.StoreSpec{Storage: v1alpha1.StoreStorage{Size: resource.MustParse("1Gi")}},
			Shards: v1alpha1.ShardsSpec{Replicas: &shards},
			Update: v1alpha1.UpdateSpec{StoreSoakSeconds: new(int32(0))},
		},
	}
}
