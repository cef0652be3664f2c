package verdict

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
	"github.com/chatfleet/chatfleet/simulator/internal/measure"
)

// run is what a Measurements is drawn from; kept apart so that it can be made worse in one place.
type run struct {
	latencies []time.Duration
	hiccup    time.Duration
	sendLag   time.Duration
	wait      time.Duration

	lost, duplicate, unordered, missing, absent int64

	clockError, step                                   time.Duration
	shares, untrusted, capped, workerLost, interrupted bool
}

func anyRun() *rapid.Generator[run] {
	upTo := func(t *rapid.T, label string, most time.Duration) time.Duration {
		return time.Duration(rapid.Int64Range(0, int64(most)).Draw(t, label))
	}
	rarely := func(t *rapid.T, label string) bool { return rapid.IntRange(0, 9).Draw(t, label) == 0 }
	few := func(t *rapid.T, label string) int64 {
		if rarely(t, label+"?") {
			return rapid.Int64Range(0, 3).Draw(t, label)
		}
		return 0
	}
	return rapid.Custom(func(t *rapid.T) run {
		r := run{
			hiccup: upTo(t, "hiccup", 100*time.Millisecond), sendLag: upTo(t, "lag", 70*time.Millisecond),
			wait: upTo(t, "wait", 2*time.Second),
			lost: few(t, "lost"), duplicate: few(t, "duplicate"), unordered: few(t, "unordered"), missing: few(t, "missing"), absent: few(t, "absent"),
			shares: rapid.Bool().Draw(t, "shares"), untrusted: rarely(t, "untrusted"), capped: rarely(t, "capped"),
			workerLost: rarely(t, "worker"), interrupted: rarely(t, "interrupted"),
		}
		if rapid.Bool().Draw(t, "two clocks") {
			r.clockError = upTo(t, "clock", 50*time.Millisecond)
		}
		if rarely(t, "steps") {
			r.step = time.Second
		}
		for range rapid.IntRange(0, 30).Draw(t, "n") {
			r.latencies = append(r.latencies, upTo(t, "latency", 1200*time.Millisecond))
		}
		return r
	})
}

func (r run) measurements() Measurements {
	m := Measurements{Sessions: Sessions{Wanted: 5}, Posts: Posts{Intended: 1, Sent: 1, Acknowledged: 1, Checked: 1}}
	m.Deliveries.Latency = measure.NewHistogram()
	for _, d := range r.latencies {
		m.Deliveries.Latency.Record(d)
	}
	n := int64(len(r.latencies))
	m.Broadcasts = []Broadcast{{DeliverWithin: time.Second, Recipients: n, Lost: r.lost, Latency: m.Deliveries.Latency}}
	m.Deliveries.Expected, m.Deliveries.Delivered = n+r.lost, n
	m.Deliveries.Lost, m.Deliveries.LostOfLatency = r.lost, r.lost
	m.Deliveries.Duplicate, m.Deliveries.Unordered, m.Posts.Missing = r.duplicate, r.unordered, r.missing
	m.Sessions.SignedIn = m.Sessions.Wanted - r.absent
	m.Faults = []Fault{{LongestAckWait: r.wait, Posts: 1}}
	m.Generator = Generator{Hiccup: histogram(r.hiccup, 100), SharesCores: r.shares}
	if r.capped {
		m.Generator.CapsReached = []string{"a cap"}
	}
	if r.workerLost {
		m.Generator.LostWorkers = []string{"worker 0"}
	}
	m.Posts.SendLag = histogram(r.sendLag, 100)
	m.Clock = Clock{Trusted: !r.untrusted, ErrorBound: r.clockError, Step: r.step}
	m.Interrupted = r.interrupted
	return m
}

func propertyThresholds() []v1alpha1.Threshold {
	return append(usualThresholds(), threshold("faultAckWait", "max", "2s"), threshold("delivery", "p50", "900ms"))
}

// worse makes one thing worse, whatever it is.
func worse(t *rapid.T, r run) run {
	r.latencies = append([]time.Duration(nil), r.latencies...)
	more := time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(t, "more"))
	ways := []func(){
		func() {
			if n := len(r.latencies); n > 0 {
				r.latencies[rapid.IntRange(0, n-1).Draw(t, "which")] += more
			}
		},
		func() { r.hiccup += more },
		func() { r.sendLag += more },
		func() { r.wait += more },
		func() { r.lost++ },
		func() { r.duplicate++ },
		func() { r.unordered++ },
		func() { r.missing++ },
		func() { r.absent++ },
		func() { r.clockError += more },
		func() { r.step += time.Second },
		func() { r.untrusted = true },
		func() { r.capped = true },
		func() { r.workerLost = true },
		func() { r.interrupted = true },
	}
	ways[rapid.IntRange(0, len(ways)-1).Draw(t, "way")]()
	return r
}

func TestWorseIsNeverAPass(t *testing.T) {
	passes := 0
	rapid.Check(t, func(t *rapid.T) {
		before := anyRun().Draw(t, "run")
		after := worse(t, before)
		b, a := Judge(before.measurements(), propertyThresholds()), Judge(after.measurements(), propertyThresholds())
		if b.Verdict == Pass {
			passes++
		}
		if b.Verdict != Pass && a.Verdict == Pass {
			t.Fatalf("%s %q became a pass", b.Verdict, b.Reasons)
		}
		if wrong(b) && !(wrong(a) && a.Verdict == Fail) {
			t.Fatalf("a fact was forgotten: %s %q became %s %q", b.Verdict, b.Reasons, a.Verdict, a.Reasons)
		}
		if (a.ExitCode == ExitPass) != (a.Verdict == Pass) {
			t.Fatalf("%s has exit code %d", a.Verdict, a.ExitCode)
		}
	})
	if passes == 0 {
		t.Error("no run passed: the property was not tested")
	}
}

func wrong(j Judgement) bool {
	for _, r := range j.Results {
		if r.Correctness && r.Verdict == Fail {
			return true
		}
	}
	return false
}

// With everything else good, more latency goes one way: pass, then inconclusive, then fail.
func TestSlowerGoesOneWay(t *testing.T) {
	order := map[Verdict]int{Pass: 0, Inconclusive: 1, Fail: 2}
	rapid.Check(t, func(t *rapid.T) {
		r := run{clockError: time.Duration(rapid.Int64Range(0, int64(300*time.Millisecond)).Draw(t, "error"))}
		last := 0
		for d := time.Duration(0); d < 2*time.Second; d += time.Duration(rapid.Int64Range(5e7, 4e8).Draw(t, "step")) {
			r.latencies = []time.Duration{d}
			got, ok := order[Judge(r.measurements(), usualThresholds()).Verdict]
			if !ok || got < last {
				t.Fatalf("at %s the verdict went back to %d from %d", d, got, last)
			}
			last = got
		}
	})
}

func TestNoSamplesNeverPass(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		metric := rapid.SampledFrom(Metrics()).Draw(t, "metric")
		limit := rapid.SampledFrom([]string{"0", "1000000", "10m", "1GiB"}).Draw(t, "limit")
		m := Measurements{Clock: Clock{Trusted: true}, Generator: Generator{Hiccup: histogram(0, 1)}}
		m.Posts.SendLag = histogram(0, 1)
		if j := Judge(m, []v1alpha1.Threshold{threshold(metric.Name, "", limit)}); j.Verdict == Pass || j.Results[0].Verdict == Pass {
			t.Fatalf("%s passed over nothing", j.Results[0].Title)
		}
	})
}
