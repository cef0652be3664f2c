package node

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"runtime/debug"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/chatfleet/chatfleet/chatd/internal/shard"
	adminv1 "github.com/chatfleet/chatfleet/proto/admin/v1"
	"github.com/chatfleet/chatfleet/proto/admin/v1/adminv1connect"
)

// maxAdminBytes bounds a request on the admin port.
const maxAdminBytes = 16 << 10

// adminService answers what an operator asks: see proto/admin/v1.
type adminService struct{ n *node }

var _ adminv1connect.AdminServiceHandler = adminService{}

// adminMethods is the handler of the service, and the path that it is for.
func (n *node) adminMethods() (string, http.Handler) {
	return adminv1connect.NewAdminServiceHandler(adminService{n}, connect.WithReadMaxBytes(maxAdminBytes), connect.WithCodec(strictJSON{}))
}

// Status implements adminv1connect.AdminServiceHandler.
func (a adminService) Status(context.Context, *connect.Request[adminv1.StatusRequest]) (*connect.Response[adminv1.StatusResponse], error) {
	return connect.NewResponse(a.n.status()), nil
}

// BeginDrain implements adminv1connect.AdminServiceHandler.
func (a adminService) BeginDrain(_ context.Context, r *connect.Request[adminv1.BeginDrainRequest]) (*connect.Response[adminv1.BeginDrainResponse], error) {
	drain, err := a.begin(r.Peer(), r.Msg.GetPace(), shard.DrainOrder{})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&adminv1.BeginDrainResponse{Drain: drain}), nil
}

// Shed implements adminv1connect.AdminServiceHandler.
func (a adminService) Shed(_ context.Context, r *connect.Request[adminv1.ShedRequest]) (*connect.Response[adminv1.ShedResponse], error) {
	if r.Msg.KeepSessions == nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("keep_sessions is missing: how many sessions are to be left?"))
	}
	drain, err := a.begin(r.Peer(), r.Msg.GetPace(), shard.DrainOrder{Shed: true, Keep: int(r.Msg.GetKeepSessions())})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&adminv1.ShedResponse{Drain: drain}), nil
}

// ReverseDrain implements adminv1connect.AdminServiceHandler.
func (a adminService) ReverseDrain(_ context.Context, r *connect.Request[adminv1.ReverseDrainRequest]) (*connect.Response[adminv1.ReverseDrainResponse], error) {
	sh, err := a.shard()
	if err != nil {
		return nil, err
	}
	before := sh.Draining()
	drain, err := sh.ReverseDrain()
	if err != nil {
		return nil, connect.NewError(connect.CodeFailedPrecondition, err)
	}
	if drain.State != before.State {
		a.n.cfg.Logger.Info("drain reversed", "by", r.Peer().Addr, "told", drain.Told, "sessions", drain.Sessions)
	}
	return connect.NewResponse(&adminv1.ReverseDrainResponse{Drain: drainMessage(drain)}), nil
}

// begin begins a drain or a shed at a pace.
func (a adminService) begin(peer connect.Peer, p *adminv1.Pace, o shard.DrainOrder) (*adminv1.Drain, error) {
	sh, err := a.shard()
	if err != nil {
		return nil, err
	}
	o.PerSecond = a.n.cfg.DrainPerSecond
	if n := p.GetSessionsPerSecond(); n > 0 {
		o.PerSecond = int(n)
	}
	o.Hint = time.Duration(p.GetComeBackAfterMs()) * time.Millisecond
	o.Timeout = time.Duration(p.GetTimeoutMs()) * time.Millisecond
	o.Reason = p.GetReason()
	if err := o.Validate(); err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	before := sh.Draining()
	drain, err := sh.BeginDrain(o)
	if err != nil {
		return nil, connect.NewError(connect.CodeFailedPrecondition, err)
	}
	what := ""
	switch {
	case !drain.Began.Equal(before.Began):
		what = "drain begun"
	case drain.Order != before.Order:
		what = "drain changed"
	}
	if what != "" {
		a.n.cfg.Logger.Info(what, "by", peer.Addr, "shed", o.Shed, "keep", o.Keep, "sessions", drain.Sessions, "perSecond", drain.Order.PerSecond,
			"timeout", drain.Order.Timeout, "reason", drain.Order.Reason)
	}
	return drainMessage(drain), nil
}

// shard is the part that holds sessions, once it is there.
func (a adminService) shard() (*shard.Shard, error) {
	switch {
	case a.n.cfg.Role == Store:
		return nil, connect.NewError(connect.CodeFailedPrecondition, errors.New("this member is a store: it holds no sessions that could leave"))
	case !a.n.started.Load():
		return nil, connect.NewError(connect.CodeUnavailable, errors.New("this member is still starting; ask again"))
	}
	return a.n.shard, nil
}

var roles = map[Role]adminv1.StatusResponse_Role{
	Store: adminv1.StatusResponse_ROLE_STORE, Shard: adminv1.StatusResponse_ROLE_SHARD, Combined: adminv1.StatusResponse_ROLE_COMBINED,
}

func (n *node) status() *adminv1.StatusResponse {
	s := &adminv1.StatusResponse{
		Name: n.cfg.Bus.Name, Region: n.cfg.Bus.Region, Role: roles[n.cfg.Role], Version: version(), StartedMs: n.began.UnixMilli(),
		Partitions: uint32(n.cfg.Bus.Partitions),
	}
	for _, missing := range n.missing() {
		s.NotReady = append(s.NotReady, missing.Error())
	}
	s.Ready = len(s.NotReady) == 0
	if !n.started.Load() {
		return s // the parts may not be there yet
	}
	if n.store != nil {
		for _, p := range n.store.Leads() {
			s.Leads = append(s.Leads, uint32(p))
		}
		s.LeadsMetadata = n.store.LeadsMetadata()
		s.FullStore = n.store.FullStore()
		used, fullAt := n.store.Volume()
		s.VolumeUsedPermille, s.VolumeFullAtPermille = uint32(1000*used), uint32(math.Round(1000*fullAt))
		groupsInto(s, n.store)
	}
	if n.shard != nil {
		s.Sessions, s.AttachedLogs = uint32(n.shard.Sessions()), uint32(n.shard.AttachedLogs())
		if d := n.shard.Draining(); d.State != shard.DrainNone {
			s.Drain = drainMessage(d)
		}
	}
	return s
}

// version of the program.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return info.Main.Version
}

var drainStates = map[shard.DrainState]adminv1.Drain_State{
	shard.DrainUnderWay: adminv1.Drain_STATE_UNDER_WAY, shard.DrainDone: adminv1.Drain_STATE_DONE,
	shard.DrainReversed: adminv1.Drain_STATE_REVERSED, shard.DrainTimedOut: adminv1.Drain_STATE_TIMED_OUT,
}

// drainMessage is nil if there was no drain.
func drainMessage(d shard.Drain) *adminv1.Drain {
	if d.State == shard.DrainNone {
		return nil
	}
	goal := adminv1.Drain_GOAL_DRAIN
	if d.Order.Shed {
		goal = adminv1.Drain_GOAL_SHED
	}
	return &adminv1.Drain{
		Goal: goal, State: drainStates[d.State], Stopping: d.Stopping,
		Pace: &adminv1.Pace{
			SessionsPerSecond: uint32(d.Order.PerSecond), ComeBackAfterMs: uint32(d.Order.Hint.Milliseconds()),
			TimeoutMs: uint32(d.Order.Timeout.Milliseconds()), Reason: d.Order.Reason,
		},
		KeepSessions: uint32(d.Order.Keep), Told: uint32(d.Told), Sessions: uint32(d.Sessions),
		BeganMs: unixMs(d.Began), DeadlineMs: unixMs(d.Deadline), EndedMs: unixMs(d.Ended),
	}
}

func unixMs(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// strictJSON is connect's JSON, but a field that there is not is an error: a pace that is misspelt must not become the default one.
type strictJSON struct{}

// Name implements connect.Codec.
func (strictJSON) Name() string { return "json" }

// Marshal implements connect.Codec.
func (strictJSON) Marshal(m any) ([]byte, error) {
	message, ok := m.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is no protobuf message", m)
	}
	return protojson.Marshal(message)
}

// Unmarshal implements connect.Codec.
func (strictJSON) Unmarshal(data []byte, m any) error {
	message, ok := m.(proto.Message)
	if !ok {
		return fmt.Errorf("%T is no protobuf message", m)
	}
	if len(data) == 0 {
		return errors.New("the body is empty: want a JSON object, such as {}")
	}
	return protojson.Unmarshal(data, message)
}

// IsBinary implements connect's stable codecs, for methods over GET.
func (strictJSON) IsBinary() bool { return false }

// MarshalStable implements the same.
func (c strictJSON) MarshalStable(m any) ([]byte, error) { return c.Marshal(m) }
