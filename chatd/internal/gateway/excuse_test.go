package gateway

import (
	"testing"

	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// What the server could not do counts against nobody; what the stranger did does.
func TestOwnFailuresAreNotCounted(t *testing.T) {
	for code, counts := range map[chatv1.Error_Code]bool{
		chatv1.Error_CODE_UNAVAILABLE: false, chatv1.Error_CODE_INTERNAL: false, chatv1.Error_CODE_DRAINING: false,
		chatv1.Error_CODE_UNAUTHENTICATED: true, chatv1.Error_CODE_TOKEN_EXPIRED: true,
	} {
		a := newAdmission(Config{FailureBurst: 1, FailuresPerSecond: 0.001}.withDefaults())
		v, refusal := a.enter(from("192.0.2.9"))
		if v == nil {
			t.Fatal(refusal)
		}
		v.blamed(&chatv1.Error{Code: code})
		v.leave()
		next, _ := a.enter(from("192.0.2.9"))
		if spent := next.mayTry() != nil; spent != counts {
			t.Errorf("after %v the address is held back: %v, want %v", code, spent, counts)
		}
	}
}
