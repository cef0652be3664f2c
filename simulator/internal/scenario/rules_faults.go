package scenario

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/chatfleet/chatfleet/api/scenario/v1alpha1"
)

func (r *rules) faults() {
	titles := map[string]string{}
	for i, f := range r.s.Faults {
		path := fmt.Sprintf("faults[%d]", i)
		if before, taken := titles[f.Title()]; taken {
			r.report(path, "it has the same name, %q, as %s; give it another name", f.Title(), before)
		}
		titles[f.Title()] = path
		r.action(path, f)
		r.onSessions(path, f)
		r.delay(path, f)
		r.clock(path, f)
		r.faultTarget(path, f)
		lasts, returns := f.Lasts()
		r.schedule(path, f.Schedule, lasts)
		if f.Count > 1 && f.Every > 0 && returns && f.Every.Std() <= lasts {
			r.report(path+".every", "the next one comes before the process is back after %s; raise every", lasts)
		}
	}
}

func (r *rules) action(path string, f v1alpha1.Fault) {
	switch {
	case f.Action == v1alpha1.Stop && f.For == 0:
		r.report(path, "stop needs for: how long the process stands still, above 0s")
	case f.Action == v1alpha1.Delay && f.For == 0:
		r.report(path, "delay needs for: how long it lasts, above 0s")
	case f.Action != v1alpha1.Stop && f.Action != v1alpha1.Delay && f.Action != v1alpha1.Clock && f.For > 0:
		r.report(path+".for", "it belongs to stop, delay and clock, not to %s; remove it", f.Action)
	}
	switch {
	case f.Action != v1alpha1.Kill && f.RestartAfter > 0:
		r.report(path+".restartAfter", "it belongs to kill, not to %s; remove it", f.Action)
	case f.Action == v1alpha1.Kill && f.RestartAfter == 0 && f.Target == v1alpha1.AllStores:
		r.report(path, "without restartAfter no store ever comes back")
	case f.Action == v1alpha1.Kill && f.RestartAfter == 0 && f.Count > 1:
		r.report(path, "killed %d times, it needs restartAfter: when the process is started again", f.Count)
	}
}

// onSessions checks what belongs to faults of sessions alone.
func (r *rules) onSessions(path string, f v1alpha1.Fault) {
	switch on, sessions := f.Action.OnSessions(), f.Target == v1alpha1.Sessions; {
	case on && !sessions:
		r.report(path+".target", "%s is done to sessions, not to %s", f.Action, f.Target)
	case !on && sessions:
		r.report(path+".target", "sessions can only be cut or delayed; %s is done to a process", f.Action)
	case on && f.Share == 0:
		r.report(path, "%s needs share: which share of all sessions it hits, above 0 up to 1", f.Action)
	case !on && f.Share > 0:
		r.report(path+".share", "it belongs to cut and delay, not to %s; remove it", f.Action)
	}
}

const (
	// maxDelay is well below half of what a session waits for an answer before it takes its connection for dead.
	maxDelay = 4 * time.Second
	// maxDelays bounds how often sessions are delayed: each time has figures of its own, at every worker.
	maxDelays = 100
)

// delay checks a delay, and that it is of the same sessions as all others.
func (r *rules) delay(path string, f v1alpha1.Fault) {
	if f.Action != v1alpha1.Delay {
		if f.Delay > 0 {
			r.report(path+".delay", "it belongs to delay, not to %s; remove it", f.Action)
		}
		if f.Jitter > 0 {
			r.report(path+".jitter", "it belongs to delay, not to %s; remove it", f.Action)
		}
		return
	}
	sessions, times := r.s.Population.Sessions(), 0
	for _, other := range r.s.Faults {
		if other.Action == v1alpha1.Delay {
			times += max(other.Count, 1)
		}
	}
	first := slices.IndexFunc(r.s.Faults, func(f v1alpha1.Fault) bool { return f.Action == v1alpha1.Delay })
	switch {
	case f.Delay == 0:
		r.report(path, "delay needs delay: how much longer everything takes one way, above 0s")
	case (f.Delay + f.Jitter).Std() > maxDelay:
		r.report(path+".delay", "%s, with its jitter, is too long; beyond %s sessions take their connections for dead", (f.Delay + f.Jitter).Std(), maxDelay)
	case f.Share > 0 && int(f.Share*float64(sessions)) == 0:
		r.report(path+".share", "%g of %d sessions is none; raise it", f.Share, sessions)
	case f.Share != r.s.Faults[first].Share:
		r.report(path+".share", "all delays are of the same sessions; give it the share of faults[%d], %g", first, r.s.Faults[first].Share)
	case times > maxDelays:
		r.report(path, "sessions are delayed %d times in all; at most %d", times, maxDelays)
	}
}

// maxStep is half of the time for which repeats of posts are known: with more, a fleet whose clock was set would be right to refuse them.
const maxStep = 12 * time.Hour

// clock checks how far a clock is set.
func (r *rules) clock(path string, f v1alpha1.Fault) {
	switch step := f.Step.Std(); {
	case f.Action != v1alpha1.Clock && r.given(path+".step"):
		r.report(path+".step", "it belongs to clock, not to %s; remove it", f.Action)
	case f.Action != v1alpha1.Clock:
	case step == 0:
		r.report(path, "clock needs step: how far it is set, forward such as 1h or back such as -1h")
	case step%time.Second != 0:
		r.report(path+".step", "%s is not whole seconds, by which clocks are set", step)
	case step.Abs() > maxStep:
		r.report(path+".step", "%s is too far; at most %s, forward or back", step, maxStep)
	}
}

// faultTarget checks a process that is named against the fleets that the scenario names, if it does.
func (r *rules) faultTarget(path string, f v1alpha1.Fault) {
	role, digits, named := strings.Cut(string(f.Target), "-")
	n, err := strconv.Atoi(digits)
	if !named || err != nil {
		return
	}
	if f.Target.OnZone() {
		r.zone(path, f, n)
		return
	}
	check := func(where string, stores, shards int) {
		have := shards
		if role == "store" {
			have = stores
		}
		if n >= have {
			r.report(path+".target", "there is no %s; %s has %s-0 to %s-%d", f.Target, where, role, role, have-1)
		}
	}
	if l := r.s.Target.Local; l != nil {
		check("target.local", l.Stores, l.Shards)
	}
	if m := r.s.Target.Model; m != nil {
		check("target.model", cmp.Or(m.Stores, defaultStores), m.Shards)
	}
}

// zone checks the loss of a failure domain.
func (r *rules) zone(path string, f v1alpha1.Fault, n int) {
	zones := 0
	if m := r.s.Target.Model; m != nil {
		zones = max(m.Zones, 1)
	}
	switch {
	case r.s.Engine != v1alpha1.ModelEngine:
		r.report(path+".target", "only the model plays the loss of a zone; say engine: model")
	case f.Action != v1alpha1.Kill:
		r.report(path+".target", "a zone can only be killed")
	case n >= zones:
		r.report(path+".target", "there is no %s; target.model has %d (zones)", f.Target, zones)
	}
}
