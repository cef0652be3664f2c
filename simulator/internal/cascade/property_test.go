package cascade

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// small is the study at a hundredth of its size: channels are as large and forwards as many as in the whole.
func small() Params {
	p := Default()
	p.Crowd.People, p.Crowd.Communities = 80_000, 2
	p.Crowd.Coalition, p.Crowd.Outside = Channels{20, 80_000}, Channels{20, 80_000}
	p.Seeds = 8
	return p
}

// anyParams is tiny, and everything else about it may be.
func anyParams() *rapid.Generator[Params] {
	return rapid.Custom(func(t *rapid.T) Params {
		share := func(name string) float64 {
			return rapid.OneOf(rapid.SampledFrom([]float64{0, 0.2, 0.8, 1}), rapid.Float64Range(0, 1)).Draw(t, name)
		}
		p := Default()
		c := &p.Crowd
		c.Communities = rapid.IntRange(1, 4).Draw(t, "communities")
		c.People = c.Communities * rapid.IntRange(20, 100).Draw(t, "people")
		kind := func(name string) Channels {
			n := rapid.IntRange(1, 12).Draw(t, name)
			return Channels{n, n * rapid.IntRange(1, c.perCommunity()-1).Draw(t, name+" size")}
		}
		c.Coalition, c.Outside = kind("coalition"), kind("outside")
		c.SizeExponent, c.SizeRatio = rapid.Float64Range(0.2, 4).Draw(t, "exponent"), rapid.Float64Range(1, 1000).Draw(t, "ratio")
		c.OnlineShare, c.OnlineByHabit = share("online"), share("habit")
		s := &p.Spread
		s.ForwardTrue = rapid.SampledFrom([]float64{0, 0.01, 0.05, 0.2}).Draw(t, "forward")
		s.FalseFactor = rapid.SampledFrom([]float64{0, 1, 1.7, 4}).Draw(t, "factor")
		s.Forewarned, s.Inside = share("forewarned"), share("inside")
		s.ReactionSigma = rapid.Float64Range(0, 3).Draw(t, "sigma")
		if rapid.Bool().Draw(t, "deliveries take time") {
			s.DeliveryNs = rapid.SampledFrom([]time.Duration{time.Second, time.Minute}).Draw(t, "delivery")
		}
		p.Seed = rapid.Uint64().Draw(t, "seed")
		return p
	})
}

func anyDelay() *rapid.Generator[time.Duration] {
	return rapid.SampledFrom([]time.Duration{0, time.Second, time.Minute, 10 * time.Minute, time.Hour, 5 * time.Hour})
}

func TestChannelsAreAsAskedFor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := anyParams().Draw(t, "params")
		if err := p.Check(); err != nil {
			t.Fatal(err)
		}
		w := newWorld(p.Crowd, p.Seed)
		sums := [2]int{}
		for c := range uint32(w.channels()) {
			who := w.subscribers(c)
			if int(c) < p.Crowd.Coalition.Count {
				sums[0] += len(who)
			} else {
				sums[1] += len(who)
			}
			for i, person := range who {
				if i > 0 && who[i-1] >= person || int(person)/p.Crowd.perCommunity() != w.community(c) {
					t.Fatalf("channel %d of community %d has %v", c, w.community(c), who)
				}
			}
		}
		if sums != [2]int{p.Crowd.Coalition.Subscriptions, p.Crowd.Outside.Subscriptions} {
			t.Fatalf("%v subscriptions", sums)
		}
		if int(w.origin[Correction]) >= p.Crowd.Coalition.Count || int(w.origin[Falsehood]) < p.Crowd.Coalition.Count {
			t.Fatalf("the messages begin in %v", w.origin)
		}
	})
}

// firsts says for each person and message which post showed it first, by going through all posts: as simple as can be, to hold the counts to.
func firsts(f *fates, posts []Post) (first [2]map[uint32]int) {
	first = [2]map[uint32]int{{}, {}}
	for i, p := range posts {
		for _, person := range f.of(p.Message, p.Channel).viewers {
			if _, ok := first[p.Message][person]; !ok {
				first[p.Message][person] = i
			}
		}
	}
	return first
}

// inOrder says whether one post may follow another: in one moment the falsehood is first.
func inOrder(a, b Post) bool {
	return a.AtNs < b.AtNs || a.AtNs == b.AtNs && a.Message <= b.Message
}

// aheadFrom looks for the last time that the correction came to the front, in counts made anew after every post.
func aheadFrom(first [2]map[uint32]int, posts []Post, delivery time.Duration) *time.Duration {
	var lead []int
	for i := range posts {
		n := 0
		for m, sign := range []int{Falsehood: -1, Correction: 1} {
			for _, seen := range first[m] {
				if seen <= i {
					n += sign
				}
			}
		}
		lead = append(lead, n)
	}
	for i := len(lead) - 1; i >= 0 && lead[i] > 0; i-- {
		if i == 0 || lead[i-1] <= 0 {
			at := posts[i].AtNs + delivery
			return &at
		}
	}
	return nil
}

// Nobody is counted twice, no channel posts twice, nothing comes before its time, and the coalition never posts the falsehood.
func TestCountsAreOfPeople(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := anyParams().Draw(t, "params")
		f := newFates(newWorld(p.Crowd, p.Seed), p.Spread)
		arm := rapid.SampledFrom([]Arm{ByHub, ByForwards, Never}).Draw(t, "arm")
		r := play(f, arm, anyDelay().Draw(t, "delay"), p.HorizonNs, moments(p.HorizonNs))
		posted := map[[2]int]bool{}
		deliveries := 0
		for i, post := range r.Posts {
			which := [2]int{int(post.Message), int(post.Channel)}
			if posted[which] || post.Message == Falsehood && int(post.Channel) < p.Crowd.Coalition.Count || i > 0 && !inOrder(r.Posts[i-1], post) || post.AtNs > p.HorizonNs {
				t.Fatalf("%+v after %+v", post, r.Posts[:i])
			}
			posted[which] = true
			deliveries += post.Online
		}
		var want Reached
		first := firsts(f, r.Posts)
		want.Correction, want.Falsehood = len(first[Correction]), len(first[Falsehood])
		forewarned := 0
		for person, seen := range first[Correction] {
			other, both := first[Falsehood][person]
			if both {
				want.Both++
			}
			if !both || seen < other {
				want.CorrectionFirst++
			}
			if both && seen < other {
				forewarned++
			}
		}
		if r.Reached != want || r.Forewarned() != forewarned || r.Deliveries != deliveries || r.Either() > p.Crowd.People {
			t.Fatalf("%+v, not %+v; %d forewarned, not %d; %d deliveries, not %d", r.Reached, want, r.Forewarned(), forewarned, r.Deliveries, deliveries)
		}
		if last := r.Over[len(r.Over)-1]; last != want {
			t.Fatalf("at the end %+v, not %+v", last, want)
		}
		if ahead := aheadFrom(first, r.Posts, p.Spread.DeliveryNs); (r.Ahead != nil) != (ahead != nil) || ahead != nil && *ahead != *r.Ahead {
			t.Fatalf("ahead from %v, not %v", r.Ahead, ahead)
		}
		if arm == Never && (want.Correction > 0 || want.CorrectionFirst > 0) {
			t.Fatalf("without a correction %+v", want)
		}
	})
}

// times is when each channel posts a message; the horizon's end and more if it does not.
func times(r Run, m Message, channels int) []time.Duration {
	out := slices.Repeat([]time.Duration{1 << 62}, channels)
	for _, p := range r.Posts {
		if p.Message == m {
			out[p.Channel] = p.AtNs
		}
	}
	return out
}

// An earlier correction, a hub, or any correction against none: every channel has the correction no later and the falsehood no earlier, and the
// share of those who saw the correction first is no smaller. Not on average but in every single run, since arms and delays have all chance
// in common.
func TestEarlierIsNeverWorse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := anyParams().Draw(t, "params")
		f := newFates(newWorld(p.Crowd, p.Seed), p.Spread)
		early, late := anyDelay().Draw(t, "delay"), anyDelay().Draw(t, "other")
		if early > late {
			early, late = late, early
		}
		run := func(arm Arm, delay time.Duration) Run { return play(f, arm, delay, p.HorizonNs, nil) }
		for _, pair := range []struct {
			name          string
			better, worse Run
		}{
			{"hub, earlier", run(ByHub, early), run(ByHub, late)},
			{"forwards, earlier", run(ByForwards, early), run(ByForwards, late)},
			{"hub against forwards", run(ByHub, late), run(ByForwards, late)},
			{"forwards against none", run(ByForwards, early), run(Never, 0)},
		} {
			better, worse := pair.better, pair.worse
			for m, sign := range []time.Duration{Falsehood: -1, Correction: 1} {
				sooner, later := times(better, Message(m), f.channels()), times(worse, Message(m), f.channels())
				for c := range sooner {
					if sign*(sooner[c]-later[c]) > 0 {
						t.Fatalf("%s: the %s in channel %d\n%+v\n%+v", pair.name, Message(m), c, better.Posts, worse.Posts)
					}
				}
			}
			if better.Correction < worse.Correction || better.Falsehood > worse.Falsehood || better.CorrectionFirst < worse.CorrectionFirst ||
				better.CorrectionFirst*worse.Either() < worse.CorrectionFirst*better.Either() {
				t.Fatalf("%s: %+v, not %+v", pair.name, better.Reached, worse.Reached)
			}
		}
	})
}

// And it does help: else the property above would hold of corrections that do nothing.
func TestACorrectionInTimeHelps(t *testing.T) {
	p := small()
	f := newFates(newWorld(p.Crowd, p.Seed), p.Spread)
	run := func(arm Arm, delay time.Duration) Run { return play(f, arm, delay, p.HorizonNs, nil) }
	none, at0, at1, at13 := run(Never, 0), run(ByHub, 0), run(ByHub, time.Minute), run(ByHub, 13*time.Hour)
	if !(at0.CorrectionFirst > at1.CorrectionFirst && at1.CorrectionFirst > at13.CorrectionFirst && at13.CorrectionFirst > none.CorrectionFirst) ||
		!(at0.Falsehood < none.Falsehood && at0.Forewarned() > at1.Forewarned() && at13.Forewarned() == 0) {
		t.Errorf("at once %+v, after a minute %+v, after 13 hours %+v, never %+v", at0.Reached, at1.Reached, at13.Reached, none.Reached)
	}
}

// Who forwards nothing leaves each message to those who are online where it began, or where the hub posts it.
func TestWithoutForwardsNothingSpreads(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := anyParams().Draw(t, "params")
		p.Spread.ForwardTrue = 0
		f := newFates(newWorld(p.Crowd, p.Seed), p.Spread)
		alone, hub := play(f, ByForwards, time.Hour, p.HorizonNs, nil), play(f, ByHub, time.Hour, p.HorizonNs, nil)
		if len(alone.Posts) != 2 || alone.Falsehood != len(f.of(Falsehood, f.origin[Falsehood]).viewers) || alone.Correction != len(f.of(Correction, f.origin[Correction]).viewers) {
			t.Fatalf("%+v", alone)
		}
		if len(hub.Posts) != 1+p.Crowd.Coalition.Count || hub.Falsehood != alone.Falsehood {
			t.Fatalf("%+v", hub)
		}
	})
}
