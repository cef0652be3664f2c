package controller

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/chatfleet/chatfleet/api/v1alpha1"
	"github.com/chatfleet/chatfleet/operator/internal/pki"
	adminv1 "github.com/chatfleet/chatfleet/proto/admin/v1"
	"github.com/chatfleet/chatfleet/proto/admin/v1/adminv1connect"
)

const (
	// answerWithin is how long a member has to answer.
	answerWithin = 3 * time.Second
	// askAtOnce is how many members of a fleet are asked at the same time.
	askAtOnce = 32
	// idleFor is how long a connection to a member is kept: longer than from one look to the next.
	idleFor = 4 * lookAgain
)

// Pace is how sessions are sent away.
type Pace struct {
	PerSecond int
	// ComeBack is what sessions are told to wait; 0 is chatd's default.
	ComeBack time.Duration
	// Within is how long it may take; 0 is for ever.
	Within time.Duration
}

// Asker speaks to members' admin ports.
type Asker interface {
	// Ask has all that run say how they are, by pod. Who does not answer in time is not in it.
	Ask(ctx context.Context, c *v1alpha1.ChatCluster, pods []*corev1.Pod, as Identity) map[string]*adminv1.StatusResponse

	BeginDrain(ctx context.Context, c *v1alpha1.ChatCluster, p *corev1.Pod, as Identity, pace Pace) error
	ReverseDrain(ctx context.Context, c *v1alpha1.ChatCluster, p *corev1.Pod, as Identity) error
	Shed(ctx context.Context, c *v1alpha1.ChatCluster, p *corev1.Pod, as Identity, keep int, pace Pace) error
	StepDown(ctx context.Context, c *v1alpha1.ChatCluster, p *corev1.Pod, as Identity, metadata bool) error
	ReverseStepDown(ctx context.Context, c *v1alpha1.ChatCluster, p *corev1.Pod, as Identity) error

	// Forget closes what is open to a fleet.
	Forget(name types.NamespacedName)
}

// Members speaks to members over mutual TLS. It keeps connections between rounds.
type Members struct {
	mu     sync.Mutex
	fleets map[types.NamespacedName]*fleetClient
}

// fleetClient is the connections to one fleet, for as long as the operator's certificate for it is the same.
type fleetClient struct {
	identity [sha256.Size]byte
	byRole   map[string]*http.Client
}

var _ Asker = (*Members)(nil)

// client for the members of a role. Each role proves itself by its own certificate.
func (m *Members) client(c *v1alpha1.ChatCluster, role string, as Identity) (*http.Client, error) {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s", as.Certificate, as.Key, as.Authorities))
	key := types.NamespacedName{Namespace: c.Namespace, Name: c.Name}
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.fleets[key]
	if f == nil || f.identity != sum {
		if f != nil {
			f.close()
		}
		f = &fleetClient{identity: sum, byRole: map[string]*http.Client{}}
		for _, role := range []string{v1alpha1.RoleStore, v1alpha1.RoleShard} {
			config, err := pki.ClientConfig(as.Certificate, as.Key, as.Authorities, pki.Identity(c.Namespace, c.Name, role))
			if err != nil {
				return nil, err
			}
			f.byRole[role] = &http.Client{Transport: &http.Transport{
				TLSClientConfig: config, ForceAttemptHTTP2: true, IdleConnTimeout: idleFor, TLSHandshakeTimeout: answerWithin, MaxIdleConnsPerHost: 1,
			}}
		}
		if m.fleets == nil {
			m.fleets = map[types.NamespacedName]*fleetClient{}
		}
		m.fleets[key] = f
	}
	return f.byRole[role], nil
}

func (f *fleetClient) close() {
	for _, c := range f.byRole {
		c.CloseIdleConnections()
	}
}

// Forget closes what is open to a fleet.
func (m *Members) Forget(name types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.fleets[name]; f != nil {
		f.close()
		delete(m.fleets, name)
	}
}

func (m *Members) admin(c *v1alpha1.ChatCluster, p *corev1.Pod, as Identity) (adminv1connect.AdminServiceClient, error) {
	if p.Status.PodIP == "" {
		return nil, fmt.Errorf("%s has no address yet", p.Name)
	}
	client, err := m.client(c, p.Labels[v1alpha1.LabelRole], as)
	if err != nil {
		return nil, err
	}
	return adminv1connect.NewAdminServiceClient(client, memberURL(p)), nil
}

// Ask has all that run say how they are.
func (m *Members) Ask(ctx context.Context, c *v1alpha1.ChatCluster, pods []*corev1.Pod, as Identity) map[string]*adminv1.StatusResponse {
	if len(as.Certificate) == 0 {
		return nil
	}
	var mu sync.Mutex
	all := map[string]*adminv1.StatusResponse{}
	var asked errgroup.Group
	asked.SetLimit(askAtOnce)
	for _, p := range pods {
		if p.Status.PodIP == "" || p.Status.Phase != corev1.PodRunning {
			continue
		}
		asked.Go(func() error {
			_ = call(ctx, m, c, p, as, func(ctx context.Context, admin adminv1connect.AdminServiceClient) error {
				r, err := admin.Status(ctx, connect.NewRequest(&adminv1.StatusRequest{}))
				if err == nil {
					mu.Lock()
					defer mu.Unlock()
					all[p.Name] = r.Msg
				}
				return err
			}) // who does not answer is told by the status
			return nil
		})
	}
	_ = asked.Wait()
	return all
}

// call asks one member something, in time.
func call(ctx context.Context, m *Members, c *v1alpha1.ChatCluster, p *corev1.Pod, as Identity, ask func(context.Context, adminv1connect.AdminServiceClient) error) error {
	admin, err := m.admin(c, p, as)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	if err := ask(ctx, admin); err != nil {
		return fmt.Errorf("ask the admin port of %s: %w", p.Name, err)
	}
	return nil
}

func (pace Pace) proto(reason string) *adminv1.Pace {
	return &adminv1.Pace{
		SessionsPerSecond: uint32(pace.PerSecond), ComeBackAfterMs: uint32(pace.ComeBack.Milliseconds()), TimeoutMs: uint32(max(0, pace.Within).Milliseconds()), Reason: reason,
	}
}

// BeginDrain has all sessions of a shard leave.
func (m *Members) BeginDrain(ctx context.Context, c *v1alpha1.ChatCluster, p *corev1.Pod, as Identity, pace Pace) error {
	return call(ctx, m, c, p, as, func(ctx context.Context, admin adminv1connect.AdminServiceClient) error {
		_, err := admin.BeginDrain(ctx, connect.NewRequest(&adminv1.BeginDrainRequest{Pace: pace.proto("")}))
		return err
	})
}

// ReverseDrain has a shard keep what it has.
func (m *Members) ReverseDrain(ctx context.Context, c *v1alpha1.ChatCluster, p *corev1.Pod, as Identity) error {
	return call(ctx, m, c, p, as, func(ctx context.Context, admin adminv1connect.AdminServiceClient) error {
		_, err := admin.ReverseDrain(ctx, connect.NewRequest(&adminv1.ReverseDrainRequest{}))
		return err
	})
}

// Shed has sessions of a shard leave until so many are left.
func (m *Members) Shed(ctx context.Context, c *v1alpha1.ChatCluster, p *corev1.Pod, as Identity, keep int, pace Pace) error {
	return call(ctx, m, c, p, as, func(ctx context.Context, admin adminv1connect.AdminServiceClient) error {
		_, err := admin.Shed(ctx, connect.NewRequest(&adminv1.ShedRequest{KeepSessions: new(uint32(keep)), Pace: pace.proto("")}))
		return err
	})
}

// StepDown has a store give up what it leads.
func (m *Members) StepDown(ctx context.Context, c *v1alpha1.ChatCluster, p *corev1.Pod, as Identity, metadata bool) error {
	return call(ctx, m, c, p, as, func(ctx context.Context, admin adminv1connect.AdminServiceClient) error {
		_, err := admin.StepDown(ctx, connect.NewRequest(&adminv1.StepDownRequest{Metadata: metadata}))
		return err
	})
}

// ReverseStepDown has a store lead again what it is elected for.
func (m *Members) ReverseStepDown(ctx context.Context, c *v1alpha1.ChatCluster, p *corev1.Pod, as Identity) error {
	return call(ctx, m, c, p, as, func(ctx context.Context, admin adminv1connect.AdminServiceClient) error {
		_, err := admin.ReverseStepDown(ctx, connect.NewRequest(&adminv1.ReverseStepDownRequest{}))
		return err
	})
}
