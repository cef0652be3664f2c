package node

import (
	"strings"
	"testing"

	"connectrpc.com/connect"

	adminv1 "github.com/chatfleet/chatfleet/proto/admin/v1"
)

// Who cannot step down says why. How those do who can is tested in package bus.
func TestWhoCannotStepDown(t *testing.T) {
	m := runMember(t, Combined, nil)
	if _, err := m.adminClient().StepDown(t.Context(), connect.NewRequest(&adminv1.StepDownRequest{})); connect.CodeOf(err) != connect.CodeFailedPrecondition || !strings.Contains(err.Error(), "the only store") {
		t.Errorf("a single store: %v", err)
	}
	r, err := m.adminClient().ReverseStepDown(t.Context(), connect.NewRequest(&adminv1.ReverseStepDownRequest{}))
	if err != nil || r.Msg.GetStepDown() != nil {
		t.Errorf("nothing to reverse: %v, %v", r, err)
	}
	if s := m.status(); s.GetGroupsBehindTotal() != 0 || s.GetStepDown() != nil || s.GetGroups() == 0 || s.GetGroups() != s.GetGroupsLed() {
		t.Errorf("the status is %v", s)
	}
}
