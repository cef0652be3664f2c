package gateway

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/chatfleet/chatfleet/chatd/internal/clock"
	chatv1 "github.com/chatfleet/chatfleet/proto/chat/v1"
)

// byAddress are what an address may do too often, each with a count of three and one more a second.
var byAddress = map[string]struct {
	use  func(*visitor)
	asks func(*visitor) *chatv1.Error
}{
	"failures":   {use: (*visitor).fail, asks: (*visitor).mayTry},
	"handshakes": {use: func(*visitor) {}, asks: (*visitor).mayShake},
}

// An address that has used up what it may do can go on after as long as it was told, whatever the clock shows meanwhile; and no sooner.
func TestNoAddressIsLockedOutByAStepOfTheClock(t *testing.T) {
	for what, of := range byAddress {
		for name, step := range map[string]time.Duration{"an hour forward": time.Hour, "an hour back": -time.Hour, "ten years back": -clock.MaxOffset} {
			t.Run(what+", "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					wall := clock.New()
					a := newAdmission(Config{FailureBurst: 3, FailuresPerSecond: 1, HandshakeBurst: 3, HandshakesPerSecond: 1, Now: wall.Now}.withDefaults())
					v, _ := a.enter(from("192.0.2.7"))
					for i := range 3 {
						if failed := of.asks(v); failed != nil {
							t.Fatalf("refused after %d: %v", i, failed)
						}
						of.use(v)
					}
					failed := of.asks(v)
					if failed.GetCode() != chatv1.Error_CODE_TOO_MANY || failed.GetRetryAfterMs() > 1001 {
						t.Fatalf("after three of three: %v", failed)
					}
					wall.Step(step)
					if again := of.asks(v); again.GetCode() != chatv1.Error_CODE_TOO_MANY || again.GetRetryAfterMs() > 1001 {
						t.Errorf("just after the step: %v", again)
					}
					time.Sleep(time.Duration(failed.GetRetryAfterMs()) * time.Millisecond)
					if again := of.asks(v); again != nil {
						t.Errorf("after the time that was said: %v", again)
					}
				})
			})
		}
	}
}
