package live

import (
	"maps"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/schedule"
)

// Every session reads the broadcast channel and as many others as the scenario says, each once, all devices of a user the same ones;
// and every channel has as many readers as any other.
func TestAttachments(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := v1alpha1.Population{
			Subscribers: rapid.IntRange(1, 60).Draw(t, "subscribers"), DevicesPerUser: rapid.IntRange(1, 3).Draw(t, "devices"),
			Channels: rapid.IntRange(0, 20).Draw(t, "channels"),
		}
		p.AttachPerSession = rapid.IntRange(0, p.Channels).Draw(t, "attach")
		list, err := attachments(p)
		if err != nil {
			t.Fatal(err)
		}
		reads := make([]map[int]bool, p.Sessions())
		readers := make([]int, 1+p.Channels)
		for _, a := range list {
			for i := range a.Count {
				session := a.First + i*a.Step
				if session >= len(reads) {
					t.Fatalf("%+v names session %d of %d", a, session, len(reads))
				}
				if reads[session] == nil {
					reads[session] = map[int]bool{}
				}
				if reads[session][a.Log] {
					t.Fatalf("session %d reads channel %d twice", session, a.Log)
				}
				reads[session][a.Log] = true
				readers[a.Log]++
			}
		}
		for session, channels := range reads {
			if len(channels) != 1+p.AttachPerSession || !channels[0] {
				t.Fatalf("session %d reads %v, want the broadcast channel and %d more", session, channels, p.AttachPerSession)
			}
			if first := reads[session%p.Subscribers]; !maps.Equal(channels, first) {
				t.Fatalf("session %d reads %v and its user's first device %v", session, channels, first)
			}
		}
		for _, n := range readers[1:] {
			if fair, most := p.Sessions()*p.AttachPerSession/p.Channels, p.AttachPerSession*p.DevicesPerUser; n < fair-most || n > fair+most {
				t.Fatalf("readers by channel: %v, want about %d each", readers[1:], fair)
			}
		}
	})
}

func TestAttachmentsAreBounded(t *testing.T) {
	if _, err := attachments(v1alpha1.Population{Subscribers: 10, Channels: 100000, AttachPerSession: 1000}); err == nil {
		t.Error("a hundred million pairs were laid out")
	}
}

func seconds(n float64) v1alpha1.Duration { return v1alpha1.Duration(n * float64(time.Second)) }

func testScenario() *v1alpha1.Scenario {
	return &v1alpha1.Scenario{
		Name: "test", Population: v1alpha1.Population{Subscribers: 10, DevicesPerUser: 1, Channels: 2, AttachPerSession: 1},
		Phases:     v1alpha1.Phases{Connect: v1alpha1.Connect{Duration: seconds(1)}, Warmup: seconds(1), Measure: seconds(9), Settle: new(seconds(1))},
		Chatter:    &v1alpha1.Chatter{Arrivals: v1alpha1.Constant, RatePerSecond: 10, MessageBytes: 64, DeliverWithin: seconds(0.5)},
		Broadcasts: []v1alpha1.Broadcast{{Schedule: v1alpha1.Schedule{At: seconds(1), Every: seconds(2), Count: 3}, MessageBytes: 64, DeliverWithin: seconds(1)}},
	}
}

// Each post is in the group of what it is.
func TestGroup(t *testing.T) {
	for name, confidence := range map[string]float64{"this run": 0, "the next run": 0.95} {
		s := testScenario()
		s.Thresholds = []v1alpha1.Threshold{{Metric: "delivery", Confidence: confidence}}
		posts := schedule.Posts(s)
		g := group(s, posts)
		of := make([]int, len(posts))
		for i := range of {
			of[i] = -1
		}
		for _, r := range g.posts {
			for n := r.First; n < r.First+r.Count; n++ {
				of[n] = r.Group
			}
		}
		for n, p := range posts {
			got := g.groups[max(0, of[n])]
			switch {
			case p.Broadcast != schedule.NoBroadcast:
				if of[n] != g.broadcasts[p.Broadcast] || got.DeliverWithin != time.Second || !got.Measured {
					t.Errorf("%s: broadcast %d is in %+v", name, p.Broadcast, got)
				}
			case p.Due < time.Second:
				if of[n] != groupOther || got.Measured {
					t.Errorf("%s: a post of the warm-up is in %+v", name, got)
				}
			default:
				if !got.Measured || got.DeliverWithin != 500*time.Millisecond {
					t.Errorf("%s: a post of the chatter is in %+v", name, got)
				}
			}
		}
		if want := map[bool]int{false: 4, true: 12}[confidence > 0]; len(g.blocks) != want {
			t.Errorf("%s: %d blocks, want %d", name, len(g.blocks), want)
		}
	}
}
