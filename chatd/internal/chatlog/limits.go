package chatlog

import chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"

// Grows reports whether the decision's event is one of those that a fleet without room refuses: all but what takes away or restricts.
func (d Decision) Grows() bool {
	switch d.Content.GetContent().(type) {
	case *chatv1.Event_MemberLeft, *chatv1.Event_LogLeft, *chatv1.Event_RoleChanged, *chatv1.Event_PolicyChanged, *chatv1.Event_Erased:
		return false
	}
	return true
}
