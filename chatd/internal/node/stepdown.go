package node

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	"github.com/chatfleet/chatfleet/chatd/internal/bus"
	adminv1 "github.com/chatfleet/chatfleet/proto/admin/v1"
)

// maxBehind bounds the groups that a status names.
const maxBehind = 32

// StepDown implements adminv1connect.AdminServiceHandler.
func (a adminService) StepDown(_ context.Context, r *connect.Request[adminv1.StepDownRequest]) (*connect.Response[adminv1.StepDownResponse], error) {
	store, err := a.store()
	if err != nil {
		return nil, err
	}
	d, err := store.BeginStepDown(r.Msg.GetMetadata())
	if err != nil {
		return nil, connect.NewError(connect.CodeFailedPrecondition, err)
	}
	return connect.NewResponse(&adminv1.StepDownResponse{StepDown: stepDownMessage(d)}), nil
}

// ReverseStepDown implements adminv1connect.AdminServiceHandler.
func (a adminService) ReverseStepDown(context.Context, *connect.Request[adminv1.ReverseStepDownRequest]) (*connect.Response[adminv1.ReverseStepDownResponse], error) {
	store, err := a.store()
	if err != nil {
		return nil, err
	}
	if a.n.draining.Load() {
		return nil, connect.NewError(connect.CodeFailedPrecondition, errors.New("this store is stopping, which cannot be called off"))
	}
	return connect.NewResponse(&adminv1.ReverseStepDownResponse{StepDown: stepDownMessage(store.ReverseStepDown())}), nil
}

// store is the part that keeps logs, once it is there.
func (a adminService) store() (*bus.Store, error) {
	switch {
	case a.n.cfg.Role == Shard:
		return nil, connect.NewError(connect.CodeFailedPrecondition, errors.New("this member is a shard: it leads nothing that could go to another"))
	case !a.n.started.Load():
		return nil, connect.NewError(connect.CodeUnavailable, errors.New("this member is still starting; ask again"))
	}
	return a.n.store, nil
}

// groupsInto adds to a status how the store's groups of copies are.
func groupsInto(s *adminv1.StatusResponse, store *bus.Store) {
	total, led, behind := store.Groups()
	s.Groups, s.GroupsLed, s.GroupsBehindTotal = uint32(total), uint32(led), uint32(len(behind))
	for _, b := range behind[:min(len(behind), maxBehind)] {
		s.GroupsBehind = append(s.GroupsBehind, &adminv1.GroupBehind{Group: b.Group, Why: b.Why})
	}
	s.StepDown = stepDownMessage(store.SteppingDown())
}

// stepDownMessage is nil for a store that is not stepping down.
func stepDownMessage(d bus.StepDown) *adminv1.StepDown {
	if d.Began.IsZero() {
		return nil
	}
	return &adminv1.StepDown{BeganMs: d.Began.UnixMilli(), Metadata: d.Metadata, Left: uint32(d.Left)}
}
